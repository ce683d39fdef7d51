"""What people type: the program's own commands against a node, and those that need none."""

import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import wasm
from daemon import PREBUILT, binary, client_environment, run_command
from jobs import unique

REFUSED, UNREACHABLE = 3, 4


def test_help_names_every_command_and_the_exit_codes():
    text = run_command("--help").stdout
    for command in "serve run demo nodes modules submit jobs describe logs cancel terminate env".split():
        assert f"  {command}" in text, command
        assert run_command(command, "--help").stdout
    assert "worker" not in text
    assert "xit codes" in text


def test_a_wrong_command_line_is_2():
    for arguments in ([], ["invent"], ["submit"], ["serve", "--no-such-flag"], ["serve", "--vcpus", "many"]):
        done = run_command(*arguments, check=False)
        assert done.returncode == 2, arguments
        assert done.stdout == ""


def test_submit_by_image_needs_no_definition_and_waits(node, lab):
    done = node.run("submit", "--image", "hello", "--wait", "--", "Ada")
    job_id, verdict = done.stdout.splitlines()
    assert verdict.startswith("SUCCEEDED")
    assert lab.lines(lab.job(job_id)) == ["hello from wasmbatch, Ada"]


def test_submit_prints_the_id_and_takes_all_that_a_submit_takes(node, lab):
    definition = lab.define("args-env", "Ref::word", name=unique("typed"))
    name = definition.rpartition("/")[2].partition(":")[0]
    before = lab.run("hello")["jobId"]
    done = node.run(
        *("submit", "--definition", name, "--name", "typed", "--queue", "default"),
        *("--parameter", "word=said", "--env", "A=1", "--env", "B=x=y", "--vcpus", "0.5"),
        *("--memory", "96", "--timeout", "30", "--attempts", "2", "--depends-on", before),
    )
    job_id = done.stdout.strip()
    job = lab.wait(job_id, "SUCCEEDED")
    assert job["jobName"] == "typed"
    assert lab.arguments(job) == ["args-env", "said"]
    assert {"A": "1", "B": "x=y"}.items() <= lab.environment(job).items()
    assert job["timeout"] == {"attemptDurationSeconds": 30}
    assert job["retryStrategy"]["attempts"] == 2
    assert [dependency["jobId"] for dependency in job["dependsOn"]] == [before]
    found = {r["type"]: r["value"] for r in job["container"]["resourceRequirements"]}
    assert found == {"VCPU": "0.5", "MEMORY": "96"}


def test_a_job_that_fails_makes_submit_wait_fail(node):
    done = node.run("submit", "--image", "exit-code", "--wait", "--", "3", check=False)
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "3" in done.stdout


def test_submit_in_json(node, lab):
    answer = json.loads(node.run("submit", "--image", "hello", "--json").stdout)
    lab.wait(answer["jobId"], "SUCCEEDED")
    job = json.loads(node.run("submit", "--image", "hello", "--json", "--wait").stdout)
    assert job["status"] == "SUCCEEDED"
    assert job["container"]["exitCode"] == 0


def test_jobs_lists_every_status_newest_first(node, lab):
    queue = lab.queue()
    good = lab.wait(lab.submit(lab.define("hello"), "good-one", queue), "SUCCEEDED")
    bad = lab.wait(lab.submit(lab.define("exit-code", "7"), "bad-one", queue), "FAILED")
    listed = json.loads(node.run("jobs", "--queue", queue, "--json").stdout)
    assert [job["jobId"] for job in listed] == [bad["jobId"], good["jobId"]]
    [only] = json.loads(node.run("jobs", "--queue", queue, "--status", "failed", "--json").stdout)
    assert (only["jobName"], only["container"]["exitCode"]) == ("bad-one", 7)
    [only] = json.loads(node.run("jobs", "--queue", queue, "--name", "good*", "--json").stdout)
    assert only["jobId"] == good["jobId"]
    assert len(json.loads(node.run("jobs", "--queue", queue, "--limit", "1", "--json").stdout)) == 1
    table = node.run("jobs", "--queue", queue).stdout.splitlines()
    assert len(table) == 3
    assert bad["jobId"] in table[1] and "FAILED" in table[1]


def test_describe_shows_a_job_in_full(node, lab):
    job = lab.run("exit-code", "7", wanted="FAILED")
    text = node.run("describe", job["jobId"]).stdout
    for word in (job["jobId"], "FAILED", "Essential container in task exited", "7"):
        assert word in text
    [found] = json.loads(node.run("describe", job["jobId"], "--json").stdout)
    assert found["jobArn"] == job["jobArn"]
    assert found["attempts"][0]["container"]["exitCode"] == 7


