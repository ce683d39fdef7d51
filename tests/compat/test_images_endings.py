"""How containers end: exit codes, signals, memory, time, terminate, and a log that never ends."""

import re
import time

import pytest

import images
from daemon import until
from jobs import ContainerLab, unique

EXITED = "Essential container in task exited"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
TIMED_OUT = "Job attempt duration exceeded timeout"
INIT = {"linuxParameters": {"initProcessEnabled": True}}
# The first process has no signal handled that it doesn't ask for, and a shell answers one only while it waits
# for what it began in the background.
WAITING = "echo ready; sleep 600 & wait"
ANSWERING = "trap 'exit 143' TERM; " + WAITING


@pytest.fixture(scope="module", autouse=True)
def stubborn(_shared_container_node):
    """The id of a job that ignores what asks it to end. It begins before all tests: it takes long."""
    boxes = ContainerLab(_shared_container_node)
    script = "trap '' TERM; while :; do sleep 1; done"
    return boxes.submit(boxes.define_shell(script), timeout={"attemptDurationSeconds": 1})


@pytest.mark.parametrize("code", [1, 7, 125, 126, 127, 128, 137, 200, 255])
def test_a_failing_container_keeps_its_exit_code(boxes, code):
    job = boxes.shell(f"exit {code}", wanted="FAILED")
    assert job["statusReason"] == EXITED
    assert job["container"]["exitCode"] == code
    assert "reason" not in job["container"]
    [attempt] = job["attempts"]
    assert attempt["container"]["exitCode"] == code


@pytest.mark.parametrize(("signal", "code"), [("SEGV", 139), ("ABRT", 134), ("KILL", 137), ("TERM", 143)])
def test_a_program_that_a_signal_ends_has_128_and_its_number(boxes, signal, code):
    # The first process is not ended by its own signals: the one behind an init is.
    job = boxes.shell(f"kill -{signal} $$", container=INIT, wanted="FAILED")
    assert job["container"]["exitCode"] == code
    assert job["statusReason"] == EXITED


def test_processes_that_are_left_behind_end_with_the_first(boxes):
    job = boxes.shell("setsid sleep 600 & setsid sh -c 'while :; do sleep 1; done' & echo left; exit 0")
    assert boxes.lines(job) == ["left"]
    assert job["stoppedAt"] - job["startedAt"] < 5000


def test_a_failing_container_is_tried_again_as_often_as_it_may_be(boxes):
    script = '[ "$AWS_BATCH_JOB_ATTEMPT" = 3 ] || exit 5'
    job_id = boxes.submit(boxes.define_shell(script), retryStrategy={"attempts": 3})
    job = boxes.wait(job_id, "SUCCEEDED")
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [5, 5, 0]


def test_each_attempt_begins_with_the_image_as_it_is(boxes):
    script = "ls /left 2>/dev/null; touch /left; [ $AWS_BATCH_JOB_ATTEMPT = 2 ]"
    job_id = boxes.submit(boxes.define_shell(script), retryStrategy={"attempts": 2})
    job = boxes.wait(job_id, "SUCCEEDED")
    for attempt in job["attempts"]:
        assert boxes.events(attempt["container"]["logStreamName"]) == []


def test_a_container_over_its_memory_is_killed_and_says_so(boxes):
    job = boxes.shell("echo begun; exec tail /dev/zero", container={"memory": "32"}, wanted="FAILED")
    assert job["statusReason"] == EXITED
    assert job["container"]["exitCode"] == 137
    assert job["container"]["reason"] == OUT_OF_MEMORY
    assert boxes.lines(job) == ["begun"]


def test_files_in_memory_count_as_memory(boxes):
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; exit 9"
    job = boxes.shell(script, container={"memory": "32"}, wanted="FAILED")
    assert job["container"]["reason"] == OUT_OF_MEMORY


