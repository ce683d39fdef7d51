"""Images that mean harm, all at once on one node, while containers that behave run beside them. Each must be
refused in its way, and nothing of it may stay or reach anything."""

import hashlib
import re
from pathlib import Path

import pytest

import images
from harm import MOST_IMAGE_MIB, PIECES, over_box
from jobs import ContainerLab, children
from registries import LyingRegistry

NOT_STARTED = "Task failed to start"
PULL_SECONDS = 25


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder of the host with something precious in it, which images try to reach."""
    folder = tmp_path_factory.mktemp("outside")
    folder.chmod(0o777)
    (folder / "precious").write_text("kept")
    return folder


@pytest.fixture(scope="module")
def gallery(module_container_node, box_tar, outside):
    """All pieces at once; gives their jobs, and what runs beside them."""
    flags = ["--insecure-registry", "127.0.0.1", "--image-size", str(MOST_IMAGE_MIB)]
    flags += ["--pull-seconds", str(PULL_SECONDS)]
    node = module_container_node(flags=flags)
    liar = LyingRegistry()
    lab = ContainerLab(node)
    jobs = {}
    neighbour = lab.submit(lab.define_shell("echo $AWS_BATCH_JOB_ARRAY_INDEX"), arrayProperties={"size": 20})
    runtime = hashlib.sha256(Path(images.tool("runc")).read_bytes()).hexdigest()
    for number, one in enumerate(PIECES):
        image = over_box(one.image(outside), box_tar)
        reference = liar.serve(f"piece-{number}", "latest", image)
        script = one.script.replace("$OUTSIDE", str(outside))
        command = ["sh", "-c", script] if script else ["/entry"]
        jobs[one.name] = lab.submit(lab.define(reference, *command))
    yield lab, jobs, neighbour, runtime
    lab.close()
    liar.close()


@pytest.mark.parametrize("one", PIECES, ids=[one.name for one in PIECES])
def test_an_image_that_means_harm_is_refused_or_harmless(gallery, one):
    lab, jobs, _, _ = gallery
    job = lab.wait(jobs[one.name], "SUCCEEDED", "FAILED", seconds=90)
    if one.says:
        assert job["status"] == "SUCCEEDED", job
        assert lab.lines(job) == list(one.says)
        return
    assert job["status"] == "FAILED", job
    if one.script:
        assert job["statusReason"] == NOT_STARTED
        reason = job["container"]["reason"]
        assert reason.startswith("CannotPullContainerError: ")
        assert re.search(one.refused, reason) or re.search(words(one.refused), reason), reason
        assert re.fullmatch(r"[A-Za-z0-9.: ]+", reason)
        assert len(reason) <= 1024


def words(pattern):
    """A pattern of a refusal as reasons have it: with letters, digits, dots, colons and spaces alone."""
    return re.sub(r"[^A-Za-z0-9.:|()*+?\[\]^$ ]", " ", pattern)


def test_the_neighbours_of_hostile_images_succeed(gallery):
    lab, _, neighbour, _ = gallery
    lab.wait(neighbour, "SUCCEEDED", seconds=120)
    jobs = lab.described(children(neighbour, 20))
    assert all(len(job["attempts"]) == 1 for job in jobs.values())


def test_nothing_of_the_host_was_reached(gallery, outside):
    lab, jobs, _, runtime = gallery
    for job_id in jobs.values():
        lab.wait(job_id, "SUCCEEDED", "FAILED", seconds=120)
    assert sorted(path.name for path in outside.iterdir()) == ["precious"]
    assert (outside / "precious").read_text() == "kept"
    assert hashlib.sha256(Path(images.tool("runc")).read_bytes()).hexdigest() == runtime


def test_the_node_is_well_after_all_of_it(gallery):
    lab, jobs, _, _ = gallery
    for job_id in jobs.values():
        lab.wait(job_id, "SUCCEEDED", "FAILED", seconds=120)
    assert lab.said("echo well") == ["well"]
    assert "panicked" not in lab.node.stderr()


def test_nothing_of_what_was_refused_stays_on_disk(gallery):
    lab, jobs, _, _ = gallery
    for job_id in jobs.values():
        lab.wait(job_id, "SUCCEEDED", "FAILED", seconds=120)
    names = lab.node.images()
    for number, one in enumerate(PIECES):
        kept = [name for name in names if f"/piece-{number}:" in name]
        assert bool(kept) == (bool(one.says) or not one.script), one.name
    folder = lab.node.data / "images"
    taken = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    assert taken < 24 << 20, "layers that no image has are kept"
