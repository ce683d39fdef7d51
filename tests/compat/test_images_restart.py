"""Containers outlive the node: what a kill -9 or a SIGTERM of the daemon, of a shim, or of both leads to."""

import contextlib
import glob
import os
import random
import signal
from pathlib import Path

import pytest

from daemon import until
from jobs import ContainerLab

EXITED = "Essential container in task exited"
LOST = "Host EC2 (instance "
# Counts aloud until it is told to end by a file on a shared folder.
COUNTING = "i=0; while [ ! -e /shared/end ]; do i=$((i+1)); echo $i; usleep 2000; done; echo last; exit 7"


@pytest.fixture
def lab(new_container_node):
    lab = ContainerLab(new_container_node())
    yield lab
    lab.close()


def with_shared(lab):
    return {
        "volumes": [{"name": "shared", "host": {"sourcePath": str(lab.node.shared)}}],
        "mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}],
    }


def say_end(lab):
    (lab.node.shared / "end").touch()


def begin_counting(lab, **submit):
    return lab.begin(COUNTING, "3", submit=submit, container=with_shared(lab))


def check_counted(lab, job):
    """No line is lost, and none is there twice."""
    lines = lab.lines(job)
    assert lines[-1] == "last"
    assert lines[:-1] == [str(number) for number in range(1, len(lines))]


