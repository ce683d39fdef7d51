use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use proptest::prelude::*;
use wasmbatch_executor::{ContainerSettings, NetworkAccess, Tmpfs, Ulimit};

use super::user::ResolvedUser;
use super::{BindMount, Identity, Limits, Plan, SpecError, Starter, specification};
use crate::cdi::Edits;
use crate::image::ImageConfig;

#[derive(Default)]
struct Given {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    settings: ContainerSettings,
    image: ImageConfig,
    mounts: Vec<BindMount>,
    user: ResolvedUser,
    edits: Edits,
    identity: Option<Identity>,
    init: bool,
    without_cgroup: bool,
}

fn given(arguments: &[&str]) -> Given {
    Given { arguments: strings(arguments), ..Given::default() }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Given {
    fn spec(&self) -> Result<Spec, SpecError> {
        let limits = Limits {
            memory_bytes: 64 << 20,
            swap_bytes: 1 << 20,
            swappiness: Some(10),
            cpu_thousandths: 250,
            pids: 99,
        };
        specification(&Plan {
            arguments: &self.arguments,
            environment: &self.environment,
            settings: &self.settings,
            image: &self.image,
            rootfs: Path::new("/somewhere/rootfs"),
            read_only_root: true,
            identity: self.identity.unwrap_or(Identity::Range { first: 100_000 }),
            network: NetworkAccess::None,
            mounts: &self.mounts,
            cgroup: (!self.without_cgroup).then_some(Path::new("/group/of/it")),
            limits: (!self.without_cgroup).then_some(limits),
            starter: Starter { open_files: 4096, capabilities: 0x3f },
            user: &self.user,
            init: self.init.then_some(Path::new("/somewhere/init")),
            devices: &[],
            edits: &self.edits,
            hostname: "box",
        })
    }

    fn arguments(&self) -> Vec<String> {
        self.spec().unwrap().process().as_ref().unwrap().args().clone().unwrap()
    }

    fn refusal(&self) -> String {
        self.spec().unwrap_err().to_string()
    }
}

#[test]
fn arguments_stand_behind_the_entrypoint_or_in_its_place() {
    let image = ImageConfig {
        entrypoint: strings(&["/entry", "-x"]),
        command: strings(&["default"]),
        ..ImageConfig::default()
    };
    let with = |arguments: &[&str], entrypoint| {
        let settings = ContainerSettings { entrypoint, ..ContainerSettings::default() };
        Given { arguments: strings(arguments), image: image.clone(), settings, ..Given::default() }.arguments()
    };
    assert_eq!(with(&[], None), ["/entry", "-x", "default"]);
    assert_eq!(with(&["a"], None), ["/entry", "-x", "a"]);
    assert_eq!(with(&["a", "b"], Some(1)), ["a", "b"]);
    assert_eq!(with(&["a", "b"], Some(7)), ["a", "b"]);
    assert_eq!(with(&["a"], Some(0)), ["/entry", "-x", "a"]);
    assert_eq!(with(&[], Some(0)), ["/entry", "-x", "default"]);
    assert_eq!(given(&["sh"]).arguments(), ["sh"]);
    assert_eq!(Given { init: true, ..given(&["sh", "-c"]) }.arguments(), ["/dev/init", "--", "sh", "-c"]);
}

#[test]
fn nothing_to_run_is_refused() {
    for arguments in [&[][..], &[""]] {
        assert_eq!(given(arguments).refusal(), "the image has no command and the job gives none");
    }
    assert_eq!(given(&["a\0b"]).refusal(), "the command contains a NUL character");
    let long = Given { arguments: strings(&["x", &"y".repeat(1 << 20)]), ..Given::default() };
    assert!(matches!(long.spec(), Err(SpecError::TooLong { .. })));
}

#[test]
fn a_jobs_variables_lie_over_the_images() {
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let mut given = given(&["sh"]);
    given.image.environment = pairs(&[("A", "image"), ("PATH", "/image"), ("B", "1"), ("B", "2")]);
    given.environment = pairs(&[("A", "job"), ("HOME", "")]);
    given.edits.environment = pairs(&[("B", "device")]);
    let environment = |given: &Given| given.spec().unwrap().process().as_ref().unwrap().env().clone().unwrap();
    assert_eq!(environment(&given), ["A=job", "PATH=/image", "B=device", "HOME=", "HOSTNAME=box"]);
    for (name, value) in [("", "x"), ("a=b", "x"), ("a", "x\0"), ("a\0", "x")] {
        given.environment = pairs(&[(name, value)]);
        assert!(given.spec().is_err(), "{name:?}");
    }
}

#[test]
fn a_working_directory_leads_nowhere_else() {
    let of = |path: &str| {
        let image = ImageConfig { working_directory: Some(path.to_owned()), ..ImageConfig::default() };
        Given { image, ..given(&["sh"]) }.spec().map(|spec| spec.process().as_ref().unwrap().cwd().clone())
    };
    for (path, clean) in [("", "/"), ("/", "/"), ("/a//b/./c/", "/a/b/c"), ("/process", "/process")] {
        assert_eq!(of(path).unwrap(), Path::new(clean));
    }
    let long = format!("/{}", "x".repeat(256));
    for path in
        ["a", "./a", "/a/../b", "/proc/self/fd/7", "//proc", "/./proc/1/cwd", "/sys", "/dev/fd/3", "/a\0", &long]
    {
        assert!(matches!(of(path), Err(SpecError::WorkingDirectory(_))), "{path}");
    }
}

#[test]
fn nothing_is_mounted_over_what_is_the_containers_own() {
    for path in
        ["/", "//", "/.", "/proc", "/proc/sys", "/sys/fs", "/dev", "/dev/shm", "relative", "/a/../dev", "", "/a\0b"]
    {
        let destination = path.to_owned();
        let mounts = vec![BindMount { source: "/host".into(), destination, read_only: true, no_exec: false }];
        let bind = Given { mounts, ..given(&["sh"]) };
        assert!(matches!(bind.spec(), Err(SpecError::Destination(_))), "{path:?}");
        let tmpfs = Tmpfs { container_path: path.to_owned(), bytes: 1, options: Vec::new() };
        let settings = ContainerSettings { tmpfs: vec![tmpfs], ..ContainerSettings::default() };
        let tmpfs = Given { settings, ..given(&["sh"]) };
        assert!(matches!(tmpfs.spec(), Err(SpecError::Destination(_))), "{path:?}");
    }
    let mount =
        |path: &str| BindMount { source: "/host".into(), destination: path.into(), read_only: true, no_exec: false };
    let held = BindMount { no_exec: true, ..mount("/a") };
    let spec = Given { mounts: vec![held], ..given(&["sh"]) }.spec().unwrap();
    let options = spec.mounts().as_ref().unwrap().last().unwrap().options().clone().unwrap();
    assert_eq!(options, ["bind", "nosuid", "nodev", "ro", "noexec"]);
    let twice = Given { mounts: vec![mount("/a/b"), mount("/a/"), mount("/a//b")], ..given(&["sh"]) };
    assert_eq!(twice.refusal(), "two mounts have the container path \"/a/b\"");
}

#[test]
fn options_of_a_tmpfs_are_those_that_give_nothing_away() {
    let of = |option: &str| {
        let tmpfs = Tmpfs { container_path: "/a".into(), bytes: 4096, options: strings(&[option]) };
        let settings = ContainerSettings { tmpfs: vec![tmpfs], ..ContainerSettings::default() };
        Given { settings, ..given(&["sh"]) }.spec()
    };
    for option in ["rw", "exec", "nostrictatime", "mode=1777", "mode=0700", "uid=65535", "nr_inodes=10"] {
        let spec = of(option).unwrap();
        let mount = spec.mounts().as_ref().unwrap().last().unwrap();
        let expected = strings(&["nosuid", "nodev", "noexec", option, "size=4096"]);
        assert_eq!(mount.options().as_ref().unwrap(), &expected);
    }
    for option in [
        "suid",
        "dev",
        "size=1g",
        "mode=4755",
        "uid=65536",
        "uid=x",
        "gid=",
        "bind",
        "shared",
        "mpol=bind:0",
        "rw,dev",
        "",
    ] {
        assert!(matches!(of(option), Err(SpecError::TmpfsOption { .. })), "{option:?}");
    }
}

#[test]
fn resource_limits_have_names_and_an_order() {
    let of = |name: &str, soft, hard| {
        let ulimits = vec![Ulimit { name: name.to_owned(), soft, hard }];
        let settings = ContainerSettings { ulimits, ..ContainerSettings::default() };
        Given { settings, ..given(&["sh"]) }.spec()
    };
    let limits = of("core", 5, u64::MAX).unwrap().process().as_ref().unwrap().rlimits().clone().unwrap();
    let limits: Vec<_> = limits.iter().map(|limit| (limit.typ().to_string(), limit.soft(), limit.hard())).collect();
    let expected = [("RLIMIT_NOFILE".to_owned(), 1024, 4096), ("RLIMIT_CORE".to_owned(), 5, u64::MAX)];
    assert_eq!(limits, expected);
    assert_eq!(of("as", 1, 1).unwrap_err().to_string(), "unknown ulimit \"as\"");
    assert!(matches!(of("cpu", 2, 1), Err(SpecError::UlimitOrder { .. })));
}

#[test]
fn users_are_those_that_the_container_has() {
    let as_user = |uid, gid, identity| {
        let user = ResolvedUser { uid, gid, additional_gids: vec![3, 1], home: None };
        Given { user, identity: Some(identity), ..given(&["sh"]) }.spec()
    };
    let one = Identity::Inner { count: 1 };
    let spec = as_user(0, 0, one).unwrap();
    assert_eq!(spec.process().as_ref().unwrap().user().additional_gids(), &None);
    assert!(!spec.mounts().as_ref().unwrap()[2].options().as_ref().unwrap().contains(&"gid=5".to_owned()));
    let expected = "user 0:1 does not exist in the container: it has the users and groups 0 to 0";
    assert_eq!(as_user(0, 1, one).unwrap_err().to_string(), expected);
    assert!(as_user(65_535, 65_535, Identity::Inner { count: 70_000 }).is_ok());
    assert!(matches!(as_user(65_536, 0, Identity::Inner { count: 70_000 }), Err(SpecError::NoSuchUser { .. })));
    let settings = ContainerSettings { must_not_be_root: true, ..ContainerSettings::default() };
    let mut root = Given { settings, ..given(&["sh"]) };
    assert_eq!(root.spec(), Err(SpecError::Root));
    root.user.uid = 1;
    assert!(root.spec().is_ok());
    for identity in [Identity::Range { first: 0 }, Identity::Range { first: u32::MAX }, Identity::Inner { count: 0 }] {
        assert!(matches!(as_user(0, 0, identity), Err(SpecError::Internal(_))));
    }
}

#[test]
fn only_a_privileged_container_goes_without_walls() {
    for (identity, walls) in
        [(Identity::Range { first: 1 << 20 }, true), (Identity::Inner { count: 65_536 }, true), (Identity::Host, false)]
    {
        let spec = Given { identity: Some(identity), ..given(&["sh"]) }.spec().unwrap();
        let (linux, process) = (spec.linux().as_ref().unwrap(), spec.process().as_ref().unwrap());
        assert_eq!(linux.seccomp().is_some(), walls);
        assert_eq!(linux.masked_paths().is_some() && linux.readonly_paths().is_some(), walls);
        assert_eq!(linux.uid_mappings().is_some() && linux.gid_mappings().is_some(), walls);
        assert_eq!(process.no_new_privileges(), Some(walls));
        assert_eq!(linux.resources().as_ref().unwrap().devices().as_ref().unwrap()[0].allow(), !walls);
        let user = |kind: &LinuxNamespaceType| *kind == LinuxNamespaceType::User;
        let kinds: Vec<_> = linux.namespaces().as_ref().unwrap().iter().map(|namespace| namespace.typ()).collect();
        assert_eq!(kinds.iter().any(user), walls);
        let held = process.capabilities().as_ref().unwrap().bounding().clone().unwrap();
        assert_eq!(held.len(), if walls { 7 } else { 6 });
        let system = spec.mounts().as_ref().unwrap().iter().any(|mount| mount.destination().starts_with("/sys"));
        assert_eq!(system, !walls);
    }
}

#[test]
fn the_cgroup_holds_what_it_was_given() {
    let spec = given(&["sh"]).spec().unwrap();
    let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
    let (memory, cpu) = (resources.memory().unwrap(), resources.cpu().clone().unwrap());
    assert_eq!((memory.limit(), memory.swap(), memory.swappiness()), (Some(64 << 20), Some(65 << 20), Some(10)));
    assert_eq!((cpu.quota(), cpu.period()), (Some(25_000), Some(100_000)));
    assert_eq!(resources.pids().unwrap().limit(), 99);
    let none = Given { without_cgroup: true, ..given(&["sh"]) }.spec().unwrap();
    assert_eq!(none.linux().as_ref().unwrap().resources(), &None);
    assert_eq!(none.linux().as_ref().unwrap().cgroups_path(), &None);
}

proptest! {
    #[test]
    fn hostile_texts_give_a_specification_or_a_refusal(
        texts in proptest::collection::vec("\\PC{0,20}|[/.a-z\0]{0,12}", 8),
        id in any::<u32>(),
    ) {
        let mut given = given(&[&texts[0], &texts[1]]);
        given.image.working_directory = Some(texts[2].clone());
        given.image.user = Some(texts[3].clone());
        given.environment = vec![(texts[4].clone(), texts[5].clone())];
        given.settings.tmpfs = vec![Tmpfs {
            container_path: texts[6].clone(),
            bytes: u64::from(id),
            options: vec![texts[7].clone()],
        }];
        given.user.uid = id;
        if let Ok(spec) = given.spec() {
            let json = serde_json::to_string(&spec).unwrap();
            prop_assert!(!json.contains("\\u0000"));
        }
    }
}
