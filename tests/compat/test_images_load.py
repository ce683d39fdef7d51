"""Images of archives: what `wasmbatch images` and the routes behind it take, list and delete."""

import json
import urllib.parse

import pytest

import images
from daemon import guest, raw_request
from jobs import ContainerLab, unique


def saying(text, **config):
    layer = images.Layer().program("say", f"#!/bin/sh\necho {text}\n")
    return images.box(layer, Entrypoint=["/say"], **config)


def full(name):
    """A name as the node lists it."""
    return f"docker.io/library/{name}:latest"


def delete(node, name):
    path = "/wasmbatch/v1/images/" + urllib.parse.quote(name, safe="")
    status, _, body = raw_request(node.endpoint, "DELETE", path)
    return status, json.loads(body or b"{}")


def put(node, archive, query="", **headers):
    status, _, body = raw_request(node.endpoint, "PUT", "/wasmbatch/v1/images" + query, archive, headers)
    return status, json.loads(body)


def refused(node, archive, name=None):
    """The node's words when it takes no archive."""
    status, body = put(node, archive, f"?name={name or unique('x')}")
    assert status == 400, f"{status} {body}"
    return body["message"]


def test_a_tar_of_an_oci_layout_is_loaded(boxes, tmp_path):
    name = unique("layout")
    path = tmp_path / "image.tar"
    path.write_bytes(images.layout_tar(saying("a layout")))
    boxes.node.run("images", "load", path, "--name", name)
    assert boxes.lines(boxes.run(name)) == ["a layout"]


def test_the_folder_of_an_oci_layout_is_loaded(boxes, tmp_path):
    name = unique("layout")
    folder = images.layout_folder(tmp_path / "layout", {"latest": saying("a folder")})
    boxes.node.run("images", "load", folder, "--name", name)
    assert boxes.lines(boxes.run(name)) == ["a folder"]


def test_what_docker_saves_is_loaded_under_its_own_names(boxes, tmp_path):
    first, second = unique("saved"), unique("saved")
    path = tmp_path / "saved.tar"
    path.write_bytes(
        images.docker_archive(saying("saved", docker=True), f"{first}:1.0", f"example.org/{second}:x")
    )
    done = boxes.node.run("images", "load", path, "--json")
    names = {image["name"] for image in json.loads(done.stdout)}
    assert names == {f"docker.io/library/{first}:1.0", f"example.org/{second}:x"}
    assert boxes.lines(boxes.run(f"{first}:1.0")) == ["saved"]
    assert boxes.lines(boxes.run(f"example.org/{second}:x")) == ["saved"]


def test_layers_that_are_links_in_the_archive_are_followed(boxes):
    # Old versions of `docker save` write a layer once and link the others to it.
    image = saying("linked", docker=True)
    name = unique("linked")
    archive = images.Layer()
    config = image.blob(image.content["config"])
    layers = []
    for number, layer in enumerate(image.content["layers"]):
        archive.file(f"{number}.tar", images.gzip.decompress(image.blob(layer)))
        archive.folder(f"l{number}").symlink(f"l{number}/layer.tar", f"../{number}.tar")
        layers.append(f"l{number}/layer.tar")
    archive.file("config.json", config)
    entry = {"Config": "config.json", "RepoTags": [f"{name}:latest"], "Layers": layers}
    archive.file("manifest.json", images.json_bytes([entry]))
    status, _ = put(boxes.node, archive.tar())
    assert status == 201
    assert boxes.lines(boxes.run(name)) == ["linked"]


def test_a_compressed_archive_is_loaded(boxes):
    name = unique("compressed")
    archive = images.layout_tar(saying("compressed"))
    for how in ("gzip", "zstd"):
        boxes.node.load(name, images.compressed(archive, how)[0])
        assert boxes.lines(boxes.run(name)) == ["compressed"]


def test_all_images_of_a_layout_are_loaded_with_their_whole_names(boxes):
    first, second = f"example.org/{unique('a')}:1", f"example.org/{unique('b')}:2"
    archive = images.tar_of(images.layout_files({first: saying("one"), second: saying("two")}))
    status, body = put(boxes.node, archive)
    assert status == 201
    assert {image["name"] for image in body["images"]} == {first, second}
    assert boxes.lines(boxes.run(first)) == ["one"]
    assert boxes.lines(boxes.run(second)) == ["two"]


