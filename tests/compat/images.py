"""Images made of nothing but Python and a static busybox: layers, manifests, archives, and the ways in which
each of them can lie."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from daemon import REPOSITORY

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
WASM_CONFIG = "application/vnd.wasm.config.v0+json"
WASM_LAYER = "application/wasm"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

# What tests/compat/tools leaves where this machine has a program not installed.
TOOLS = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "image-tools"
PACKAGES = {
    "runc": "runc",
    "busybox": "busybox-static",
    "docker-registry": "docker-registry",
    "openssl": "openssl",
    "zstd": "zstd",
    "mkfs.ext4": "e2fsprogs",
}


def unavailable(why):
    """Fails in continuous integration, where everything has to be there, and skips elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def tool(name):
    """The path of a program that tests of images need."""
    folders = [str(TOOLS / folder) for folder in ("usr/bin", "usr/sbin", "bin", "sbin")]
    folders += [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        unavailable(f"{name} is missing: run tests/compat/tools, or install {PACKAGES[name]}")
    return found


def need_root():
    """Containers with users of their own are for root to give."""
    if os.geteuid() != 0:
        unavailable("the tests of images run as root: containers get users of their own")


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def json_bytes(value):
    return json.dumps(value, separators=(",", ":")).encode()


class Layer:
    """A layer's archive, entry by entry, in the order in which they are given."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.archive = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, content=b"", *, mode=0o644, uid=0, gid=0, target="", **more):
        """One entry with nothing checked: what a well-meaning writer would never write can be written."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid, entry.linkname = kind, mode, uid, gid, target
        entry.size, entry.mtime = len(content), 1_000_000_000
        for key, value in more.items():
            setattr(entry, key, value)
        self.archive.addfile(entry, io.BytesIO(content))
        return self

    def file(self, name, content=b"", **more):
        content = content.encode() if isinstance(content, str) else content
        return self.add(name, tarfile.REGTYPE, content, **more)

    def program(self, name, content, **more):
        return self.file(name, content, **{"mode": 0o755, **more})

    def folder(self, name, mode=0o755, **more):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def symlink(self, name, target, **more):
        return self.add(name, tarfile.SYMTYPE, target=target, mode=0o777, **more)

    def hardlink(self, name, target, **more):
        return self.add(name, tarfile.LNKTYPE, target=target, **more)

    def whiteout(self, name):
        folder, _, last = name.rpartition("/")
        return self.file(f"{folder}/.wh.{last}" if folder else f".wh.{last}")

    def opaque(self, folder):
        return self.file(f"{folder}/.wh..wh..opq")

    def tar(self):
        self.archive.close()
        return self.buffer.getvalue()


@dataclasses.dataclass
class Image:
    """A manifest or an index, and all that it leads to, by digest."""

    manifest: bytes
    media_type: str
    blobs: dict
    # Manifests below an index: digest to (media type, bytes).
    manifests: dict = dataclasses.field(default_factory=dict)

    @property
    def digest(self):
        return digest_of(self.manifest)

    @property
    def content(self):
        return json.loads(self.manifest)

    def blob(self, descriptor):
        return self.blobs[descriptor["digest"]]

    def descriptor(self, **more):
        size = len(self.manifest)
        return {"mediaType": self.media_type, "digest": self.digest, "size": size, **more}

    def changed(self, change):
        """Another image of the same blobs, whose manifest `change` has edited."""
        content = self.content
        change(content)
        return dataclasses.replace(self, manifest=json_bytes(content))


def compressed(tar, how):
    """A layer as it travels: (its bytes, what its media type ends with)."""
    if how == "none":
        return tar, ""
    if how == "gzip":
        return gzip.compress(tar, compresslevel=1, mtime=0), "+gzip"
    done = subprocess.run([tool("zstd"), "-q", "-1", "-c"], input=tar, capture_output=True, check=True)
    return done.stdout, "+zstd"


def image(
    *tars, how="gzip", docker=False, architecture=ARCHITECTURE, system="linux", diff_ids=None, **config
):
    """An image of layers. `config` is what its configuration says of the container, in OCI's words."""
    blobs, layers = {}, []
    for tar in tars:
        content, ending = compressed(tar, how)
        kind = DOCKER_LAYER + ending.replace("+", ".") if docker else OCI_LAYER + ending
        digest = digest_of(content)
        blobs[digest] = content
        layers.append({"mediaType": kind, "digest": digest, "size": len(content)})
    if diff_ids is None:
        diff_ids = [digest_of(tar) for tar in tars]
    about = {
        "architecture": architecture,
        "os": system,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return assembled(json_bytes(about), blobs, layers, docker)


def assembled(config, blobs, layers, docker=False):
    """An image of a configuration and layers that are whatever they are."""
    kind = DOCKER_CONFIG if docker else OCI_CONFIG
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": {"mediaType": kind, "digest": digest_of(config), "size": len(config)},
        "layers": layers,
    }
    return Image(json_bytes(manifest), manifest["mediaType"], {**blobs, digest_of(config): config})


def index(*entries, docker=False):
    """An index of images, each with its platform: `("linux/arm64/v8", image)`."""
    below, blobs, manifests = [], {}, {}
    for where, member in entries:
        names = dict(zip(("os", "architecture", "variant"), where.split("/"), strict=False))
        below.append(member.descriptor(platform=names))
        blobs |= member.blobs
        manifests |= {member.digest: (member.media_type, member.manifest), **member.manifests}
    kind = DOCKER_LIST if docker else OCI_INDEX
    return Image(
        json_bytes({"schemaVersion": 2, "mediaType": kind, "manifests": below}), kind, blobs, manifests
    )


def module_artifact(module):
    """A WebAssembly module as registries have it, in the layout of the CNCF."""
    config = json_bytes({"architecture": "wasm", "os": "wasip1", "layerDigests": [digest_of(module)]})
    blobs = {digest_of(module): module, digest_of(config): config}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": WASM_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": WASM_LAYER, "digest": digest_of(module), "size": len(module)}],
    }
    return Image(json_bytes(manifest), OCI_MANIFEST, blobs)


