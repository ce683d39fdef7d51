"""Images that mean harm, and registries that lie: all at once on one node, while containers that behave run
beside them. Each must be refused in its way, and nothing of it may stay or reach anything."""

import dataclasses
import gzip
import hashlib
import json
import os
import re
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import images
from daemon import until
from images import Layer
from jobs import ContainerLab, children
from registries import Answer, LyingRegistry, refuses

NOT_STARTED = "Task failed to start"
MOST_IMAGE_MIB = 64
PULL_SECONDS = 25


@dataclasses.dataclass
class Piece:
    """An image, what it is refused with, or what it says where it is taken for what it may be."""

    name: str
    image: Callable
    refused: str | None = None
    says: tuple = ()
    script: str = "true"


PIECES = []


def piece(name, refused=None, says=(), script="true"):
    """Puts what a function makes into the gallery: a layer over busybox, or an image."""

    def add(make):
        PIECES.append(Piece(name, make, refused, tuple(says), script))
        return make

    return add


def over_box(content, box_tar):
    if isinstance(content, Layer):
        content = content.tar()
    if isinstance(content, bytes):
        return images.image(box_tar, content)
    return content


# Names that lead elsewhere.


@piece("a name that leads up", "its name leads out of the archive")
def _(outside):
    return Layer().file("../escaped", "x")


@piece("a name that leads up later", "its name leads out of the archive")
def _(outside):
    return Layer().folder("a").file("a/b/../../../escaped", "x")


@piece("an absolute name", says=["inside"], script="cat $OUTSIDE/escaped")
def _(outside):
    return Layer().file(f"{outside}/escaped", "inside\n")


@piece("a link to a folder of the host", says=["inside"], script="cat /way/escaped $OUTSIDE/escaped | head -n 1")
def _(outside):
    return Layer().symlink("way", str(outside)).file("way/escaped", "inside\n")


@piece("a relative link to a folder of the host", says=["inside"], script="cat /a/way/escaped")
def _(outside):
    return Layer().symlink("a/way", "../" * 40 + str(outside)[1:]).file("a/way/escaped", "inside\n")


@piece("a link that is replaced by a link", says=["done"], script="echo done")
def _(outside):
    layer = Layer().folder("way").symlink("way", str(outside)).file("way/escaped", "x")
    return layer.symlink("way", "/etc").file("way/motd", "x")


@piece("a link into proc", says=["done"], script="echo done")
def _(outside):
    return Layer().symlink("way", "/proc/self/root").file(f"way{outside}/escaped", "x")


@piece("links in a circle", "(too many links|forbidden link|cannot be written)")
def _(outside):
    return Layer().symlink("a", "b").symlink("b", "a").file("a/x", "x")


@piece("a hard link to a file of the host", "links to nothing that the archive has")
def _(outside):
    return Layer().hardlink("passwords", "/etc/shadow")


@piece("a hard link that leads up", "(its name leads out of the archive|links to nothing)")
def _(outside):
    return Layer().hardlink("passwords", "../../../../../../../../etc/shadow")


@piece("a hard link through a link", "links to nothing that the archive has")
def _(outside):
    return Layer().symlink("way", "/etc").hardlink("passwords", "way/shadow")


@piece("a hard link to a link", says=["none"], script="cat /passwords 2>/dev/null || echo none")
def _(outside):
    return Layer().symlink("way", "/etc/shadow").hardlink("passwords", "way")


@piece("a hard link to a folder", "it links to a folder")
def _(outside):
    return Layer().folder("a").hardlink("b", "a")


@piece("a deletion of nothing", "it deletes nothing that has a name")
def _(outside):
    return Layer().file(".wh.", "")


@piece("a deletion of the folder above", "it deletes nothing that has a name")
def _(outside):
    return Layer().folder("a").file("a/.wh...", "")


@piece("a deletion of a folder itself", "it deletes nothing that has a name")
def _(outside):
    return Layer().folder("a").file("a/.wh..", "")


@piece("a deletion through a link", says=["done"], script="echo done")
def _(outside):
    return Layer().symlink("way", str(outside)).file("way/.wh.precious", "")


@piece("a link named as a deletion", "the name of a deletion")
def _(outside):
    return Layer().symlink(".wh.etc", "/etc")


@piece("a file below a file", "a file stands where its folder would be")
def _(outside):
    return Layer().file("a", "x").file("a/b", "x")


@piece("no name at all", "it has no name")
def _(outside):
    return Layer().file("./", "x").file(".", "x")


@piece("a part of a name that is too long", "a part of its name is too long")
def _(outside):
    return Layer().file("a" * 300, "x")