def test_a_child_out_of_memory_does_not_fail_a_program_that_copes(boxes):
    job = boxes.shell(
        "exec 2>&1; tail /dev/zero; echo the child ended with $?; exit 0", container={"memory": "32"}
    )
    assert boxes.lines(job)[-1] == "the child ended with 137"
    assert "reason" not in job["container"]


def test_one_container_out_of_memory_leaves_its_neighbours_alone(boxes):
    neighbour = boxes.begin(ANSWERING, "ready")
    boxes.shell("exec tail /dev/zero", container={"memory": "32"}, wanted="FAILED")
    assert boxes.job(neighbour["jobId"])["status"] == "RUNNING"
    boxes.end(neighbour)


def test_a_container_within_its_memory_succeeds(boxes):
    boxes.shell("dd if=/dev/zero of=/dev/shm/x bs=1M count=40", container={"memory": "64"})


def test_swap_is_no_way_around_the_memory(boxes):
    parameters = {"maxSwap": 0}
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; exit 9"
    container = {"memory": "32", "linuxParameters": parameters}
    assert boxes.shell(script, container=container, wanted="FAILED")["container"]["reason"] == OUT_OF_MEMORY


def test_a_fork_bomb_ends_at_the_bound_of_its_processes(new_container_node):
    node = new_container_node(flags=["--container-processes", "40"])
    boxes = ContainerLab(node)
    script = """
    i=0
    while [ $i -lt 100 ]; do sleep 600 & i=$((i+1)); done 2>/dev/null
    ps | grep -c '[s]leep 600'
    """
    job = boxes.wait(boxes.submit(boxes.define_shell(script)), "FAILED", "SUCCEEDED")
    lines = boxes.lines(job)
    assert not lines or int(lines[-1]) <= 40
    neighbour = boxes.begin(ANSWERING, "ready")
    forks = (
        "trap 'exit 143' TERM; sleep 600 & held=$!; echo bombing; b() { b | b & }; b 2>/dev/null; wait $held"
    )
    bomb = boxes.begin(forks, "bombing")
    assert boxes.said("echo well") == ["well"]
    boxes.end(bomb)
    boxes.end(neighbour)
    boxes.close()


def test_the_share_of_the_cpu_is_a_hard_bound(boxes):
    resources = [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "64"}]
    script = """
    end=$(($(date +%s) + 3))
    (while [ $(date +%s) -lt $end ]; do :; done) & while [ $(date +%s) -lt $end ]; do :; done
    """
    job = boxes.shell(script, container={"resourceRequirements": resources})
    [attempt] = boxes.usage(job["jobId"])["attempts"]
    used = attempt["containers"][0]["usage"]["cpuMicroseconds"]
    assert used < 0.25 * 1000 * (job["stoppedAt"] - job["startedAt"]) * 1.5 + 200_000


def test_a_timeout_ends_a_container_that_answers_sigterm(boxes):
    script = "trap 'echo asked; exit 3' TERM; " + WAITING
    job_id = boxes.submit(boxes.define_shell(script), timeout={"attemptDurationSeconds": 1})
    job = boxes.wait(job_id, "FAILED")
    assert job["statusReason"] == TIMED_OUT
    assert job["container"]["exitCode"] == 3
    assert boxes.lines(job) == ["ready", "asked"]
    assert 1000 <= job["stoppedAt"] - job["startedAt"] < 10_000


def test_terminate_asks_first_and_tells_how_the_container_ended(boxes):
    job = boxes.begin("trap 'echo cleaning; exit 0' TERM; " + WAITING, "ready")
    boxes.batch.terminate_job(jobId=job["jobId"], reason="not wanted any more")
    job = boxes.wait(job["jobId"], "FAILED")
    assert job["statusReason"] == "not wanted any more"
    assert job["container"]["exitCode"] == 0
    assert boxes.lines(job) == ["ready", "cleaning"]


