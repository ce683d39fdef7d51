"""kill -9 and SIGTERM: what was accepted is never lost."""

import os
import signal
import time

from daemon import run_command, until
from jobs import ENDED, Lab

LOST = "Host EC2 (instance "


def reopened(node):
    """The same data folder under a new process."""
    node.start()
    return Lab(node)


def gone(pids):
    return not any(os.path.exists(f"/proc/{pid}") and running(pid) for pid in pids)


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_every_accepted_job_survives_kill_9_and_ends(new_node):
    node = new_node().push_guests("sleep", "hello")
    lab = Lab(node)
    slow, quick = lab.define("sleep", "2"), lab.define("hello")
    done = lab.wait(lab.submit(quick), "SUCCEEDED")
    running_jobs = [lab.submit(slow) for _ in range(2)]
    for job_id in running_jobs:
        lab.wait(job_id, "RUNNING")
    queued = [lab.submit(quick, f"queued-{number}") for number in range(20)]
    pending = lab.submit(quick, "pending", dependsOn=[{"jobId": running_jobs[0]}])
    workers = node.children()
    node.kill()
    until(lambda: gone(workers), 10, "the end of the killed daemon's workers")

    lab = reopened(node)
    assert lab.job(done["jobId"]) == done, "what had ended is as it was"
    assert lab.lines(done) == ["hello from wasmbatch"]
    for job_id in running_jobs + queued + [pending]:
        assert lab.job(job_id)["jobId"] == job_id
    for job_id in running_jobs + queued + [pending]:
        lab.wait(job_id, "SUCCEEDED", seconds=60)
    for job_id in running_jobs:
        first, second = lab.job(job_id)["attempts"]
        assert first["statusReason"].startswith(LOST)
        assert second["container"]["exitCode"] == 0
    for job_id in queued:
        assert len(lab.job(job_id)["attempts"]) == 1


def test_a_lost_attempt_is_no_failure_of_the_job_and_its_number_rises(new_node):
    node = new_node().push_guests("sleep", "args-env")
    lab = Lab(node)
    job_id = lab.submit(lab.define("sleep", "2"), retryStrategy={"attempts": 1})
    lab.wait(job_id, "RUNNING")
    node.kill()
    lab = reopened(node)
    job = lab.wait(job_id, "SUCCEEDED")
    assert len(job["attempts"]) == 2
    environment = {pair["name"]: pair["value"] for pair in job["container"]["environment"]}
    assert environment.get("AWS_BATCH_JOB_ATTEMPT", "2") == "2"


def test_the_jobs_own_rules_are_asked_about_a_lost_host(new_node):
    node = new_node().push_guests("sleep")
    lab = Lab(node)
    rules = [{"onStatusReason": "Host EC2*", "action": "EXIT"}]
    job_id = lab.submit(lab.define("sleep", "600"), retryStrategy={"attempts": 5, "evaluateOnExit": rules})
    lab.wait(job_id, "RUNNING")
    node.kill()
    job = reopened(node).wait(job_id, "FAILED")
    assert job["statusReason"].startswith(LOST)
    assert len(job["attempts"]) == 1


def test_output_written_before_kill_9_is_still_there(new_node):
    node = new_node().push_guests("spin")
    lab = Lab(node)
    job = lab.wait(lab.submit(lab.define("spin")), "RUNNING")
    stream = job["container"]["logStreamName"]
    until(lambda: lab.events(stream), 10, "the first line")
    node.kill()
    lab = reopened(node)
    assert [event["message"] for event in lab.events(stream)] == ["spinning"]
    lab.batch.terminate_job(jobId=job["jobId"], reason="enough")
    lab.wait(job["jobId"], "FAILED")