def test_an_index_in_a_layout_gives_the_image_for_this_machine(boxes):
    name = unique("index")
    here = f"linux/{images.ARCHITECTURE}"
    index = images.index(("linux/s390x", saying("x", architecture="s390x")), (here, saying("this machine")))
    boxes.node.load(name, images.layout_tar(index))
    assert boxes.lines(boxes.run(name)) == ["this machine"]


def test_a_module_in_a_layout_is_loaded(boxes):
    name = unique("module")
    boxes.node.load(name, images.layout_tar(images.module_artifact(guest("hello"))))
    assert boxes.lines(boxes.run(name, "layout")) == ["hello from wasmbatch, layout"]


def test_what_has_no_name_is_called_by_its_digest(boxes):
    image = saying(unique("nameless"))
    status, body = put(boxes.node, images.layout_tar(image))
    assert status == 201
    [listed] = body["images"]
    assert listed["name"] == listed["digest"] == image.digest
    assert len(boxes.lines(boxes.run(image.digest))) == 1
    assert delete(boxes.node, image.digest)[0] == 200


def test_the_list_has_what_an_owner_wants_to_know(boxes, tmp_path):
    name = unique("listed")
    image = saying("listed")
    boxes.node.load(name, images.layout_tar(image))
    listed = boxes.node.images()[full(name)]
    assert listed["digest"] == image.digest
    assert listed["loaded"] is True
    assert listed["sizeBytes"] > 1 << 20
    assert listed["usedAt"] > 1_700_000_000_000
    done = boxes.node.run("images", "list")
    [line] = [line for line in done.stdout.splitlines() if full(name) in line]
    assert image.digest in line and "loaded" in line
    assert listed["digest"] in {
        row["digest"] for row in json.loads(boxes.node.run("images", "list", "--json").stdout)
    }


def test_a_use_is_remembered(boxes):
    name = unique("used")
    boxes.node.load(name, images.layout_tar(saying("used")))
    before = boxes.node.images()[full(name)]["usedAt"]
    job = boxes.run(name)
    assert boxes.node.images()[full(name)]["usedAt"] >= max(before, job["createdAt"])


def test_loading_a_name_again_moves_it(boxes):
    name = unique("moved")
    boxes.node.load(name, images.layout_tar(saying("first")))
    boxes.node.load(name, images.layout_tar(saying("second")))
    assert boxes.lines(boxes.run(name)) == ["second"]


def test_loading_the_same_twice_is_loading_it_once(boxes):
    name = unique("twice")
    archive = images.layout_tar(saying("twice"))
    first, second = (boxes.node.load(name, archive)["images"] for _ in range(2))
    assert [image["digest"] for image in first] == [image["digest"] for image in second]
    assert boxes.lines(boxes.run(name)) == ["twice"]


def test_a_deleted_image_is_gone(boxes):
    # Nobody answers there: it is here, or it is not to be had.
    name = f"127.0.0.1:1/{unique('deleted')}:x"
    boxes.node.load(name, images.layout_tar(saying("deleted")))
    assert boxes.lines(boxes.run(name)) == ["deleted"]
    boxes.node.run("images", "delete", name)
    assert name not in boxes.node.images()
    job = boxes.run(name, wanted="FAILED")
    assert job["container"]["reason"].startswith("CannotPullContainerError: ")


def test_deleting_what_is_not_there_says_so(boxes):
    name = unique("nothing")
    assert delete(boxes.node, name)[0] == 404
    done = boxes.node.run("images", "delete", name, check=False)
    assert done.returncode != 0
    assert name in done.stderr


def test_an_image_in_use_is_not_deleted(boxes):
    name = unique("busy")
    boxes.node.load(name, images.layout_tar(images.box(images.Layer().file("word", "kept\n"))))
    job = boxes.begin("trap 'cat /word; exit 3' TERM; echo ready; sleep 600 & wait", "ready", image=name)
    status, body = delete(boxes.node, name)
    assert (status, "use" in body["message"]) == (400, True), body
    assert boxes.lines(boxes.end(job)) == ["ready", "kept"]
    assert delete(boxes.node, name)[0] == 200


def test_one_of_two_names_can_be_deleted(boxes):
    first, second = unique("first"), unique("second")
    archive = images.layout_tar(saying("two names"))
    for name in (first, second):
        boxes.node.load(name, archive)
    assert delete(boxes.node, first)[0] == 200
    assert boxes.lines(boxes.run(second)) == ["two names"]


