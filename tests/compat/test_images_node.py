"""What a node's owner decides about containers, and what the node says of itself."""

import subprocess
from pathlib import Path

import pytest

import images
from daemon import run_command
from jobs import ContainerLab, Lab
from registries import Answer

NOT_STARTED = "Task failed to start"
PUBLIC = {"networkConfiguration": {"assignPublicIp": "ENABLED"}}


@pytest.fixture(scope="module")
def generous(module_container_node):
    """A node whose owner allows what others don't."""
    flags = ["--allow-privileged", "--allow-device", "/dev/zero", "--allow-device", "/dev/loop-control"]
    return module_container_node(
        flags=[*flags, "--job-network", "host", "--container-uid-base", "2100000000"]
    )


@pytest.fixture
def lab(generous):
    lab = ContainerLab(generous)
    yield lab
    lab.close()


def test_an_allowed_device_is_where_the_job_wants_it(lab):
    devices = [{"hostPath": "/dev/zero", "containerPath": "/dev/nought", "permissions": ["READ"]}]
    script = "head -c 1 /dev/nought | od -An -tx1; ls /dev/nought"
    lines = lab.said(script, container={"linuxParameters": {"devices": devices}})
    assert [line.strip() for line in lines] == ["00", "/dev/nought"]


def test_a_device_that_is_not_among_the_allowed_is_refused(lab):
    devices = [{"hostPath": "/dev/full"}]
    job = lab.shell("true", container={"linuxParameters": {"devices": devices}}, wanted="FAILED")
    assert job["statusReason"] == NOT_STARTED
    assert (
        job["container"]["reason"]
        == "ResourceInitializationError: device dev full is not allowed on this node"
    )


def test_a_job_with_the_hosts_network_reaches_what_the_host_reaches(lab, liar):
    liar.lie("/hello", lambda _: Answer(200, b"hello from the host\n"))
    host, _, port = liar.address.partition(":")
    # busybox's own wget looks names up by what a static program can't load.
    ask = f"printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {host} {port} | tail -n 1"
    lines = lab.said("readlink /proc/self/ns/net; " + ask, container=PUBLIC)
    assert lines[0] == str(Path("/proc/self/ns/net").readlink())
    assert lines[-1] == "hello from the host"


def test_a_job_that_does_not_ask_has_no_network_even_so(lab):
    [line] = lab.said("readlink /proc/self/ns/net")
    assert line != str(Path("/proc/self/ns/net").readlink())


def test_names_are_looked_up_as_the_host_does(lab):
    lines = lab.said("cat /etc/resolv.conf", container=PUBLIC)
    assert lines == Path("/etc/resolv.conf").read_text().splitlines()
    assert lab.said("cat /etc/resolv.conf") == []


def test_privileged_is_root_of_the_host_where_its_owner_allows_that(lab):
    script = (
        "cat /proc/self/uid_map | tr -s ' '; ls /sys | grep -c kernel; mount -t tmpfs x /mnt && echo mounted"
    )
    lines = lab.said(script, container={"privileged": True})
    assert lines[0].split() == ["0", "0", "4294967295"]
    assert lines[1:] == ["1", "mounted"]


def test_the_mounts_of_a_privileged_container_go_with_it(lab):
    before = Path("/proc/self/mountinfo").read_text()
    lab.said("mount -t tmpfs x /mnt", container={"privileged": True})
    assert Path("/proc/self/mountinfo").read_text() == before


def test_users_come_from_where_the_owner_says(lab):
    [line] = lab.said("cat /proc/self/uid_map | tr -s ' '")
    assert 2_100_000_000 <= int(line.split()[1]) < 2_100_000_000 + (1 << 27)


def test_files_of_images_belong_to_nobody_of_this_machine(lab):
    layers = lab.node.data / "images"
    owners = {path.lstat().st_uid for path in layers.rglob("bin/busybox")}
    assert owners and all(owner >= 1_900_000_000 for owner in owners)


def test_nobody_else_of_this_machine_can_look_into_images_and_containers(lab):
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    for folder in ("images", "containers"):
        done = subprocess.run([*nobody, "ls", str(lab.node.data / folder)], capture_output=True, check=False)
        assert done.returncode != 0


def test_a_node_says_what_stands_around_containers(lab):
    text = lab.node.run("nodes").stdout
    assert "container runtime" in text and "runc" in text
    assert "container users" in text and "65536" in text
    assert "container disk" in text


def test_without_a_runtime_images_are_refused_and_modules_run(tmp_path, new_node, registry, box):
    images.need_root()
    flags = ["--container-runtime", "no-such-runtime", "--insecure-registry", "127.0.0.1"]
    lab = Lab(new_node(flags=flags).push_guests("hello"))
    reference = registry.push("box", "latest", box)
    definition = lab.define(reference, "true", name="image")
    job = lab.wait(lab.submit(definition), "FAILED")
    assert job["container"]["reason"] == "CannotStartContainerError: no such runtime is not installed"
    lab.run("hello")
    assert "no-such-runtime is not installed" in lab.node.run("nodes").stdout


def test_a_node_that_is_to_bound_everything_does(new_container_node):
    lab = ContainerLab(new_container_node(flags=["--require-limits"]))
    assert lab.said("echo bounded") == ["bounded"]
    lab.close()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--registry-ca", "missing.pem"),
        ("--registry-auth", "missing.json"),
        ("--container-uid-base", "0"),
        ("--container-uid-base", "x"),
        ("--image-uid-base", "0"),
        ("--container-processes", "0"),
        ("--image-store", "-1"),
        ("--pull-seconds", "0"),
    ],
)
def test_what_an_owner_can_not_mean_is_refused_at_the_start(tmp_path, flag, value):
    value = str(tmp_path / value) if value.startswith("missing") else value
    arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", flag, value]
    try:
        done = run_command(*arguments, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it starts with {flag} {value}")
    assert done.returncode != 0
    assert done.stdout == ""