def test_kill_9_again_and_again_loses_no_accepted_job(new_node):
    node = new_node().push_guests("hello")
    lab = Lab(node)
    definition = lab.define("hello")
    accepted = []
    for round_number in range(4):
        for number in range(15):
            accepted.append(lab.submit(definition, f"round-{round_number}-{number}"))
        node.kill()
        lab = reopened(node)
    for job_id in accepted:
        lab.wait(job_id, "SUCCEEDED", seconds=60)


def test_resources_survive_a_restart(new_node):
    node = new_node().push_guests("hello")
    lab = Lab(node)
    environment = lab.compute(tags={"k": "v"})
    queue = lab.queue(environment, priority=9)
    definition = lab.define("hello", "again", parameters={"a": "b"})
    before = describe_all(lab)
    node.kill()
    lab = reopened(node)
    assert describe_all(lab) == before
    job = lab.wait(lab.submit(definition, queue=queue), "SUCCEEDED")
    assert lab.lines(job) == ["hello from wasmbatch, again"], "the uploaded module is there too"


def describe_all(lab):
    batch = lab.batch
    return (
        batch.describe_compute_environments()["computeEnvironments"],
        batch.describe_job_queues()["jobQueues"],
        batch.describe_job_definitions()["jobDefinitions"],
    )


def test_sigterm_lets_a_short_job_end_and_leaves_with_zero(new_node):
    node = new_node().push_guests("sleep")
    lab = Lab(node)
    job_id = lab.submit(lab.define("sleep", "1"))
    lab.wait(job_id, "RUNNING")
    assert node.stop() == 0
    job = reopened(node).job(job_id)
    assert job["status"] == "SUCCEEDED"
    assert len(job["attempts"]) == 1


def test_sigterm_leaves_queued_jobs_to_the_next_start(new_node):
    node = new_node(vcpus=1).push_guests("sleep", "hello")
    lab = Lab(node)
    running_job = lab.submit(lab.define("sleep", "1"))
    lab.wait(running_job, "RUNNING")
    queued = [lab.submit(lab.define("sleep", "0.01")) for _ in range(5)]
    assert node.stop() == 0
    lab = reopened(node)
    for job_id in [running_job, *queued]:
        lab.wait(job_id, "SUCCEEDED")


def test_the_workers_are_gone_when_the_daemon_has_ended(new_node):
    node = new_node().push_guests("spin", "hello")
    lab = Lab(node)
    lab.wait(lab.submit(lab.define("hello")), "SUCCEEDED")
    workers = node.children()
    assert workers, "warm workers are kept"
    assert node.stop() == 0
    until(lambda: gone(workers), 10, "the end of the workers")


def test_a_worker_that_is_killed_fails_its_attempt_and_nothing_else(new_node):
    node = new_node().push_guests("sleep", "hello")
    lab = Lab(node)
    definition = lab.define("sleep", "600")
    victims = [lab.submit(definition) for _ in range(2)]
    for job_id in victims:
        lab.wait(job_id, "RUNNING")
    for worker in node.children():
        os.kill(worker, signal.SIGKILL)
    for job_id in victims:
        job = lab.wait(job_id, "FAILED")
        assert job["status"] in ENDED
        assert len(job["attempts"]) == 1
    lab.wait(lab.submit(lab.define("hello")), "SUCCEEDED")


def test_a_second_daemon_on_the_same_data_folder_is_refused(new_node):
    node = new_node()
    done = run_command("serve", "--listen", "127.0.0.1:0", "--data-dir", node.data, check=False, timeout=30)
    assert done.returncode != 0
    assert done.stdout == ""
    assert str(node.data) in done.stderr or "use" in done.stderr
    assert node.batch().describe_job_queues()["jobQueues"]


def test_a_restart_after_kill_9_is_quick(new_node):
    node = new_node().push_guests("hello")
    lab = Lab(node)
    definition = lab.define("hello")
    for job_id in [lab.submit(definition) for _ in range(50)]:
        lab.wait(job_id, "SUCCEEDED", seconds=60)
    node.kill()
    started = time.monotonic()
    node.start()
    assert time.monotonic() - started < 5
