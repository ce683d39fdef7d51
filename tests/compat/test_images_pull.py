"""Images from registries: their names, their forms, when a registry is asked, and by whom."""

import json

import pytest

import images
from daemon import guest, run_command, until
from jobs import ContainerLab, unique
from registries import Answer, LyingRegistry, Registry, Tls, auth_file, refuses

NOT_STARTED = "Task failed to start"
CANNOT_PULL = "CannotPullContainerError: "


def saying(text, **config):
    """An image that says something."""
    layer = images.Layer().program("say", f"#!/bin/sh\necho {text}\n")
    return images.box(layer, Entrypoint=["/say"], **config)


def refusal(boxes, reference, command=("true",), seconds=30):
    """Why an image couldn't be had, and that no container began."""
    job = boxes.wait(boxes.submit(boxes.define(reference, *command)), "FAILED", seconds=seconds)
    assert job["statusReason"] == NOT_STARTED
    assert "exitCode" not in job["container"]
    reason = job["container"]["reason"]
    assert reason.startswith(CANNOT_PULL), reason
    return reason.removeprefix(CANNOT_PULL)


def test_an_image_is_pulled_by_its_tag(boxes, registry):
    reference = registry.push(unique("pull"), "1.0", saying("pulled"))
    job = boxes.run(reference)
    assert boxes.lines(job) == ["pulled"]
    assert job["container"]["image"] == reference, "the job's words stay as they were"
    listed = boxes.node.images()[reference]
    assert listed["loaded"] is False
    assert listed["digest"] == saying("pulled").digest
    assert listed["sizeBytes"] > 1 << 20


def test_without_a_tag_it_is_the_latest(boxes, registry):
    reference = registry.push(unique("pull"), "latest", saying("latest"))
    assert boxes.lines(boxes.run(reference.removesuffix(":latest"))) == ["latest"]


def test_an_image_is_pulled_by_its_digest(boxes, registry):
    image = saying("by its digest")
    reference = registry.push(unique("pull"), "x", image)
    named = reference.removesuffix(":x") + "@" + image.digest
    assert boxes.lines(boxes.run(named)) == ["by its digest"]


def test_of_a_tag_and_a_digest_the_digest_decides(boxes, registry):
    repository = unique("pull")
    first = saying("first")
    registry.push(repository, "moving", first)
    reference = registry.push(repository, "moving", saying("second"))
    assert boxes.lines(boxes.run(f"{reference}@{first.digest}")) == ["first"]


def test_a_moved_tag_is_seen_by_the_next_attempt(boxes, registry):
    repository = unique("pull")
    reference = registry.push(repository, "moving", saying("first"))
    definition = boxes.define(reference)
    assert boxes.lines(boxes.wait(boxes.submit(definition), "SUCCEEDED")) == ["first"]
    registry.push(repository, "moving", saying("second"))
    assert boxes.lines(boxes.wait(boxes.submit(definition), "SUCCEEDED")) == ["second"]
    assert boxes.node.images()[reference]["digest"] == saying("second").digest


def test_a_tag_that_moves_while_its_image_runs_changes_nothing_there(boxes, registry):
    repository = unique("pull")
    layer = images.Layer().file("word", "first\n")
    reference = registry.push(repository, "moving", images.box(layer))
    script = "trap 'cat /word; exit 3' TERM; echo ready; sleep 600 & wait"
    job = boxes.begin(script, "ready", image=reference)
    registry.push(repository, "moving", images.box(images.Layer().file("word", "second\n")))
    assert boxes.said("cat /word", image=reference) == ["second"]
    assert boxes.lines(boxes.end(job)) == ["ready", "first"]


@pytest.mark.parametrize(
    "how",
    [
        {"how": "gzip"},
        {"how": "none"},
        {"how": "zstd"},
        {"docker": True},
        {"docker": True, "how": "none"},
    ],
    ids=["gzip", "uncompressed", "zstd", "docker", "docker uncompressed"],
)
def test_layers_come_in_every_form(boxes, registry, how):
    words = " ".join(map(str, how.values()))
    reference = registry.push(unique("pull"), "latest", saying(words, **how))
    assert boxes.lines(boxes.run(reference)) == [words]


def test_the_layer_type_of_some_copies_of_docker_archives_is_taken(boxes, liar):
    def odd(manifest):
        for layer in manifest["layers"]:
            layer["mediaType"] = images.DOCKER_LAYER + ".gzip"

    reference = liar.serve("odd", "latest", saying("odd", docker=True).changed(odd))
    assert boxes.lines(boxes.run(reference)) == ["odd"]


