"""Registries that lie, break off, say nothing or talk nonsense."""

import re

import pytest

import images
from daemon import until
from images import Layer
from jobs import ContainerLab
from registries import Answer, LyingRegistry, refuses

NOT_STARTED = "Task failed to start"


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
        return (
            [path for path in (folder / "tmp").iterdir() if path.is_dir()]
            if (folder / "tmp").is_dir()
            else []
        )

    until(lambda: not folders(), 10, "the end of the last folder of an unpacker")
