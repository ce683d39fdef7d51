"""How attempts fail: exit codes, traps, memory, time, modules that can't run; and retries."""

import re

import pytest

import wasm
from jobs import unique

EXITED = "Essential container in task exited"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


def codes(job):
    return [attempt["container"].get("exitCode") for attempt in job["attempts"]]


@pytest.mark.parametrize("code", [1, 7, 125, 126, 200, 255])
def test_a_failing_job_keeps_its_exit_code(lab, code):
    job = lab.run("exit-code", str(code), wanted="FAILED")
    assert job["statusReason"] == EXITED
    assert job["container"]["exitCode"] == code
    assert "reason" not in job["container"]
    [attempt] = job["attempts"]
    assert attempt["container"]["exitCode"] == code
    assert attempt["statusReason"] == EXITED
    assert attempt["startedAt"] <= attempt["stoppedAt"]
    assert f"attempt 1 exits with {code}" in lab.lines(job)


@pytest.mark.parametrize("code", ["256", "-1", "1000"])
def test_an_exit_code_that_no_process_has_becomes_255_and_is_told(lab, code):
    job = lab.run("exit-code", code, wanted="FAILED")
    assert job["container"]["exitCode"] == 255
    assert code.lstrip("-") in job["container"]["reason"]


def test_a_trap_is_134_and_says_what_trapped(lab, node):
    node.push("traps", wasm.TRAPS)
    job = lab.run("traps", wanted="FAILED")
    assert job["statusReason"] == EXITED
    assert job["container"]["exitCode"] == 134
    assert job["container"]["reason"].startswith("WasmTrap: ")
    assert "unreachable" in job["container"]["reason"]


def test_a_job_over_its_memory_is_137_and_says_so(lab):
    job = lab.run("eat-memory", "64", container={"memory": "16"}, wanted="FAILED")
    assert job["statusReason"] == EXITED
    assert job["container"]["exitCode"] == 137
    assert job["container"]["reason"] == OUT_OF_MEMORY
    eaten = [line for line in lab.lines(job) if line.endswith(" MiB")]
    assert 1 <= len(eaten) <= 16


def test_a_job_within_its_memory_succeeds(lab):
    job = lab.run("eat-memory", "40", container={"memory": "64"})
    assert lab.lines(job)[-1] == "ate 40 MiB"


def test_one_job_out_of_memory_leaves_its_neighbours_alone(lab):
    occupier = lab.occupy("1")
    lab.run("eat-memory", "64", container={"memory": "16"}, wanted="FAILED")
    assert lab.job(occupier)["status"] == "RUNNING"


def test_a_timeout_ends_a_loop_and_is_not_retried(lab):
    job_id = lab.submit(
        lab.define("spin"), timeout={"attemptDurationSeconds": 1}, retryStrategy={"attempts": 3}
    )
    job = lab.wait(job_id, "FAILED")
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert job["container"]["exitCode"] == 137
    assert len(job["attempts"]) == 1
    assert 1000 <= job["stoppedAt"] - job["startedAt"] < 10_000
    assert job["timeout"] == {"attemptDurationSeconds": 1}
    assert lab.lines(job) == ["spinning"]


def test_a_timeout_of_the_definition_holds_and_a_submit_overrides_it(lab):
    definition = lab.define("sleep", "2", timeout={"attemptDurationSeconds": 1})
    ended = lab.wait(lab.submit(definition), "FAILED")
    assert ended["statusReason"] == "Job attempt duration exceeded timeout"
    longer = lab.submit(definition, timeout={"attemptDurationSeconds": 60})
    assert lab.wait(longer, "SUCCEEDED")["timeout"] == {"attemptDurationSeconds": 60}


def test_a_job_is_retried_until_it_succeeds(lab):
    job_id = lab.submit(lab.define("exit-code", "3", "3"), retryStrategy={"attempts": 3})
    job = lab.wait(job_id, "SUCCEEDED")
    assert codes(job) == [3, 3, 0]
    assert job["container"]["exitCode"] == 0
    assert job["retryStrategy"]["attempts"] == 3
    streams = [attempt["container"]["logStreamName"] for attempt in job["attempts"]]
    assert len(set(streams)) == 3
    assert job["container"]["logStreamName"] == streams[2]
    for number, stream in enumerate(streams, start=1):
        messages = [event["message"] for event in lab.events(stream)]
        assert any(line.startswith(f"attempt {number} exits") for line in messages)
    starts = [attempt["startedAt"] for attempt in job["attempts"]]
    assert starts == sorted(starts)


