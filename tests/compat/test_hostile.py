"""Programs that mean harm, all at once on a real node, while a well-behaved array runs beside them.

Each of them must end as guest-examples/hostile/README.md says, the node must live and stay small, the
array must succeed, and none of them may be taken for an escape.
"""

import contextlib
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import bombs
from daemon import guest, raw_request, until
from jobs import Lab, children, unique

EXITED = "Essential container in task exited"
NOT_STARTED = "Task failed to start"
TIMED_OUT = "Job attempt duration exceeded timeout"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
MOST_MEMORY = 200 << 20
# A timeout of one second, and what a busy machine needs to notice.
PROMPT_MILLIS = 8_000
SECRET = "WHAT_THE_NODE_KNOWS"


@dataclass
class Piece:
    """One program of the gallery and its ending. Without an exit code it must end by its timeout."""

    name: str
    command: tuple = ()
    image: str = "hostile"
    content: bytes | None = None
    code: int | None = None
    reason: str | None = None
    lines: tuple = ()
    container: dict = field(default_factory=dict)
    submit: dict = field(default_factory=dict)
    wall: str | None = None

    def __post_init__(self):
        if self.content is not None:
            self.image = self.name.replace(" ", "-")
        elif not self.command:
            self.command = (self.name,)

    @property
    def endless(self):
        return self.code is None


def trap(name, content, reason, code=134):
    return Piece(name, content=content, code=code, reason=reason)


def fuelled(value):
    resources = (("VCPU", "1"), ("MEMORY", "64"), ("FUEL", value))
    return {"resourceRequirements": [{"type": kind, "value": amount} for kind, amount in resources]}


