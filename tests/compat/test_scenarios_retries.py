"""evaluateOnExit: which entry decides, what a pattern matches, and what is never retried."""

import pytest

import wasm
from jobs import refused

RETRY, EXIT = "RETRY", "EXIT"


def on(action, **conditions):
    return {"action": action} | conditions


def attempts_of(lab, definition, attempts, *entries, **more):
    strategy = {"attempts": attempts} | ({"evaluateOnExit": list(entries)} if entries else {})
    return len(lab.wait(lab.submit(definition, retryStrategy=strategy, **more), "FAILED")["attempts"])


TABLE = [
    ("no entries at all", "13", [], 3),
    ("no entry matches", "13", [on(EXIT, onExitCode="14")], 3),
    ("the first of two that match", "13", [on(RETRY, onExitCode="13"), on(EXIT, onExitCode="13")], 3),
    ("the first of two, the other way", "13", [on(EXIT, onExitCode="13"), on(RETRY, onExitCode="13")], 1),
    ("a code is the whole code", "13", [on(EXIT, onExitCode="1")], 3),
    ("a code with a star is a prefix", "13", [on(EXIT, onExitCode="1*")], 1),
    ("a star alone is any code", "13", [on(EXIT, onExitCode="*")], 1),
    ("a longer prefix than the code", "1", [on(EXIT, onExitCode="13*")], 3),
    ("a status reason", "13", [on(EXIT, onStatusReason="Essential container in task exited")], 1),
    ("a status reason with a star", "13", [on(EXIT, onStatusReason="Essential*")], 1),
    ("a status reason in other letters", "13", [on(EXIT, onStatusReason="ESSENTIAL*")], 3),
    ("all conditions of an entry", "13", [on(EXIT, onExitCode="13", onStatusReason="Essential*")], 1),
    ("one condition that does not hold", "13", [on(EXIT, onExitCode="13", onStatusReason="Host*")], 3),
    ("an action in any case", "13", [on("eXiT", onExitCode="13")], 1),
    ("a retry in any case", "13", [on("retry", onExitCode="13"), on("Exit", onReason="*")], 3),
    ("the entry for all the rest", "13", [on(RETRY, onExitCode="14"), on(EXIT, onReason="*")], 1),
    (
        "five entries",
        "13",
        [*[on(RETRY, onExitCode=str(code)) for code in (1, 2, 3, 4)], on(EXIT, onExitCode="1*")],
        1,
    ),
]


@pytest.mark.parametrize(
    ("code", "entries", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_first_entry_that_matches_decides(lab, code, entries, wanted):
    assert attempts_of(lab, lab.define("exit-code", code), 3, *entries) == wanted


def test_on_reason_sees_a_trap_and_what_no_image_says(lab, node):
    node.push("traps", wasm.TRAPS)
    traps, unknown = lab.define("traps"), lab.define("localhost/no-such-image:v9")
    assert attempts_of(lab, traps, 3, on(EXIT, onReason="WasmTrap*")) == 1
    assert attempts_of(lab, traps, 2, on(EXIT, onReason="CannotPull*")) == 2
    assert attempts_of(lab, unknown, 3, on(EXIT, onReason="CannotPullContainerError*")) == 1
    assert attempts_of(lab, unknown, 3, on(EXIT, onStatusReason="Task failed to start")) == 1
    assert attempts_of(lab, unknown, 2, on(EXIT, onExitCode="*")) == 2, "what did not start has no exit code"


def test_a_timeout_is_not_retried_whatever_an_entry_says(lab):
    entries = [on(RETRY, onStatusReason="Job attempt duration*"), on(RETRY, onExitCode="137")]
    assert attempts_of(lab, lab.define("spin"), 3, *entries, timeout={"attemptDurationSeconds": 1}) == 1


def test_a_job_that_is_terminated_is_not_retried_whatever_an_entry_says(lab):
    strategy = {"attempts": 3, "evaluateOnExit": [on(RETRY, onExitCode="*"), on(RETRY, onReason="*")]}
    job_id = lab.submit(lab.define("sleep", "600"), retryStrategy=strategy)
    lab.wait(job_id, "RUNNING")
    lab.batch.terminate_job(jobId=job_id, reason="no more")
    assert len(lab.wait(job_id, "FAILED")["attempts"]) == 1


@pytest.mark.parametrize(
    "entry",
    [
        on(EXIT, onExitCode="abc"),
        on(EXIT, onExitCode="*3"),
        on(EXIT, onExitCode="3" * 513),
        on(EXIT, onReason="x" * 513),
        on(EXIT, onReason="a*b"),
        on(EXIT, onStatusReason="semi;colon"),
    ],
    ids=[
        "letters as a code",
        "a star before",
        "long code",
        "long reason",
        "a star inside",
        "a strange letter",
    ],
)
def test_a_pattern_that_can_not_be_is_refused(lab, entry):
    strategy = {"attempts": 2, "evaluateOnExit": [entry]}
    wanted = {"jobName": "wrong", "jobQueue": "default", "jobDefinition": lab.define("hello")}
    [condition] = [name for name in entry if name.startswith("on")]
    assert condition in refused(lab.batch.submit_job, **wanted, retryStrategy=strategy)


def test_retries_by_the_command_line(lab, node):
    strategy = "attempts=3,evaluateOnExit=[{onExitCode=1*,action=RETRY},{onReason=*,action=EXIT}]"
    for code, wanted in (("13", 3), ("7", 1)):
        job = node.aws(
            *("batch", "submit-job", "--job-name", "retried", "--job-queue", "default"),
            *("--job-definition", lab.define("exit-code", code), "--retry-strategy", strategy),
        )
        lab.jobs.append(job["jobId"])
        assert len(lab.wait(job["jobId"], "FAILED")["attempts"]) == wanted
