"""Containers of a node that runs as an ordinary user: what there is of walls and bounds without root."""

import shutil
import tempfile
from pathlib import Path

import pytest

import daemon
import images
from daemon import Daemon, until
from jobs import ContainerLab, unique

# Nobody's: no account of a machine has it.
USER = 54_321
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


@pytest.fixture(scope="module")
def place():
    """A folder of that user's which it can reach."""
    images.need_root()
    folder = Path(tempfile.mkdtemp(prefix="wasmbatch-user-"))
    folder.chmod(0o755)
    for name in ("node", "node/data", "node/shared"):
        (folder / name).mkdir()
        shutil.chown(folder / name, USER, USER)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own_program(place):
    """The program under test may lie where that user can't go: a copy of it takes its place here."""
    program = place / "wasmbatch"
    shutil.copy(daemon.binary(), program)
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WASMBATCH_BIN", str(program))
        yield


@pytest.fixture(scope="module")
def user_node(place, box, own_program):
    flags = ["--container-runtime", images.tool("runc")]
    node = Daemon(place / "node", vcpus=8, memory=4096, flags=flags, before=AS_USER)
    node.start()
    node.load(ContainerLab.BOX, images.layout_tar(box))
    yield node
    assert node.stop() == 0, node.stderr()


@pytest.fixture
def lab(user_node):
    lab = ContainerLab(user_node)
    yield lab
    lab.close()


WAITING = "trap 'echo asked; exit 3' TERM; echo ready; sleep 600 & wait"


def test_an_ordinary_users_node_runs_images(lab):
    job = lab.shell("echo hello; exit 4", wanted="FAILED")
    assert lab.lines(job) == ["hello"]
    assert job["container"]["exitCode"] == 4


def test_root_of_its_container_is_the_nodes_user(lab):
    lines = lab.said("id -u; cat /proc/self/uid_map | tr -s ' '; touch /made && stat -c %u /made")
    assert lines[0] == "0"
    # One user, which is all that it has to give.
    assert lines[1].split()[::2] == ["0", "1"]
    assert lines[2] == "0"


def test_a_user_that_there_is_no_number_for_is_refused(lab):
    job = lab.shell("id", container={"user": "alice"}, wanted="FAILED")
    assert job["statusReason"] == "Task failed to start"
    assert job["container"]["reason"].startswith("CannotStartContainerError: ")


def test_the_walls_that_need_no_root_stand(lab):
    script = """
    grep -E 'NoNewPrivs|^Seccomp:' /proc/self/status | tr -s '[:space:]' ' '; echo
    ip -o link | cut -d : -f 2
    mount -t tmpfs x /mnt 2>/dev/null && echo hole: mounted
    unshare -U true 2>/dev/null && echo hole: a user namespace
    mknod /tmp/disk b 8 0 2>/dev/null && echo hole: a device
    [ -z "$(ls /sys)" ] || echo hole: sys
    for f in kcore keys timer_list kmsg; do [ -z "$(head -c 1 /proc/$f 2>/dev/null)" ] || echo hole: $f; done
    """
    lines = [line.strip() for line in lab.said(script + ":")]
    assert lines == ["NoNewPrivs: 1 Seccomp: 2", "lo"]


def test_a_read_only_root_is_one(lab):
    script = "touch /x 2>/dev/null || echo refused"
    assert lab.said(script, container={"readonlyRootFilesystem": True}) == ["refused"]


def test_a_folder_of_the_host_is_used_as_the_nodes_user(lab):
    folder = lab.node.shared / unique("folder")
    folder.mkdir()
    shutil.chown(folder, USER, USER)
    container = {
        "volumes": [{"name": "v", "host": {"sourcePath": str(folder)}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/data"}],
    }
    lab.shell("echo out > /data/out", container=container)
    assert (folder / "out").read_text() == "out\n"
    assert (folder / "out").stat().st_uid == USER


def test_a_container_is_asked_to_stop(lab):
    job = lab.end(lab.begin(WAITING, "ready"))
    assert job["container"]["exitCode"] == 3
    assert lab.lines(job) == ["ready", "asked"]


def test_what_a_container_left_running_ends_with_it(lab):
    marker = unique("left")
    lab.shell(f"setsid sh -c ': {marker}; sleep 600' & echo left")

    def left():
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += [path] if marker.encode() in path.read_bytes() else []
            except OSError:
                continue
        return found

    until(lambda: not left(), 20, "the end of what was left running")


def test_a_container_outlives_its_node(lab):
    script = "i=0; while [ ! -e /data/end ]; do i=$((i+1)); echo $i; usleep 2000; done; exit 7"
    container = {
        "volumes": [{"name": "v", "host": {"sourcePath": str(lab.node.shared)}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/data"}],
    }
    job = lab.begin(script, "3", container=container)
    lab.node.kill()
    lab.reopen()
    (lab.node.shared / "end").touch()
    ended = lab.wait(job["jobId"], "FAILED")
    assert ended["container"]["exitCode"] == 7
    assert len(ended["attempts"]) == 1
    lines = lab.lines(ended)
    assert lines == [str(number) for number in range(1, len(lines) + 1)]


def test_what_this_node_can_not_bound_is_said(lab):
    text = lab.node.run("nodes").stdout
    assert "what containers write to disk has no bound" in text


def test_images_that_mean_harm_reach_nothing_here_either(lab, place):
    layer = images.Layer().symlink("way", str(place)).file("way/escaped", "x").file(f"{place}/escaped", "x")
    lab.node.load("harm", images.layout_tar(images.box(layer)))
    assert lab.said("echo done", image="harm") == ["done"]
    assert not (place / "escaped").exists()


def test_a_node_that_is_to_bound_everything_refuses_images(place, box, own_program):
    folder = place / "strict"
    for name in ("", "data", "shared"):
        (folder / name).mkdir()
        shutil.chown(folder / name, USER, USER)
    flags = ["--container-runtime", images.tool("runc"), "--require-limits"]
    node = Daemon(folder, flags=flags, before=AS_USER).start()
    try:
        node.load(ContainerLab.BOX, images.layout_tar(box))
        job = ContainerLab(node).shell("true", wanted="FAILED")
        assert job["container"]["reason"].startswith("ResourceInitializationError: ")
    finally:
        node.stop()
