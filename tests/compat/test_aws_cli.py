"""AWS CLI v1, unmodified, from an empty node to a log line."""

import json

import pytest

from jobs import GROUP, unique


@pytest.fixture
def aws(node):
    """Runs `aws ...` against the node; the parsed answer."""
    return node.aws


def wait(aws, lab, job_id, wanted):
    """Waits without the CLI, which takes its time to start; describes with it."""
    lab.wait(job_id, wanted)
    [job] = aws("batch", "describe-jobs", "--jobs", job_id)["jobs"]
    assert job["status"] == wanted
    return job


def register(aws, image, *command, **more):
    name = unique(image)
    container = {
        "image": image,
        "command": list(command),
        "resourceRequirements": [
            {"type": "VCPU", "value": "1"},
            {"type": "MEMORY", "value": "64"},
        ],
    }
    options = []
    for option, value in more.items():
        options += [f"--{option.replace('_', '-')}", json.dumps(value)]
    aws(
        *("batch", "register-job-definition", "--job-definition-name", name),
        *("--type", "container", "--container-properties", json.dumps(container)),
        *options,
    )
    return name


def submit(aws, lab, definition, *options, queue="default"):
    job = aws(
        *("batch", "submit-job", "--job-name", "from-the-cli"),
        *("--job-queue", queue, "--job-definition", definition),
        *options,
    )
    lab.jobs.append(job["jobId"])
    return job["jobId"]


def log(aws, job, *options):
    stream = job["container"]["logStreamName"]
    answer = aws(
        *("logs", "get-log-events", "--log-group-name", GROUP, "--log-stream-name", stream),
        *("--start-from-head", *options),
    )
    return [event["message"] for event in answer["events"]]


def test_from_environment_queue_and_definition_to_a_log_line(aws, lab):
    environment, queue = unique("cli-ce"), unique("cli-queue")
    resources = "type=EC2,minvCpus=0,maxvCpus=2,instanceTypes=optimal,subnets=subnet-1,"
    resources += "securityGroupIds=sg-1,instanceRole=ecsInstanceRole"
    aws(
        *("batch", "create-compute-environment", "--compute-environment-name", environment),
        *("--type", "MANAGED", "--compute-resources", resources, "--tags", "team=render"),
    )
    [found] = aws("batch", "describe-compute-environments", "--compute-environments", environment)[
        "computeEnvironments"
    ]
    assert (found["status"], found["state"], found["tags"]) == ("VALID", "ENABLED", {"team": "render"})
    aws(
        *("batch", "create-job-queue", "--job-queue-name", queue, "--priority", "5"),
        *("--compute-environment-order", f"order=1,computeEnvironment={environment}"),
    )
    [found] = aws("batch", "describe-job-queues", "--job-queues", queue)["jobQueues"]
    assert (found["status"], found["priority"]) == ("VALID", 5)
    definition = register(aws, "hello", "Ref::name", parameters={"name": "nobody"})
    job_id = submit(aws, lab, definition, "--parameters", "name=Ada", queue=queue)
    job = wait(aws, lab, job_id, "SUCCEEDED")
    assert job["jobQueue"].endswith(f"/{queue}")
    assert log(aws, job) == ["hello from wasmbatch, Ada"]

    aws("batch", "update-job-queue", "--job-queue", queue, "--state", "DISABLED")
    aws("batch", "delete-job-queue", "--job-queue", queue)
    aws("batch", "update-compute-environment", "--compute-environment", environment, "--state", "DISABLED")
    aws("batch", "delete-compute-environment", "--compute-environment", environment)
    aws("batch", "deregister-job-definition", "--job-definition", f"{definition}:1")
    [found] = aws("batch", "describe-job-definitions", "--job-definition-name", definition)["jobDefinitions"]
    assert found["status"] == "INACTIVE"


def test_a_failing_job_and_its_retries(aws, lab):
    definition = register(aws, "exit-code", "3")
    job_id = submit(aws, lab, definition, "--retry-strategy", "attempts=2")
    job = wait(aws, lab, job_id, "FAILED")
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [3, 3]
    assert "attempt 2 exits with 3" in log(aws, job)


def test_overrides_in_shorthand(aws, lab):
    definition = register(aws, "args-env", "unused")
    overrides = "command=one,two,environment=[{name=A,value=1}],"
    overrides += "resourceRequirements=[{type=MEMORY,value=128}]"
    job_id = submit(aws, lab, definition, "--container-overrides", overrides)
    lines = log(aws, wait(aws, lab, job_id, "SUCCEEDED"))
    assert {"arg[1]=one", "arg[2]=two", "env A=1"} <= set(lines)


