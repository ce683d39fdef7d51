//! What a container doesn't get.

use wasmbatch_executor::NetworkAccess;

use crate::bundle::{Bundle, able};

#[test]
fn the_hosts_things_are_out_of_reach() {
    if !able() {
        return;
    }
    let bundle = Bundle::new();
    let ended = bundle.shell(
        "touch /x; echo 1 > /proc/sys/kernel/panic; mount -t tmpfs t /tmp; unshare -U true; \
         chroot / true; mknod /dev/sda b 8 0; hostname other; head -c1 /proc/kcore; dmesg; nsenter -t 1 -m true; ls /sys; ls -A /proc/scsi; \
         ls -l /proc/self/fd | wc -l",
    );
    let refusals: Vec<&str> = ended.stderr.lines().collect();
    for (tried, expected) in [
        ("touch", "Read-only file system"),
        ("/proc/sys/kernel/panic", "Read-only file system"),
        ("mount", "permission denied"),
        ("unshare", "Operation not permitted"),
        ("chroot", "Operation not permitted"),
        ("mknod", "Operation not permitted"),
        ("hostname", "Operation not permitted"),
        ("dmesg", "Operation not permitted"),
        ("nsenter", "Operation not permitted"),
        ("/sys", "No such file or directory"),
    ] {
        let refused = |line: &&str| line.contains(tried) && line.contains(expected);
        assert!(refusals.iter().any(refused), "{tried}: {refusals:?}");
    }
    // total, 0, 1, 2 and the folder itself: nothing of runc or of whoever called it.
    assert_eq!(ended.stdout.trim(), "5", "{ended:?}");
}

#[test]
fn the_filter_holds_with_the_hosts_network_too() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.network = NetworkAccess::Host;
    let ended =
        bundle.shell("grep -h -E '^(NoNewPrivs|Seccomp):' /proc/self/status; unshare -n true; ip link set lo down");
    assert_eq!(ended.stdout, "NoNewPrivs:\t1\nSeccomp:\t2\n");
    assert!(ended.stderr.contains("unshare"), "{ended:?}");
    assert_eq!(ended.stderr.matches("Operation not permitted").count(), 2, "{ended:?}");
}

#[test]
fn memory_and_processes_end_where_the_limits_are() {
    if !able() {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.limits.memory_bytes = 16 << 20;
    bundle.limits.pids = 8;
    let bomb = bundle.shell("head -c 100m /dev/zero | tail > /dev/null; echo ${PIPESTATUS:-$?}");
    assert!(bomb.stdout.trim() != "0", "{bomb:?}");
    let forks = bundle.shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo unreached");
    assert!(forks.stderr.contains("can't fork"), "{forks:?}");
}

#[test]
fn a_link_in_place_of_dev_does_not_reach_the_host() {
    if !able() {
        return;
    }
    let bundle = Bundle::new();
    let outside = bundle.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
    std::os::unix::fs::symlink(&outside, bundle.rootfs().join("dev")).unwrap();
    let _ = bundle.shell("true");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}
