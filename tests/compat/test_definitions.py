"""Job definitions: registering, revisions, describing, deregistering."""

import pytest

from jobs import refused, unique

SMALL = {
    "image": "hello",
    "resourceRequirements": [
        {"type": "VCPU", "value": "1"},
        {"type": "MEMORY", "value": "64"},
    ],
}


def register(batch, name=None, **more):
    wanted = {"type": "container", "containerProperties": SMALL} | more
    return batch.register_job_definition(jobDefinitionName=name or unique("def"), **wanted)


def described(batch, reference):
    [definition] = batch.describe_job_definitions(jobDefinitions=[reference])["jobDefinitions"]
    return definition


def revisions(batch, name, **more):
    found = batch.describe_job_definitions(jobDefinitionName=name, **more)["jobDefinitions"]
    return [(definition["revision"], definition["status"]) for definition in found]


def test_registering_counts_revisions(batch):
    name = unique("def")
    for expected in (1, 2, 3):
        made = register(batch, name)
        assert made["jobDefinitionName"] == name
        assert made["revision"] == expected
        assert made["jobDefinitionArn"].endswith(f":job-definition/{name}:{expected}")
    assert revisions(batch, name) == [(1, "ACTIVE"), (2, "ACTIVE"), (3, "ACTIVE")]


def test_a_bare_definition_has_the_defaults_and_nothing_else(batch):
    made = register(batch)
    definition = described(batch, made["jobDefinitionArn"])
    assert definition["parameters"] == {}
    assert definition["tags"] == {}
    assert definition["type"] == "container"
    assert definition["status"] == "ACTIVE"
    container = definition["containerProperties"]
    assert container["resourceRequirements"] == SMALL["resourceRequirements"]
    for member in ("command", "secrets", "environment", "mountPoints", "ulimits", "volumes"):
        assert container[member] == [], member
    for member in ("vcpus", "memory", "logConfiguration", "jobRoleArn"):
        assert member not in container
    for member in (
        "retryStrategy",
        "platformCapabilities",
        "timeout",
        "propagateTags",
        "eksProperties",
    ):
        assert member not in definition


def test_what_was_registered_comes_back(batch):
    container = SMALL | {
        "command": ["a", "Ref::b"],
        "jobRoleArn": "arn:aws:iam::000000000000:role/job",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "environment": [{"name": "A", "value": "1"}],
        "volumes": [{"name": "data", "host": {"sourcePath": "/somewhere"}}],
        "mountPoints": [{"containerPath": "/data", "readOnly": True, "sourceVolume": "data"}],
        "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
        "user": "nobody",
        "linuxParameters": {"initProcessEnabled": True},
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/g"}},
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
    }
    made = register(
        batch,
        containerProperties=container,
        parameters={"b": "2"},
        timeout={"attemptDurationSeconds": 3},
        propagateTags=False,
        platformCapabilities=["EC2"],
        schedulingPriority=4,
        tags={"k": "v"},
        retryStrategy={
            "attempts": 4,
            "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "RETRY"},
                {"onReason": "*", "action": "Exit"},
            ],
        },
    )
    definition = described(batch, made["jobDefinitionArn"])
    assert container.items() <= definition["containerProperties"].items()
    assert definition["parameters"] == {"b": "2"}
    assert definition["timeout"] == {"attemptDurationSeconds": 3}
    assert definition["propagateTags"] is False
    assert definition["platformCapabilities"] == ["EC2"]
    assert definition["schedulingPriority"] == 4
    assert definition["tags"] == {"k": "v"}
    assert definition["retryStrategy"] == {
        "attempts": 4,
        "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "retry"},
            {"onReason": "*", "action": "exit"},
        ],
    }


def test_deprecated_vcpus_and_memory_come_back_as_they_were(batch):
    container = {"image": "hello", "vcpus": 2, "memory": 1024, "command": ["x"]}
    made = register(batch, containerProperties=container)
    definition = described(batch, made["jobDefinitionArn"])
    assert definition["containerProperties"]["vcpus"] == 2
    assert definition["containerProperties"]["memory"] == 1024
    assert definition["containerProperties"]["resourceRequirements"] == []


def test_a_new_revision_inherits_nothing(batch):
    name = unique("def")
    register(batch, name, parameters={"a": "1"}, tags={"k": "v"}, timeout={"attemptDurationSeconds": 60})
    register(batch, name)
    one, two = described(batch, f"{name}:1"), described(batch, f"{name}:2")
    assert one["parameters"] == {"a": "1"}
    assert two["parameters"] == {}
    assert two["tags"] == {}
    assert "timeout" not in two


def test_describe_takes_names_revisions_and_arns(batch):
    one, two = unique("def"), unique("def")
    register(batch, one)
    second = register(batch, one)
    register(batch, two)
    found = batch.describe_job_definitions(jobDefinitions=[one, two])["jobDefinitions"]
    assert sorted(d["jobDefinitionName"] for d in found) == sorted([one, one, two])
    [exact] = batch.describe_job_definitions(jobDefinitions=[f"{one}:2"])["jobDefinitions"]
    assert exact["jobDefinitionArn"] == second["jobDefinitionArn"]
    [exact] = batch.describe_job_definitions(jobDefinitions=[second["jobDefinitionArn"]])["jobDefinitions"]
    assert exact["revision"] == 2
    assert batch.describe_job_definitions(jobDefinitions=["no-such:7"])["jobDefinitions"] == []
    assert batch.describe_job_definitions(jobDefinitionName="no-such")["jobDefinitions"] == []