def test_a_manifest_that_does_not_say_its_type_is_taken(boxes, liar):
    image = saying("untyped").changed(lambda manifest: manifest.pop("mediaType"))
    assert boxes.lines(boxes.run(liar.serve("untyped", "latest", image))) == ["untyped"]


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_of_an_index_the_image_for_this_machine_is_taken(boxes, registry, docker):
    here = f"linux/{images.ARCHITECTURE}"
    entries = [
        ("linux/s390x", saying("another machine", architecture="s390x", docker=docker)),
        (here, saying("this machine", docker=docker)),
        ("windows/amd64", images.image(images.Layer().file("x").tar(), system="windows", docker=docker)),
    ]
    reference = registry.push(unique("pull"), "latest", images.index(*entries, docker=docker))
    assert boxes.lines(boxes.run(reference)) == ["this machine"]


def test_an_index_by_its_digest_is_an_index_too(boxes, registry):
    index = images.index((f"linux/{images.ARCHITECTURE}", saying("below an index")))
    reference = registry.push(unique("pull"), "x", index)
    named = reference.removesuffix(":x") + "@" + index.digest
    assert boxes.lines(boxes.run(named)) == ["below an index"]


def test_an_index_without_this_machine_is_refused(boxes, registry):
    index = images.index(("linux/s390x", saying("x", architecture="s390x")))
    reason = refusal(boxes, registry.push(unique("pull"), "latest", index))
    assert f"nothing for linux {images.ARCHITECTURE}" in reason


def test_an_image_for_another_machine_is_refused(boxes, registry):
    reason = refusal(boxes, registry.push(unique("pull"), "latest", saying("x", architecture="s390x")))
    assert "s390x" in reason and images.ARCHITECTURE in reason


def test_a_module_in_a_registry_runs_in_wasmtime(boxes, registry):
    reference = registry.push(unique("wasm"), "1", images.module_artifact(guest("hello")))
    assert boxes.lines(boxes.run(reference, "registry")) == ["hello from wasmbatch, registry"]
    assert boxes.node.images()[reference]["sizeBytes"] == len(guest("hello"))


def test_a_module_beside_an_image_in_an_index_is_the_second_choice(boxes, registry):
    module = images.module_artifact(guest("hello"))
    both = images.index(("wasip1/wasm", module), (f"linux/{images.ARCHITECTURE}", saying("the image")))
    alone = images.index(("wasip1/wasm", module), ("linux/s390x", saying("x", architecture="s390x")))
    assert boxes.lines(boxes.run(registry.push(unique("wasm"), "1", both))) == ["the image"]
    assert boxes.lines(boxes.run(registry.push(unique("wasm"), "1", alone), "x")) == [
        "hello from wasmbatch, x"
    ]


def test_a_registrys_refusal_is_told_in_its_own_words(boxes, registry):
    reference = registry.push(unique("pull"), "there", saying("x"))
    assert "manifest unknown" in refusal(boxes, reference.replace(":there", ":gone"))
    missing = f"{registry.address}/{unique('nobody')}/x:latest"
    assert "manifest unknown" in refusal(boxes, missing) or "not known" in refusal(boxes, missing)


@pytest.mark.parametrize(
    "name", ["A/B", "a b", "a//b", "a:b:c", "a@sha256:00", "-a", "x/../y", "http://a/b", "a:"]
)
def test_what_is_no_name_is_refused(boxes, name):
    assert refusal(boxes, name).startswith("invalid reference")


def test_a_registry_that_is_not_there_is_named(boxes):
    closed = LyingRegistry()
    closed.close()
    reason = refusal(boxes, f"{closed.address}/x:latest")
    assert "cannot be reached" in reason


def test_with_its_registry_down_an_image_on_disk_still_runs(boxes, tmp_path):
    registry = Registry(tmp_path / "registry").start()
    reference = registry.push("held", "latest", saying("still here"))
    assert boxes.lines(boxes.run(reference)) == ["still here"]
    registry.stop()
    assert boxes.lines(boxes.run(reference)) == ["still here"]
    other = reference.replace("held:latest", "other:latest")
    assert "cannot be reached" in refusal(boxes, other)


