use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// What nvidia-ctk writes, shortened; nodes that every host has in place of its own.
const NVIDIA: &str = r#"---
cdiVersion: 0.5.0
containerEdits:
    deviceNodes:
        - path: /dev/null
    env:
        - NVIDIA_VISIBLE_DEVICES=void
    hooks:
        - args:
            - nvidia-cdi-hook
            - update-ldcache
            - --folder
            - /usr/lib/x86_64-linux-gnu
          hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
    mounts:
        - containerPath: /usr/bin/nvidia-smi
          hostPath: /usr/bin/nvidia-smi
          options: [ro, nosuid, nodev, bind]
devices:
    - name: "10"
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia10
              hostPath: /dev/full
              permissions: rw
              fileMode: 438
              uid: 0
    - name: "2"
      containerEdits:
        deviceNodes: [{path: /dev/zero}]
    - name: GPU-2
      containerEdits:
        deviceNodes: [{path: /dev/zero}]
    - name: all
      containerEdits:
        deviceNodes: [{path: /dev/zero}, {path: /dev/full}]
kind: nvidia.com/gpu
"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn json(kind: &str, device: &str, variable: &str) -> String {
    format!(
        r#"{{"cdiVersion": "0.3.0", "kind": "{kind}", "devices": [{{"name": "{device}", "annotations": {{"a": "b"}},
            "containerEdits": {{"env": ["{variable}"]}}}}]}}"#
    )
}

fn failures(registry: &Registry) -> Vec<String> {
    registry.failures().iter().map(|failure| failure.reason.to_string()).collect()
}

#[test]
fn gpus_are_counted_once_and_in_order() {
    let folder =
        folder(&[("nvidia.yaml", NVIDIA), ("other.json", &json("example.com/gpu", "0", "A=1")), ("notes.txt", "{")]);
    let registry = Registry::scan(&[folder.path(), Path::new("/nonexistent")]);
    assert!(registry.failures().is_empty(), "{:?}", registry.failures());
    let names: Vec<String> = registry.gpus().into_iter().map(|gpu| gpu.name).collect();
    assert_eq!(names, ["example.com/gpu=0", "nvidia.com/gpu=2", "nvidia.com/gpu=10"]);
    assert_eq!(registry.names().count(), 5);
}

#[test]
fn edits_are_of_the_device_and_of_its_file() {
    let folder = folder(&[("nvidia.yaml", NVIDIA)]);
    let registry = Registry::scan(&[folder.path()]);
    let edits = registry.edits(&["nvidia.com/gpu=10", "nvidia.com/gpu=2", "nvidia.com/gpu=10"]).unwrap();
    assert_eq!(edits.environment, [("NVIDIA_VISIBLE_DEVICES".to_owned(), "void".to_owned())]);
    let device = &edits.devices[0];
    assert_eq!((device.host_path.as_str(), device.container_path.as_str()), ("/dev/full", "/dev/nvidia10"));
    assert_eq!((device.major, device.minor, device.permissions.as_str()), (1, 7, "rw"));
    assert_eq!((device.file_mode, device.uid, device.gid), (Some(0o666), Some(0), None));
    let paths: Vec<&str> = edits.devices.iter().map(|device| device.container_path.as_str()).collect();
    assert_eq!(paths, ["/dev/nvidia10", "/dev/null", "/dev/zero"]);
    assert_eq!(edits.devices[2].permissions, "rwm");
    assert_eq!(edits.mounts.len(), 1);
    assert_eq!(edits.mounts[0].kind, "bind");
    assert_eq!(edits.hooks.len(), 1);
    assert_eq!((edits.hooks[0].moment, edits.hooks[0].arguments.len()), (Moment::CreateContainer, 4));
    assert_eq!(registry.edits(&["nvidia.com/gpu=3"]), Err(EditError::Unknown("nvidia.com/gpu=3".to_owned())));
    assert_eq!(registry.edits::<&str>(&[]).unwrap(), Edits::default());
}

