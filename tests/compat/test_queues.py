"""Job queues: create, describe, update, delete, and their state."""

import pytest

from daemon import until
from jobs import Lab, refused, unique


def described(batch, name):
    [queue] = batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    return queue


def on_default(**more):
    return {
        "jobQueueName": unique("queue"),
        "priority": 1,
        "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "default"}],
    } | more


def test_a_queue_is_created_and_described_by_name_and_arn(batch):
    wanted = on_default(priority=123, state="ENABLED", tags={"k1": "v1"})
    made = batch.create_job_queue(**wanted)
    assert made["jobQueueName"] == wanted["jobQueueName"]
    queue = described(batch, made["jobQueueArn"])
    assert queue == described(batch, made["jobQueueName"])
    assert queue["jobQueueArn"].endswith(f":job-queue/{made['jobQueueName']}")
    assert (queue["priority"], queue["state"], queue["status"]) == (123, "ENABLED", "VALID")
    assert queue["tags"] == {"k1": "v1"}
    [order] = queue["computeEnvironmentOrder"]
    assert order["order"] == 1
    assert order["computeEnvironment"].endswith(":compute-environment/default")


def test_environments_may_be_named_by_arn_and_any_order_number(batch, lab):
    found = batch.describe_compute_environments(computeEnvironments=[lab.compute()])
    arn = found["computeEnvironments"][0]["computeEnvironmentArn"]
    made = batch.create_job_queue(
        **on_default(computeEnvironmentOrder=[{"order": 123, "computeEnvironment": arn}])
    )
    queue = described(batch, made["jobQueueName"])
    assert queue["computeEnvironmentOrder"] == [{"order": 123, "computeEnvironment": arn}]
    assert queue["state"] == "ENABLED", "the default"


def test_an_unknown_queue_is_left_out(batch):
    assert batch.describe_job_queues(jobQueues=["no-such-thing"])["jobQueues"] == []


def test_describe_pages(batch, lab):
    made = {lab.queue() for _ in range(3)}
    pages = batch.get_paginator("describe_job_queues").paginate(PaginationConfig={"PageSize": 2})
    seen = [page["jobQueues"] for page in pages]
    assert all(len(page) <= 2 for page in seen)
    names = [queue["jobQueueName"] for page in seen for queue in page]
    assert made <= set(names)
    assert len(names) == len(set(names))


def test_a_queue_is_updated_member_by_member(batch, lab):
    name = lab.queue(priority=3)
    arn = described(batch, name)["jobQueueArn"]
    answer = batch.update_job_queue(jobQueue=arn, priority=5)
    assert answer["jobQueueArn"] == arn
    assert answer["jobQueueName"] == name
    batch.update_job_queue(jobQueue=name, state="DISABLED")
    queue = described(batch, name)
    assert (queue["priority"], queue["state"]) == (5, "DISABLED")
    environment = lab.compute()
    batch.update_job_queue(
        jobQueue=name, computeEnvironmentOrder=[{"order": 2, "computeEnvironment": environment}]
    )
    queue = described(batch, name)
    assert (queue["priority"], queue["state"]) == (5, "DISABLED")
    assert queue["computeEnvironmentOrder"][0]["computeEnvironment"].endswith(environment)


def test_a_disabled_queue_refuses_new_jobs_and_drains_old_ones(lab):
    name = lab.queue()
    definition = lab.define("sleep", "1")
    running = lab.submit(definition, queue=name)
    lab.batch.update_job_queue(jobQueue=name, state="DISABLED")
    message = refused(lab.batch.submit_job, jobName="late", jobQueue=name, jobDefinition=definition)
    assert name in message
    lab.wait(running, "SUCCEEDED")


def test_deleting_wants_it_disabled_and_ends_its_jobs(lab):
    name = lab.queue()
    running = lab.occupy("1", name)
    assert "DISABLED" in refused(lab.batch.delete_job_queue, jobQueue=name)
    lab.batch.update_job_queue(jobQueue=name, state="DISABLED")
    lab.batch.delete_job_queue(jobQueue=name)
    job = lab.wait(running, "FAILED")
    assert job["statusReason"] == "JobQueue deleted"

    def gone():
        return lab.batch.describe_job_queues(jobQueues=[name])["jobQueues"] == []

    until(gone, 10, "the queue's disappearance")


def test_deleting_what_is_not_there_is_fine(batch):
    answer = batch.delete_job_queue(jobQueue="no-such-thing")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_updating_what_is_not_there_is_refused(batch):
    assert "no-such-thing" in refused(batch.update_job_queue, jobQueue="no-such-thing", priority=1)


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"state": "JUNK"}, "state JUNK must be one of ENABLED | DISABLED"),
        ({"state": "JUNK", "computeEnvironmentOrder": []}, "state JUNK must be one of"),
        ({"computeEnvironmentOrder": []}, "compute environment"),
        (
            {"computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "defaultLALALA"}]},
            "omputeEnvironment",
        ),
        ({"jobQueueName": "no spaces"}, "no spaces"),
        ({"jobQueueName": "x" * 129}, "x"),
        ({"priority": -1}, "priority"),
    ],
)
def test_a_wrong_create_is_refused_by_name(batch, members, word):
    message = refused(batch.create_job_queue, **on_default(**members))
    assert word.lower().replace(" ", "") in message.lower().replace(" ", "")


def test_a_name_is_taken_once(batch, lab):
    assert "exists" in refused(batch.create_job_queue, **on_default(jobQueueName=lab.queue()))


def test_jobs_of_the_queue_with_the_higher_priority_start_first(new_node):
    node = new_node(vcpus=1).push_guests("sleep", "hello")
    lab = Lab(node)
    low, high = lab.queue(priority=1), lab.queue(priority=10)
    occupier = lab.occupy("1")
    definition = lab.define("hello")
    waiting = [lab.submit(definition, queue=low) for _ in range(3)]
    urgent = lab.submit(definition, queue=high)
    lab.free(occupier)
    urgent = lab.wait(urgent, "SUCCEEDED")
    for job_id in waiting:
        assert lab.wait(job_id, "SUCCEEDED")["startedAt"] >= urgent["startedAt"]


def test_jobs_of_one_queue_start_in_the_order_of_their_submits(new_node):
    lab = Lab(new_node(vcpus=1).push_guests("sleep", "hello"))
    occupier = lab.occupy("1")
    definition = lab.define("hello")
    submitted = [lab.submit(definition) for _ in range(5)]
    lab.free(occupier)
    starts = [lab.wait(job_id, "SUCCEEDED")["startedAt"] for job_id in submitted]
    assert starts == sorted(starts)