def test_a_registry_that_can_not_say_is_as_one_that_is_down(boxes, liar):
    # All at once: each is asked several times, with a pause in between.
    statuses = (429, 500, 502, 503)
    references = {status: liar.serve(f"held-{status}", "latest", saying("still here")) for status in statuses}
    for reference in references.values():
        boxes.run(reference)
    for status in statuses:
        answer = refuses(status, "UNAVAILABLE", "come back later")
        liar.lie(f"/v2/held-{status}/manifests/latest", lambda _, answer=answer: answer)
    jobs = [boxes.submit(boxes.define(reference)) for reference in references.values()]
    for job_id in jobs:
        assert boxes.lines(boxes.wait(job_id, "SUCCEEDED", seconds=60)) == ["still here"]


def test_a_tag_that_is_gone_is_gone_even_if_its_image_is_on_disk(boxes, liar):
    reference = liar.serve("held", "latest", saying("x"))
    boxes.run(reference)
    del liar.tags["/v2/held/manifests/latest"]
    assert "manifest unknown" in refusal(boxes, reference)


def test_a_digest_on_disk_is_not_asked_for_again(boxes, liar):
    image = saying("known")
    named = liar.serve("known", "x", image).removesuffix(":x") + "@" + image.digest
    boxes.run(named)
    asked = len(liar.asked)
    boxes.run(named)
    assert len(liar.asked) == asked


def test_many_jobs_at_once_pull_an_image_once(boxes, liar):
    image = saying("once")
    reference = liar.serve("once", "latest", image)
    array = boxes.submit(boxes.define(reference), arrayProperties={"size": 12})
    boxes.wait(array, "SUCCEEDED", seconds=60)
    # The layers below it may be here already.
    assert len(liar.requests(image.content["layers"][-1]["digest"])) == 1


def test_layers_on_disk_are_not_pulled_again(boxes, liar, box_tar):
    base = images.box(box_tar=box_tar)
    boxes.run(liar.serve("base", "latest", base), "true")
    child = images.image(box_tar, images.Layer().file("new", "x\n").tar())
    assert boxes.said("cat /new", image=liar.serve("child", "latest", child)) == ["x"]
    shared = child.content["layers"][0]["digest"]
    assert len(liar.requests(f"/child/blobs/{shared}")) == 0


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry") / "private", private=True).start()
    yield registry
    registry.stop()


def test_a_private_registry_without_credentials_is_refused(boxes, private):
    reference = private.push("secret", "latest", saying("secret"))
    reason = refusal(boxes, reference)
    assert "authentication required" in reason


def test_a_private_registry_opens_to_the_owners_credentials(new_container_node, private, tmp_path):
    reference = private.push("secret", "latest", saying("secret"))
    key = auth_file(tmp_path / "config.json", private.address)
    node = new_container_node(flags=["--insecure-registry", private.address, "--registry-auth", str(key)])
    lab = ContainerLab(node)
    assert lab.lines(lab.run(reference)) == ["secret"]
    lab.close()


def test_wrong_credentials_are_refused_and_never_shown(new_container_node, private, tmp_path):
    reference = private.push("secret", "latest", saying("secret"))
    wrong = "WrongPasswordThatNobodySees"
    key = auth_file(tmp_path / "config.json", private.address, wrong)
    node = new_container_node(flags=["--insecure-registry", private.address, "--registry-auth", str(key)])
    lab = ContainerLab(node)
    assert "authentication required" in refusal(lab, reference)
    assert wrong not in node.stderr() + json.dumps(lab.job(lab.jobs[-1]))
    lab.close()


