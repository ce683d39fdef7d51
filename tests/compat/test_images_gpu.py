"""GPUs as the Container Device Interface describes them: counted, lent to one job at a time."""

import json

import pytest

from daemon import until
from jobs import ContainerLab, children, overlapping

WAITING = "trap 'exit 0' TERM; echo $GPU_NUMBER; sleep 600 & wait"


@pytest.fixture(scope="module")
def cdi(tmp_path_factory):
    """A folder with two GPUs that are none: devices of the kernel under other names."""
    folder = tmp_path_factory.mktemp("cdi")
    library = folder / "library"
    library.write_text("a library\n")
    nodes = {"0": "/dev/zero", "1": "/dev/full"}
    specification = {
        "cdiVersion": "0.6.0",
        "kind": "example.com/gpu",
        "containerEdits": {
            "env": ["GPU_VENDOR=example"],
            "mounts": [
                {
                    "hostPath": str(library),
                    "containerPath": "/usr/lib/gpu/library",
                    "options": ["ro", "nosuid", "nodev", "bind"],
                }
            ],
        },
        "devices": [
            {
                "name": name,
                "containerEdits": {
                    "env": [f"GPU_NUMBER={name}"],
                    "deviceNodes": [{"path": f"/dev/gpu{name}", "hostPath": path}],
                },
            }
            for name, path in nodes.items()
        ],
    }
    # What vendors write beside: a name for all of them.
    (folder / "example.json").write_text(json.dumps(specification))
    (folder / "broken.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def gpu_node(module_container_node, cdi):
    return module_container_node(flags=["--cdi-dir", str(cdi)]).push_guests("hello")


@pytest.fixture
def lab(gpu_node):
    lab = ContainerLab(gpu_node)
    yield lab
    lab.close()


def gpus(number):
    resources = (("VCPU", "1"), ("MEMORY", "64"), ("GPU", str(number)))
    return {"resourceRequirements": [{"type": kind, "value": value} for kind, value in resources]}


def test_a_job_with_a_gpu_gets_its_node_its_variables_and_its_files(lab):
    script = """
    echo $GPU_VENDOR; ls /dev/gpu*; cat /usr/lib/gpu/library
    head -c 1 /dev/gpu* >/dev/null && echo read
    """
    lines = lab.said(script, container=gpus(1))
    assert lines[0] == "example"
    assert lines[1] in ("/dev/gpu0", "/dev/gpu1")
    assert lines[2:] == ["a library", "read"]


def test_a_job_with_both_gpus_gets_both(lab):
    assert lab.said("ls /dev/gpu*", container=gpus(2)) == ["/dev/gpu0", "/dev/gpu1"]


def test_a_job_without_a_gpu_gets_none(lab):
    assert lab.said('ls /dev/gpu* 2>/dev/null; echo "[$GPU_VENDOR]"') == ["[]"]


def test_two_jobs_at_once_have_different_gpus_and_a_third_waits(lab):
    definition = lab.define_shell(WAITING, container=gpus(1))
    first, second = (lab.wait(lab.submit(definition), "RUNNING") for _ in range(2))
    third = lab.submit(definition)

    def number(job):
        return until(lambda: lab.lines(lab.job(job["jobId"])), 20, "the number of a GPU")[0]

    assert {number(first), number(second)} == {"0", "1"}
    assert lab.job(third)["status"] == "RUNNABLE"
    freed = number(first)
    lab.end(first)
    assert number(lab.wait(third, "RUNNING")) == freed
    for job_id in (second["jobId"], third):
        lab.end(lab.job(job_id))


def test_an_array_shares_the_gpus_one_each(lab):
    array = lab.submit(
        lab.define_shell("echo $GPU_NUMBER; usleep 100000", container=gpus(1)), arrayProperties={"size": 6}
    )
    lab.wait(array, "SUCCEEDED", seconds=60)
    jobs = lab.described(children(array, 6)).values()
    assert overlapping(jobs) <= 2
    assert {line for job in jobs for line in lab.lines(job)} == {"0", "1"}


def test_more_gpus_than_there_are_are_never_given(lab):
    job_id = lab.submit(lab.define_shell("true", container=gpus(3)))
    lab.wait(job_id, "RUNNABLE")
    assert "it can never start here" in lab.explained(job_id)["explanation"]
    lab.batch.terminate_job(jobId=job_id, reason="it would wait for ever")
    lab.wait(job_id, "FAILED")


def test_a_user_that_is_not_root_can_use_its_gpu(lab):
    lines = lab.said(
        "id -u; head -c 1 /dev/gpu* >/dev/null && echo read", container=gpus(1) | {"user": "alice"}
    )
    assert lines == ["1000", "read"]


def test_gpus_stay_lent_over_a_restart(new_container_node, cdi):
    lab = ContainerLab(new_container_node(flags=["--cdi-dir", str(cdi)]))
    definition = lab.define_shell(WAITING, container=gpus(1))
    held = [lab.wait(lab.submit(definition), "RUNNING") for _ in range(2)]
    for job in held:
        until(lambda job=job: lab.lines(job), 20, "the number of a GPU")
    numbers = [lab.lines(job)[0] for job in held]
    lab.node.kill()
    lab.reopen()
    waiting = lab.submit(definition)
    assert [lab.job(job["jobId"])["status"] for job in held] == ["RUNNING"] * 2
    assert lab.job(waiting)["status"] != "RUNNING"
    lab.end(held[0])
    job = lab.wait(waiting, "RUNNING")
    assert until(lambda: lab.lines(job), 20, "the number of a GPU") == [numbers[0]]
    lab.end(held[1])
    lab.end(job)
    lab.close()


def test_the_broken_description_is_told_of(lab):
    assert "broken.json" in lab.node.stderr()
