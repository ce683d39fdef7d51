"""Submitting, and what a job says of itself on its way to SUCCEEDED."""

import re
import time

import pytest
from botocore.exceptions import ClientError

from daemon import guest
from jobs import GROUP, refused, unique

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def test_a_submit_answers_id_name_and_arn(batch, lab):
    answer = batch.submit_job(jobName="a-job", jobQueue="default", jobDefinition=lab.define("hello"))
    lab.jobs.append(answer["jobId"])
    assert re.fullmatch(UUID, answer["jobId"])
    assert answer["jobName"] == "a-job"
    assert re.fullmatch(rf"arn:aws:batch:us-east-1:\d{{12}}:job/{answer['jobId']}", answer["jobArn"])
    assert answer["ResponseMetadata"]["RequestId"]


def test_a_succeeded_job_tells_all_of_itself(batch, lab):
    before = int(time.time() * 1000)
    name = unique("facts")
    definition = lab.define("args-env", "one", "two", name=name)
    [queue] = batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    job_id = lab.submit(definition, "facts")
    job = lab.wait(job_id, "SUCCEEDED")
    after = int(time.time() * 1000)

    assert (job["jobId"], job["jobName"]) == (job_id, "facts")
    assert job["jobArn"].endswith(f":job/{job_id}")
    assert job["jobQueue"] == queue["jobQueueArn"]
    assert job["jobDefinition"] == definition
    assert before <= job["createdAt"] <= job["startedAt"] <= job["stoppedAt"] <= after
    assert job["statusReason"] == "Essential container in task exited"
    assert job["dependsOn"] == []
    assert job["parameters"] == {}
    assert job["tags"] == {}
    assert "isCancelled" not in job or job["isCancelled"] is False
    assert "isTerminated" not in job or job["isTerminated"] is False

    container = job["container"]
    assert container["image"] == "args-env"
    assert container["command"] == ["one", "two"]
    assert container["exitCode"] == 0
    assert "reason" not in container
    assert {(r["type"], r["value"]) for r in container["resourceRequirements"]} == {
        ("VCPU", "1"),
        ("MEMORY", "64"),
    }
    assert (container["volumes"], container["mountPoints"], container["ulimits"]) == ([], [], [])

    [attempt] = job["attempts"]
    assert attempt["startedAt"] == job["startedAt"]
    assert attempt["stoppedAt"] == job["stoppedAt"]
    assert attempt["statusReason"] == "Essential container in task exited"
    assert attempt["container"]["exitCode"] == 0
    assert attempt["container"]["taskArn"]
    assert attempt["container"]["containerInstanceArn"]
    assert attempt["container"]["networkInterfaces"] == []
    assert attempt["container"]["logStreamName"] == container["logStreamName"]
    assert container["taskArn"] == attempt["container"]["taskArn"]
    # Some tools put the first attempt's stream name together themselves.
    assert container["logStreamName"] == f"{name}/default/{job_id}"


def test_the_job_sees_its_arguments_and_the_variables_of_batch(lab):
    job_id = lab.submit(lab.define("args-env", "a", "b c", "ä"))
    job = lab.wait(job_id, "SUCCEEDED")
    assert lab.arguments(job) == ["args-env", "a", "b c", "ä"]
    assert lab.environment(job) == {
        "AWS_BATCH_CE_NAME": "default",
        "AWS_BATCH_JQ_NAME": "default",
        "AWS_BATCH_JOB_ID": job_id,
        "AWS_BATCH_JOB_ATTEMPT": "1",
    }, "these, and nothing of the daemon's own environment"


def test_the_variables_of_batch_are_described_too(lab):
    job = lab.run("hello")
    assert {"name": "AWS_BATCH_JOB_ID", "value": job["jobId"]} in job["container"]["environment"]


def test_an_image_may_name_its_tag_or_its_digest(lab, node):
    module = node.push("localhost/tagged:v2", guest("hello"))
    assert lab.lines(lab.run("localhost/tagged:v2")) == ["hello from wasmbatch"]
    assert lab.lines(lab.run(module["digest"])) == ["hello from wasmbatch"]
    failed = lab.run("localhost/tagged", wanted="FAILED")
    assert "CannotPullContainerError" in failed["container"]["reason"]


def test_the_image_is_resolved_when_an_attempt_starts(lab, node):
    node.push("moving:v1", guest("hello"))
    definition = lab.define("moving:v1")
    assert lab.lines(lab.wait(lab.submit(definition), "SUCCEEDED")) == ["hello from wasmbatch"]
    node.push("moving:v1", guest("hello-c"))
    assert lab.lines(lab.wait(lab.submit(definition), "SUCCEEDED")) == ["hello from C"]


def test_guests_from_c_and_components_run_too(lab):
    assert lab.lines(lab.run("hello-c", "Ada")) == ["hello from C, Ada"]
    assert lab.lines(lab.run("hello-component", "Ada")) == ["hello from a component, Ada"]
    assert lab.lines(lab.run("word-count", "--text", "one two")) == ["0 lines, 2 words, 7 bytes"]


def test_a_module_may_lie_in_an_allowed_folder(lab, node):
    (node.shared / "from-file.wasm").write_bytes(guest("hello"))
    job = lab.run(f"file://{node.shared}/from-file.wasm", name=unique("file"))
    assert lab.lines(job) == ["hello from wasmbatch"]


def test_standard_input_is_empty_and_the_scratch_folder_is_the_working_folder(lab):
    assert lab.lines(lab.run("word-count")) == ["0 lines, 0 words, 0 bytes"]
    job = lab.run(
        "mandelbrot",
        *"--width 8 --height 8 --tile-x 0 --tile-y 0".split(),
        *"--tile-width 8 --tile-height 8 --out tile.ppm".split(),
    )
    assert lab.lines(job)[0].endswith(": tile.ppm")


