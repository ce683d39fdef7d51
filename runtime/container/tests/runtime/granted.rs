//! What a container gets.

use std::fs;
use std::os::unix::fs::chown;

use wasmbatch_container::cdi::{EditMount, Hook, Moment};
use wasmbatch_container::oci::user::ResolvedUser;
use wasmbatch_container::oci::{BindMount, Identity};
use wasmbatch_executor::{NetworkAccess, Tmpfs, Ulimit};

use crate::bundle::{Bundle, FIRST, able, program};

fn words(stdout: &str) -> Vec<&str> {
    stdout.split_whitespace().collect()
}

#[test]
fn a_command_runs_as_the_job_and_the_image_say() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.image.entrypoint =
        vec!["/bin/sh".into(), "-c".into(), "echo \"$0 $*\"; env | sort; pwd; hostname; id -u".into()];
    bundle.image.command = vec!["unused".into()];
    bundle.image.environment = vec![("GREETING".into(), "hello".into())];
    bundle.image.working_directory = Some("/work".into());
    let ended = bundle.run(&["a", "b c"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let expected = "a b c\nGREETING=hello\nHOME=/\nHOSTNAME=box\n\
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/work\nSHLVL=1\n/work\nbox\n0\n";
    assert_eq!(ended.stdout, expected);
    bundle.settings.entrypoint = Some(1);
    assert_eq!(bundle.run(&["/bin/echo", "a pod's"]).stdout, "a pod's\n");
    assert_eq!(bundle.shell("exit 7").code, 7);
    assert_eq!(bundle.shell("kill -KILL $$; sleep 1").code, 0, "the first process of a namespace can't kill itself");
}

#[test]
fn root_may_do_to_its_own_files_what_package_managers_do() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.read_only_root = false;
    bundle.identity = Identity::Range { first: FIRST };
    let ended = bundle.shell(
        "grep -h ^Cap /proc/self/status; cd /work && touch a && chown 5:6 a && stat -c %u:%g a \
         && mkdir -m 700 d && chown 7 d && touch d/x && mkfifo p && ln -s a l && chmod 4755 a && rm -r d a p l && echo done; \
         cat /proc/self/uid_map",
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID.
    let held = "00000000000000fb";
    let first = FIRST.to_string();
    let expected = [
        "CapInh:",
        "0000000000000000",
        "CapPrm:",
        held,
        "CapEff:",
        held,
        "CapBnd:",
        held,
        "CapAmb:",
        "0000000000000000",
        "5:6",
        "done",
        "0",
        &first,
        "65536",
    ];
    assert_eq!(words(&ended.stdout), expected);
}

#[test]
fn another_user_has_no_rights_at_all() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.user = ResolvedUser { uid: 1000, gid: 1001, additional_gids: vec![5, 44], home: Some("/work".into()) };
    let ended = bundle.shell(
        "id -u; id -g; id -G; echo $HOME; grep -h -E '^(Cap(Prm|Bnd)|NoNew)' /proc/self/status; kill -0 1; ls /root",
    );
    let none = "0000000000000000";
    let expected = ["1000", "1001", "1001", "5", "44", "/work", "CapPrm:", none, "CapBnd:", none, "NoNewPrivs:", "1"];
    assert_eq!(words(&ended.stdout), expected, "{ended:?}");
}

#[test]
fn memory_file_systems_and_limits_are_as_asked() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    let tmpfs = |path: &str, bytes, options: &[&str]| Tmpfs {
        container_path: path.into(),
        bytes,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    };
    bundle.settings.tmpfs =
        vec![tmpfs("/work/deep", 2 << 20, &["exec", "mode=0750", "uid=3"]), tmpfs("/work", 1 << 20, &["ro"])];
    bundle.settings.shared_memory_bytes = Some(3 << 20);
    let ulimit = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
    bundle.settings.ulimits = vec![ulimit("nofile", 99, 100), ulimit("memlock", 65_536, 65_536)];
    let ended = bundle.shell(
        "df -k /dev/shm /work/deep | awk 'NR>1{print $2}'; stat -c %a:%u /work/deep; cp /bin/busybox /work/deep/true; \
         /work/deep/true && echo runs; touch /work/x 2>&1; ulimit -Sn; ulimit -Hn; ulimit -l; ulimit -c; grep ' /work/deep ' /proc/mounts",
    );
    assert!(ended.stderr.is_empty(), "{ended:?}");
    // /work/deep could not be made in what is only to be read: the outer one comes first.
    assert_eq!(ended.code, 0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[..4], ["3072", "2048", "750:3", "runs"], "{lines:?}");
    assert_eq!(lines[5..9], ["99", "100", "64", "0"], "{lines:?}");
    assert!(lines[9].contains("nosuid,nodev") && !lines[9].contains("noexec"), "{lines:?}");
}

