//! The first process of a container that asks for ours.

use std::fs;

use crate::bundle::{Bundle, able};

fn bundle() -> Bundle {
    let mut bundle = Bundle::new();
    bundle.init = Some(wasmbatch_container::init::install(bundle.path()).unwrap());
    bundle
}

#[test]
fn it_ends_as_the_program_ends() {
    if !able() {
        return;
    }
    let bundle = bundle();
    let ended = bundle.shell("echo $PPID; tr '\\0' ' ' < /proc/1/cmdline; exit 7");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (7, "1\n/dev/init -- /bin/sh -c echo $PPID; tr '\\0' ' ' < /proc/1/cmdline; exit 7 ")
    );
    assert_eq!(bundle.shell("kill -SEGV $$").code, 139);
    assert_eq!(bundle.shell("kill -KILL $$").code, 137);
}

#[test]
fn a_program_is_looked_for_and_may_be_missing() {
    if !able() {
        return;
    }
    let mut bundle = bundle();
    fs::write(bundle.rootfs().join("bin/text"), "text").unwrap();
    assert_eq!(bundle.run(&["echo", "-n", "found"]).stdout, "found");
    for (program, code, text) in [
        ("nothing", 127, "init: nothing: no such file or directory\n"),
        ("/bin/nothing", 127, "init: /bin/nothing: no such file or directory\n"),
        ("text", 126, "init: text: permission denied\n"),
        ("/bin", 126, "init: /bin: permission denied\n"),
    ] {
        let ended = bundle.run(&[program]);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, text));
    }
    bundle.image.environment = vec![("PATH".into(), format!("{}:/etc/passwd:/work::/bin", "/x".repeat(3000)))];
    assert_eq!(bundle.run(&["echo", "-n", "found"]).stdout, "found");
}

#[test]
fn it_hands_signals_on() {
    if !able() {
        return;
    }
    let bundle = bundle();
    for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "WINCH", "35"] {
        let line = format!("trap 'echo {signal}; exit 9' {signal}; kill -{signal} 1; while :; do sleep 0.01; done");
        let ended = bundle.shell(&line);
        assert_eq!((ended.code, ended.stdout.as_str()), (9, format!("{signal}\n").as_str()), "{ended:?}");
    }
}

#[test]
fn it_buries_orphans() {
    if !able() {
        return;
    }
    let line = "(sleep 0.1 &); sleep 0.5; grep -h -s '^State:.Z' /proc/[0-9]*/status | wc -l";
    assert_eq!(bundle().shell(line).stdout.trim(), "0");
    let without = Bundle::new().shell(&format!("/bin/sh -c \"{line}\"; true"));
    assert_eq!(without.code, 0);
}
