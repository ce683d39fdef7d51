"""Host folders in a job: volumes and mountPoints below an allowed folder."""

import os

import pytest

from jobs import unique


@pytest.fixture
def folder(node):
    """A folder below the allowed one, with a file in it."""
    folder = node.shared / unique("folder")
    folder.mkdir()
    (folder / "in.txt").write_text("some text\n")
    return folder


def mounted(folder, at="/data", **more):
    return {
        "volumes": [{"name": "v", "host": {"sourcePath": str(folder)}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": at, **more}],
    }


def test_a_job_reads_and_writes_a_mounted_folder(lab, folder):
    container = mounted(folder)
    job = lab.run("file-copy", "/data/in.txt", "/data/out.txt", container=container)
    assert lab.lines(job) == ["copied 10 bytes from /data/in.txt to /data/out.txt"]
    assert (folder / "out.txt").read_text() == "SOME TEXT\n"
    assert (folder / "out.txt").stat().st_uid == folder.stat().st_uid
    for member in ("volumes", "mountPoints"):
        assert job["container"][member] == container[member]


def test_a_read_only_mount_can_be_read_and_not_written(lab, folder):
    container = mounted(folder, readOnly=True)
    job = lab.run("word-count", "/data/in.txt", container=container)
    assert lab.lines(job) == ["1 lines, 2 words, 10 bytes"]
    job = lab.run("file-copy", "/data/in.txt", "/data/out.txt", container=container, wanted="FAILED")
    assert job["container"]["exitCode"] == 1
    assert "cannot write /data/out.txt" in lab.lines(job)[0]
    assert os.listdir(folder) == ["in.txt"]


def test_a_mount_at_the_root_moves_scratch_to_tmp(lab, folder):
    lab.run("file-copy", "/in.txt", "/out.txt", container=mounted(folder, "/"))
    assert (folder / "out.txt").read_text() == "SOME TEXT\n"
    lab.run("file-copy", "/in.txt", "/tmp/out.txt", container=mounted(folder, "/"))
    assert sorted(os.listdir(folder)) in (["in.txt", "out.txt"], ["in.txt", "out.txt", "tmp"])


def test_two_folders_are_two_folders(lab, folder, node):
    other = node.shared / unique("other")
    other.mkdir()
    container = {
        "volumes": [
            {"name": "from", "host": {"sourcePath": str(folder)}},
            {"name": "to", "host": {"sourcePath": str(other)}},
        ],
        "mountPoints": [
            {"sourceVolume": "from", "containerPath": "/in", "readOnly": True},
            {"sourceVolume": "to", "containerPath": "/out/deep"},
        ],
    }
    lab.run("file-copy", "/in/in.txt", "/out/deep/copy.txt", container=container)
    assert (other / "copy.txt").read_text() == "SOME TEXT\n"


def test_a_volume_without_a_source_is_an_empty_folder_of_the_job(lab):
    container = {
        "volumes": [{"name": "empty"}],
        "mountPoints": [{"sourceVolume": "empty", "containerPath": "/made"}],
    }
    render = "--width 8 --height 8 --tile-x 0 --tile-y 0 --tile-width 8 --tile-height 8".split()
    lab.run("mandelbrot", *render, "--out", "/made/tile.ppm", container=container)
    job = lab.run("word-count", "/made/tile.ppm", container=container, wanted="FAILED")
    assert "cannot open" in lab.lines(job)[0]


def could_not_start(job):
    assert job["statusReason"] == "Task failed to start"
    assert "exitCode" not in job["container"]
    assert job["container"]["reason"].startswith("ResourceInitializationError: ")
    return job["container"]["reason"]


def test_a_folder_that_is_not_allowed_fails_the_attempt(lab, tmp_path):
    job = lab.run("hello", container=mounted(tmp_path), wanted="FAILED")
    could_not_start(job)


def test_a_folder_that_is_not_there_fails_the_attempt(lab, node):
    job = lab.run("hello", container=mounted(node.shared / "missing"), wanted="FAILED")
    could_not_start(job)
    assert not (node.shared / "missing").exists()


@pytest.mark.parametrize("way", ["dots", "symlink", "sibling"])
def test_there_is_no_way_around_the_allowed_folder(lab, node, tmp_path, way):
    (tmp_path / "secret.txt").write_text("secret")
    if way == "dots":
        source = f"{node.shared}/../{node.shared.name}/.."
    elif way == "symlink":
        source = node.shared / unique("link")
        source.symlink_to(tmp_path)
    else:
        source = node.shared.parent / (node.shared.name + "-too")
        source.mkdir(exist_ok=True)
    could_not_start(lab.run("hello", container=mounted(source), wanted="FAILED"))


def test_a_guest_cannot_leave_a_mounted_folder(lab, folder, node):
    (node.shared / "outside.txt").write_text("outside")
    (folder / "link.txt").symlink_to(node.shared / "outside.txt")
    for path in ("/data/../outside.txt", "/data/../../etc/passwd", "/data/link.txt", "/etc/passwd"):
        job = lab.run("word-count", path, container=mounted(folder), wanted="FAILED")
        assert f"cannot open {path}" in lab.lines(job)[0]


def test_a_file_instead_of_a_folder_fails_the_attempt(lab, folder):
    could_not_start(lab.run("hello", container=mounted(folder / "in.txt"), wanted="FAILED"))


def test_what_this_node_cannot_give_fails_the_attempt_and_is_named(lab):
    container = {"secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/s"}]}
    job = lab.run("hello", container=container, wanted="FAILED")
    assert "secret" in could_not_start(job)
    efs = {
        "volumes": [{"name": "e", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
        "mountPoints": [{"sourceVolume": "e", "containerPath": "/e"}],
    }
    assert "efs" in could_not_start(lab.run("hello", container=efs, wanted="FAILED")).lower()