def test_an_unknown_job_is_told_and_is_1(node):
    for command in ("describe", "logs"):
        done = node.run(command, "5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f", check=False)
        assert done.returncode == 1, command
        assert "5f0e2b7c" in done.stderr


def test_logs_prints_lines_of_the_last_attempt_or_of_any(node, lab):
    job_id = lab.submit(lab.define("exit-code", "3", "2"), retryStrategy={"attempts": 2})
    lab.wait(job_id, "SUCCEEDED")
    assert "attempt 2 exits with 0" in node.run("logs", job_id).stdout
    assert "attempt 1 exits with 3" in node.run("logs", job_id, "--attempt", "1").stdout
    events = [json.loads(line) for line in node.run("logs", job_id, "--json").stdout.splitlines()]
    assert {"timestamp", "message"} <= events[0].keys()


def test_logs_follows_a_job_to_its_end(node, lab):
    job_id = lab.submit(lab.define("sleep", "1"))
    done = node.run("logs", "-f", job_id, timeout=30)
    assert done.stdout.splitlines() == ["sleeping for 1 s", "awake again"]


def test_cancel_and_terminate_with_a_reason(node, lab):
    running = lab.occupy()
    waiting = lab.submit(lab.define("hello"))
    node.run("cancel", waiting, "--reason", "typed no")
    assert lab.wait(waiting, "FAILED")["statusReason"] == "typed no"
    answer = node.run("terminate", running, "--reason", "typed stop", "--json")
    assert json.loads(answer.stdout) == [running]
    assert lab.wait(running, "FAILED")["statusReason"] == "typed stop"


def test_modules_are_pushed_listed_and_deleted(node, lab):
    # Once deleted it is an image's name, whose registry is not there.
    name = f"localhost/{unique('typed')}:v1"
    pushed = json.loads(node.run("modules", "push", name, PREBUILT / "hello.wasm", "--json").stdout)
    assert pushed["name"] == name
    assert pushed["size"] == (PREBUILT / "hello.wasm").stat().st_size
    digests = dict(reversed(line.split()) for line in (PREBUILT / "SHA256SUMS").read_text().splitlines())
    assert pushed["digest"] == f"sha256:{digests['hello.wasm']}"
    assert lab.lines(lab.run(name)) == ["hello from wasmbatch"]
    listed = json.loads(node.run("modules", "list", "--json").stdout)
    assert name in [module["name"] for module in listed]
    node.run("modules", "delete", name)
    listed = json.loads(node.run("modules", "list", "--json").stdout)
    assert name not in [module["name"] for module in listed]
    assert lab.run(name, wanted="FAILED")["container"]["reason"].startswith("CannotPullContainerError")
    assert node.run("modules", "delete", name, check=False).returncode == REFUSED


def test_a_module_that_cannot_run_is_told_at_push(node, tmp_path):
    (tmp_path / "script.wasm").write_bytes(wasm.NO_WASM)
    done = node.run("modules", "push", f"{unique('bad')}:v1", tmp_path / "script.wasm")
    assert "will not run" in done.stderr
    assert run_command("modules", "push", "x:1", tmp_path / "missing.wasm", check=False).returncode == 1


def test_a_refusal_is_3_and_shows_batchs_own_words(node):
    done = node.run("submit", "--definition", "no-such-definition", check=False)
    assert done.returncode == REFUSED
    assert "no-such-definition" in done.stderr
    assert done.stdout == ""


def test_a_node_that_is_not_there_is_4_and_says_what_to_do():
    done = run_command("jobs", "--endpoint", "http://127.0.0.1:1", check=False)
    assert done.returncode == UNREACHABLE
    assert "wasmbatch serve" in done.stderr