def test_a_deleted_image_takes_no_room(new_container_node):
    lab = ContainerLab(new_container_node())
    folder = lab.node.data / "images"

    def taken():
        return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))

    before = taken()
    lab.node.load("large", images.layout_tar(images.box(images.Layer().file("large", b"x" * (8 << 20)))))
    assert taken() > before + (8 << 20)
    assert delete(lab.node, "large")[0] == 200
    assert taken() < before + (1 << 20)
    lab.close()


def test_loaded_images_are_there_after_kill_9(new_container_node):
    node = new_container_node()
    node.load("kept", images.layout_tar(saying("kept")))
    node.kill()
    node.start()
    lab = ContainerLab(node)
    assert lab.lines(lab.run("kept")) == ["kept"]
    assert node.images()[full("kept")]["loaded"] is True
    lab.close()


@pytest.mark.parametrize("content", [b"", b"no archive at all", bytes(10240), b"\x1f\x8b" + bytes(100)])
def test_what_is_no_archive_is_refused(boxes, content):
    assert refused(boxes.node, content)


def test_an_archive_of_something_else_is_refused(boxes):
    message = refused(boxes.node, images.tar_of({"hello": b"world"}))
    assert "neither index.json nor manifest.json" in message


@pytest.mark.parametrize("name", ["UPPER", "a b", "", "x" * 300, "a@b", "../x", "a:b:c"])
def test_a_name_that_is_none_is_refused(boxes, name):
    status, _ = put(boxes.node, images.layout_tar(saying("x")), "?name=" + urllib.parse.quote(name, safe=""))
    assert status == 400


def test_other_questions_are_refused(boxes):
    assert put(boxes.node, b"", "?nam=x")[0] == 400
    assert put(boxes.node, b"", "?name=x&name=y")[0] == 400


def test_an_archive_that_breaks_off_is_refused_and_leaves_nothing(boxes):
    before = boxes.node.images()
    whole = images.layout_tar(saying(unique("broken")))
    # Within the first header, a layer, and the index, which comes last.
    for length in (300, len(whole) // 3, whole.rindex(b"index.json") + 700):
        assert refused(boxes.node, whole[:length])
    assert boxes.node.images() == before


@pytest.mark.parametrize("part", ["config", "layer", "manifest"])
def test_a_blob_that_is_not_what_its_digest_says_is_refused(boxes, part):
    image = saying(unique("changed"))
    files = images.layout_files({"latest": image})
    digest = {
        "config": image.content["config"]["digest"],
        "layer": image.content["layers"][-1]["digest"],
        "manifest": image.digest,
    }[part]
    path = "blobs/" + digest.replace(":", "/")
    files[path] = files[path][:-1] + bytes([files[path][-1] ^ 1])
    message = refused(boxes.node, images.tar_of(files))
    assert "digest" in message or "not valid" in message


def test_a_blob_that_is_missing_is_refused(boxes):
    image = saying(unique("missing"))
    files = images.layout_files({"latest": image})
    del files["blobs/" + image.content["layers"][-1]["digest"].replace(":", "/")]
    assert "blobs/sha256" in refused(boxes.node, images.tar_of(files))


def test_a_blob_that_leads_out_of_the_archive_is_refused(boxes):
    secret = boxes.node.folder / "secret.tar"
    secret.write_bytes(images.Layer().file("secret", "x").tar())
    content = saying(unique("outside"))
    digest = content.content["layers"][-1]["digest"]
    path = "blobs/" + digest.replace(":", "/")
    for target in (str(secret), "../../../../../../../../.." + str(secret), "/proc/self/fd/0"):
        files = images.layout_files({"latest": content})
        del files[path]
        archive = images.Layer()
        for name, blob in files.items():
            archive.file(name, blob)
        archive.symlink(path, target)
        assert refused(boxes.node, archive.tar())
    for config in ("/etc/passwd", "../../../etc/passwd", str(secret)):
        entry = [{"Config": config, "RepoTags": ["x:1"], "Layers": []}]
        assert "passwd" not in json.dumps(boxes.node.images())
        assert refused(boxes.node, images.tar_of({"manifest.json": images.json_bytes(entry)}))


def test_other_origins_may_not_load_or_delete(boxes):
    archive = images.layout_tar(saying("x"))
    status, _ = put(boxes.node, archive, "?name=foreign", Origin="http://example.org")
    assert status == 403
    path = "/wasmbatch/v1/images/" + boxes.BOX
    status, _, _ = raw_request(boxes.node.endpoint, "DELETE", path, headers={"Origin": "http://example.org"})
    assert status == 403
    assert full(boxes.BOX) in boxes.node.images()
