"""Every wall around a container, tried from inside it: what is refused, what isn't there, what is bounded."""

import os
import platform
from pathlib import Path

import pytest

import images
from jobs import unique

EPERM, ENOSYS = 1, 38
# Numbers of x86-64 and arguments. Pointers lead nowhere: what is let through complains of that.
REFUSED_CALLS = {
    "mount": (165, 0, 0, 0, 0, 0),
    "umount2": (166, 0, 2),
    "pivot_root": (155, 0, 0),
    "chroot": (161, 0),
    "unshare user": (272, 0x10000000),
    "unshare mount": (272, 0x00020000),
    "setns": (308, 0, 0),
    "clone user": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "ptrace": (101, 16, 1, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "keyctl": (250, 0, 0, 0, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "request_key": (249, 0, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 1, 0),
    "open_tree": (428, -100, 0, 1),
    "move_mount": (429, 0, 0, 0, 0, 0),
    "fsopen": (430, 0, 0),
    "fsmount": (432, 0, 0, 0),
    "mount_setattr": (442, 0, 0, 0, 0, 0),
    "name_to_handle_at": (303, -100, 0, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0),
    "init_module": (175, 0, 0, 0),
    "finit_module": (313, 0, 0, 0),
    "delete_module": (176, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "reboot": (169, 0xFEE1DEAD, 672274793, 0x4321FEDC, 0),
    "swapon": (167, 0, 0),
    "swapoff": (168, 0),
    "acct": (163, 0),
    "settimeofday": (164, 0, 0),
    "clock_settime": (227, 0, 0),
    "adjtimex": (159, 0),
    "sethostname": (170, 0, 0),
    "setdomainname": (171, 0, 0),
    "iopl": (172, 3),
    "ioperm": (173, 0, 1, 1),
    "quotactl": (179, 0, 0, 0, 0),
    "lookup_dcookie": (212, 0, 0, 0),
    "syslog": (103, 3, 0, 0),
    "vhangup": (153,),
    "nfsservctl": (180, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "fanotify_init": (300, 0, 0),
}


@pytest.fixture(scope="module")
def calls(_shared_container_node):
    """An image with a program for each system call."""
    if platform.machine() != "x86_64":
        pytest.skip("the programs that make system calls are written in the language of x86-64")
    layer = images.Layer().folder("calls")
    for number, call in enumerate(REFUSED_CALLS.values()):
        layer.program(f"calls/{number}", images.system_call(*call))
    layer.program("calls/getpid", images.system_call(39))
    name = unique("calls")
    _shared_container_node.load(name, images.layout_tar(images.box(layer)))
    return name


def test_system_calls_that_reach_beyond_a_container_are_refused(boxes, calls):
    script = f"for i in $(seq 0 {len(REFUSED_CALLS) - 1}) getpid; do /calls/$i; echo $?; done"
    answers = [int(line) for line in boxes.said(script, image=calls)]
    assert answers.pop() == 0, "a call that is for everybody"
    said = dict(zip(REFUSED_CALLS, answers, strict=True))
    assert {name: answer for name, answer in said.items() if answer not in (EPERM, ENOSYS)} == {}


def test_root_has_seven_capabilities_and_others_none(boxes):
    script = "grep -E '^Cap|NoNewPrivs|^Seccomp:' /proc/self/status | tr -s '[:space:]' ' '"
    [line] = boxes.said(script)
    # CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID.
    held = f"{0b11111011:016x}"
    assert (
        line.split()
        == (
            f"CapInh: {0:016x} CapPrm: {held} CapEff: {held} CapBnd: {held} CapAmb: {0:016x} "
            "NoNewPrivs: 1 Seccomp: 2"
        ).split()
    )
    [line] = boxes.said(script, container={"user": "alice"})
    assert line.split()[1:10:2] == [f"{0:016x}"] * 5


def test_users_are_others_on_the_host(boxes):
    first = boxes.said("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '")
    second = boxes.said("cat /proc/self/uid_map | tr -s ' '")
    inside, outside, count = map(int, first[0].split())
    assert (inside, count) == (0, 65536)
    assert outside >= 2_000_000_000
    assert first[0] == first[1], "groups are as users are"
    assert len(second) == 1


def test_two_containers_at_once_have_no_user_in_common(boxes):
    script = "trap 'exit 0' TERM; cat /proc/self/uid_map | tr -s ' '; echo ready; sleep 600 & wait"
    jobs = [boxes.begin(script, "ready") for _ in range(2)]
    maps = {boxes.lines(job)[0] for job in jobs}
    assert len(maps) == 2
    for job in jobs:
        boxes.end(job)


def test_every_namespace_is_the_containers_own(boxes):
    kinds = ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup")
    lines = boxes.said("".join(f"readlink /proc/self/ns/{kind};" for kind in kinds))
    assert len(lines) == len(kinds)
    for kind, line in zip(kinds, lines, strict=True):
        assert line.startswith(f"{kind}:") and line != os.readlink(f"/proc/self/ns/{kind}")


def test_nothing_can_be_mounted(boxes):
    script = """
    exec 2>&1
    mount -t tmpfs x /mnt && echo hole: mounted
    mount -o remount,rw /proc/sys && echo hole: remounted
    mount --bind / /mnt && echo hole: bound
    umount /proc/keys && echo hole: unmasked
    mount -t proc proc /mnt && echo hole: proc
    unshare -U true && echo hole: a user namespace
    unshare -m true && echo hole: a mount namespace
    chroot / /bin/true && echo hole: chroot
    nsenter -t 1 -m true && echo hole: entered
    echo done
    """
    lines = boxes.said(script)
    assert lines[-1] == "done"
    assert not [line for line in lines if line.startswith("hole")]


def test_no_device_can_be_made_or_used_but_the_harmless_ones(boxes):
    script = """
    mknod /tmp/disk b 8 0 && echo made
    mknod /tmp/mem c 1 1 && echo made
    mknod /dev/kmsg c 1 11 && echo made
    cat /dev/mem /dev/kmsg /dev/sda /dev/vda /dev/loop0 /dev/fuse /dev/kvm 2>/dev/null && echo read
    ls -1 /dev
    """
    lines = boxes.said(script)
    assert "made" not in lines and "read" not in lines
    names = {line for line in lines if ":" not in line}
    assert names <= {
        "console", "core", "fd", "full", "init", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
        "stdin", "stdout", "tty", "urandom", "zero",
    }  # fmt: skip
    assert {"null", "zero", "random", "urandom", "full"} <= names


def test_a_device_in_an_image_is_none(boxes):
    layer = images.Layer().add("disk", b"4", devmajor=8, devminor=0, mode=0o666)
    layer.add("nought", b"3", devmajor=1, devminor=5, mode=0o666).add("pipe", b"6", mode=0o666)
    name = unique("devices")
    boxes.node.load(name, images.layout_tar(images.box(layer)))
    script = (
        "for f in disk nought pipe; do [ -b /$f ] || [ -c /$f ] && echo $f; done; head -c 1 /disk 2>/dev/null"
    )
    assert boxes.said(script + "; echo done", image=name) == ["done"]


def test_the_kernel_shows_nothing_of_itself_and_takes_no_settings(boxes):
    script = """
    [ -z "$(ls /sys)" ] || echo sys
    for f in kcore keys timer_list kmsg; do [ -z "$(head -c 1 /proc/$f 2>/dev/null)" ] || echo $f; done
    [ -z "$(ls /proc/acpi /proc/scsi 2>/dev/null | grep -v : )" ] || echo folders
    for f in sys/kernel/core_pattern sys/vm/drop_caches sys/kernel/hostname sysrq-trigger \
        irq/default_smp_affinity; do
        echo 1 2>/dev/null > /proc/$f && echo wrote $f
    done
    ls /sys/fs/cgroup 2>/dev/null && echo cgroups
    dmesg >/dev/null 2>&1 && echo dmesg
    echo done
    """
    assert boxes.said(script) == ["done"]


def test_a_setuid_program_gives_nobody_anything(boxes):
    layer = images.Layer().program("bin/become", Path(images.tool("busybox")).read_bytes(), mode=0o4755)
    name = unique("setuid")
    boxes.node.load(name, images.layout_tar(images.box(layer, User="alice")))
    lines = boxes.said(
        "ln -s /bin/become /tmp/id; /tmp/id -u; chmod u+s /bin/become 2>/dev/null; /tmp/id -u", image=name
    )
    assert lines == ["1000", "1000"]


def test_processes_of_the_host_and_of_other_containers_are_not_seen(boxes):
    marker = unique("marker")
    other = boxes.begin(f"trap 'exit 0' TERM; echo ready; : {marker}; sleep 600 & wait", "ready")
    lines = boxes.said("ps -o pid,args; cat /proc/*/cmdline | tr '\\0' ' '")
    assert not any(marker in line for line in lines)
    assert 2 <= sum(line.strip()[:1].isdigit() for line in lines) <= 6
    boxes.end(other)


def test_nothing_tells_where_files_are_on_the_host(boxes):
    lines = boxes.said("cat /proc/self/mountinfo /proc/self/mounts /proc/self/cgroup /proc/1/environ; env")
    data = str(boxes.node.data)
    assert not any(data in line or "wasmbatch-" in line.replace("wasmbatch-containers", "") for line in lines)


def test_no_descriptor_of_the_runtime_is_left_open(boxes):
    # 3 is the listing's own.
    [line] = boxes.said("ls /proc/self/fd | tr '\\n' ' '")
    assert line.split() == ["0", "1", "2", "3"]


def test_what_one_container_wrote_is_not_there_for_the_next(boxes):
    marker = unique("marker")
    places = "/left /tmp/left /var/tmp/left /dev/shm/left /home/alice/left"
    boxes.shell(f"for f in {places}; do echo {marker} > $f; done")
    assert boxes.said(f"cat {places} 2>/dev/null; echo done") == ["done"]


def test_a_disk_is_full_at_its_bound(boxes):
    # Without ephemeralStorage it has 1 GiB.
    script = """
    fallocate -l 900m /tmp/large && echo large
    dd if=/dev/zero of=/tmp/larger bs=1M count=300 2>&1 | grep -o 'No space left on device'
    rm /tmp/large /tmp/larger
    fallocate -l 200m /after && echo after
    fallocate -l 2g /tmp/sparse 2>&1 | grep -o 'No space left on device'
    """
    lines = boxes.said(script + "echo done")
    assert lines == ["large", "No space left on device", "after", "No space left on device", "done"]


def test_the_next_container_finds_an_empty_disk(boxes):
    boxes.shell("fallocate -l 800m /tmp/large")
    assert boxes.said("fallocate -l 800m /tmp/large && echo again") == ["again"]


def test_a_disk_has_only_so_many_files(boxes):
    script = """
    mkdir /tmp/many; cd /tmp/many
    seq 1 70000 | xargs touch 2>&1 | grep -o -m 1 'No space left on device'
    ls | wc -l
    """
    lines = boxes.said(script, seconds=60)
    assert lines[0] == "No space left on device"
    assert 60_000 <= int(lines[1]) < 65_536


def test_a_read_only_root_gives_no_way_to_the_disk(boxes):
    script = "for f in / /etc /tmp /var/tmp /home/alice /sys /bin; do touch $f/x 2>/dev/null && echo $f; done"
    assert boxes.said(script + "; echo done", container={"readonlyRootFilesystem": True}) == ["done"]


def test_memory_that_is_nobodys_is_bounded_too(boxes):
    # Files in /dev take memory: what bounds the container bounds them.
    script = "dd if=/dev/zero of=/dev/x bs=1M count=100 2>&1 | grep -o 'No space left on device'; exit 3"
    job = boxes.shell(script, container={"memory": "128"}, wanted="FAILED")
    assert boxes.lines(job) == ["No space left on device"]


def test_signals_reach_nobody_outside(boxes):
    other = boxes.begin("trap 'exit 0' TERM; echo ready; sleep 600 & wait", "ready")
    boxes.shell("trap '' TERM HUP; kill -TERM -1; kill -HUP -1; exit 0")
    assert boxes.job(other["jobId"])["status"] == "RUNNING"
    assert boxes.node.process.poll() is None
    boxes.end(other)
