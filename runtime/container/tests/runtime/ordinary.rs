//! Containers of an ordinary user: no cgroup, no range of its own, one user.

use std::fs;
use std::os::unix::fs::chown;

use wasmbatch_container::oci::Identity;
use wasmbatch_container::oci::user::ResolvedUser;

use crate::bundle::{Bundle, able};

/// Anybody who isn't root.
const USER: u32 = 4242;

#[test]
fn an_ordinary_user_runs_containers_of_one_user() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.identity = Identity::Inner { count: 1 };
    bundle.ordinary_user = Some(USER);
    bundle.init = Some(wasmbatch_container::init::install(bundle.path()).unwrap());
    for file in ["", "rootfs", "rootfs/dev", "rootfs/proc", "rootfs/tmp", "rootfs/work", "init"] {
        chown(bundle.path().join(file), Some(USER), Some(USER)).unwrap();
    }
    let ended = bundle.shell(
        "cat /proc/self/uid_map; id -u; grep -h -E '^(CapBnd|NoNewPrivs|Seccomp:)' /proc/self/status; touch /x; \
         ls /proc/sys/net/ipv4/conf; exit 3",
    );
    assert_eq!(ended.code, 3, "{ended:?}");
    let words: Vec<&str> = ended.stdout.split_whitespace().collect();
    let expected = [
        "0",
        "0",
        "1",
        "0",
        "CapBnd:",
        "00000000000000fb",
        "NoNewPrivs:",
        "1",
        "Seccomp:",
        "2",
        "all",
        "default",
        "lo",
    ];
    assert_eq!(words, expected, "{ended:?}");
    assert_eq!(ended.stderr, "touch: /x: Read-only file system\n");
    bundle.read_only_root = false;
    assert_eq!(bundle.shell("echo written > /work/file").code, 0);
    assert_eq!(fs::read_to_string(bundle.rootfs().join("work/file")).unwrap(), "written\n");
    bundle.user = ResolvedUser { uid: 1000, ..ResolvedUser::default() };
    assert!(bundle.specification(&["true"]).is_err());
}