def shims(node):
    """Process ids of the shims of this node's containers."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = Path(path).read_bytes().split(b"\0")
        except OSError:
            continue
        if b"shim" in words and any(str(node.data).encode() in word for word in words):
            found.append(int(path.split("/")[2]))
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_container_outlives_kill_9_of_the_node_and_is_the_same_attempt(lab):
    job = begin_counting(lab)
    lab.node.kill()
    lab.reopen()
    assert lab.job(job["jobId"])["status"] == "RUNNING"
    say_end(lab)
    ended = lab.wait(job["jobId"], "FAILED")
    assert ended["container"]["exitCode"] == 7
    assert ended["statusReason"] == EXITED
    assert len(ended["attempts"]) == 1
    assert ended["startedAt"] == job["startedAt"]
    check_counted(lab, ended)


def test_a_container_outlives_sigterm_of_the_node(lab):
    job = begin_counting(lab)
    assert lab.node.stop() == 0
    assert shims(lab.node)
    lab.reopen()
    say_end(lab)
    ended = lab.wait(job["jobId"], "FAILED")
    assert ended["container"]["exitCode"] == 7
    assert len(ended["attempts"]) == 1
    check_counted(lab, ended)


def test_a_container_that_ends_while_no_node_is_there_has_ended_as_it_did(lab):
    job = begin_counting(lab)
    lab.node.kill()
    say_end(lab)
    processes = shims(lab.node)
    until(lambda: not any(map(alive, processes)), 30, "the end of the container")
    lab.reopen()
    ended = lab.wait(job["jobId"], "FAILED")
    assert ended["container"]["exitCode"] == 7
    assert len(ended["attempts"]) == 1
    check_counted(lab, ended)


def test_again_and_again_loses_and_doubles_no_line(lab):
    job = begin_counting(lab)
    stream = job["container"]["logStreamName"]
    for _ in range(4):
        seen = len(lab.events(stream))
        lab.node.kill()
        lab.reopen()
        # Each life of the node gets some of it.
        until(lambda seen=seen: len(lab.events(stream)) > seen, 20, "more lines")
    say_end(lab)
    ended = lab.wait(job["jobId"], "FAILED")
    assert len(ended["attempts"]) == 1
    check_counted(lab, ended)


def test_ten_containers_outlive_the_node_together(lab):
    array = lab.submit(lab.define_shell(COUNTING, container=with_shared(lab)), arrayProperties={"size": 10})
    children = [f"{array}:{index}" for index in range(10)]
    for child in children:
        lab.wait(child, "RUNNING")
    lab.node.kill()
    lab.reopen()
    say_end(lab)
    lab.wait(array, "FAILED", seconds=60)
    for child in lab.described(children).values():
        assert child["container"]["exitCode"] == 7
        assert len(child["attempts"]) == 1
        check_counted(lab, child)


def test_a_timeout_goes_on_over_a_restart(lab):
    script = "trap 'echo asked; exit 3' TERM; echo ready; sleep 600 & wait"
    job = lab.begin(script, "ready", submit={"timeout": {"attemptDurationSeconds": 3}})
    lab.node.kill()
    lab.reopen()
    ended = lab.wait(job["jobId"], "FAILED")
    assert ended["statusReason"] == "Job attempt duration exceeded timeout"
    assert ended["container"]["exitCode"] == 3
    assert 3000 <= ended["stoppedAt"] - ended["startedAt"] < 15_000


def test_a_container_that_was_taken_over_can_be_terminated(lab):
    job = lab.begin("trap 'echo asked; exit 3' TERM; echo ready; sleep 600 & wait", "ready")
    lab.node.kill()
    lab.reopen()
    lab.batch.terminate_job(jobId=job["jobId"], reason="enough")
    ended = lab.wait(job["jobId"], "FAILED")
    assert ended["statusReason"] == "enough"
    assert ended["container"]["exitCode"] == 3
    assert lab.lines(ended) == ["ready", "asked"]


def test_a_taken_over_container_holds_its_room(new_container_node):
    lab = ContainerLab(new_container_node(vcpus=1))
    job = begin_counting(lab)
    waiting = lab.submit(lab.define_shell("echo next"))
    lab.node.kill()
    lab.reopen()
    assert lab.job(job["jobId"])["status"] == "RUNNING"
    assert lab.job(waiting)["status"] in ("SUBMITTED", "PENDING", "RUNNABLE")
    say_end(lab)
    lab.wait(job["jobId"], "FAILED")
    lab.wait(waiting, "SUCCEEDED")
    lab.close()


def test_kill_9_while_containers_begin_and_end_loses_no_job(lab):
    definition = lab.define_shell("echo $AWS_BATCH_JOB_ID")
    accepted = []
    for _ in range(3):
        accepted += [lab.submit(definition) for _ in range(8)]
        lab.node.kill()
        lab.reopen()
    for job_id in accepted:
        job = lab.wait(job_id, "SUCCEEDED", seconds=60)
        assert lab.lines(job) == [job_id]


def test_a_killed_shim_fails_its_attempt_and_takes_the_container_along(lab):
    job = begin_counting(lab)
    neighbour = lab.begin("trap 'exit 0' TERM; echo ready; sleep 600 & wait", "ready")
    [shim] = [
        pid for pid in shims(lab.node) if job["jobId"].encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(shim, signal.SIGKILL)
    ended = lab.wait(job["jobId"], "FAILED")
    assert ended["container"]["exitCode"] == 137
    assert ended["container"]["reason"].startswith("ContainerRuntimeError: ")
    assert lab.job(neighbour["jobId"])["status"] == "RUNNING"
    lab.end(neighbour)


def test_a_killed_shim_is_an_attempt_that_may_be_tried_again(lab):
    job = begin_counting(lab, retryStrategy={"attempts": 2})
    os.kill(shims(lab.node)[0], signal.SIGKILL)
    until(lambda: len(lab.job(job["jobId"])["attempts"]) == 1, 30, "the end of the first attempt")
    say_end(lab)
    ended = lab.wait(job["jobId"], "FAILED")
    assert [attempt["container"]["exitCode"] for attempt in ended["attempts"]] == [137, 7]


def test_shim_and_node_killed_together_are_an_interruption(lab):
    job = begin_counting(lab)
    processes = shims(lab.node)
    lab.node.kill()
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(alive, processes)), 10, "the end of the shims")
    lab.reopen()
    say_end(lab)
    ended = lab.wait(job["jobId"], "FAILED")
    first, second = ended["attempts"]
    assert first["statusReason"].startswith(LOST)
    assert second["container"]["exitCode"] == 7


def test_loop_devices_are_let_go_when_no_container_needs_them(lab):
    lab.shell("echo x > /file")
    folder = str(lab.node.data)

    def held():
        paths = glob.glob("/sys/block/loop*/loop/backing_file")
        return [path for path in paths if folder in Path(path).read_text()]

    until(lambda: not held(), 30, "the end of the last loop device")


def test_what_is_written_while_no_node_is_there_is_kept_and_bounded(lab):
    # 40 MB: more than is kept for a node that isn't there, so the container waits for the next one.
    count = 400_000
    line = "x" * 90
    flood = f"awk 'BEGIN {{ for (i = 1; i <= {count}; i++) print i, \"{line}\" }}'"
    script = f"echo ready; while [ ! -e /shared/end ]; do usleep 2000; done; {flood}; exit 7"
    job = lab.begin(script, "ready", container=with_shared(lab))
    lab.node.kill()
    say_end(lab)
    folder = lab.node.data / "containers"

    def kept():
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    seen = [0]

    def still():
        seen.append(kept())
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    until(still, 60, "the container's wait for a node")
    assert 1 << 20 < kept() < 64 << 20
    assert shims(lab.node), "it waits"
    lab.reopen()
    ended = lab.wait(job["jobId"], "FAILED", seconds=120)
    assert ended["container"]["exitCode"] == 7
    assert len(ended["attempts"]) == 1
    lines = lab.lines(ended)
    assert lines.pop(0) == "ready"
    assert len(lines) == count
    assert all(text.startswith(f"{number} x") for number, text in enumerate(lines, start=1))


def test_nodes_and_shims_that_die_at_any_moment_lose_no_job_and_no_line(lab):
    chance = random.Random(20160810)
    script = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo $i; usleep 10000; done"
    definition = lab.define_shell(script)
    jobs = []
    for _ in range(8):
        jobs += [lab.submit(definition, retryStrategy={"attempts": 8}) for _ in range(5)]
        least = chance.randint(1, 5)
        until(lambda least=least: len(shims(lab.node)) >= least, 20, "some containers")
        victims = shims(lab.node)
        what = chance.choice(["node", "shims", "both", "SIGTERM"])
        if what in ("shims", "both"):
            for pid in chance.sample(victims, min(2, len(victims))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if what in ("node", "both"):
            lab.node.kill()
            lab.reopen()
        if what == "SIGTERM":
            assert lab.node.stop() == 0
            lab.reopen()
    for job_id in jobs:
        job = lab.wait(job_id, "SUCCEEDED", seconds=90)
        assert lab.lines(job) == [str(number) for number in range(1, 31)]


def test_the_node_keeps_nothing_of_containers_that_have_ended(lab):
    def held():
        own = f"/proc/{lab.node.process.pid}"
        return len(os.listdir(f"{own}/fd")), len(os.listdir(f"{own}/task"))

    definition = lab.define_shell("echo x")

    def run_many():
        array = lab.submit(definition, arrayProperties={"size": 40})
        lab.wait(array, "SUCCEEDED", seconds=60)
        return held()

    run_many()
    descriptors, threads = run_many()
    more_descriptors, more_threads = run_many()
    assert more_descriptors <= descriptors + 8
    assert more_threads <= threads + 4
    until(lambda: not shims(lab.node), 20, "the end of the last shim")