def test_describe_pages(batch):
    name = unique("def")
    for _ in range(5):
        register(batch, name)
    pages = list(
        batch.get_paginator("describe_job_definitions").paginate(
            jobDefinitionName=name, PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["jobDefinitions"]) for page in pages] == [2, 2, 1]
    seen = [d["revision"] for page in pages for d in page["jobDefinitions"]]
    assert sorted(seen) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("by", ["arn", "name and revision"])
def test_a_deregistered_revision_is_inactive_and_stays_listed(batch, by):
    name = unique("def")
    made = register(batch, name)
    reference = made["jobDefinitionArn"] if by == "arn" else f"{name}:1"
    batch.deregister_job_definition(jobDefinition=reference)
    assert revisions(batch, name) == [(1, "INACTIVE")]
    assert revisions(batch, name, status="ACTIVE") == []
    assert revisions(batch, name, status="INACTIVE") == [(1, "INACTIVE")]
    every = batch.get_paginator("describe_job_definitions").paginate()
    names = {d["jobDefinitionName"] for page in every for d in page["jobDefinitions"]}
    assert name in names
    assert register(batch, name)["revision"] == 2


def test_a_submit_by_name_takes_the_latest_active_revision(batch, lab):
    name = unique("def")
    for word in ("one", "two", "three"):
        register(batch, name, containerProperties=SMALL | {"command": [word]})
    batch.deregister_job_definition(jobDefinition=f"{name}:3")
    job = lab.wait(lab.submit(name), "SUCCEEDED")
    assert job["jobDefinition"].endswith(f"/{name}:2")
    assert lab.lines(job) == ["hello from wasmbatch, two"]
    job = lab.wait(lab.submit(f"{name}:1"), "SUCCEEDED")
    assert lab.lines(job) == ["hello from wasmbatch, one"]
    arn = described(batch, f"{name}:1")["jobDefinitionArn"]
    assert lab.job(lab.submit(arn.rpartition(":")[0]))["jobDefinition"].endswith(f"/{name}:2")


def test_an_inactive_revision_takes_no_submits(batch, lab):
    name = unique("def")
    register(batch, name)
    batch.deregister_job_definition(jobDefinition=f"{name}:1")
    for reference in (name, f"{name}:1"):
        message = refused(batch.submit_job, jobName="late", jobQueue="default", jobDefinition=reference)
        assert name in message


def test_jobs_of_a_deregistered_definition_go_on(batch, lab):
    occupier = lab.occupy()
    name = unique("def")
    register(batch, name)
    waiting = lab.submit(name)
    batch.deregister_job_definition(jobDefinition=f"{name}:1")
    lab.free(occupier)
    lab.wait(waiting, "SUCCEEDED")


@pytest.mark.parametrize(
    ("container", "word"),
    [
        ({"image": None}, "image"),
        ({"resourceRequirements": [{"type": "VCPU", "value": "1"}]}, "emory"),
        ({"resourceRequirements": [{"type": "MEMORY", "value": "64"}]}, "cpu"),
        (
            {"resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "3"}]},
            "emory",
        ),
        (
            {"resourceRequirements": [{"type": "VCPU", "value": "0"}, {"type": "MEMORY", "value": "64"}]},
            "cpu",
        ),
        (
            {"resourceRequirements": [{"type": "VCPU", "value": "many"}, {"type": "MEMORY", "value": "64"}]},
            "many",
        ),
        ({"resourceRequirements": [{"type": "SPEED", "value": "1"}]}, "SPEED"),
        ({"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}, "AWS_BATCH"),
        ({"mountPoints": [{"containerPath": "/a", "sourceVolume": "unknown"}]}, "unknown"),
        ({"volumes": [{"name": "a", "host": {"sourcePath": "relative"}}]}, "sourcePath"),
    ],
)
def test_wrong_container_properties_are_refused_by_name(batch, container, word):
    properties = {key: value for key, value in (SMALL | container).items() if value is not None}
    message = refused(
        batch.register_job_definition,
        jobDefinitionName=unique("def"),
        type="container",
        containerProperties=properties,
    )
    assert word.lower() in message.lower()


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"jobDefinitionName": "no spaces"}, "no spaces"),
        ({"type": "pod"}, "type"),
        ({"containerProperties": None}, "containerProperties"),
        ({"retryStrategy": {}}, "RetryAttempts must be provided with retry strategy"),
        ({"retryStrategy": {"attempts": 0}}, "attempts"),
        ({"retryStrategy": {"attempts": 11}}, "attempts"),
        (
            {"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "RETRY", "onReason": "*"}] * 6}},
            "evaluateOnExit",
        ),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "HOPE", "onReason": "*"}]}}, "HOPE"),
        ({"timeout": {"attemptDurationSeconds": 0}}, "attemptDurationSeconds"),
        ({"schedulingPriority": 10000}, "schedulingPriority"),
        ({"tags": {f"k{number}": "v" for number in range(51)}}, "50"),
        ({"tags": {"k": "v" * 257}}, "256"),
        ({"platformCapabilities": ["MAINFRAME"]}, "MAINFRAME"),
    ],
)
def test_a_wrong_definition_is_refused_by_name(batch, members, word):
    wanted = {"jobDefinitionName": unique("def"), "type": "container", "containerProperties": SMALL}
    wanted = {key: value for key, value in (wanted | members).items() if value is not None}
    message = refused(batch.register_job_definition, **wanted)
    assert word.lower().replace(" ", "") in message.lower().replace(" ", "")


def test_deregistering_wants_a_revision(batch):
    name = unique("def")
    register(batch, name)
    assert "revision" in refused(batch.deregister_job_definition, jobDefinition=name)
    assert revisions(batch, name) == [(1, "ACTIVE")]
