"""Registries for tests: Debian's docker-registry on a port of its own, and one here that lies on demand."""

import base64
import contextlib
import http.client
import http.server
import json
import queue
import re
import ssl
import subprocess
import threading
import urllib.parse
from pathlib import Path

from images import digest_of, json_bytes, tool

USER, PASSWORD = "reader", "open sesame"
# What bcrypt makes of the password.
HTPASSWD = "reader:$2y$05$wasmbatchwasmbatchwasefdqZx3dMnorBJjtcY7it.NetI1q6r5W\n"
LISTENS = re.compile(r"listening on (127\.0\.0\.1:\d+)")
START_SECONDS = 30


class Client:
    """What a registry is asked by the tests themselves."""

    def __init__(self, address, password=None, context=None):
        self.address = address
        self.password = password
        self.context = context

    def ask(self, method, path, body=b"", **headers):
        """One request: (status, headers with lower-case names, body)."""
        if self.context is None:
            connection = http.client.HTTPConnection(self.address, timeout=30)
        else:
            connection = http.client.HTTPSConnection(self.address, timeout=30, context=self.context)
        if self.password is not None:
            pair = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def push(self, repository, tag, image):
        """Pushes an image or an index under a tag; returns its reference."""
        for digest, content in image.blobs.items():
            self.push_blob(repository, digest, content)
        for digest, (media_type, content) in image.manifests.items():
            self.push_manifest(repository, digest, media_type, content)
        self.push_manifest(repository, tag, image.media_type, image.manifest)
        return f"{self.address}/{repository}:{tag}"

    def push_blob(self, repository, digest, content):
        status, _, _ = self.ask("HEAD", f"/v2/{repository}/blobs/{digest}")
        if status == 200:
            return
        status, headers, body = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202, f"{status} {body!r}"
        place = urllib.parse.urlsplit(headers["location"])
        path = f"{place.path}?{place.query}&digest={urllib.parse.quote(digest)}"
        status, _, body = self.ask("PUT", path, content, **{"Content-Type": "application/octet-stream"})
        assert status == 201, f"{status} {body!r}"

    def push_manifest(self, repository, tag, media_type, content):
        path = f"/v2/{repository}/manifests/{tag}"
        status, _, body = self.ask("PUT", path, content, **{"Content-Type": media_type})
        assert status == 201, f"{status} {body!r}"