@piece("a name that is too long", "its name is too long")
def _(outside):
    return Layer().file("/".join(["d" * 200] * 30), "x")


@piece("a user that no container has", "its owner is not below 65536")
def _(outside):
    return Layer().file("a", "x", uid=70_000)


@piece("a group beyond all numbers", "its owner is not below 65536")
def _(outside):
    return Layer().file("a", "x", gid=1 << 40)


# Archives that are none.


@piece("an archive that ends within a file", "ends within an entry")
def _(outside):
    return Layer().file("a", bytes(100_000)).tar()[:50_000]


@piece("an archive that ends within a header", "ends within a header")
def _(outside):
    return Layer().file("a", "x").file("b", "y").tar()[: 1024 + 100]


@piece("an archive with a header that is wrong", "not a tar archive")
def _(outside):
    return b"x" * 2048


@piece("a file that claims to be huge", "(ends within an entry|too large|larger than)")
def _(outside):
    tar = bytearray(Layer().file("a", "x").tar())
    tar[124:136] = b"77777777777\0"
    tar[148:156] = b"        "
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return bytes(tar)


@piece("many headers in a row", "too many extension headers in a row")
def _(outside):
    one = Layer().add("x", b"x", content=b"21 comment=abcdefghi\n").tar()[:1024]
    return one * 50 + Layer().file("a", "x").tar()


@piece("a header for the next that is too long", "longer than")
def _(outside):
    return Layer().add("x", b"x", content=b"x" * (2 << 20)).file("a", "x").tar()


@piece("a header for the next that is garbage", "PAX header is not valid")
def _(outside):
    return Layer().add("x", b"x", content=b"99999 a=b\n").file("a", "x").tar()


@piece("a file of a terabyte of holes", "(cannot be written|too large|larger than)")
def _(outside):
    map_of_holes = b"0,1,1099511627775,1"
    records = b""
    for key, value in (
        (b"GNU.sparse.major", b"0"),
        (b"GNU.sparse.minor", b"1"),
        (b"GNU.sparse.size", b"1099511627776"),
        (b"GNU.sparse.map", map_of_holes),
    ):
        length = len(key) + len(value) + 3
        length += len(str(length + len(str(length))))
        records += b"%d %s=%s\n" % (length, key, value)
    return Layer().add("x", b"x", content=records).file("holes", "ab").tar()


@piece("more than an image may be", "larger than an image may be")
def _(outside):
    return Layer().file("large", bytes((MOST_IMAGE_MIB + 16) << 20))


@piece("layers that are too large together", "the image is too large")
def _(outside):
    tars = [Layer().file(f"part-{n}", os.urandom(1) + bytes(24 << 20)).tar() for n in range(3)]
    return images.image(*tars)


@piece("many files", "larger than an image may be|more entries")
def _(outside):
    # Written once and repeated: a name that comes again is a file that comes again.
    return Layer().file("a", "").tar()[:512] * ((MOST_IMAGE_MIB + 1) * 2048)


@piece("what is no gzip", "")
def _(outside):
    return with_layer(b"\x1f\x8b\x08\x00" + b"garbage" * 100, ".tar+gzip")


