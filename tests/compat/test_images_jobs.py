"""What every job may say, said of images: words, variables, overrides, retries, the command line."""

import hashlib
import json
import os
import shutil

import pytest

import images
from daemon import until
from jobs import ContainerLab, unique
from registries import Answer

NOT_STARTED = "Task failed to start"


def test_arguments_arrive_as_they_were_given(boxes):
    given = ["", " two  spaces ", 'it\'s "quoted"', "a\nb", "$HOME `id` \\", "ümlaut €", "-n", "--", "*"]
    script = "for a in \"$@\"; do printf '[%s]' \"$a\" | tr '\\n' '/'; echo; done"
    job = boxes.run(boxes.BOX, "sh", "-c", script, "name", *given)
    assert boxes.lines(job) == [f"[{one}]".replace("\n", "/") for one in given]


def test_variables_arrive_as_they_were_given(boxes):
    given = {
        "EMPTY": "",
        "SPACES": " a  b ",
        "LINES": "a\nb",
        "EQUALS": "a=b=c",
        "WIDE": "ü€",
        "lower.dot-x": "odd",
    }
    container = {"environment": [{"name": name, "value": value} for name, value in given.items()]}
    # No shell: it would leave out names that are none to it.
    text = "\n".join(boxes.lines(boxes.run(boxes.BOX, "env", container=container)))
    for name, value in given.items():
        assert f"{name}={value}\n" in text + "\n"


def test_a_command_of_many_words_arrives_whole(boxes):
    words = [str(number) for number in range(2000)]
    job = boxes.run(boxes.BOX, "sh", "-c", 'echo $#; shift 1999; echo "$1"', "name", *words)
    assert boxes.lines(job) == ["2000", "1999"]


def test_parameters_stand_in_the_command(boxes):
    definition = boxes.define(boxes.BOX, "echo", "Ref::word", parameters={"word": "default"})
    assert boxes.lines(boxes.wait(boxes.submit(definition), "SUCCEEDED")) == ["default"]
    job = boxes.wait(boxes.submit(definition, parameters={"word": "given"}), "SUCCEEDED")
    assert boxes.lines(job) == ["given"]