class Registry(Client):
    """docker-registry as a child process, with an empty store."""

    def __init__(self, folder, private=False, tls=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.private = private
        self.tls = tls
        self.process = None
        self.first_address = "127.0.0.1:0"
        super().__init__(None, PASSWORD if private else None, tls and tls.context())

    def start(self):
        settings = {
            "version": "0.1",
            "log": {"accesslog": {"disabled": True}, "level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "store")}},
            "http": {"addr": self.first_address},
        }
        if self.private:
            (self.folder / "htpasswd").write_text(HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.folder / "htpasswd")}}
        if self.tls:
            settings["http"]["tls"] = {"certificate": str(self.tls.certificate), "key": str(self.tls.key)}
        # What it reads is YAML, and all JSON is.
        (self.folder / "settings.yml").write_bytes(json_bytes(settings))
        self.process = subprocess.Popen(
            [tool("docker-registry"), "serve", str(self.folder / "settings.yml")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"OTEL_TRACES_EXPORTER": "none"},
        )
        said = queue.Queue()
        threading.Thread(target=self._listen, args=(said,), daemon=True).start()
        try:
            self.address = said.get(timeout=START_SECONDS)
        except queue.Empty:
            self.address = None
        assert self.address, "docker-registry doesn't say where it listens"
        # The port stays its own when it is started again.
        self.first_address = self.address
        return self

    def _listen(self, said):
        for line in self.process.stderr:
            if found := LISTENS.search(line):
                said.put(found.group(1))
        said.put(None)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Tls:
    """An authority of the tests' own and a certificate for 127.0.0.1 from it."""

    def __init__(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True)
        self.authority, self.certificate, self.key = (
            folder / name for name in ("authority.pem", "certificate.pem", "key.pem")
        )
        new = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ]
        authority_key = folder / "authority-key.pem"
        self._openssl(*new, "-subj", "/CN=tests", "-keyout", authority_key, "-out", self.authority)
        signed = ["-CA", self.authority, "-CAkey", authority_key]
        extensions = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
        to = ["-subj", "/CN=registry", "-keyout", self.key, "-out", self.certificate]
        self._openssl(*new, *signed, *extensions, *to)

    @staticmethod
    def _openssl(*arguments):
        command = [tool("openssl"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def context(self):
        return ssl.create_default_context(cafile=str(self.authority))


class Answer:
    """What the registry in Python says to one request."""

    def __init__(self, status=200, body=b"", headers=None, length=None):
        self.status = status
        self.body = body
        self.headers = headers or {}
        # What Content-Length says; False leaves it out.
        self.length = len(body) if length is None else length


def refuses(status, code, message, **headers):
    """A refusal as the specification of registries has it."""
    return Answer(status, json_bytes({"errors": [{"code": code, "message": message}]}), headers)


class LyingRegistry:
    """A registry in this process: it serves images as they are, except where it was told to lie.

    `lies` has a function for a path, called with the request's handler; it gives an `Answer`, or writes
    one itself and gives nothing."""

    def __init__(self):
        self.tags = {}
        self.blobs = {}
        self.lies = {}
        self.asked = []
        self.closing = threading.Event()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    registry.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, repository, tag, image):
        """Serves an image; returns its reference."""
        self.tags[f"/v2/{repository}/manifests/{tag}"] = (image.media_type, image.manifest)
        for digest, member in {image.digest: (image.media_type, image.manifest), **image.manifests}.items():
            self.tags[f"/v2/{repository}/manifests/{digest}"] = member
        for digest, content in image.blobs.items():
            self.blobs[f"/v2/{repository}/blobs/{digest}"] = content
        return f"{self.address}/{repository}:{tag}"

    def lie(self, path, what):
        self.lies[path] = what

    def lie_about_layer(self, repository, image, what, number=-1):
        self.lie(f"/v2/{repository}/blobs/{image.content['layers'][number]['digest']}", what)

    def requests(self, ending=""):
        return [f"{method} {path}" for method, path in list(self.asked) if path.endswith(ending)]

    def answer(self, handler):
        path = handler.path.partition("?")[0]
        self.asked.append((handler.command, path))
        if path in self.lies:
            answer = self.lies[path](handler)
        elif path in self.tags:
            media_type, content = self.tags[path]
            headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(content)}
            answer = Answer(200, content, headers)
        elif path in self.blobs:
            answer = Answer(200, self.blobs[path], {"Content-Type": "application/octet-stream"})
        elif path == "/v2/":
            answer = Answer(200, b"{}")
        else:
            answer = refuses(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if answer is not None:
            self.write(handler, answer)

    @staticmethod
    def write(handler, answer):
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.length is not False:
            handler.send_header("Content-Length", str(answer.length))
        else:
            handler.send_header("Connection", "close")
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body)
        if answer.length is False or answer.length != len(answer.body):
            handler.close_connection = True

    def hang(self, handler):
        """Says nothing until the test is over or the other side is gone."""
        handler.close_connection = True
        self.closing.wait(120)

    def endless(self, handler):
        """A body without an end."""
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while not self.closing.is_set():
            handler.wfile.write(bytes(1 << 16))

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


def auth_file(path, address, password=PASSWORD):
    """Docker's config.json with the credentials for one registry."""
    pair = base64.b64encode(f"{USER}:{password}".encode()).decode()
    Path(path).write_text(json.dumps({"auths": {address: {"auth": pair}}}))
    return path
