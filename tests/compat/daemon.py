"""The real daemon as a child process, and the clients that talk to it."""

import contextlib
import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import boto3
import botocore.config

from model import faults

REPOSITORY = Path(__file__).resolve().parents[2]
PREBUILT = REPOSITORY / "guest-examples" / "prebuilt"
REGION = "us-east-1"
READY = re.compile(r"^wasmbatch is listening on (http://127\.0\.0\.1:\d+)$")
START_SECONDS = 60
DRAIN_SECONDS = 60


def binary():
    """The program under test: WASMBATCH_BIN, else the debug build of this repository."""
    chosen = os.environ.get("WASMBATCH_BIN")
    path = Path(chosen) if chosen else REPOSITORY / "target" / "debug" / "wasmbatch"
    if not path.is_file():
        raise RuntimeError(f"{path} does not exist: run cargo build, or set WASMBATCH_BIN")
    return str(path.resolve())


def guest(name):
    """The bytes of an example guest."""
    return (PREBUILT / f"{name}.wasm").read_bytes()


def client_environment(endpoint, **more):
    """The environment of an AWS client that knows nothing but this daemon."""
    keep = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    return keep | {
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL_BATCH": endpoint,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        **more,
    }


class Daemon:
    """`wasmbatch serve` with a data folder that outlives restarts."""

    def __init__(self, folder, vcpus=2, memory=2048, flags=(), before=()):
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.shared = self.folder / "shared"
        self.log = self.folder / "daemon.stderr"
        self.vcpus = vcpus
        self.memory = memory
        self.flags = list(flags)
        # A program that starts it in its way, with its arguments.
        self.before = list(before)
        self.process = None
        self.endpoint = None
        self.lines = None
        self.clients = {}
        self.shared.mkdir(parents=True, exist_ok=True)

    def start(self):
        """Starts it and returns when it says that it is ready."""
        command = [*self.before, binary(), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(self.data)]
        command += ["--allow-mount", str(self.shared)]
        command += ["--vcpus", str(self.vcpus), "--memory", str(self.memory), *self.flags]
        if not any("registry" in flag for flag in self.flags):
            # A name without a registry means Docker's, and no test asks one that it didn't make.
            command += ["--allow-registry", "registry.invalid"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WASMBATCH_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        self.lines = queue.Queue()
        threading.Thread(target=_read_lines, args=(self.process.stdout, self.lines), daemon=True).start()
        try:
            first = self.lines.get(timeout=START_SECONDS)
        except queue.Empty:
            first = None
        ready = READY.match(first or "")
        if ready is None:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(
                f"expected the line that says where it listens, got {first!r}\n{self.stderr()}"
            )
        self.endpoint = ready.group(1)
        return self

    def kill(self):
        """kill -9, as a crash would."""
        self.process.kill()
        self.process.wait()

    def signal_end(self):
        """Asks for the orderly end, as an operator would."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """The orderly end; returns the exit code."""
        if self.process.poll() is None:
            self.signal_end()
        try:
            code = self.process.wait(timeout=DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"SIGTERM did not end it in {DRAIN_SECONDS} s\n{self.stderr()}") from None
        return code

    def more_lines(self):
        """What it wrote on standard output after the first line, once it has ended."""
        lines = []
        while (line := self.lines.get(timeout=10)) is not None:
            lines.append(line)
        return lines

    def stderr(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def children(self):
        """Process ids of its children: the workers."""
        pid = self.process.pid
        found = []
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += (task / "children").read_text().split()
        return sorted({int(child) for child in found})

    def client(self, service):
        """A boto3 client that sees every answer as it came: no retries, and a 5xx is an error."""
        if (service, self.endpoint) in self.clients:
            return self.clients[service, self.endpoint]
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        config = botocore.config.Config(retries={"total_max_attempts": 1, "mode": "standard"})
        client = session.client(service, endpoint_url=self.endpoint, config=config)
        client.meta.events.register(f"after-call.{service}", _check_answer)
        self.clients[service, self.endpoint] = client
        return client

    def batch(self):
        return self.client("batch")

    def logs(self):
        return self.client("logs")

    def aws(self, *arguments):
        """Runs AWS CLI v1; returns its parsed answer, or None where it printed nothing."""
        done = self.aws_process(*arguments)
        assert done.returncode == 0, f"aws {' '.join(arguments)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def aws_process(self, *arguments, **environment):
        command = [str(Path(sys.executable).parent / "aws"), *arguments, "--output", "json"]
        return subprocess.run(
            command,
            env=client_environment(self.endpoint, **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, *arguments, check=True, **options):
        """Runs one of our own commands against this daemon."""
        environment = client_environment(self.endpoint, WASMBATCH_ENDPOINT=self.endpoint)
        return run_command(*arguments, check=check, env=environment, **options)

    def push(self, name, content):
        """Uploads a module over HTTP, as `wasmbatch modules push` does."""
        path = "/wasmbatch/v1/modules/" + urllib.parse.quote(name)
        status, _, body = raw_request(
            self.endpoint, "PUT", path, content, {"Content-Type": "application/wasm"}
        )
        assert status in (200, 201), f"{name}: {status} {body[:500]!r}"
        return json.loads(body)

    def load(self, name, archive):
        """Loads an image from the bytes of an archive, as `wasmbatch images load` does."""
        path = "/wasmbatch/v1/images?name=" + urllib.parse.quote(name, safe="")
        status, _, body = raw_request(
            self.endpoint, "PUT", path, archive, {"Content-Type": "application/x-tar"}
        )
        assert status == 201, f"{name}: {status} {body[:500]!r}"
        return json.loads(body)

    def images(self):
        """The images of this node, by name."""
        status, _, body = raw_request(self.endpoint, "GET", "/wasmbatch/v1/images")
        assert status == 200, f"{status} {body[:500]!r}"
        return {image["name"]: image for image in json.loads(body)["images"]}

    def push_guests(self, *names):
        """Uploads example guests under their own names."""
        for name in names or [path.stem for path in sorted(PREBUILT.glob("*.wasm"))]:
            self.push(f"{name}:latest", guest(name))
        return self


def _read_lines(stream, lines):
    for line in stream:
        lines.put(line.decode(errors="replace").rstrip("\n"))
    lines.put(None)


def _check_answer(http_response, model, **_):
    """What every answer must be, whatever was asked."""
    assert http_response.status_code < 500, f"{http_response.status_code}: {http_response.content!r}"
    assert http_response.headers.get("x-amzn-RequestId"), "an answer without x-amzn-RequestId"
    if http_response.status_code < 300:
        body = json.loads(http_response.content or b"{}")
        assert faults(model.output_shape, body, model.name) == [], "an answer that the model does not know"


def run_command(*arguments, check=True, timeout=120, **options):
    """Runs the program under test in the foreground."""
    done = subprocess.run(
        [binary(), *map(str, arguments)],
        stdin=options.pop("stdin", subprocess.DEVNULL),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
    if check:
        shown = " ".join(map(str, arguments))
        assert done.returncode == 0, f"wasmbatch {shown} ended with {done.returncode}: {done.stderr}"
    return done


def raw_request(endpoint, method, path, body=b"", headers=None):
    """One HTTP request exactly as given: (status, headers with lower-case names, body).

    A header whose value is None is left out, even one that a client sends by itself.
    """
    parts = urllib.parse.urlsplit(endpoint)
    wanted = {"Host": parts.netloc, "Content-Length": str(len(body))} | (headers or {})
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in wanted.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        # It may answer and close before all was sent; the answer tells.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(body)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
    finally:
        connection.close()


def until(check, seconds=30.0, what="the condition"):
    """Asks again and again until the answer is truthy, and returns it; fails at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {seconds} s; last answer: {answer!r}")
        time.sleep(0.02)