def test_attempts_run_out(lab):
    job_id = lab.submit(lab.define("exit-code", "3"), retryStrategy={"attempts": 3})
    job = lab.wait(job_id, "FAILED")
    assert codes(job) == [3, 3, 3]
    assert job["statusReason"] == EXITED


def test_the_definitions_retry_strategy_holds_unless_the_submit_has_one(lab):
    definition = lab.define("exit-code", "3", retryStrategy={"attempts": 2})
    assert codes(lab.wait(lab.submit(definition), "FAILED")) == [3, 3]
    once = lab.submit(definition, retryStrategy={"attempts": 1})
    assert codes(lab.wait(once, "FAILED")) == [3]


def retrying(attempts, *rules):
    return {"attempts": attempts, "evaluateOnExit": list(rules)}


@pytest.mark.parametrize(
    ("strategy", "attempts"),
    [
        (retrying(5, {"onExitCode": "3", "action": "EXIT"}), 1),
        (retrying(5, {"onExitCode": "3*", "action": "exit"}), 1),
        (retrying(2, {"onExitCode": "4", "action": "EXIT"}), 2),
        (retrying(2, {"onExitCode": "3", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}), 2),
        (retrying(5, {"onExitCode": "4", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}), 1),
        (
            retrying(
                5, {"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}
            ),
            1,
        ),
        (retrying(5, {"onStatusReason": "Essential container*", "action": "EXIT"}), 1),
        (retrying(2, {"onStatusReason": "Essential", "action": "EXIT"}), 2),
        (retrying(2, {"onExitCode": "3", "onReason": "OutOfMemoryError*", "action": "EXIT"}), 2),
    ],
)
def test_evaluate_on_exit_decides(lab, strategy, attempts):
    job = lab.wait(lab.submit(lab.define("exit-code", "3"), retryStrategy=strategy), "FAILED")
    assert codes(job) == [3] * attempts


def test_evaluate_on_exit_sees_the_reason_of_a_trap_and_of_memory(lab):
    strategy = retrying(3, {"onReason": "OutOfMemoryError*", "action": "EXIT"})
    definition = lab.define("eat-memory", "64", container={"memory": "16"})
    assert codes(lab.wait(lab.submit(definition, retryStrategy=strategy), "FAILED")) == [137]


def test_an_attempt_that_could_not_start_counts_and_its_status_reason_can_be_matched(lab):
    strategy = retrying(3, {"onStatusReason": "Task failed to start", "action": "EXIT"})
    definition = lab.define("no-such-module:v9")
    assert len(lab.wait(lab.submit(definition, retryStrategy=strategy), "FAILED")["attempts"]) == 1
    again = lab.submit(definition, retryStrategy={"attempts": 2})
    assert len(lab.wait(again, "FAILED")["attempts"]) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wasm.NO_WASM, ("wasm|webassembly",)),
        (b"", ("wasm|webassembly|empty",)),
        (wasm.CUT_OFF, ("wasm|webassembly|unexpected",)),
        (wasm.NO_START, ("no function _?start",)),
        (wasm.UNKNOWN_IMPORT, ("env", "nothing")),
        (wasm.EMPTY_COMPONENT, ("wasi:cli.run|wasi.cli.run|command",)),
    ],
    ids=["text", "empty", "cut off", "no start", "unknown import", "another world"],
)
def test_a_module_that_cannot_run_fails_the_attempt_with_a_reason_that_says_why(lab, node, content, words):
    file = node.shared / f"{unique('bad')}.wasm"
    file.write_bytes(content)
    job = lab.run(f"file://{file}", wanted="FAILED")
    assert job["statusReason"] == "Task failed to start"
    assert "exitCode" not in job["container"]
    for word in words:
        assert re.search(word, job["container"]["reason"], re.IGNORECASE), job["container"]["reason"]


def test_an_uploaded_module_that_cannot_run_says_why_too(lab, node):
    node.push("no-start", wasm.NO_START)
    job = lab.run("no-start", wanted="FAILED")
    assert job["statusReason"] == "Task failed to start"
    assert re.search("no function _?start", job["container"]["reason"])


def test_a_job_larger_than_the_node_waits_and_says_why(lab):
    job_id = lab.submit(lab.define("hello", container={"vcpus": "64"}))
    job = lab.job(job_id)
    assert job["status"] == "RUNNABLE"
    assert job["statusReason"].startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    lab.batch.cancel_job(jobId=job_id, reason="too large")
    lab.wait(job_id, "FAILED")