#[test]
fn the_later_folder_wins_and_nobody_where_two_files_are_as_good() {
    let early = folder(&[("a.json", &json("a.b/c", "x", "A=early")), ("b.json", &json("a.b/c", "y", "A=early"))]);
    let late = folder(&[("z.json", &json("a.b/c", "x", "A=late"))]);
    let registry = Registry::scan(&[&early, &late]);
    let value = |name: &str| registry.edits(&[name]).unwrap().environment[0].1.clone();
    assert_eq!((value("a.b/c=x"), value("a.b/c=y")), ("late".to_owned(), "early".to_owned()));
    assert!(registry.failures().is_empty());

    let text = json("a.b/c", "x", "A=1");
    let both = folder(&[("a.json", &text), ("b.yaml", &text), ("c.json", &text)]);
    let registry = Registry::scan(&[both]);
    assert_eq!(registry.names().count(), 0);
    assert_eq!(failures(&registry), ["device \"a.b/c=x\" is there twice"; 2]);
}

#[test]
fn a_bad_file_costs_its_devices_alone() {
    let good = json("a.b/c", "x", "A=1");
    let long = format!("{good}{}", " ".repeat(4 << 20));
    let folder = folder(&[
        ("a.json", &good),
        ("b.json", "{"),
        ("c.yaml", "cdiVersion: [\n"),
        ("d.json", &good.replace("0.3.0", "2.0.0")),
        ("e.json", &json("nokind", "x", "A=1")),
        ("f.json", &json("a.b/c", "../x", "A=1")),
        ("g.json", &long),
        ("h.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nc: *b\n"),
    ]);
    fs::create_dir(folder.path().join("i.json")).unwrap();
    let registry = Registry::scan(&[folder.path()]);
    assert_eq!(registry.names().collect::<Vec<_>>(), ["a.b/c=x"]);
    let reasons = failures(&registry);
    assert_eq!(reasons.len(), 8, "{reasons:?}");
    for (index, text) in
        [(2, "version \"2.0.0\""), (3, "kind \"nokind\""), (4, "\"../x\""), (5, "4194304 bytes"), (7, "no file")]
    {
        assert!(reasons[index].contains(text), "{text}: {reasons:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_when_it_is_asked_for() {
    let with = |edits: &str| {
        let text = format!(
            r#"{{"cdiVersion": "1.0.0", "kind": "a.b/c", "devices": [{{"name": "x", "containerEdits": {edits}}}]}}"#
        );
        let folder = folder(&[("a.json", &text)]);
        Registry::scan(&[folder.path()]).edits(&["a.b/c=x"])
    };
    assert_eq!(with(r#"{"additionalGids": [0, 44, 44]}"#).unwrap().additional_gids, [44]);
    let mount = with(r#"{"mounts": [{"hostPath": "/a", "containerPath": "/b"}]}"#).unwrap().mounts.remove(0);
    assert_eq!((mount.kind.as_str(), mount.options), ("bind", vec!["bind".to_owned()]));
    for edits in [
        r#"{"env": ["nothing"]}"#,
        r#"{"env": ["=x"]}"#,
        r#"{"deviceNodes": [{"path": "/dev/nonexistent"}]}"#,
        r#"{"deviceNodes": [{"path": "/etc"}]}"#,
        r#"{"deviceNodes": [{"path": "null"}]}"#,
        r#"{"deviceNodes": [{"path": "/dev/null", "permissions": "rx"}]}"#,
        r#"{"mounts": [{"hostPath": "a", "containerPath": "/b"}]}"#,
        r#"{"hooks": [{"hookName": "sometime", "path": "/a"}]}"#,
        r#"{"hooks": [{"hookName": "poststop", "path": "a"}]}"#,
        r#"{"hooks": [{"hookName": "poststop", "path": "/a", "timeout": 0}]}"#,
    ] {
        assert!(with(edits).is_err(), "{edits}");
    }
}

proptest! {
    #[test]
    fn hostile_files_do_no_harm(text in "[-a-z:{}\\[\\]&*!|>'\"\n ]{0,80}") {
        let folder = folder(&[("a.yaml", &text), ("b.json", &text)]);
        prop_assert_eq!(Registry::scan(&[folder.path()]).names().count(), 0);
    }
}
