"""What pulled images may take on disk: which go when it is too much, and which never do."""

import http.client
import os
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest

import images
from daemon import Daemon, raw_request, until
from jobs import ContainerLab, unique

MIB = 1 << 20
STORE_MIB = 30


@pytest.fixture
def lab(new_container_node):
    node = new_container_node(flags=["--image-store", str(STORE_MIB), "--insecure-registry", "127.0.0.1"])
    lab = ContainerLab(node)
    yield lab
    lab.close()


def large(number, mib=8):
    """A small program over a layer of some size; without busybox, so that nothing is shared."""
    layer = images.Layer().file(f"large-{number}", os.urandom(64) * (mib << 14))
    program = images.Layer().folder("bin").program("bin/sh", Path(images.tool("busybox")).read_bytes())
    return images.image(program.tar(), layer.tar(), Entrypoint=["/bin/sh", "-c"])


def taken(node):
    folder = node.data / "images"
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def pulled(lab):
    return {name for name, row in lab.node.images().items() if not row["loaded"]}


def test_the_image_that_was_not_used_for_longest_goes_first(lab, liar):
    references = [liar.serve(f"large-{number}", "latest", large(number)) for number in range(5)]
    for reference in references[:3]:
        lab.run(reference, "exit 0")
    assert pulled(lab) == set(references[:3])
    # The first is used once more: now the second is the oldest.
    lab.run(references[0], "exit 0")
    for reference in references[3:]:
        lab.run(reference, "exit 0")
    until(lambda: len(pulled(lab)) == 3, 20, "the end of two images")
    assert pulled(lab) == {references[0], *references[3:]}
    until(lambda: taken(lab.node) < (STORE_MIB + 8) * MIB, 20, "room on the disk")


def test_an_image_that_went_is_pulled_again(lab, liar):
    references = [liar.serve(f"large-{number}", "latest", large(number)) for number in range(5)]
    for reference in references:
        lab.run(reference, "exit 0")
    until(lambda: references[0] not in pulled(lab), 20, "the end of the first image")
    assert lab.lines(lab.run(references[0], "echo again")) == ["again"]


def test_an_image_that_runs_stays(lab, liar):
    references = [liar.serve(f"large-{number}", "latest", large(number)) for number in range(5)]
    script = "trap 'exit 3' TERM; echo ready; while :; do :; done"
    job = lab.wait(lab.submit(lab.define(references[0], script)), "RUNNING")
    for reference in references[1:]:
        lab.run(reference, "exit 0")
    until(lambda: len(pulled(lab)) < 5, 20, "the end of an image")
    assert references[0] in pulled(lab)
    assert lab.end(job)["container"]["exitCode"] in (3, 137)


def test_loaded_images_never_go_and_take_nothing_of_the_room(lab, liar):
    lab.node.load("loaded", images.layout_tar(large("loaded", mib=24)))
    references = [liar.serve(f"large-{number}", "latest", large(number)) for number in range(5)]
    for reference in references:
        lab.run(reference, "exit 0")
    until(lambda: len(pulled(lab)) == 2 or len(pulled(lab)) == 3, 20, "the end of images that were pulled")
    assert "docker.io/library/loaded:latest" in lab.node.images()
    assert f"docker.io/library/{lab.BOX}:latest" in lab.node.images()
    lab.run("loaded", "exit 0")


def test_layers_that_images_share_count_once(lab, liar):
    program = images.Layer().folder("bin").program("bin/sh", Path(images.tool("busybox")).read_bytes()).tar()
    shared = images.Layer().file("shared", os.urandom(64) * (12 << 14)).tar()
    references = []
    for number in range(4):
        own = images.Layer().file(f"own-{number}", "x").tar()
        image = images.image(program, shared, own, Entrypoint=["/bin/sh", "-c"])
        references.append(liar.serve(f"sharing-{number}", "latest", image))
    for reference in references:
        lab.run(reference, "exit 0")
    assert pulled(lab) == set(references)


def test_an_image_that_lost_its_tag_goes_before_those_that_have_one(lab, liar):
    first = liar.serve("moving", "latest", large("old"))
    lab.run(first, "exit 0")
    liar.serve("moving", "latest", large("new"))
    lab.run(first, "exit 0")
    others = [liar.serve(f"large-{number}", "latest", large(number)) for number in range(2)]
    for reference in others:
        lab.run(reference, "exit 0")
    until(lambda: pulled(lab) == {first, *others}, 20, "the end of the image without a name")