#[test]
fn folders_of_the_host_are_where_they_belong() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    let (open, closed) = (bundle.path().join("open"), bundle.path().join("closed"));
    for folder in [&open, &closed] {
        fs::create_dir(folder).unwrap();
        chown(folder, Some(FIRST), Some(FIRST)).unwrap();
    }
    fs::write(closed.join("file"), "from the host").unwrap();
    let mount =
        |source, destination: &str, read_only| BindMount::look_up(source, destination.into(), read_only).unwrap();
    bundle.mounts = vec![mount(closed, "/data/in", true), mount(open.clone(), "/data//out/", false)];
    let ended = bundle.shell("cat /data/in/file; touch /data/in/x; echo back > /data/out/file");
    assert_eq!(ended.stdout, "from the host");
    assert!(ended.stderr.contains("Read-only file system"), "{ended:?}");
    assert_eq!(fs::read_to_string(open.join("file")).unwrap(), "back\n");
}

#[test]
fn the_network_is_nothing_or_the_hosts() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    assert_eq!(words(&bundle.shell("ls /proc/sys/net/ipv4/conf").stdout), ["all", "default", "lo"]);
    let served = bundle.shell("httpd -p 80 -h /etc && wget -q -O - http://127.0.0.1/passwd | head -n 1");
    assert_eq!(served.stdout, "root:x:0:0::/root:/bin/sh\n", "{served:?}");
    bundle.network = NetworkAccess::Host;
    let ours = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(bundle.shell("readlink /proc/self/ns/net").stdout.trim(), ours.to_str().unwrap());
}

#[test]
fn a_privileged_one_is_the_hosts_root() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.identity = Identity::Host;
    bundle.read_only_root = false;
    let ended = bundle.shell(
        "cat /proc/self/uid_map; mount -t tmpfs t /tmp && echo mounted; mknod /work/null c 1 3 && echo made; ls /sys/kernel > /dev/null && echo sys; \
         grep -E '^(NoNew|Seccomp:)' /proc/self/status",
    );
    let expected = ["0", "0", "4294967295", "mounted", "made", "sys", "NoNewPrivs:", "0", "Seccomp:", "0"];
    assert_eq!(words(&ended.stdout), expected, "{ended:?}");
}

#[test]
fn edits_of_cdi_reach_the_container() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    fs::write(bundle.path().join("library"), "library").unwrap();
    bundle.edits.environment = vec![("VISIBLE".into(), "void".into())];
    bundle.edits.additional_gids = vec![44];
    bundle.edits.mounts = vec![EditMount {
        host_path: bundle.path().join("library"),
        container_path: "/usr/lib/library".into(),
        kind: "bind".into(),
        options: ["ro", "nosuid", "nodev", "bind"].map(str::to_owned).to_vec(),
    }];
    let mut device = wasmbatch_container::oci::device::look_up(&wasmbatch_executor::Device {
        host_path: "/dev/null".into(),
        container_path: "/dev/gpu/0".into(),
        permissions: "rw".into(),
    })
    .unwrap();
    device.permissions = "rw".into();
    bundle.edits.devices = vec![device];
    let mark = bundle.path().join("mark");
    bundle.edits.hooks = vec![Hook {
        moment: Moment::CreateRuntime,
        path: program("busybox").unwrap(),
        arguments: vec!["touch".into(), mark.to_str().unwrap().into()],
        environment: Vec::new(),
        timeout_seconds: Some(10),
    }];
    let ended = bundle.shell("cat /usr/lib/library; echo; echo $VISIBLE; id -G; echo x > /dev/gpu/0 && echo written");
    assert_eq!(words(&ended.stdout), ["library", "void", "0", "44", "written"], "{ended:?}");
    assert!(mark.exists());
}
