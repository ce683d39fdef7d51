"""The node as it shows itself: what it has, its walls, its network, its scratch folders."""

import json
import re

import pytest

from daemon import raw_request, run_command
from jobs import Lab, refused, unique

PUBLIC = {"networkConfiguration": {"assignPublicIp": "ENABLED"}}
NOT_ALLOWED = "ResourceInitializationError: networkConfiguration.assignPublicIp is not allowed on this node"


def told(node):
    status, _, body = raw_request(node.endpoint, "GET", "/wasmbatch/v1/node")
    assert status == 200, body
    return json.loads(body)


def test_nodes_shows_what_the_node_has_and_holds(node, lab):
    lab.occupy("0.5")
    text = node.run("nodes").stdout
    assert re.search(rf"^endpoint +{re.escape(node.endpoint)}$", text, re.MULTILINE)
    assert re.search(r"^vCPUs +0\.5 held of 2$", text, re.MULTILINE)
    assert re.search(r"^memory +64 MiB held of 2048 MiB$", text, re.MULTILINE)
    assert re.search(rf"^mounts +{re.escape(str(node.shared))}$", text, re.MULTILINE)
    assert re.search(r"^job network +none$", text, re.MULTILINE)
    [found] = json.loads(node.run("nodes", "--json").stdout)
    assert found == told(node)
    assert (found["held"]["vcpus"], found["memoryMib"], found["jobNetwork"]) == (0.5, 2048, "none")


def test_every_wall_says_what_it_is_or_why_it_is_missing(node, lab):
    lab.run("hello")
    walls = told(node)["walls"]
    assert walls, "no wall is known"
    lines = [line for line in node.run("nodes").stdout.splitlines() if line.startswith("wall ")]
    page = raw_request(node.endpoint, "GET", "/")[2].decode()
    for wall, line in zip(walls, lines, strict=True):
        assert wall["detail"], wall
        state = "yes" if wall["stands"] else "MISSING"
        assert re.match(rf"wall +{wall['name']} +{state}: ", line), line
        assert f"<td>{wall['name']}</td><td>{state}</td>" in page
        if not wall["stands"]:
            assert f"wall={wall['name']}" in node.stderr() or f'wall="{wall["name"]}"' in node.stderr()


def test_a_node_that_must_have_all_walls_starts_only_with_all_of_them(node, new_node, tmp_path):
    standing = all(wall["stands"] for wall in told(node)["walls"]) and told(node)["walls"]
    if standing:
        new_node(flags=["--require-jail", "full"])
        return
    flags = ["--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--require-jail", "full"]
    done = run_command("serve", *flags, check=False)
    assert done.returncode == 1
    assert "--require-jail full" in done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--require-jail", "most"],
        ["--job-network", "all"],
        ["--compile-memory", "1"],
        ["--compile-seconds", "0"],
        ["--worker-uid-base", "0"],
    ],
)
def test_flags_out_of_bounds_are_a_wrong_command_line(flags):
    assert run_command("serve", *flags, check=False).returncode == 2


def test_flags_within_bounds_start_a_node(new_node):
    flags = ["--require-jail", "any", "--job-network", "host", "--compile-memory", "1024"]
    node = new_node(flags=[*flags, "--compile-seconds", "60", "--worker-uid-base", "700000"])
    assert told(node)["jobNetwork"] == "host"


def test_a_job_that_asks_for_a_network_that_is_not_given_fails(lab):
    job = lab.run("hello", container=PUBLIC, wanted="FAILED")
    assert job["container"]["reason"] == NOT_ALLOWED
    assert job["statusReason"] == "Task failed to start"
    assert "exitCode" not in job["container"]
    retry = {"attempts": 3, "evaluateOnExit": [{"onReason": f"{NOT_ALLOWED}*", "action": "EXIT"}]}
    job = lab.wait(lab.submit(lab.define("hello", container=PUBLIC), retryStrategy=retry), "FAILED")
    assert len(job["attempts"]) == 1
    name = unique("task")
    containers = [{"name": "a", **lab.container("hello")}]
    task = {"taskProperties": [{"containers": containers, **PUBLIC}]}
    lab.batch.register_job_definition(jobDefinitionName=name, type="container", ecsProperties=task)
    job = lab.wait(lab.submit(name), "FAILED")
    [attempt] = job["attempts"]
    assert attempt["taskProperties"][0]["containers"][0]["reason"] == NOT_ALLOWED


def test_a_job_that_asks_for_no_network_runs_whatever_the_node_gives(new_node):
    node = new_node(flags=["--job-network", "host"]).push_guests("hello")
    lab = Lab(node)
    lab.run("hello", container={"networkConfiguration": {"assignPublicIp": "DISABLED"}})
    lab.run("hello", container=PUBLIC)


def test_a_pod_on_the_hosts_network_asks_for_none(lab):
    name = unique("pod")
    container = {"image": "hello", "resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}
    pod = {"hostNetwork": True, "containers": [container]}
    lab.batch.register_job_definition(
        jobDefinitionName=name, type="container", eksProperties={"podProperties": pod}
    )
    lab.wait(lab.submit(name), "SUCCEEDED")


def test_scratch_folders_have_the_sizes_of_aws(lab):
    job = lab.run("hello", container={"ephemeralStorage": {"sizeInGiB": 21}})
    assert job["container"]["ephemeralStorage"] == {"sizeInGiB": 21}
    for size in (20, 201, -1):
        container = lab.container("hello", ephemeralStorage={"sizeInGiB": size})
        message = refused(
            lab.batch.register_job_definition,
            jobDefinitionName=unique("d"),
            type="container",
            containerProperties=container,
        )
        assert message.endswith("ephemeralStorage.sizeInGiB must be between 21 and 200")


def test_releasing_what_is_not_quarantined_is_told(node):
    digest = "sha256:" + "ab" * 32
    done = node.run("modules", "release", digest, check=False)
    assert done.returncode == 3
    assert f"Module {digest} is not quarantined" in done.stderr
    assert node.run("modules", "release", "hello", check=False).returncode == 3