@piece("gzip that breaks off", "")
def _(outside):
    whole = gzip.compress(Layer().file("a", os.urandom(100_000)).tar())
    return with_layer(whole[: len(whole) // 2], ".tar+gzip")


@piece("gzip with a wrong sum", "")
def _(outside):
    whole = bytearray(gzip.compress(Layer().file("a", "x").tar()))
    whole[-8] ^= 1
    return with_layer(bytes(whole), ".tar+gzip")


@piece("zstd with a window of terabytes", "")
def _(outside):
    # A frame whose header asks for a window of 2 to the 41 bytes.
    frame = b"\x28\xb5\x2f\xfd\x00\xf8" + struct.pack("<I", 1 | (1 << 1) | (1000 << 3))[:3] + b"x"
    return with_layer(frame, ".tar+zstd")


def with_layer(content, kind):
    """An image of one layer that is whatever it is."""
    about = {
        "architecture": images.ARCHITECTURE,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [images.digest_of(content)]},
    }
    digest = images.digest_of(content)
    layer = {"mediaType": images.OCI_LAYER.removesuffix(".tar") + kind, "digest": digest, "size": len(content)}
    return images.assembled(images.json_bytes(about), {digest: content}, [layer])


# Configurations and manifests.


def configured(change, **config):
    """Busybox's last layer with a configuration that `change` has edited."""
    image = images.image(Layer().file("x", "x").tar(), **config)
    about = json.loads(image.blob(image.content["config"]))
    change(about)
    return images.assembled(images.json_bytes(about), image.blobs, image.content["layers"])


def manifest_of(change):
    # A layer of its own: what is on disk already is not asked for again.
    return images.image(Layer().file("x", os.urandom(16).hex()).tar()).changed(change)


@piece("a layer that is another", "has another digest")
def _(outside):
    return images.image(Layer().file("x", "x").tar(), diff_ids=[images.digest_of(b"other")])


@piece("fewer digests than layers", "1 layers and 0 diff_ids")
def _(outside):
    return images.image(Layer().file("x", "x").tar(), diff_ids=[])


@piece("a configuration that is none", "configuration is not valid")
def _(outside):
    image = images.image(Layer().file("x", "x").tar())
    return images.assembled(b"[" * 100_000, image.blobs, image.content["layers"])


@piece("a configuration that is huge", "too large")
def _(outside):
    return configured(lambda about: about.update(comment="x" * (9 << 20)))


@piece("a configuration that says too much", "says too much")
def _(outside):
    return configured(lambda about: about["config"].update(Env=[f"A{n}=x" for n in range(20_000)]))


@piece("a zero byte in the command", "zero byte")
def _(outside):
    return configured(lambda about: about["config"].update(Entrypoint=["/bin/sh", "a\0b"]))


@piece("a working directory that leads up", "working directory")
def _(outside):
    return configured(lambda about: about["config"].update(WorkingDir="../../etc"))


@piece("a command that is a number", "configuration is not valid")
def _(outside):
    return configured(lambda about: about["config"].update(Cmd=5))


@piece("a manifest of garbage", "manifest is not valid")
def _(outside):
    return images.Image(b"{" * 1000, images.OCI_MANIFEST, {})


@piece("a manifest of the first schema", "schema 1 is not supported")
def _(outside):
    text = images.json_bytes({"schemaVersion": 1, "name": "x", "tag": "x", "fsLayers": [], "history": []})
    return images.Image(text, "application/vnd.docker.distribution.manifest.v1+prettyjws", {})


@piece("a manifest that is huge", "too large")
def _(outside):
    return manifest_of(lambda manifest: manifest.update(annotations={"x": "y" * (5 << 20)}))


@piece("a size below zero", "negative")
def _(outside):
    return manifest_of(lambda manifest: manifest["layers"][0].update(size=-1))


@piece("a size that is another", "another size")
def _(outside):
    return manifest_of(lambda manifest: manifest["layers"][0].update(size=manifest["layers"][0]["size"] + 1))


@piece("a size beyond all limits", "too large")
def _(outside):
    return manifest_of(lambda manifest: manifest["layers"][0].update(size=1 << 60))


@piece("a digest that is a path", "not a sha256 digest")
def _(outside):
    return manifest_of(lambda manifest: manifest["layers"][0].update(digest="sha256:../../../../etc/passwd"))


@piece("a layer of a type that nobody knows", "no image")
def _(outside):
    return manifest_of(lambda manifest: manifest["layers"][0].update(mediaType="application/zip"))


@piece("a layer that is to be had elsewhere", "not supported")
def _(outside):
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    return manifest_of(lambda manifest: manifest["layers"][0].update(mediaType=kind, urls=["http://127.0.0.1/x"]))


@piece("too many layers", "128 layers")
def _(outside):
    return manifest_of(lambda manifest: manifest.update(layers=manifest["layers"] * 128))


@piece("an index in an index", "index within an index")
def _(outside):
    here = f"linux/{images.ARCHITECTURE}"
    return images.index((here, images.index((here, images.image(Layer().file("x", "x").tar())))))


@piece("an index of itself", "another digest|index within|manifest unknown")
def _(outside):
    return images.Image(
        images.json_bytes(
            {
                "schemaVersion": 2,
                "mediaType": images.OCI_INDEX,
                "manifests": [
                    {"mediaType": images.OCI_INDEX, "digest": images.digest_of(b""), "size": 0}
                ],
            }
        ),
        images.OCI_INDEX,
        {},
    )


@piece("an index of thousands", "too many entries")
def _(outside):
    entry = {"mediaType": images.OCI_MANIFEST, "digest": images.digest_of(b"x"), "size": 1}
    entry["platform"] = {"os": "linux", "architecture": "s390x"}
    text = images.json_bytes({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": [entry] * 5000})
    return images.Image(text, images.OCI_INDEX, {})


# What is only met when the container begins.


@piece("a device folder that is a link to the host", says=["done"], script="echo done")
def _(outside):
    return Layer().whiteout("dev").symlink("dev", str(outside))


@piece("folders of the container's own that are links", says=["done"], script="ls /proc/self/status >/dev/null && echo done")
def _(outside):
    layer = Layer()
    for name in ("proc", "sys", "dev"):
        layer.whiteout(name).symlink(name, str(outside))
    return layer


@piece("a folder of settings that is a link to the host", says=["done"], script="echo done")
def _(outside):
    layer = Layer().add("etc", tarfile.SYMTYPE, target=str(outside))
    return layer


@piece("an entrypoint that is the runtime itself", "CannotStart|^$", script="")
def _(outside):
    # What overwrote old versions of runc.
    return Layer().symlink("entry", "/proc/self/exe")


@piece("a script whose interpreter is the runtime", "CannotStart|^$", script="")
def _(outside):
    return Layer().program("entry", "#!/proc/self/exe\n")


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


# Registries that lie.


@pytest.fixture(scope="module")
def liars_node(module_container_node):
    return module_container_node(flags=["--insecure-registry", "127.0.0.1", "--pull-seconds", "2"])


@pytest.fixture
def lab(liars_node):
    lab = ContainerLab(liars_node)
    yield lab
    lab.close()


def small(text="x"):
    return images.image(Layer().file("x", text * 5000).tar(), how="none")


def refusal(lab, reference, seconds=30):
    job = lab.wait(lab.submit(lab.define(reference, "true")), "FAILED", seconds=seconds)
    assert job["statusReason"] == NOT_STARTED
    reason = job["container"]["reason"]
    assert reason.startswith("CannotPullContainerError: ")
    assert lab.said("echo well") == ["well"]
    return reason.removeprefix("CannotPullContainerError: ")


def test_a_manifest_with_another_digest_is_refused(lab, liar):
    image = small()
    reference = liar.serve("lie", "x", image).removesuffix(":x") + "@" + image.digest
    other = small("y")
    path = f"/v2/lie/manifests/{image.digest}"
    liar.lie(path, lambda _: Answer(200, other.manifest, {"Content-Type": image.media_type}))
    assert "another digest" in refusal(lab, reference)


def test_a_digest_in_a_header_is_not_believed(lab, liar):
    image, other = small(), small("y")
    reference = liar.serve("lie", "latest", image)
    liar.serve("lie", "other", other)
    headers = {"Content-Type": image.media_type, "Docker-Content-Digest": other.digest}
    for version in ("latest", other.digest):
        liar.lie(f"/v2/lie/manifests/{version}", lambda _: Answer(200, image.manifest, headers))
    assert "another digest" in refusal(lab, reference)


def test_a_layer_with_another_digest_is_refused(lab, liar):
    image = small("a")
    layer = image.blob(image.content["layers"][0])
    liar.lie_about_layer("lie", image, lambda _: Answer(200, layer[:-1] + b"!"))
    assert "another digest" in refusal(lab, liar.serve("lie", "latest", image))


def test_a_layer_that_is_longer_is_refused(lab, liar):
    image = small("b")
    layer = image.blob(image.content["layers"][0])
    liar.lie_about_layer("lie", image, lambda _: Answer(200, layer + b"!"))
    assert "another size" in refusal(lab, liar.serve("lie", "latest", image))


def test_a_layer_without_an_end_is_refused(lab, liar):
    image = small("c")
    liar.lie_about_layer("lie", image, liar.endless)
    assert "another size" in refusal(lab, liar.serve("lie", "latest", image))


def test_a_layer_that_always_breaks_off_is_given_up(lab, liar):
    image = small("d")
    layer = image.blob(image.content["layers"][0])
    liar.lie_about_layer("lie", image, lambda _: Answer(200, layer[:100], length=len(layer)))
    assert refusal(lab, liar.serve("lie", "latest", image))


def test_a_layer_that_breaks_off_once_is_pulled_all_the_same(lab, liar, box_tar):
    image = images.image(box_tar, Layer().file("word", "whole\n").tar())
    layer = image.blob(image.content["layers"][-1])
    tries = []

    def break_off(handler):
        tries.append(handler.headers.get("Range"))
        if len(tries) == 1:
            return Answer(200, layer[:100], length=len(layer))
        return Answer(200, layer)

    liar.lie_about_layer("lie", image, break_off)
    assert lab.said("cat /word", image=liar.serve("lie", "latest", image)) == ["whole"]
    assert len(tries) == 2


def test_a_registry_that_says_nothing_costs_no_more_than_the_bound(lab, liar):
    image = small("e")
    reference = liar.serve("lie", "latest", image)
    liar.lie_about_layer("lie", image, liar.hang)
    assert "longer than 2 seconds" in refusal(lab, reference)


def test_a_manifest_without_an_end_is_refused(lab, liar):
    liar.lie("/v2/lie/manifests/latest", liar.endless)
    assert refusal(lab, f"{liar.address}/lie:latest")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "UNAUTHORIZED", "authentication required"),
        (403, "DENIED", "requested access to the resource is denied"),
        (404, "NAME_UNKNOWN", "repository name not known to registry"),
        (418, "TEAPOT", "short and stout"),
    ],
)
def test_a_refusal_is_told_in_the_registrys_own_words(lab, liar, status, code, message):
    liar.lie("/v2/lie/manifests/latest", lambda _: refuses(status, code, message))
    assert message in refusal(lab, f"{liar.address}/lie:latest")