def test_scratch_is_private_to_an_attempt(lab):
    render = "--width 8 --height 8 --tile-x 0 --tile-y 0 --tile-width 8 --tile-height 8 --out /left.ppm"
    lab.run("mandelbrot", *render.split())
    job = lab.run("word-count", "/left.ppm", wanted="FAILED")
    assert "cannot open /left.ppm" in lab.lines(job)[0]


def test_both_output_streams_go_to_the_log(lab):
    assert sorted(lab.lines(lab.run("exit-code", "0"))) == [
        "attempt 1 exits with 0",
        "attempt 1 says goodbye on standard error",
    ]


def test_jobs_are_described_by_arn_too_and_the_unknown_are_left_out(batch, lab):
    job = lab.run("hello")
    found = batch.describe_jobs(jobs=[job["jobArn"], "no-such-job", unique("x")])["jobs"]
    assert [one["jobId"] for one in found] == [job["jobId"]]
    assert batch.describe_jobs(jobs=["5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f"])["jobs"] == []


def test_describe_takes_a_hundred_ids_and_no_more(batch):
    ids = [f"5f0e2b7c-1d3a-4c55-9e21-{number:012}" for number in range(101)]
    assert batch.describe_jobs(jobs=ids[:100])["jobs"] == []
    assert "Maximum number of jobs supported is  100" in refused(batch.describe_jobs, jobs=ids)


def test_a_running_job_is_described_as_running(lab):
    job_id = lab.occupy("1")
    job = lab.job(job_id)
    assert job["status"] == "RUNNING"
    assert job["startedAt"] >= job["createdAt"]
    assert "stoppedAt" not in job
    assert job["container"]["logStreamName"]
    assert "exitCode" not in job["container"]
    assert all("stoppedAt" not in attempt for attempt in job["attempts"])


def test_a_waiting_job_has_not_started(lab):
    lab.occupy()
    job = lab.job(lab.submit(lab.define("hello")))
    assert job["status"] == "RUNNABLE"
    assert job["attempts"] == []
    assert "logStreamName" not in job["container"]
    for member in ("startedAt", "stoppedAt"):
        assert not job.get(member), member


@pytest.mark.parametrize("name", ["contains.dot", "-begins-with-it", "x" * 129, "a b", "é"])
def test_a_wrong_job_name_is_refused_before_anything_else_is_looked_at(batch, name):
    message = refused(batch.submit_job, jobName=name, jobQueue="arn", jobDefinition="no-such")
    assert "Job name should match valid pattern" in message


def test_a_job_name_of_one_letter_is_fine(lab):
    lab.wait(lab.submit(lab.define("hello"), "a"), "SUCCEEDED")


def test_unknown_queues_and_definitions_are_named(batch, lab):
    definition = lab.define("hello")
    assert "no-such-queue" in refused(
        batch.submit_job, jobName="a", jobQueue="no-such-queue", jobDefinition=definition
    )
    for reference in ("no-such-def", "no-such-def:3", definition.rpartition(":")[0] + ":99"):
        message = refused(batch.submit_job, jobName="a", jobQueue="default", jobDefinition=reference)
        assert reference.rpartition("/")[2].partition(":")[0] in message


def test_queue_and_definition_may_be_arns(batch, lab):
    [queue] = batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    lab.wait(lab.submit(lab.define("hello"), queue=queue["jobQueueArn"]), "SUCCEEDED")


def test_empty_array_properties_and_dependencies_mean_nothing(lab):
    job_id = lab.submit(lab.define("hello"), arrayProperties={}, dependsOn=[])
    job = lab.wait(job_id, "SUCCEEDED")
    assert job["dependsOn"] == []
    assert "arrayProperties" not in job


def test_an_unknown_member_never_leaves_the_client(batch):
    with pytest.raises(Exception, match="Unknown parameter"):
        batch.submit_job(jobName="a", jobQueue="default", jobDefinition="d", fuel=1)


def test_an_image_that_nobody_uploaded_fails_the_attempt(lab):
    job = lab.run("localhost/no-such-image:v9", wanted="FAILED")
    assert job["statusReason"] == "Task failed to start"
    assert job["container"]["reason"].startswith("CannotPullContainerError")
    assert "exitCode" not in job["container"]
    [attempt] = job["attempts"]
    assert not attempt.get("startedAt")
    assert attempt["statusReason"] == "Task failed to start"
    assert attempt["container"]["reason"] == job["container"]["reason"]


def test_a_job_that_never_ran_has_no_log(lab, logs):
    job = lab.run("no-such-module:v9", wanted="FAILED")
    name = job["jobDefinition"].rpartition("/")[2].partition(":")[0]
    found = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/default/")
    for stream in found["logStreams"]:
        assert lab.events(stream["logStreamName"]) == []


def test_many_jobs_at_once_all_end(batch, lab):
    definition = lab.define("hello")
    ids = [lab.submit(definition, f"many-{number}") for number in range(40)]
    assert len(set(ids)) == 40
    for job_id in ids:
        lab.wait(job_id, "SUCCEEDED", seconds=60)


def test_the_exceptions_of_the_client_know_the_code(batch):
    with pytest.raises(batch.exceptions.ClientException):
        batch.submit_job(jobName="a", jobQueue="no-such", jobDefinition="no-such")
    with pytest.raises(ClientError):
        batch.describe_job_queues(nextToken="not one of ours")
