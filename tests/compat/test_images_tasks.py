"""Images in jobs of several containers, in pods, on several nodes, and side by side with modules."""

import pytest

import images
from jobs import ContainerLab, children, nodes, unique

SMALL = {"vcpus": "0.25", "memory": "64"}
EXITED = "Essential container in task exited"
WAITING = "trap 'echo asked; exit 3' TERM; echo ready; sleep 600 & wait"


@pytest.fixture(scope="module")
def task_node(module_container_node):
    return module_container_node().push_guests("hello", "word-count", "exit-code", "args-env", "sleep")


@pytest.fixture
def lab(task_node):
    lab = ContainerLab(task_node)
    yield lab
    lab.close()


def container(lab, name, script, after=(), image=None, **more):
    """One container of an image; `after` holds (name, condition) pairs."""
    depends = [{"containerName": other, "condition": condition} for other, condition in after]
    command = ["sh", "-c", script] if isinstance(script, str) else script
    made = lab.container(image or lab.BOX, *command, **SMALL) | {"name": name} | more
    return made | ({"dependsOn": depends} if depends else {})


def define(lab, *containers, **more):
    task = {"containers": list(containers), **more}
    return lab.batch.register_job_definition(
        jobDefinitionName=unique("task"), type="container", ecsProperties={"taskProperties": [task]}
    )["jobDefinitionArn"]


def found(job):
    [task] = job["ecsProperties"]["taskProperties"]
    return {one["name"]: one for one in task["containers"]}


def lines(lab, one):
    return [event["message"] for event in lab.events(one["logStreamName"])]