def test_an_image_over_the_bound_of_one_is_refused(new_container_node, liar):
    node = new_container_node(flags=["--image-size", "6", "--insecure-registry", "127.0.0.1"])
    lab = ContainerLab(node)
    job = lab.run(liar.serve("large", "latest", large(0)), "exit 0", wanted="FAILED")
    assert job["container"]["reason"].startswith("CannotPullContainerError: ")
    assert "larger" in job["container"]["reason"] or "too large" in job["container"]["reason"]
    lab.close()


def test_what_was_collected_stays_away_over_a_restart(lab, liar):
    references = [liar.serve(f"large-{number}", "latest", large(number)) for number in range(5)]
    for reference in references:
        lab.run(reference, "exit 0")
    until(lambda: len(pulled(lab)) <= 3, 20, "the end of two images")
    before = pulled(lab)
    lab.node.kill()
    lab.reopen()
    assert pulled(lab) == before
    assert taken(lab.node) < (STORE_MIB + 8) * MIB


@pytest.fixture
def cramped(tmp_path, box):
    """A lab on a node whose disk has 60 MiB. Containers have a read-only root there: a disk wants more."""
    images.need_root()
    folder = tmp_path / "cramped"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)], check=True)
    flags = ["--container-runtime", images.tool("runc"), "--insecure-registry", "127.0.0.1"]
    node = Daemon(folder, flags=flags)
    try:
        node.start()
        node.load(ContainerLab.BOX, images.layout_tar(box))
        lab = ContainerLab(node)
        yield lab
        lab.close()
    finally:
        if node.process is not None and node.process.poll() is None:
            node.stop()
        subprocess.run(["umount", "-l", str(folder)], check=True)


READ_ONLY = {"readonlyRootFilesystem": True}


@pytest.mark.parametrize("content", [bytes(80 * MIB), os.urandom(80 * MIB)], ids=["unpacked", "downloaded"])
def test_an_image_for_which_there_is_no_room_leaves_the_room_that_there_is(cramped, liar, content):
    before = taken(cramped.node)
    image = images.box(images.Layer().file("large", content))
    definition = cramped.define(liar.serve("large", "latest", image), "true", container=READ_ONLY)
    job = cramped.wait(cramped.submit(definition), "FAILED", seconds=60)
    assert job["container"]["reason"].startswith("CannotPullContainerError: ")
    assert "No space left on device" in job["container"]["reason"]
    assert cramped.said("echo well", container=READ_ONLY) == ["well"]
    assert taken(cramped.node) < before + MIB


def test_an_archive_for_which_there_is_no_room_leaves_the_room_that_there_is(cramped):
    before = taken(cramped.node)
    archive = images.layout_tar(images.box(images.Layer().file("large", os.urandom(80 * MIB)), how="none"))
    status, _, _ = raw_request(cramped.node.endpoint, "PUT", "/wasmbatch/v1/images?name=large", archive)
    assert status >= 400
    assert cramped.said("echo well", container=READ_ONLY) == ["well"]
    assert taken(cramped.node) < before + MIB


def test_an_upload_that_is_given_up_leaves_nothing(lab):
    before = taken(lab.node)
    archive = images.layout_tar(images.box(images.Layer().file("large", os.urandom(8 * MIB))))
    length = {"Content-Length": str(len(archive) * 2)}
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(lab.node.endpoint).netloc, timeout=30)
    connection.request("PUT", "/wasmbatch/v1/images?name=half", archive, length)
    connection.close()
    until(lambda: not list((lab.node.data / "tmp").iterdir()), 20, "the end of the upload's file")
    assert taken(lab.node) < before + MIB


def test_loading_deleting_and_running_at_once_go_well(lab):
    archives = [images.layout_tar(images.box(images.Layer().file("f", f"{n}\n"))) for n in range(3)]
    names = [unique("own") for _ in archives]
    lab.node.load("shared", archives[0])
    failures = []

    def work(number):
        try:
            for _ in range(5):
                lab.node.load("shared", archives[number])
                lab.node.load(names[number], archives[number])
                path = f"/wasmbatch/v1/images/{names[number]}"
                status, _, body = raw_request(lab.node.endpoint, "DELETE", path)
                # It may be what a job runs right now under the other name.
                assert status == 200 or b"in use" in body, body
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    definition = lab.define_shell("cat /f", image="shared")
    jobs = []
    while any(thread.is_alive() for thread in threads):
        job_id = lab.submit(definition)
        lab.wait(job_id, "SUCCEEDED")
        jobs.append(job_id)
    assert failures == []
    said = {line for job_id in jobs for line in lab.lines(lab.job(job_id))}
    assert said <= {"0", "1", "2"} and said