@pytest.mark.parametrize(
    "body",
    [b"<html>no</html>", b"", b"\x00\xff" * 100, b"[" * 100_000, b'{"errors": 5}', b'{"errors": [{}]}'],
    ids=["html", "nothing", "bytes", "nesting", "a number", "an empty one"],
)
def test_a_refusal_that_makes_no_sense_is_a_refusal(lab, liar, body):
    liar.lie("/v2/lie/manifests/latest", lambda _: Answer(403, body))
    reason = refusal(lab, f"{liar.address}/lie:latest")
    assert "403" in reason


def test_a_refusal_can_not_write_to_the_owners_terminal(lab, liar):
    text = "\x1b[2J\x1b]0;owned\x07 line\nline \u202e"
    liar.lie("/v2/lie/manifests/latest", lambda _: refuses(403, "DENIED", text))
    reason = refusal(lab, f"{liar.address}/lie:latest")
    assert re.fullmatch(r"[A-Za-z0-9.: ]+", reason)
    assert "\x1b" not in lab.node.stderr()


def refusals(lab, references):
    """As `refusal`, of several images at once."""
    jobs = [lab.submit(lab.define(reference, "true")) for reference in references]
    ended = [lab.wait(job_id, "FAILED") for job_id in jobs]
    assert {job["statusReason"] for job in ended} == {NOT_STARTED}
    return [job["container"]["reason"].removeprefix("CannotPullContainerError: ") for job in ended]