def test_env_points_an_aws_client_to_the_node(node):
    text = node.run("env").stdout
    exports = {}
    for line in text.splitlines():
        word, assignment = shlex.split(line)
        assert word == "export"
        name, _, value = assignment.partition("=")
        exports[name] = value
    assert exports["AWS_ENDPOINT_URL_BATCH"] == node.endpoint
    aws = Path(sys.executable).parent / "aws"
    script = f'eval "$({shlex.quote(binary())} env)" && {shlex.quote(str(aws))} batch describe-job-queues'
    keep = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    done = subprocess.run(
        ["bash", "-c", script],
        env=keep | {"WASMBATCH_ENDPOINT": node.endpoint, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "default" in [queue["jobQueueName"] for queue in json.loads(done.stdout)["jobQueues"]]


# Without a node.


def test_run_passes_arguments_output_and_exit_code_through():
    done = run_command("run", PREBUILT / "hello.wasm", "--", "Ada")
    assert done.stdout == "hello from wasmbatch, Ada\n"
    done = run_command("run", PREBUILT / "exit-code.wasm", "200", check=False)
    assert done.returncode == 200
    assert done.stdout == "attempt 1 exits with 200\n"
    assert "goodbye on standard error" in done.stderr
    assert run_command("run", PREBUILT / "hello-component.wasm").stdout == "hello from a component\n"


def test_run_passes_standard_input_through(tmp_path):
    (tmp_path / "text").write_text("one two\nthree\n")
    with open(tmp_path / "text") as text:
        done = run_command("run", PREBUILT / "word-count.wasm", stdin=text)
    assert done.stdout == "2 lines, 3 words, 14 bytes\n"


def test_run_gives_folders_and_variables_and_nothing_else(tmp_path):
    (tmp_path / "in.txt").write_text("text")
    run_command("run", "--dir", f"{tmp_path}::/d", PREBUILT / "file-copy.wasm", "/d/in.txt", "/d/out.txt")
    assert (tmp_path / "out.txt").read_text() == "TEXT"
    read_only = ["run", "--dir", f"{tmp_path}::/d::ro", PREBUILT / "file-copy.wasm", "/d/in.txt", "/d/no.txt"]
    assert run_command(*read_only, check=False).returncode == 1
    done = run_command("run", "--env", "A=1", PREBUILT / "args-env.wasm")
    assert [line for line in done.stdout.splitlines() if line.startswith("env ")] == ["env A=1"]
    outside = run_command("run", PREBUILT / "word-count.wasm", "/etc/passwd", check=False)
    assert outside.returncode == 1


def test_run_tells_traps_memory_and_bad_files(tmp_path):
    (tmp_path / "traps.wasm").write_bytes(wasm.TRAPS)
    (tmp_path / "text.wasm").write_bytes(wasm.NO_WASM)
    done = run_command("run", tmp_path / "traps.wasm", check=False)
    assert done.returncode == 134
    assert "unreachable" in done.stderr
    done = run_command("run", "--memory", "16", PREBUILT / "eat-memory.wasm", "64", check=False)
    assert done.returncode == 137
    assert "OutOfMemoryError" in done.stderr
    for bad in (tmp_path / "text.wasm", tmp_path / "missing.wasm"):
        done = run_command("run", bad, check=False)
        assert done.returncode not in (0, 134, 137)
        assert done.stderr


def test_run_ends_on_interrupt():
    def as_at_a_terminal():
        # A test run in the background inherits an ignored SIGINT, and so would what it starts.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [binary(), "run", str(PREBUILT / "spin.wasm")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=as_at_a_terminal) as process:
        try:
            assert process.stdout.readline() == "spinning\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) != 0
        finally:
            process.kill()


def test_the_demo_leaves_a_picture(tmp_path):
    picture = tmp_path / "picture.png"
    done = run_command("demo", "--output", picture, "--width", "480", "--height", "320", timeout=170)
    assert str(picture) in done.stdout
    assert "aws batch submit-job" in done.stdout
    width, height, pixels = decoded(picture.read_bytes())
    assert (width, height) == (480, 320)
    assert len(set(pixels)) > 50, "a picture, not one colour"


def decoded(png):
    """Size of a PNG and its raw bytes, its checksums verified."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, size = 8, b"", None
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        content = png[at + 8 : at + 8 + length]
        [checksum] = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + content)
        if kind == b"IHDR":
            size = struct.unpack(">II", content[:8])
        elif kind == b"IDAT":
            data += content
        at += 12 + length
    return *size, zlib.decompress(data)


def test_serve_refuses_to_listen_beyond_loopback(tmp_path):
    done = run_command(
        "serve", "--listen", "0.0.0.0:0", "--data-dir", tmp_path / "d", check=False, timeout=30
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "loopback" in done.stderr


def test_serve_says_when_its_port_is_taken(node, tmp_path):
    port = node.endpoint.rpartition(":")[2]
    listen = f"127.0.0.1:{port}"
    done = run_command("serve", "--listen", listen, "--data-dir", tmp_path / "d", check=False, timeout=30)
    assert done.returncode == 1
    assert port in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_on_either_signal_with_0(new_node, number):
    node = new_node()
    node.process.send_signal(number)
    assert node.process.wait(timeout=30) == 0


def test_a_command_whose_reader_goes_away_is_no_error(node):
    script = f"{shlex.quote(binary())} modules list --json | head -n 1"
    environment = client_environment(node.endpoint, WASMBATCH_ENDPOINT=node.endpoint)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_logs_of_a_job_that_never_ran_are_told_to_be_empty(node, lab):
    lab.occupy()
    waiting = lab.submit(lab.define("hello"))
    done = node.run("logs", waiting, check=False)
    assert done.returncode == 1
    assert "nothing" in done.stderr