def layout_files(images):
    """The files of an OCI layout: path to content. `images` is a dict of names and images."""
    files = {"oci-layout": json_bytes({"imageLayoutVersion": "1.0.0"})}
    below = []
    for name, member in images.items():
        annotations = {"org.opencontainers.image.ref.name": name}
        below.append(member.descriptor(annotations=annotations))
        content = dict(member.blobs)
        content[member.digest] = member.manifest
        content |= {digest: text for digest, (_, text) in member.manifests.items()}
        files |= {f"blobs/{digest.replace(':', '/')}": blob for digest, blob in content.items()}
    files["index.json"] = json_bytes({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": below})
    return files


def layout_folder(folder, images):
    """Writes an OCI layout; returns its folder."""
    for name, content in layout_files(images).items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Path(folder)


def tar_of(files):
    """An archive of files by path."""
    archive = Layer()
    for name, content in files.items():
        archive.file(name, content)
    return archive.tar()


def layout_tar(member, name="latest"):
    """An OCI layout of one image in one file."""
    return tar_of(layout_files({name: member}))


def docker_archive(member, *names):
    """What `docker save` writes: uncompressed layers, a configuration and manifest.json."""
    content = member.content
    config = member.blob(content["config"])
    files, layers = {}, []
    for layer in content["layers"]:
        blob = member.blob(layer)
        tar = gzip.decompress(blob) if layer["mediaType"].endswith("gzip") else blob
        path = f"{hashlib.sha256(tar).hexdigest()}/layer.tar"
        files[path] = tar
        layers.append(path)
    config_path = f"{hashlib.sha256(config).hexdigest()}.json"
    files[config_path] = config
    entry = {"Config": config_path, "RepoTags": list(names), "Layers": layers}
    return tar_of({**files, "manifest.json": json_bytes([entry])})


PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false
alice:x:1000:100:Alice:/home/alice:/bin/sh
"""
GROUP = "root:x:0:\ndaemon:x:1:\nusers:x:100:\naudio:x:29:alice\nvideo:x:44:alice\nkvm:x:78:\n"


def box_layer():
    """Busybox with a link for each of its programs, two users and some groups."""
    program = tool("busybox")
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer = Layer()
    for folder in ("bin", "dev", "etc", "home", "mnt", "proc", "root", "sys", "usr", "usr/bin", "var"):
        layer.folder(folder)
    layer.folder("home/alice", uid=1000, gid=100).folder("tmp", mode=0o1777).folder("var/tmp", mode=0o1777)
    layer.program("bin/busybox", Path(program).read_bytes())
    for name in names:
        if name != "busybox":
            layer.symlink(f"bin/{name}", "busybox")
    return layer.file("etc/passwd", PASSWD).file("etc/group", GROUP).tar()


def box(*layers, box_tar=None, **config):
    """Busybox with further layers; `config` as for `image`."""
    how = {key: config.pop(key) for key in ("how", "docker", "architecture") if key in config}
    # It names no command: what a job gives is the whole of it.
    return image(box_tar or box_layer(), *(layer.tar() for layer in layers), **how, **config)


# Instructions of x86-64 that load the register of each argument of a system call.
_LOADS = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")


def system_call(number, *arguments):
    """A program for x86-64 that makes one system call and exits with the error's number, or with 0."""
    code = b"\x48\xb8" + number.to_bytes(8, "little")
    for load, value in zip(_LOADS, arguments, strict=False):
        code += load + (value & (2**64 - 1)).to_bytes(8, "little")
    code += b"\x0f\x05"  # syscall
    code += b"\x31\xff"  # xor edi, edi
    code += b"\x48\x85\xc0"  # test rax, rax
    code += b"\x79\x04"  # jns over the two that follow
    code += b"\xf7\xd8\x89\xc7"  # neg eax; mov edi, eax
    code += b"\xb8\x3c\x00\x00\x00\x0f\x05"  # exit
    base, header = 0x400000, 64 + 56
    size = (header + len(code)).to_bytes(8, "little")
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00\x01\x00\x00\x00"
    elf += (base + header).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(8)
    elf += bytes(4) + b"\x40\x00\x38\x00\x01\x00" + bytes(6)
    elf += b"\x01\x00\x00\x00\x05\x00\x00\x00" + bytes(8)
    elf += base.to_bytes(8, "little") * 2 + size * 2 + (0x1000).to_bytes(8, "little")
    return elf + code


def packages_image(**config):
    """Debian's Python as an image: each package that tests/compat/tools fetched is a layer of its own."""
    packages = sorted((TOOLS / "packages").glob("*.deb"))
    if not packages:
        unavailable(f"{TOOLS / 'packages'} has no packages of Python: run tests/compat/tools")
    tars = [
        subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], capture_output=True, check=True).stdout
        for path in packages
    ]
    return image(*tars, **config)
