"""What guests and clients write doesn't drive the terminal of whoever looks at it."""

import contextlib
import json
import os
import pty
import subprocess

import pytest

import wasm
from daemon import binary, client_environment

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\u009b31m\u202ec\x7f"
SHOWN = r"a\u{1b}[2J\u{1b}]0;title\u{7}b\u{9b}31m\u{202e}c\u{7f}"


def on_terminal(node, *arguments):
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [binary(), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.PIPE,
        env=client_environment(node.endpoint, WASMBATCH_ENDPOINT=node.endpoint),
    )
    os.close(slave)
    written = b""
    # A terminal whose other end is closed fails to read, which is its end of file.
    with contextlib.suppress(OSError), os.fdopen(master, "rb", buffering=0) as terminal:
        while chunk := terminal.read(65536):
            written += chunk
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    return written.decode().replace("\r\n", "\n")


@pytest.fixture
def hostile(lab):
    """A job that writes what it should not, and fails with it."""
    return lab.run("args-env", HOSTILE)


def test_logs_on_a_terminal_show_escapes_instead_of_obeying_them(node, hostile):
    shown = on_terminal(node, "logs", hostile["jobId"])
    assert f"arg[1]={SHOWN}\n" in shown
    assert "\x1b" not in shown
    assert f"arg[1]={HOSTILE}\n" in on_terminal(node, "logs", "--raw", hostile["jobId"])


def test_logs_in_a_file_are_what_the_job_wrote(node, hostile):
    assert f"arg[1]={HOSTILE}\n" in node.run("logs", hostile["jobId"]).stdout
    lines = node.run("logs", "--json", hostile["jobId"]).stdout.splitlines()
    assert f"arg[1]={HOSTILE}" in [json.loads(line)["message"] for line in lines]
    assert not any(c in "".join(lines) for c in "\x1b\u009b\u202e\x7f")


def test_tables_and_descriptions_show_escapes_wherever_they_go(node, lab, hostile):
    text = node.run("describe", hostile["jobId"]).stdout
    assert SHOWN in text and "\x1b" not in text
    parsed = json.loads(node.run("describe", "--json", hostile["jobId"]).stdout)
    assert parsed[0]["container"]["command"] == [HOSTILE]
    job_id = lab.submit(lab.define("sleep", "600"), "told")
    lab.wait(job_id, "RUNNING")
    lab.batch.terminate_job(jobId=job_id, reason=f"{HOSTILE}\nforged")
    lab.wait(job_id, "FAILED")
    for command in (("jobs", "--name", "told"), ("describe", job_id)):
        text = node.run(*command).stdout
        assert rf"{SHOWN}\u{{a}}forged" in text and "\x1b" not in text, command


def test_errors_show_escapes(node):
    done = node.run("explain", HOSTILE, check=False)
    assert done.returncode in (1, 3)
    assert not any(c in done.stderr for c in "\x1b\u009b\u202e\x7f")


def test_aws_logs_have_bytes_that_are_no_text_replaced(lab, node):
    node.push("not-text:1", wasm.writes(b"\xffa\n"))
    job = lab.run("not-text:1")
    assert lab.lines(job) == ["\ufffda"]