QUOTA = "scratch quota"
GALLERY = [
    # Time.
    Piece("spin", lines=("spinning",)),
    Piece("sleep-for-ever", lines=("sleeping",)),
    Piece("poll-for-ever", lines=("polling",)),
    Piece("yield-for-ever", lines=("yielding",)),
    Piece("read-for-ever", lines=("reading",)),
    Piece("a loop", content=bombs.LOOPS),
    Piece("tail calls", content=bombs.TAIL_CALLS),
    Piece("a start that never ends", content=bombs.STARTS_FOR_EVER),
    Piece("ask-clocks", code=0, lines=("asked 500000 times",)),
    Piece("ask-random", code=0, lines=("got 64 MiB",)),
    Piece(
        "out of fuel",
        ("spin",),
        code=134,
        reason="FuelExhausted: 5000000 of 5000000",
        lines=("spinning",),
        container=fuelled("5000000"),
    ),
    Piece(
        "out of CPU time",
        ("spin",),
        code=137,
        reason="CpuTimeExceeded: more than 1 seconds of CPU time",
        lines=("spinning",),
        submit={"tags": {"wasmbatch:cpu-limit": "1"}},
    ),
    # Memory.
    Piece("grow", code=137, reason=OUT_OF_MEMORY, lines=("growing",)),
    Piece("grow-and-go-on", code=0, lines=("65536 KiB in all",)),
    Piece("fill-for-ever", lines=("filling",), container={"memory": "1088"}),
    Piece("copy-for-ever", lines=("copying",), container={"memory": "1088"}),
    Piece("recurse", code=134, reason="WasmTrap: .*", lines=("recursing",)),
    trap("recursion", bombs.RECURSES, "WasmTrap: call stack exhausted"),
    trap("tables", bombs.GROWS_TABLES, "WasmTrap: wasm unreachable instruction executed"),
    trap("a fill of 4 GiB", bombs.FILLS_EVERYTHING, "WasmTrap: out of bounds memory access"),
    trap("4 GiB declared", bombs.DECLARES_4_GIB, OUT_OF_MEMORY, code=137),
    trap("many instances", bombs.MANY_INSTANCES, "WasmTrap: resource limit exceeded.*"),
    trap("many memories", bombs.MANY_MEMORIES, "WasmTrap: resource limit exceeded.*"),
    trap("data beyond memory", bombs.DATA_BEYOND_MEMORY, "WasmTrap: out of bounds memory access"),
    trap("elements beyond a table", bombs.ELEMENTS_BEYOND_TABLE, "WasmTrap: undefined element.*"),
    trap("a read beyond memory", bombs.READS_BEYOND_MEMORY, "WasmTrap: out of bounds memory access"),
    trap("a call beyond a table", bombs.CALLS_BEYOND_TABLE, "WasmTrap: undefined element.*"),
    trap("a call of nothing", bombs.CALLS_NOTHING, "WasmTrap: uninitialized element"),
    trap("a division by zero", bombs.DIVIDES_BY_ZERO, "WasmTrap: integer divide by zero"),
    # Files.
    Piece("fill-scratch", code=0, lines=("large 1073741824 fbig", "larger 0 nospc"), wall=QUOTA),
    Piece(
        "fill-both",
        code=0,
        lines=("large 1073741824 fbig", "larger 0 nospc"),
        container={"memory": "256"},
        wall=QUOTA,
    ),
    Piece("many-files", code=0, lines=(r"files 65\d\d\d nospc",), wall=QUOTA),
    Piece("many-names", code=0, lines=("names 65535 nospc", "listed 65538"), wall=QUOTA),
    Piece("list-for-ever", lines=("listing",)),
    Piece(
        "sparse",
        code=0,
        lines=(
            "size 20 GiB fbig",
            "write at 20 GiB fbig",
            "size 8 EiB fbig",
            "write at 8 EiB fbig",
            "size 1 GiB taken",
            r"pages 262\d\d\d nospc",
        ),
        wall=QUOTA,
    ),
    Piece("deep", code=0, lines=("levels 2000 unbounded", "long path nametoolong")),
    Piece(
        "strange-names",
        code=0,
        lines=(
            *(f"{name}: taken" for name in ("dots", "dash", "line", "escape", "backslash", "star")),
            "right to left: taken",
            "255 letters: taken",
            "256 letters: nametoolong",
            "a NUL: inval",
            "nothing: noent",
            "a dot: isdir",
            "two dots: perm",
        ),
    ),
    # Preview 1 has a number for too many open files, and wasmtime another for what it doesn't know.
    Piece("open-files", code=0, lines=(r"files 1\d\d\d io", "still here", "opened again true")),
    # Paths and calls.
    Piece("escape", code=0, lines=("refused 772 reached 0",)),
    Piece("links", code=0, lines=("links 15", r"refused 1\d{3} reached 0")),
    # A module of its own: should it be taken for an escape, only it is in quarantine.
    Piece(
        "every-call",
        ("every-call",),
        content=guest("hostile") + bombs.custom("copy", b""),
        code=0,
        lines=(r"opened \d{2,}",),
    ),
    Piece("wild-calls", code=0, lines=("taken 0",)),
    Piece("wild-value", code=134, reason="WasmTrap: .*", lines=("asking",)),
    Piece("wild-pointer", code=134, reason="WasmTrap: Pointer out of bounds.*", lines=("pointing",)),
    Piece("far-times", code=0, lines=("looked at 7 times, of which some were taken: true",)),
    Piece("renumber", code=0, lines=("written true", "itself true", "reached 0")),
    Piece("large-write", code=0, lines=("errno 0, 1048576 bytes",)),
]


class Neighbours:
    """Arrays of a well-behaved program, one after the other, in a queue of their own."""

    SIZE = 25

    def __init__(self, node):
        self.lab = Lab(node)
        self.queue = self.lab.queue(priority=100)
        self.definition = self.lab.define(
            "word-count", "--text", "one two three", container={"vcpus": "0.25"}
        )
        self.ended = []
        self.over = threading.Event()
        self.thread = ThreadPoolExecutor(1)
        self.work = self.thread.submit(self.go_on)

    def go_on(self):
        while not self.over.is_set():
            self.ended.append(self.one())

    def one(self):
        begun = time.monotonic()
        job_id = self.lab.submit(
            self.definition,
            queue=self.queue,
            arrayProperties={"size": self.SIZE},
            tags={"wasmbatch:max-running": "2"},
        )
        job = self.lab.wait(job_id, "SUCCEEDED", seconds=60)
        assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == self.SIZE
        return time.monotonic() - begun, job_id

    def stop(self):
        """Ends it after the array under way, and says what went wrong if something did."""
        self.over.set()
        self.work.result(timeout=70)


