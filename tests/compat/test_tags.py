"""Tags on queues, environments, definitions and jobs."""

import pytest

from jobs import refused


@pytest.fixture(params=["queue", "environment", "definition", "job"])
def resource(request, lab):
    """The ARN of an untagged resource of each kind."""
    batch = lab.batch
    if request.param == "queue":
        return batch.describe_job_queues(jobQueues=[lab.queue()])["jobQueues"][0]["jobQueueArn"]
    if request.param == "environment":
        found = batch.describe_compute_environments(computeEnvironments=[lab.compute()])
        return found["computeEnvironments"][0]["computeEnvironmentArn"]
    if request.param == "definition":
        return lab.define("hello")
    return lab.run("hello")["jobArn"]


def tags(batch, arn):
    return batch.list_tags_for_resource(resourceArn=arn)["tags"]


def test_tags_are_put_read_changed_and_taken_away(batch, resource):
    assert tags(batch, resource) == {}
    batch.tag_resource(resourceArn=resource, tags={"k1": "v1", "k2": "v2", "a b": "c/d:e"})
    batch.tag_resource(resourceArn=resource, tags={"k1": "changed", "k3": "ä"})
    assert tags(batch, resource) == {"k1": "changed", "k2": "v2", "a b": "c/d:e", "k3": "ä"}
    batch.untag_resource(resourceArn=resource, tagKeys=["k2", "a b", "never there"])
    assert tags(batch, resource) == {"k1": "changed", "k3": "ä"}


def test_a_resource_has_at_most_fifty_tags(batch, resource):
    batch.tag_resource(resourceArn=resource, tags={f"k{n}": "v" for n in range(50)})
    refused(batch.tag_resource, resourceArn=resource, tags={"one-more": "v"})
    assert len(tags(batch, resource)) == 50


@pytest.mark.parametrize(
    "wrong",
    [{"aws:mine": "v"}, {"k" * 129: "v"}, {"k": "v" * 257}, {"wasmbatch:no-such": "v"}],
    ids=["aws: prefix", "long key", "long value", "unknown wasmbatch: tag"],
)
def test_wrong_tags_are_refused(batch, lab, wrong):
    arn = lab.define("hello")
    message = refused(batch.tag_resource, resourceArn=arn, tags=wrong)
    assert "ag" in message
    assert tags(batch, arn) == {}


def test_tags_given_at_creation_show_in_every_description(batch, lab):
    wanted = {"team": "render"}
    queue = lab.queue(tags=wanted)
    [found] = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    assert found["tags"] == tags(batch, found["jobQueueArn"]) == wanted
    environment = lab.compute(tags=wanted)
    [found] = batch.describe_compute_environments(computeEnvironments=[environment])["computeEnvironments"]
    assert found["tags"] == tags(batch, found["computeEnvironmentArn"]) == wanted
    definition = lab.define("hello", tags=wanted)
    [found] = batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    assert found["tags"] == tags(batch, definition) == wanted
    job = lab.wait(lab.submit(definition, tags={"own": "1"}), "SUCCEEDED")
    assert job["tags"] == tags(batch, job["jobArn"]) == {"own": "1"}
    batch.tag_resource(resourceArn=job["jobArn"], tags={"later": "2"})
    assert lab.job(job["jobId"])["tags"] == {"own": "1", "later": "2"}


def test_a_jobs_own_tags_are_those_of_its_submit_also_where_tags_are_propagated(lab):
    definition = lab.define("hello", tags={"a": "definition", "b": "definition"}, propagateTags=True)
    job = lab.wait(lab.submit(definition, tags={"b": "submit", "c": "submit"}), "SUCCEEDED")
    assert job["propagateTags"] is True
    assert job["tags"] == tags(lab.batch, job["jobArn"]) == {"b": "submit", "c": "submit"}
    job = lab.wait(lab.submit(definition, propagateTags=False), "SUCCEEDED")
    assert job["propagateTags"] is False


def test_more_than_fifty_propagated_tags_fail_the_job(lab):
    definition = lab.define("hello", tags={f"d{n}": "v" for n in range(30)}, propagateTags=True)
    job_id = lab.submit(definition, tags={f"s{n}": "v" for n in range(30)})
    assert lab.wait(job_id, "FAILED")["attempts"] == []
    together = lab.submit(definition, tags={f"d{n}": "v" for n in range(30)})
    lab.wait(together, "SUCCEEDED")


def test_more_than_fifty_tags_at_submit_are_refused(lab):
    message = refused(
        lab.batch.submit_job,
        jobName="a",
        jobQueue="default",
        jobDefinition=lab.define("hello"),
        tags={f"k{n}": "v" for n in range(51)},
    )
    assert "50" in message


def test_a_resource_that_is_not_there_is_named(batch):
    for arn in (
        "arn:aws:batch:us-east-1:000000000000:job-queue/no-such-queue",
        "arn:aws:batch:us-east-1:000000000000:job-definition/no-such-def:1",
        "arn:aws:batch:us-east-1:000000000000:job/5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f",
    ):
        name = arn.rpartition("/")[2].partition(":")[0]
        assert name in refused(batch.list_tags_for_resource, resourceArn=arn)
        assert name in refused(batch.tag_resource, resourceArn=arn, tags={"a": "1"})
    refused(batch.list_tags_for_resource, resourceArn="not an arn")


def test_a_deleted_queues_tags_are_gone_with_it(batch, lab):
    name = lab.queue(tags={"k": "v"})
    [found] = batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    batch.update_job_queue(jobQueue=name, state="DISABLED")
    batch.delete_job_queue(jobQueue=name)
    refused(batch.list_tags_for_resource, resourceArn=found["jobQueueArn"])
    batch.create_job_queue(
        jobQueueName=name,
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "default"}],
    )
    assert tags(batch, found["jobQueueArn"]) == {}
