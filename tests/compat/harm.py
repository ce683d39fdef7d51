"""The gallery of images that mean harm: each with its refusal, or with what it says where it is harmless."""

import dataclasses
import gzip
import json
import os
import struct
import tarfile
from collections.abc import Callable

import images
from images import Layer

MOST_IMAGE_MIB = 64


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


@piece(
    "a link to a folder of the host", says=["inside"], script="cat /way/escaped $OUTSIDE/escaped | head -n 1"
)
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
    layer = {
        "mediaType": images.OCI_LAYER.removesuffix(".tar") + kind,
        "digest": digest,
        "size": len(content),
    }
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
    return manifest_of(
        lambda manifest: manifest["layers"][0].update(mediaType=kind, urls=["http://127.0.0.1/x"])
    )


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
                "manifests": [{"mediaType": images.OCI_INDEX, "digest": images.digest_of(b""), "size": 0}],
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


@piece(
    "folders of the container's own that are links",
    says=["done"],
    script="ls /proc/self/status >/dev/null && echo done",
)
def _(outside):
    layer = Layer()
    for name in ("proc", "sys", "dev"):
        layer.whiteout(name).symlink(name, str(outside))
    return layer


@piece("a folder of settings that is a link to the host", says=["done"], script="echo done")
def _(outside):
    return Layer().add("etc", tarfile.SYMTYPE, target=str(outside))


@piece("an entrypoint that is the runtime itself", "CannotStart|^$", script="")
def _(outside):
    # What overwrote old versions of runc.
    return Layer().symlink("entry", "/proc/self/exe")


@piece("a script whose interpreter is the runtime", "CannotStart|^$", script="")
def _(outside):
    return Layer().program("entry", "#!/proc/self/exe\n")