def test_a_submit_overrides_command_variables_and_memory(boxes):
    container = {"environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}
    definition = boxes.define_shell("echo never", container=container)
    overrides = {
        "command": [
            "sh",
            "-c",
            "echo $A $B; dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null; echo $?",
        ],
        "environment": [{"name": "B", "value": "2"}],
        "resourceRequirements": [{"type": "MEMORY", "value": "128"}],
    }
    job = boxes.wait(boxes.submit(definition, containerOverrides=overrides), "SUCCEEDED")
    assert boxes.lines(job) == ["1 2", "0"]


def test_standard_input_is_empty(boxes):
    assert boxes.said("cat; echo end") == ["end"]


def test_a_program_may_close_its_outputs_and_go_on(boxes):
    job = boxes.shell("echo first; exec >&- 2>&-; usleep 200000; exit 5", wanted="FAILED")
    assert job["container"]["exitCode"] == 5
    assert boxes.lines(job) == ["first"]


def test_the_host_name_is_nobodys(boxes):
    lines = boxes.said(
        "hostname; cat /etc/hostname; grep localhost /etc/hosts | head -n 1; cat /etc/resolv.conf"
    )
    assert lines == ["localhost", "localhost", "127.0.0.1 localhost"]


def test_open_files_are_bounded_as_docker_does(boxes):
    [soft, hard] = boxes.said("ulimit -n; ulimit -Hn")
    assert 1024 <= int(soft) <= int(hard)


def test_an_unknown_ulimit_is_refused(boxes):
    container = {"ulimits": [{"name": "nonsense", "softLimit": 1, "hardLimit": 1}]}
    job = boxes.shell("true", container=container, wanted="FAILED")
    assert job["statusReason"] == NOT_STARTED
    assert job["container"]["reason"].startswith("CannotStartContainerError: unknown ulimit")


def test_swap_is_had_as_far_as_the_job_asks(boxes):
    parameters = {"maxSwap": 64, "swappiness": 10}
    boxes.shell("true", container={"linuxParameters": parameters})


def test_ephemeral_storage_is_the_size_of_the_disk(boxes):
    script = "df -k / | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2"
    [gibibyte] = boxes.said(script)
    assert 0.9 * (1 << 20) < int(gibibyte) <= 1 << 20
    container = {"ephemeralStorage": {"sizeInGiB": 21}}
    if shutil.disk_usage(boxes.node.data).free > 24 << 30:
        [more] = boxes.said(script, container=container)
        assert 0.9 * (21 << 20) < int(more) <= 21 << 20
    else:
        # More than there is is not promised.
        job = boxes.shell(script, container=container, wanted="FAILED")
        assert job["container"]["reason"].startswith("ResourceInitializationError: ")


def test_priorities_and_shares_are_asked_of_images_too(boxes):
    policy = boxes.batch.create_scheduling_policy(
        name=unique("policy"), fairsharePolicy={"shareDistribution": [{"shareIdentifier": "a"}]}
    )["arn"]
    queue = boxes.queue(schedulingPolicyArn=policy)
    job_id = boxes.submit(boxes.define_shell("echo shared"), queue=queue, shareIdentifier="a")
    assert boxes.lines(boxes.wait(job_id, "SUCCEEDED")) == ["shared"]


def test_rules_of_retries_see_why_an_image_was_not_had(boxes):
    rules = [
        {"onReason": "CannotPullContainerError:*", "action": "EXIT"},
        {"onExitCode": "*", "action": "RETRY"},
    ]
    retries = {"attempts": 3, "evaluateOnExit": rules}
    definition = boxes.define("127.0.0.1:1/missing:latest", "true")
    job = boxes.wait(boxes.submit(definition, retryStrategy=retries), "FAILED", seconds=60)
    assert len(job["attempts"]) == 1


def test_rules_of_retries_see_that_memory_ran_out(boxes):
    rules = [{"onReason": "OutOfMemoryError:*", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}]
    script = "[ $AWS_BATCH_JOB_ATTEMPT = 2 ] && exit 6; exec tail /dev/zero"
    definition = boxes.define_shell(script, container={"memory": "32"})
    job = boxes.wait(
        boxes.submit(definition, retryStrategy={"attempts": 5, "evaluateOnExit": rules}), "FAILED"
    )
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [137, 6]


def test_the_command_line_submits_an_image_and_shows_its_log(boxes):
    done = boxes.node.run("submit", "--image", boxes.BOX, "--wait", "--", "echo", "by the command line")
    job_id = done.stdout.split()[0]
    assert boxes.node.run("logs", job_id).stdout.endswith("by the command line\n")
    failed = boxes.node.run("submit", "--image", boxes.BOX, "--wait", "--", "sh", "-c", "exit 3", check=False)
    assert failed.returncode != 0


def test_the_aws_command_line_runs_an_image(boxes):
    properties = json.dumps(boxes.container(boxes.BOX, "echo", "by aws"))
    name = unique("aws")
    boxes.node.aws(
        "batch", "register-job-definition", "--job-definition-name", name, "--type", "container",
        "--container-properties", properties,
    )  # fmt: skip
    job = boxes.node.aws(
        "batch", "submit-job", "--job-name", "x", "--job-queue", "default", "--job-definition", name
    )
    boxes.jobs.append(job["jobId"])
    assert boxes.lines(boxes.wait(job["jobId"], "SUCCEEDED")) == ["by aws"]


def test_a_pull_under_way_when_the_node_is_killed_is_taken_up_by_the_next(new_container_node, liar, box_tar):
    node = new_container_node(flags=["--insecure-registry", "127.0.0.1"])
    lab = ContainerLab(node)
    image = images.image(box_tar, images.Layer().file("word", "late\n").tar())
    reference = liar.serve("late", "latest", image)
    liar.lie_about_layer("late", image, liar.hang)
    job_id = lab.submit(lab.define_shell("cat /word", image=reference))
    until(lambda: liar.requests(image.content["layers"][-1]["digest"]), 20, "the request for a layer")
    node.kill()
    liar.lies.clear()
    lab.reopen()
    job = lab.wait(job_id, "SUCCEEDED", seconds=60)
    assert lab.lines(job) == ["late"]
    lab.close()


def test_sigterm_while_an_image_is_pulled_leaves_the_job_to_the_next_start(new_container_node, liar, box_tar):
    node = new_container_node(flags=["--insecure-registry", "127.0.0.1", "--drain-seconds", "1"])
    lab = ContainerLab(node)
    image = images.image(box_tar, images.Layer().file("word", "later\n").tar())
    reference = liar.serve("late", "latest", image)
    liar.lie_about_layer("late", image, liar.hang)
    job_id = lab.submit(lab.define_shell("cat /word", image=reference))
    until(lambda: liar.requests(image.content["layers"][-1]["digest"]), 20, "the request for a layer")
    assert node.stop() == 0
    liar.lies.clear()
    lab.reopen()
    assert lab.lines(lab.wait(job_id, "SUCCEEDED", seconds=60)) == ["later"]
    lab.close()


def test_a_layer_that_broke_off_is_gone_on_with(boxes, liar, box_tar):
    # Longer than what counts as getting on, so that each try may begin anew.
    content = os.urandom(3 << 20)
    image = images.image(box_tar, images.Layer().file("large", content).tar(), how="none")
    layer = image.blob(image.content["layers"][-1])
    ranges = []

    def half(handler):
        asked = handler.headers.get("Range")
        ranges.append(asked)
        if asked is None:
            return Answer(200, layer[: 2 << 20], length=len(layer))
        start = int(asked.removeprefix("bytes=").rstrip("-").partition("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(layer) - 1}/{len(layer)}"}
        return Answer(206, layer[start:], headers)

    liar.lie_about_layer("half", image, half)
    reference = liar.serve("half", "latest", image)
    [line] = boxes.said("sha256sum /large", image=reference)
    assert line.split()[0] == hashlib.sha256(content).hexdigest()
    assert len(ranges) == 2 and ranges[0] is None


@pytest.mark.parametrize("size", [1 << 20, 2 << 20])
def test_words_beyond_what_a_program_can_be_given_are_refused(boxes, size):
    overrides = {"environment": [{"name": f"A{n}", "value": "x" * 8000} for n in range(size // 8000)]}
    try:
        job_id = boxes.submit(boxes.define(boxes.BOX, "true"), containerOverrides=overrides)
    except boxes.batch.exceptions.ClientException:
        return
    job = boxes.wait(job_id, "FAILED")
    assert job["statusReason"] == NOT_STARTED