def told(node):
    status, _, body = raw_request(node.endpoint, "GET", "/wasmbatch/v1/node")
    assert status == 200, body
    return json.loads(body)


def missing_wall(node, name):
    """Why a wall doesn't stand, or nothing."""
    found = [wall for wall in told(node)["walls"] if wall["name"] == name]
    return None if not found or found[0]["stands"] else found[0]["detail"]


def memory_of(pid):
    """Bytes that a process has now, and the most that it had."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = {
        name: int(kib) << 10 for name, kib in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.MULTILINE)
    }
    return found["VmRSS"], found["VmHWM"]


def check_alive(node):
    assert node.process.poll() is None, f"the node died\n{node.stderr()}"
    assert raw_request(node.endpoint, "GET", "/healthz")[0] == 200
    now, most = memory_of(node.process.pid)
    assert now <= most < MOST_MEMORY, f"the node has {now >> 20} MiB and had {most >> 20} MiB"


def cgroups_of(pid):
    """The groups that a node made for its workers, in all hierarchies."""
    beginning = f"wasmbatch-{pid}-"
    groups = os.walk("/sys/fs/cgroup")
    return [folder for folder, below, _ in groups if any(name.startswith(beginning) for name in below)]


def seen(node):
    """The workers of a node, as far as they are there: their state and their CPU time."""
    found = {}
    for pid in node.children():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = f"{fields[0]} {int(fields[11]) + int(fields[12])}"
    return found


@pytest.fixture(scope="module")
def node(module_node):
    """A node that knows something in its environment that no job may know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECRET, "hidden")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
        node = module_node(vcpus=6, memory=8192)
    return node.push_guests("hostile", "hello", "word-count", "args-env")


@pytest.fixture(scope="module")
def neighbours(node):
    beside = Neighbours(node)
    yield beside
    beside.over.set()
    beside.thread.shutdown()


@pytest.fixture
def lab(node, neighbours):
    lab = Lab(node)
    yield lab
    lab.close()
    check_alive(node)


@pytest.fixture(scope="module")
def gallery(node, neighbours):
    """All pieces, submitted together; ids by name."""
    lab, found = Lab(node), {}
    for piece in GALLERY:
        if piece.wall and missing_wall(node, piece.wall):
            continue
        if piece.content is not None:
            node.push(piece.image, piece.content)
        # Endless ones have a second, all others as long as a busy machine may need.
        seconds = 1 if piece.endless else 60
        definition = lab.define(piece.image, *piece.command, container=piece.container)
        found[piece.name] = lab.submit(
            definition,
            timeout={"attemptDurationSeconds": seconds},
            retryStrategy={"attempts": 1},
            **piece.submit,
        )
    return found


@pytest.mark.parametrize("piece", GALLERY, ids=lambda piece: piece.name)
def test_a_piece_of_the_gallery_ends_as_it_should(lab, node, gallery, piece):
    if piece.wall and (why := missing_wall(node, piece.wall)):
        pytest.skip(f"this host has no {piece.wall}: {why}")
    job = lab.wait(gallery[piece.name], "SUCCEEDED", "FAILED", seconds=90)
    container = job["container"]
    assert container.get("exitCode") == (137 if piece.endless else piece.code), job
    if piece.endless:
        assert job["statusReason"] == TIMED_OUT
        assert 1000 <= job["stoppedAt"] - job["startedAt"] < PROMPT_MILLIS
    else:
        assert job["statusReason"] == EXITED
        assert job["status"] == ("FAILED" if piece.code else "SUCCEEDED")
    assert re.fullmatch(piece.reason or "", container.get("reason", "")), container.get("reason")
    lines = lab.lines(job)
    assert len(lines) == len(piece.lines), lines
    for line, wanted in zip(lines, piece.lines, strict=True):
        assert re.fullmatch(wanted, line), lines


def test_what_they_left_behind_is_gone(lab, gallery):
    for job_id in gallery.values():
        lab.wait(job_id, "SUCCEEDED", "FAILED", seconds=90)
    # Several at once, so that all workers are asked.
    looks = lab.define("hostile", "look", container={"vcpus": "0.25"})
    job_id = lab.submit(looks, arrayProperties={"size": 24})
    lab.wait(job_id, "SUCCEEDED")
    assert {line for child in children(job_id, 24) for line in lab.lines(lab.job(child))} == {"found 0"}