def test_redirections_to_no_good_place_are_refused(lab, liar):
    places = ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://user:key@127.0.0.1/", "http://localhost:1/x"]
    references = []
    for number, place in enumerate([*places, "///", ""]):
        image = small(place or "nowhere")
        references.append(liar.serve(f"lie-{number}", "latest", image))
        answer = Answer(307, b"", {"Location": place})
        liar.lie_about_layer(f"lie-{number}", image, lambda _, answer=answer: answer)
    assert all(refusals(lab, references))


def test_redirections_in_a_circle_end(lab, liar):
    image = small("f")
    reference = liar.serve("lie", "latest", image)
    liar.lie_about_layer("lie", image, lambda handler: Answer(302, b"", {"Location": handler.path}))
    assert refusal(lab, reference)


def test_a_redirection_is_followed_and_takes_no_secret_along(lab, liar, box_tar):
    image = images.image(box_tar, Layer().file("word", "moved\n").tar())
    other = LyingRegistry()
    path = f"/v2/lie/blobs/{image.content['layers'][-1]['digest']}"
    seen = []
    content = image.blob(image.content["layers"][-1])

    def give(handler):
        seen.append(handler.headers.get("Authorization"))
        return Answer(200, content)

    other.lie("/storage", give)
    liar.lie(path, lambda _: Answer(307, b"", {"Location": f"http://{other.address}/storage"}))
    try:
        assert lab.said("cat /word", image=liar.serve("lie", "latest", image)) == ["moved"]
    finally:
        other.close()
    assert seen == [None]


def test_places_for_tokens_that_are_none_are_refused(lab, liar):
    references = []
    for number, realm in enumerate(["file:///etc/passwd", "http://localhost:1/", "x", ""]):
        challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}
        answer = refuses(401, "UNAUTHORIZED", "a token is needed", **challenge)
        liar.lie(f"/v2/lie-{number}/manifests/latest", lambda _, answer=answer: answer)
        references.append(f"{liar.address}/lie-{number}:latest")
    assert all(refusals(lab, references))


def test_what_was_pulled_in_vain_leaves_no_folders(lab):
    folder = lab.node.data / "images"

    def folders():
        return [path for path in (folder / "tmp").iterdir() if path.is_dir()] if (folder / "tmp").is_dir() else []

    until(lambda: not folders(), 10, "the end of the last folder of an unpacker")