def test_a_timeout(aws, lab):
    definition = register(aws, "spin")
    job_id = submit(aws, lab, definition, "--timeout", "attemptDurationSeconds=1")
    assert wait(aws, lab, job_id, "FAILED")["statusReason"] == "Job attempt duration exceeded timeout"


def test_cancel_and_terminate(aws, lab):
    definition = register(aws, "sleep", "600")
    running = submit(
        aws, lab, definition, "--container-overrides", "resourceRequirements=[{type=VCPU,value=2}]"
    )
    wait(aws, lab, running, "RUNNING")
    waiting = submit(aws, lab, definition)
    aws("batch", "cancel-job", "--job-id", waiting, "--reason", "not today")
    assert wait(aws, lab, waiting, "FAILED")["statusReason"] == "not today"
    aws("batch", "terminate-job", "--job-id", running, "--reason", "long enough")
    assert wait(aws, lab, running, "FAILED")["statusReason"] == "long enough"


def test_dependencies(aws, lab):
    first = submit(aws, lab, register(aws, "sleep", "0.3"))
    second = submit(aws, lab, register(aws, "hello"), "--depends-on", f"jobId={first}")
    assert wait(aws, lab, second, "SUCCEEDED")["dependsOn"][0]["jobId"] == first


def test_lists_page_by_themselves(aws, lab):
    queue = lab.queue()
    definition = register(aws, "hello")
    submitted = [submit(aws, lab, definition, queue=queue) for _ in range(5)]
    for job_id in submitted:
        lab.wait(job_id, "SUCCEEDED")
    where = ("batch", "list-jobs", "--job-queue", queue, "--job-status", "SUCCEEDED")
    listed = aws(*where, "--page-size", "2")["jobSummaryList"]
    assert sorted(job["jobId"] for job in listed) == sorted(submitted)
    first = aws(*where, "--max-items", "2", "--page-size", "2")
    rest = aws(*where, "--starting-token", first["NextToken"])
    seen = [job["jobId"] for job in first["jobSummaryList"] + rest["jobSummaryList"]]
    assert sorted(seen) == sorted(submitted)
    named = aws(
        *("batch", "list-jobs", "--job-queue", queue),
        *("--filters", "name=JOB_NAME,values=FROM-the*"),
    )
    assert len(named["jobSummaryList"]) == 5


def test_tags(aws, lab):
    [queue] = aws("batch", "describe-job-queues", "--job-queues", lab.queue())["jobQueues"]
    arn = queue["jobQueueArn"]
    aws("batch", "tag-resource", "--resource-arn", arn, "--tags", "a=1,b=2")
    aws("batch", "untag-resource", "--resource-arn", arn, "--tag-keys", "a", "c")
    assert aws("batch", "list-tags-for-resource", "--resource-arn", arn)["tags"] == {"b": "2"}


def test_logs_are_found_and_searched(aws, lab):
    definition = register(aws, "exit-code", "0")
    job = wait(aws, lab, submit(aws, lab, definition), "SUCCEEDED")
    stream = job["container"]["logStreamName"]
    [found] = aws(
        *("logs", "describe-log-streams", "--log-group-name", GROUP),
        *("--log-stream-name-prefix", f"{definition}/default/"),
    )["logStreams"]
    assert found["logStreamName"] == stream
    groups = aws("logs", "describe-log-groups")["logGroups"]
    assert GROUP in [group["logGroupName"] for group in groups]
    events = aws(
        *("logs", "filter-log-events", "--log-group-name", GROUP),
        *("--log-stream-names", stream, "--filter-pattern", "goodbye"),
    )["events"]
    assert [event["message"] for event in events] == ["attempt 1 says goodbye on standard error"]
    assert len(log(aws, job, "--limit", "1")) == 1


def test_a_refusal_is_shown_as_of_batch(node):
    done = node.aws_process(
        *("batch", "submit-job", "--job-name", "a", "--job-queue", "no-such-queue"),
        *("--job-definition", "no-such-definition"),
    )
    assert done.returncode != 0
    assert "ClientException" in done.stderr
    assert "SubmitJob" in done.stderr


def test_unknown_ids_are_no_error(aws):
    for call in ("cancel-job", "terminate-job"):
        aws("batch", call, "--job-id", "no-such-job", "--reason", "none")
    assert aws("batch", "describe-jobs", "--jobs", "no-such-job")["jobs"] == []