@pytest.mark.parametrize(
    "text",
    ["{", '{"auths": 3}', '{"credsStore": "x"}', '{"auths": {"a": {"auth": "%%"}}}'],
)
def test_a_file_of_credentials_that_can_not_be_used_keeps_the_node_from_starting(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    done = run_command(
        "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--registry-auth", path,
        check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode != 0
    assert str(path) in done.stderr
    assert done.stdout == ""


def test_credentials_are_for_their_registry_alone(new_container_node, private, liar, tmp_path):
    key = auth_file(tmp_path / "config.json", private.address)
    node = new_container_node(flags=["--insecure-registry", "127.0.0.1", "--registry-auth", str(key)])
    lab = ContainerLab(node)
    seen = []

    def challenge(handler):
        seen.append(handler.headers.get("Authorization"))
        return refuses(401, "UNAUTHORIZED", "who are you", **{"WWW-Authenticate": 'Basic realm="x"'})

    liar.lie("/v2/x/manifests/latest", challenge)
    refusal(lab, f"{liar.address}/x:latest")
    assert seen and set(seen) == {None}
    lab.close()


def test_a_token_is_fetched_where_the_registry_says(boxes, liar):
    image = saying("with a token")
    reference = liar.serve("token", "latest", image)
    manifest = (image.media_type, image.manifest)
    realm = f'Bearer realm="http://{liar.address}/token",service="tests",scope="repository:token:pull"'

    def guarded(handler):
        if handler.headers.get("Authorization") != "Bearer let-me-in":
            return refuses(401, "UNAUTHORIZED", "a token is needed", **{"WWW-Authenticate": realm})
        return Answer(200, manifest[1], {"Content-Type": manifest[0]})

    liar.lie("/v2/token/manifests/latest", guarded)
    liar.lie(f"/v2/token/manifests/{image.digest}", guarded)
    liar.lie("/token", lambda _: Answer(200, b'{"token": "let-me-in"}', {"Content-Type": "application/json"}))
    assert boxes.lines(boxes.run(reference)) == ["with a token"]


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry(folder / "encrypted", tls=Tls(folder / "tls")).start()
    yield registry
    registry.stop()


def test_a_registry_is_trusted_by_the_owners_authority(new_container_node, encrypted):
    reference = encrypted.push("tls", "latest", saying("encrypted"))
    node = new_container_node(flags=["--registry-ca", str(encrypted.tls.authority)])
    lab = ContainerLab(node)
    assert lab.lines(lab.run(reference)) == ["encrypted"]
    lab.close()


def test_a_registry_that_nobody_vouches_for_is_refused(new_container_node, encrypted):
    reference = encrypted.push("tls", "latest", saying("encrypted"))
    lab = ContainerLab(new_container_node(flags=["--allow-registry", encrypted.address]))
    assert "certificate" in refusal(lab, reference)
    lab.close()


def test_a_registry_without_encryption_is_refused_unless_the_owner_names_it(new_container_node, liar):
    reference = liar.serve("plain", "latest", saying("plain"))
    lab = ContainerLab(new_container_node(flags=["--allow-registry", liar.address]))
    refusal(lab, reference)
    assert liar.asked == []
    lab.close()


def test_only_registries_that_the_owner_names_are_asked_where_there_are_such(new_container_node, liar):
    other = LyingRegistry()
    references = [one.serve("named", "latest", saying("named")) for one in (liar, other)]
    flags = ["--insecure-registry", "127.0.0.1", "--allow-registry", liar.address]
    lab = ContainerLab(new_container_node(flags=flags))
    assert lab.lines(lab.run(references[0])) == ["named"]
    assert "not allowed on this node" in refusal(lab, references[1])
    assert other.asked == []
    assert lab.said("echo loaded") == ["loaded"]
    lab.close()
    other.close()


def test_an_uploaded_module_wins_over_all_images(boxes):
    name = unique("both")
    boxes.node.load(name, images.layout_tar(saying("the image")))
    assert boxes.lines(boxes.run(name)) == ["the image"]
    boxes.node.push(f"{name}:latest", guest("hello"))
    assert boxes.lines(boxes.run(name, "x")) == ["hello from wasmbatch, x"]


def test_a_loaded_image_wins_over_a_registry(boxes, liar):
    reference = liar.serve("loaded", "latest", saying("from the registry"))
    boxes.node.load(reference, images.layout_tar(saying("from the archive")))
    assert boxes.lines(boxes.run(reference)) == ["from the archive"]
    assert liar.asked == []


def test_a_pull_that_nobody_waits_for_any_more_ends(boxes, liar):
    image = saying("slow")
    reference = liar.serve("slow", "latest", image)
    liar.lie_about_layer("slow", image, liar.hang)
    job_id = boxes.submit(boxes.define(reference))
    digest = image.content["layers"][-1]["digest"]
    until(lambda: liar.requests(digest), 20, "the request for the layer")
    assert boxes.job(job_id)["status"] == "STARTING"
    boxes.batch.terminate_job(jobId=job_id, reason="too slow")
    job = boxes.wait(job_id, "FAILED", seconds=10)
    assert job["statusReason"] == "too slow"
    assert "exitCode" not in job["container"]


def test_images_that_were_pulled_are_there_after_a_restart(new_container_node, tmp_path):
    registry = Registry(tmp_path / "registry").start()
    image = saying("kept")
    reference = registry.push("kept", "latest", image)
    node = new_container_node(flags=["--insecure-registry", "127.0.0.1"])
    lab = ContainerLab(node)
    lab.run(reference)
    registry.stop()
    before = node.images()
    node.kill()
    node.start()
    assert {name: row["digest"] for name, row in node.images().items()} == {
        name: row["digest"] for name, row in before.items()
    }
    lab = ContainerLab(node)
    assert lab.lines(lab.run(reference)) == ["kept"]
    lab.close()