# ---------------------------------------------------------------------------------------------------
# What they say and hear


def flooding(lab, word, **options):
    """A flood that has written more than its log keeps."""
    log = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    job_id = lab.submit(lab.define("hostile", word, container=log))
    job = lab.wait(job_id, "RUNNING")
    notice = until(
        lambda: [line for line in lab.lines(job)[-1:] if "log limit of" in line], 30, "the log's end"
    )
    assert "the rest is dropped" in notice[0]
    return job


@pytest.mark.parametrize("word", ["flood-bytes", "flood-lines"])
def test_a_flood_is_bounded_and_ends_when_it_is_told_to(lab, word):
    job = flooding(lab, word, **{"wasmbatch-max-bytes": "1000000", "wasmbatch-max-lines": "2000"})
    asked = time.monotonic()
    lab.batch.terminate_job(jobId=job["jobId"], reason="enough")
    job = lab.wait(job["jobId"], "FAILED")
    assert time.monotonic() - asked < 5
    assert (job["statusReason"], job["container"]["exitCode"]) == ("enough", 137)
    lines = lab.lines(job)
    assert len(lines) <= 2001
    assert sum(map(len, lines)) <= 1_000_000 + len(lines[-1])


def test_a_flood_leaves_room_for_the_logs_of_others(lab):
    flooding(lab, "flood-bytes", **{"wasmbatch-max-lines": "1"})
    job = lab.run("args-env", "heard")
    assert "arg[1]=heard" in lab.lines(job)


def test_escapes_are_kept_as_they_are_and_bytes_become_text(lab):
    job = lab.run("hostile", "escapes")
    assert lab.lines(job) == [
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "\x1b[2J\x1b[H",
        "\x1b]52;c;aGVsbG8=\x07",
        "\x9b31m",
        "\u202edesrever",
        "\ufffd\ufffd\ufffd\ufffd",
        "a\rb\x08c\x7f\0d",
    ]


def test_nothing_of_the_nodes_environment_reaches_a_job(lab):
    job = lab.run("hostile", "environment", container={"environment": [{"name": "MINE", "value": "1"}]})
    names = {line.partition("=")[0] for line in lab.lines(job)}
    own = {"AWS_BATCH_CE_NAME", "AWS_BATCH_JQ_NAME", "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ATTEMPT"}
    assert names == own | {"MINE"}


def test_arguments_have_a_bound_and_up_to_it_they_arrive(lab):
    def counted(number):
        command = ["count-arguments", *["Ref::long"] * number]
        definition = lab.define("hostile", *command, parameters={"long": "x" * 10_239})
        return lab.wait(lab.submit(definition), "SUCCEEDED", "FAILED")

    assert lab.lines(counted(102)) == [
        f"104 arguments, {102 * 10_240 + len('hostile count-arguments') + 1} bytes"
    ]
    job = counted(103)
    assert job["statusReason"] == NOT_STARTED
    wanted = "ResourceInitializationError: the arguments and the environment together have more than 1 MiB"
    assert job["container"]["reason"] == wanted


# ---------------------------------------------------------------------------------------------------
# Folders of the host


def mounted(**folders):
    """Folders of the host by the names under which a guest has them, those in a list for reading only."""
    volumes, points = [], []
    for name, folder in folders.items():
        read_only = isinstance(folder, list)
        volumes.append({"name": name, "host": {"sourcePath": str(folder[0] if read_only else folder)}})
        points.append({"sourceVolume": name, "containerPath": f"/{name}", "readOnly": read_only})
    return {"volumes": volumes, "mountPoints": points}