def test_terminate_ends_a_container_by_sigterm(boxes):
    job = boxes.begin(WAITING, "ready", container=INIT)
    boxes.batch.terminate_job(jobId=job["jobId"], reason="enough")
    job = boxes.wait(job["jobId"], "FAILED")
    assert job["container"]["exitCode"] == 143
    assert job["isTerminated"] is True


def test_the_images_stop_signal_is_the_one_that_asks(boxes):
    name = unique("stops")
    boxes.node.load(name, images.layout_tar(images.box(StopSignal="SIGUSR1")))
    script = "trap 'echo usr1; exit 4' USR1; trap 'echo term; exit 5' TERM; " + WAITING
    job = boxes.begin(script, "ready", image=name)
    boxes.batch.terminate_job(jobId=job["jobId"], reason="enough")
    job = boxes.wait(job["jobId"], "FAILED")
    assert boxes.lines(job) == ["ready", "usr1"]
    assert job["container"]["exitCode"] == 4


def test_terminate_before_the_start_leaves_nothing(boxes):
    # An init ends at once, whenever it is asked.
    definition = boxes.define_shell(WAITING, container=INIT)
    for _ in range(5):
        job_id = boxes.submit(definition)
        boxes.batch.terminate_job(jobId=job_id, reason="changed my mind")
        job = boxes.wait(job_id, "FAILED", seconds=60)
        assert job["statusReason"] == "changed my mind"


def test_a_limit_of_cpu_time_ends_a_container(boxes):
    job_id = boxes.submit(boxes.define_shell("while :; do :; done"), tags={"wasmbatch:cpu-limit": "1"})
    job = boxes.wait(job_id, "FAILED")
    assert job["container"]["exitCode"] == 137
    assert re.fullmatch("CpuTimeExceeded: more than 1 seconds of CPU time", job["container"]["reason"])


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read())
        return int(found.group(1)) << 10


def test_a_log_without_an_end_takes_neither_the_nodes_memory_nor_its_disk(new_container_node):
    node = new_container_node()
    boxes = ContainerLab(node)
    before = resident(node.process.pid)
    flood = (
        "trap 'exit 143' TERM; yes 0123456789012345678901234567890123456789012345678901234567890123 & wait"
    )
    job = boxes.begin(flood)
    stream = job["container"]["logStreamName"]
    until(lambda: boxes.events(stream, limit=10), 20, "the first lines")
    quick = [boxes.submit(boxes.define_shell("echo well")) for _ in range(5)]
    for job_id in quick:
        assert boxes.lines(boxes.wait(job_id, "SUCCEEDED")) == ["well"]
    # Both are looked at while it floods, and for as long as other containers come and go beside it.
    folder = node.data / "containers"
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        kept = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
        assert kept < 256 << 20, "what the container wrote piles up"
        assert resident(node.process.pid) - before < 200 << 20
        assert boxes.said("echo well") == ["well"]
    ended = boxes.end(job)
    assert ended["container"]["exitCode"] in (137, 143)
    boxes.close()


def test_a_log_of_one_endless_line_is_cut_into_pieces(boxes):
    lines = boxes.said("head -c 2000000 /dev/zero | tr '\\0' x; echo; echo the end")
    assert lines[-1] == "the end"
    pieces = lines[:-1]
    assert len(pieces) > 1
    assert set("".join(pieces)) == {"x"}
    assert len("".join(pieces)) == 2_000_000


def test_no_line_is_lost_of_many(boxes):
    assert boxes.said("seq 1 20000") == [str(number) for number in range(1, 20001)]


def test_a_timeout_kills_what_ignores_sigterm_once_its_grace_is_over(boxes, stubborn):
    job = boxes.wait(stubborn, "FAILED", seconds=60)
    assert job["statusReason"] == TIMED_OUT
    assert job["container"]["exitCode"] == 137
    # A second of time, and half a minute of grace.
    assert 30_000 <= job["stoppedAt"] - job["startedAt"] < 50_000