SHARED = {"mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}]}


def shared_folder(lab):
    folder = lab.node.shared / unique("folder")
    folder.mkdir()
    return folder, [{"name": "shared", "host": {"sourcePath": str(folder)}}]


def test_a_container_of_an_image_starts_after_another_that_must_succeed(lab):
    _, volumes = shared_folder(lab)
    definition = define(
        lab,
        container(lab, "main", "cat /shared/made", after=[("setup", "SUCCESS")], **SHARED),
        container(lab, "setup", "echo by setup > /shared/made", essential=False, **SHARED),
        volumes=volumes,
    )
    job = lab.wait(lab.submit(definition), "SUCCEEDED")
    assert lines(lab, found(job)["main"]) == ["by setup"]
    assert {one["exitCode"] for one in found(job).values()} == {0}


def test_a_module_and_an_image_work_on_one_folder(lab):
    _, volumes = shared_folder(lab)
    definition = define(
        lab,
        container(lab, "write", "printf 'one two\\nthree\\n' > /shared/text", essential=False, **SHARED),
        container(lab, "count", ["/shared/text"], image="word-count", after=[("write", "SUCCESS")], **SHARED),
        volumes=volumes,
    )
    job = lab.wait(lab.submit(definition), "SUCCEEDED")
    assert lines(lab, found(job)["count"]) == ["2 lines, 3 words, 14 bytes"]


def test_the_end_of_the_essential_container_asks_the_others_to_stop(lab):
    definition = define(
        lab,
        container(lab, "sidecar", WAITING, essential=False),
        container(lab, "main", "usleep 300000; exit 9", after=[("sidecar", "START")]),
    )
    job = lab.wait(lab.submit(definition), "FAILED")
    assert found(job)["main"]["exitCode"] == 9
    assert found(job)["sidecar"]["exitCode"] in (3, 137, 143)
    assert job["statusReason"] == EXITED


def test_a_container_of_a_task_says_how_long_it_may_take_to_stop(lab):
    stubborn = "trap '' TERM; echo ready; while :; do sleep 1; done"
    definition = define(lab, container(lab, "main", stubborn, stopTimeout=2))
    job = lab.wait(lab.submit(definition, timeout={"attemptDurationSeconds": 1}), "FAILED")
    assert found(job)["main"]["exitCode"] == 137
    assert 3000 <= job["stoppedAt"] - job["startedAt"] < 12_000


def test_a_task_has_nothing_where_one_of_its_images_is_not_to_be_had(lab):
    definition = define(
        lab,
        container(lab, "well", "sleep 600", linuxParameters={"initProcessEnabled": True}),
        container(lab, "ill", "true", image="127.0.0.1:1/missing:latest"),
    )
    job = lab.wait(lab.submit(definition), "FAILED", seconds=60)
    assert found(job)["ill"]["reason"].startswith("CannotPullContainerError: ")


def test_a_container_that_is_to_stop_as_it_begins_stops_at_once(lab):
    definition = define(
        lab,
        container(lab, "well", "sleep 600", linuxParameters={"initProcessEnabled": True}),
        container(lab, "ill", "true", user="nobody-knows"),
    )
    for job_id in [lab.submit(definition) for _ in range(16)]:
        # Half a minute would be the grace of what doesn't hear.
        job = lab.wait(job_id, "FAILED", seconds=20)
        assert found(job)["ill"]["reason"].startswith("CannotStartContainerError: ")


def test_containers_of_a_task_see_nothing_of_each_other_but_what_they_share(lab):
    definition = define(
        lab,
        container(lab, "one", WAITING + "; :", essential=False),
        container(lab, "two", "ps | grep -c 'sleep 600' || true; ls /tmp | wc -l", after=[("one", "START")]),
    )
    job = lab.wait(lab.submit(definition), "SUCCEEDED")
    assert lines(lab, found(job)["two"])[-1] == "0"


def test_settings_are_each_containers_own(lab):
    definition = define(
        lab,
        container(
            lab, "alice", "id -u; touch /x || echo read-only", user="alice", readonlyRootFilesystem=True
        ),
        container(
            lab, "root", "id -u; ulimit -n", ulimits=[{"name": "nofile", "softLimit": 77, "hardLimit": 77}]
        ),
    )
    job = lab.wait(lab.submit(definition), "SUCCEEDED")
    assert set(lines(lab, found(job)["alice"])) >= {"1000", "read-only"}
    assert lines(lab, found(job)["root"]) == ["0", "77"]


def test_a_task_of_images_is_tried_again_as_a_whole(lab):
    script = "[ $AWS_BATCH_JOB_ATTEMPT = 2 ] || exit 4"
    definition = define(lab, container(lab, "one", script), container(lab, "two", "true", essential=False))
    job = lab.wait(lab.submit(definition, retryStrategy={"attempts": 2}), "SUCCEEDED")
    codes = []
    for attempt in job["attempts"]:
        [task] = attempt["taskProperties"]
        codes.append({one["name"]: one.get("exitCode") for one in task["containers"]}["one"])
    assert codes == [4, 0]


def test_a_task_outlives_kill_9_of_the_node(new_container_node):
    lab = ContainerLab(new_container_node())
    script = "while [ ! -e /shared/end ]; do usleep 10000; done; echo $0"
    volumes = [{"name": "shared", "host": {"sourcePath": str(lab.node.shared)}}]
    definition = define(
        lab,
        container(lab, "one", ["sh", "-c", script, "one"], essential=False, **SHARED),
        container(lab, "two", ["sh", "-c", script, "two"], essential=False, **SHARED),
        container(lab, "three", ["sh", "-c", "echo three"], after=[("one", "SUCCESS"), ("two", "SUCCESS")]),
        volumes=volumes,
    )
    job_id = lab.submit(definition)
    lab.wait(job_id, "RUNNING")
    lab.node.kill()
    lab.reopen()
    (lab.node.shared / "end").touch()
    job = lab.wait(job_id, "SUCCEEDED", seconds=60)
    assert len(job["attempts"]) == 1
    assert {name: lines(lab, one) for name, one in found(job).items()} == {
        "one": ["one"],
        "two": ["two"],
        "three": ["three"],
    }
    lab.close()


def multinode(lab, *ranges, number):
    properties = {
        "numNodes": number,
        "mainNode": 0,
        "nodeRangeProperties": [
            {"targetNodes": targets, "container": lab.container(image, *command, **SMALL)}
            for targets, image, *command in ranges
        ],
    }
    return lab.batch.register_job_definition(
        jobDefinitionName=unique("nodes"), type="multinode", nodeProperties=properties
    )["jobDefinitionArn"]


def test_the_nodes_of_a_job_are_containers_that_know_their_place(lab):
    script = "echo $AWS_BATCH_JOB_NODE_INDEX of $AWS_BATCH_JOB_NUM_NODES"
    definition = multinode(lab, ("0:2", lab.BOX, "sh", "-c", script + "; usleep 500000"), number=3)
    job_id = lab.submit(definition)
    lab.wait(job_id, "SUCCEEDED")
    for index, node in enumerate(nodes(job_id, 3)):
        assert lab.lines(lab.job(node)) == [f"{index} of 3"]


def test_the_main_node_ends_the_others(lab):
    definition = multinode(
        lab,
        ("0", lab.BOX, "sh", "-c", "usleep 300000; exit 6"),
        ("1:2", lab.BOX, "sh", "-c", WAITING),
        number=3,
    )
    job_id = lab.submit(definition)
    job = lab.wait(job_id, "FAILED")
    assert lab.job(f"{job_id}#0")["container"]["exitCode"] == 6
    for index in (1, 2):
        lab.wait(f"{job_id}#{index}", "FAILED", "SUCCEEDED")
    assert job["statusReason"] == EXITED


def test_nodes_can_be_an_image_and_modules(lab):
    definition = multinode(
        lab, ("0", lab.BOX, "sh", "-c", "usleep 500000; echo main"), ("1", "args-env"), number=2
    )
    job_id = lab.submit(definition)
    lab.wait(job_id, "SUCCEEDED")
    assert lab.lines(lab.job(f"{job_id}#0")) == ["main"]
    assert lab.environment(lab.job(f"{job_id}#1"))["AWS_BATCH_JOB_NODE_INDEX"] == "1"


def test_a_job_of_an_image_waits_for_one_of_a_module_and_the_other_way_round(lab):
    module = lab.submit(lab.define("sleep", "0.2"))
    box = lab.submit(lab.define_shell("echo box"), dependsOn=[{"jobId": module}])
    last = lab.submit(lab.define("hello"), dependsOn=[{"jobId": box}])
    lab.wait(last, "SUCCEEDED")
    jobs = [lab.job(job_id) for job_id in (module, box, last)]
    assert jobs[0]["stoppedAt"] <= jobs[1]["startedAt"] <= jobs[1]["stoppedAt"] <= jobs[2]["startedAt"]


def test_a_failed_container_fails_the_module_that_waits_for_it(lab):
    box = lab.submit(lab.define_shell("exit 1"))
    module = lab.submit(lab.define("hello"), dependsOn=[{"jobId": box}])
    lab.wait(module, "FAILED")


def test_an_array_of_images_and_one_of_modules_depend_child_by_child(lab):
    size = 6
    first = lab.submit(lab.define_shell("echo $AWS_BATCH_JOB_ARRAY_INDEX"), arrayProperties={"size": size})
    second = lab.submit(
        lab.define("hello"), arrayProperties={"size": size}, dependsOn=[{"jobId": first, "type": "N_TO_N"}]
    )
    lab.wait(second, "SUCCEEDED", seconds=60)
    before, after = lab.described(children(first, size)), lab.described(children(second, size))
    for one, other in zip(children(first, size), children(second, size), strict=True):
        assert before[one]["stoppedAt"] <= after[other]["startedAt"]


def test_a_pod_runs_an_image(lab):
    resources = {"limits": {"cpu": "0.5", "memory": "64Mi"}}
    pod = {
        "containers": [
            {
                "name": "main",
                "image": lab.BOX,
                "command": ["sh", "-c"],
                "args": ["echo in a pod; echo $WORD"],
                "env": [{"name": "WORD", "value": "given"}],
                "resources": resources,
            }
        ]
    }
    definition = lab.batch.register_job_definition(
        jobDefinitionName=unique("pod"), type="container", eksProperties={"podProperties": pod}
    )["jobDefinitionArn"]
    job = lab.wait(lab.submit(definition), "SUCCEEDED")
    [attempt] = job["eksAttempts"]
    [one] = attempt["containers"]
    assert one["exitCode"] == 0
    [described] = job["eksProperties"]["podProperties"]["containers"]
    assert described["image"] == lab.BOX


def test_the_command_of_a_pod_stands_in_place_of_the_entrypoint(lab):
    name = unique("entry")
    lab.node.load(name, images.layout_tar(images.box(Entrypoint=["echo", "entry"], Cmd=["cmd"])))
    resources = {"limits": {"cpu": "0.5", "memory": "64Mi"}}
    for given, said in (
        ({"command": ["echo", "own"]}, "own"),
        ({"args": ["args"]}, "entry args"),
        ({}, "entry cmd"),
    ):
        pod = {"containers": [{"name": "main", "image": name, "resources": resources, **given}]}
        definition = lab.batch.register_job_definition(
            jobDefinitionName=unique("pod"), type="container", eksProperties={"podProperties": pod}
        )["jobDefinitionArn"]
        job = lab.wait(lab.submit(definition), "SUCCEEDED")
        stream = f"{job['jobDefinition'].split('/')[1].split(':')[0]}"
        streams = lab.logs.describe_log_streams(logGroupName="/aws/batch/job", logStreamNamePrefix=stream)[
            "logStreams"
        ]
        assert [e["message"] for s in streams for e in lab.events(s["logStreamName"])] == [said]