def tree(folder):
    """Everything in a folder, with what is in it."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        at = str(path.relative_to(folder))
        if path.is_symlink():
            found[at] = os.readlink(path)
        else:
            found[at] = path.read_bytes() if path.is_file() else None
    return found


@pytest.fixture
def outside(node):
    """A folder beside the allowed one, with things that no job may read or change."""
    folder = node.folder / unique("outside")
    (folder / "empty").mkdir(parents=True)
    (folder / "secret.txt").write_text("outside")
    (folder / "victim.txt").write_text("victim")
    before = tree(folder)
    yield folder
    assert tree(folder) == before, "a job changed what lies outside of its folder"


@pytest.fixture
def granted(node):
    folder = node.shared / unique("granted")
    folder.mkdir()
    return folder


@pytest.mark.parametrize("word", ["escape", "links"])
def test_no_path_leads_out_of_a_folder_of_the_host(lab, outside, granted, word):
    # What the links of the guest point to is really there.
    (granted.parent / "outside").unlink(missing_ok=True)
    (granted.parent / "outside").symlink_to(outside)
    job = lab.run("hostile", word, "/data", container=mounted(data=granted))
    assert re.fullmatch(r"refused \d{3,4} reached 0", lab.lines(job)[-1])


def test_a_folder_that_may_only_be_read_is_not_changed(lab, granted):
    (granted / "file.txt").write_text("unchanged")
    (granted / "folder").mkdir()
    before = tree(granted)
    job = lab.run("hostile", "change", "/data", container=mounted(data=[granted]))
    assert lab.lines(job) == ["read unchanged", "refused 13 reached 0"]
    assert tree(granted) == before


def test_a_file_that_may_only_be_read_is_not_carried_to_where_it_may_be_written(lab, granted):
    (granted / "from").mkdir()
    (granted / "to").mkdir()
    (granted / "from" / "file.txt").write_text("unchanged")
    folders = mounted(source=[granted / "from"], target=granted / "to")
    job = lab.run("hostile", "carry", "/source", "/target", container=folders)
    assert lab.lines(job) == ["refused 5 reached 0"]
    assert tree(granted) == {"from": None, "from/file.txt": b"unchanged", "to": None, "to/mine": b""}


def test_a_link_that_takes_the_place_of_a_folder_leads_nowhere(lab, outside, granted):
    (granted / "inside").mkdir()
    (granted / "inside" / "secret.txt").write_text("inside")
    (granted / "away-relative").symlink_to(Path("../..") / outside.name)
    (granted / "away-absolute").symlink_to(outside)
    assert (granted / "away-relative" / "secret.txt").read_text() == "outside"
    definition = lab.define("hostile", "race", "/data", container=mounted(data=granted))
    job_id = lab.submit(definition, arrayProperties={"size": 2})
    lab.wait(job_id, "SUCCEEDED", seconds=90)
    swapped, followed = (lab.lines(lab.job(child)) for child in children(job_id, 2))
    assert int(re.fullmatch(r"swapped (\d+)", swapped[0])[1]) > 100
    inside, refused = re.fullmatch(r"inside (\d+) refused (\d+) reached 0", followed[0]).groups()
    # Both happened, so there was a race to be won.
    assert int(inside) > 0 and int(refused) > 0
    left = tree(granted)
    assert left["away-absolute"] == str(outside)
    assert left["inside/secret.txt"] == b"inside"


# ---------------------------------------------------------------------------------------------------
# Modules that are bad in themselves

MALFORMED = bombs.malformed()


@pytest.fixture(scope="module")
def refused(node, neighbours):
    """All malformed modules, uploaded and submitted together; ids by name."""
    lab, found = Lab(node), {}
    for number, (name, content) in enumerate(MALFORMED.items()):
        node.push(f"malformed-{number}", content)
        found[name] = lab.submit(lab.define(f"malformed-{number}", container={"vcpus": "0.25"}))
    return found


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_module_is_refused(lab, refused, name):
    job = lab.wait(refused[name], "FAILED", seconds=90)
    assert job["statusReason"] == NOT_STARTED
    assert "exitCode" not in job["container"]
    assert job["container"]["reason"].startswith("InvalidModule: "), job["container"]["reason"]
    assert "crashed" not in job["container"]["reason"]


def test_a_module_with_some_bytes_changed_is_refused_or_ends(lab, node):
    jobs = []
    for number, content in enumerate(bombs.mutants(guest("hello"), 60, seed=20160810)):
        node.push(f"mutant-{number}", content)
        definition = lab.define(f"mutant-{number}", container={"vcpus": "0.25"})
        jobs.append(lab.submit(definition, timeout={"attemptDurationSeconds": 1}))
    for job_id in jobs:
        job = lab.wait(job_id, "SUCCEEDED", "FAILED", seconds=60)
        reason = job["container"].get("reason", "")
        assert not re.search("crashed|WorkerCrashed|ResourceInitializationError", reason), reason


# Which of the two bounds is met first depends on the machine.
TOO_MUCH = "its compilation took (more than 512 MiB of memory|longer than 5 seconds)"
BOMBS = {
    # What must be refused, and why.
    bombs.many_functions: TOO_MUCH,
    bombs.many_data: TOO_MUCH,
    bombs.many_types: TOO_MUCH,
    bombs.long_constant: TOO_MUCH,
    bombs.many_branches: TOO_MUCH,
    bombs.large_branch_table: "invalid WebAssembly: .*exceeds the implementation limit.*",
    bombs.many_imports: "it imports f0 from env which nobody provides|" + TOO_MUCH,
    # What may as well be compiled, if that is within the bounds, and then does no harm.
    bombs.large_function: None,
    bombs.many_variables: None,
    bombs.deep_nesting: None,
    bombs.large_data: None,
    bombs.many_exports: None,
    bombs.many_globals: None,
    bombs.many_elements: None,
    bombs.long_names: None,
}


@pytest.fixture(scope="module")
def compiling(module_node):
    """A node whose compilations have narrow bounds, with a program that is compiled already."""
    node = module_node(vcpus=4, flags=["--compile-memory", "512", "--compile-seconds", "5"])
    node.push_guests("hello")
    Lab(node).run("hello")
    yield node
    check_alive(node)
    assert told(node)["quarantined"] == []


@pytest.fixture(scope="module")
def bombing(compiling):
    """All bombs, uploaded and submitted together; ids by generator."""
    lab, found = Lab(compiling), {}
    for bomb in BOMBS:
        name = bomb.__name__.replace("_", "-")
        compiling.push(name, bomb())
        definition = lab.define(name, container={"vcpus": "0.25"})
        found[bomb] = lab.submit(definition, timeout={"attemptDurationSeconds": 5})
    return found


def test_a_compilation_without_end_keeps_nobody_waiting(compiling, bombing):
    lab = Lab(compiling)
    hello = lab.define("hello", container={"vcpus": "0.25"})
    for _ in range(10):
        begun = time.monotonic()
        lab.wait(lab.submit(hello), "SUCCEEDED")
        assert time.monotonic() - begun < 5
    assert any(lab.job(job)["status"] == "STARTING" for job in bombing.values()), (
        "nothing was compiled meanwhile"
    )


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_is_refused_by_a_bound_or_harmless(compiling, bombing, bomb):
    lab = Lab(compiling)
    job = lab.wait(bombing[bomb], "SUCCEEDED", "FAILED", seconds=90)
    check_alive(compiling)
    if "exitCode" in job["container"]:
        assert BOMBS[bomb] is None, "it was compiled"
        return
    reason = job["container"]["reason"]
    assert re.fullmatch(f"InvalidModule: ({BOMBS[bomb] or TOO_MUCH})", reason), reason
    lab.run("hello")


# ---------------------------------------------------------------------------------------------------
# After all of it


def test_after_all_of_it_the_node_is_as_it_was(node, neighbours):
    neighbours.stop()
    assert neighbours.ended, "no array ended beside the gallery"
    slowest = max(seconds for seconds, _ in neighbours.ended)
    assert slowest < 30, f"an array of {neighbours.SIZE} took {slowest:.1f} s"
    assert told(node)["quarantined"] == []
    assert "POSSIBLE ESCAPE" not in node.stderr()
    assert told(node)["held"]["vcpus"] == 0
    check_alive(node)
    # Those that are kept warm, and no others.
    most = node.vcpus
    until(lambda: len(node.children()) <= most, 10, f"at most {most} of workers {seen(node)}")
    workers = node.children()
    groups = cgroups_of(node.process.pid)
    if missing_wall(node, "memory cgroup") is None:
        assert groups, "there is a memory cgroup, and no group of the node"
    assert node.stop() == 0
    assert cgroups_of(node.process.pid) == []
    for worker in workers:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = re.search(r"^PPid:\s+(\d+)$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)[
                1
            ]
            assert int(parent) != node.process.pid, f"worker {worker} outlived its node"
    left = [path for path in (node.data / "scratch").rglob("*") if path.is_file()]
    assert left == []
