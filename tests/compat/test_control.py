"""CancelJob and TerminateJob."""

import pytest

from daemon import until
from jobs import refused

UNKNOWN = "5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f"


def test_a_runnable_job_is_cancelled(lab):
    lab.occupy()
    job_id = lab.submit(lab.define("hello"))
    assert lab.job(job_id)["status"] == "RUNNABLE"
    lab.batch.cancel_job(jobId=job_id, reason="not needed any more")
    job = lab.wait(job_id, "FAILED")
    assert job["statusReason"] == "not needed any more"
    assert job["isCancelled"] is True
    assert job["attempts"] == []
    assert "logStreamName" not in job["container"]
    assert "exitCode" not in job["container"]
    assert job["stoppedAt"] >= job["createdAt"]


def test_a_pending_job_is_cancelled_at_once(lab):
    occupier = lab.occupy()
    job_id = lab.submit(lab.define("hello"), dependsOn=[{"jobId": occupier}])
    assert lab.job(job_id)["status"] == "PENDING"
    lab.batch.cancel_job(jobId=job_id, reason="changed my mind")
    assert lab.wait(job_id, "FAILED")["statusReason"] == "changed my mind"
    assert lab.job(occupier)["status"] == "RUNNING"


def test_cancelling_a_running_job_answers_well_and_changes_nothing(lab):
    job_id = lab.submit(lab.define("sleep", "1"))
    lab.wait(job_id, "RUNNING")
    lab.batch.cancel_job(jobId=job_id, reason="too late")
    job = lab.wait(job_id, "SUCCEEDED")
    assert job["statusReason"] != "too late"


@pytest.mark.parametrize("guest", [("spin",), ("sleep", "600")], ids=["computing", "sleeping"])
def test_a_running_job_is_terminated(lab, guest):
    job_id = lab.submit(lab.define(*guest), retryStrategy={"attempts": 3})
    job = lab.wait(job_id, "RUNNING")
    until(lambda: lab.events(job["container"]["logStreamName"]), 10, "its first line")
    lab.batch.terminate_job(jobId=job_id, reason="enough: 100% seen")
    job = lab.wait(job_id, "FAILED", seconds=10)
    assert job["statusReason"] == "enough: 100% seen"
    assert job["isTerminated"] is True
    assert job["container"]["exitCode"] == 137
    [attempt] = job["attempts"]
    assert attempt["container"]["exitCode"] == 137
    assert lab.lines(job), "what it wrote before stays readable"


def test_a_waiting_job_is_terminated_too(lab):
    lab.occupy()
    job_id = lab.submit(lab.define("hello"))
    lab.batch.terminate_job(jobId=job_id, reason="never mind")
    job = lab.wait(job_id, "FAILED")
    assert job["statusReason"] == "never mind"
    assert job["attempts"] == []


def test_the_vcpus_of_a_terminated_job_are_free_again(lab):
    lab.free(lab.occupy())
    lab.wait(lab.submit(lab.define("hello", container={"vcpus": "2"})), "SUCCEEDED")


@pytest.mark.parametrize("call", ["cancel_job", "terminate_job"])
def test_an_ended_job_stays_as_it_is(lab, call):
    before = lab.run("hello")
    getattr(lab.batch, call)(jobId=before["jobId"], reason="too late")
    assert lab.job(before["jobId"]) == before


@pytest.mark.parametrize("call", ["cancel_job", "terminate_job"])
@pytest.mark.parametrize("job_id", [UNKNOWN, "no-such-job"])
def test_an_unknown_id_answers_200(batch, call, job_id):
    answer = getattr(batch, call)(jobId=job_id, reason="who knows")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("call", ["cancel_job", "terminate_job"])
@pytest.mark.parametrize(
    ("job_id", "reason", "word"),
    [("", "a reason", "jobId"), (UNKNOWN, "", "reason"), (UNKNOWN, "x" * 1025, "reason")],
    ids=["no id", "no reason", "long reason"],
)
def test_empty_and_oversized_members_are_refused_by_name(batch, call, job_id, reason, word):
    assert word in refused(getattr(batch, call), jobId=job_id, reason=reason)


def test_a_reason_of_1024_characters_is_kept_whole(lab):
    lab.occupy()
    job_id = lab.submit(lab.define("hello"))
    lab.batch.cancel_job(jobId=job_id, reason="ä" * 1024)
    assert lab.wait(job_id, "FAILED")["statusReason"] == "ä" * 1024


def test_a_job_is_named_by_its_arn_too(lab):
    lab.occupy()
    job_id = lab.submit(lab.define("hello"))
    arn = lab.job(job_id)["jobArn"]
    lab.batch.cancel_job(jobId=arn, reason="by arn")
    assert lab.wait(job_id, "FAILED")["statusReason"] == "by arn"
