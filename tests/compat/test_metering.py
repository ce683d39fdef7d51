"""FUEL, determinism, CPU time, and what attempts used."""

import json

import pytest

from jobs import refused, unique

PLENTY = "50000000"
FUEL_MOST = str(2**63 - 1)


def fuel(value):
    return {"type": "FUEL", "value": value}


def fuelled(lab, value):
    """resourceRequirements of a small job with this much fuel."""
    return [*lab.container("x")["resourceRequirements"], fuel(value)]


def fuelled_job(lab, image, value, *command, wanted, **more):
    container = {"resourceRequirements": fuelled(lab, value)}
    return lab.wait(lab.submit(lab.define(image, *command, container=container), **more), wanted)


def used(lab, job):
    """The usage of a job's only container in its last attempt."""
    [container] = lab.usage(job["jobId"])["attempts"][-1]["containers"]
    return container["usage"]


@pytest.mark.parametrize("value", ["1", FUEL_MOST])
def test_fuel_is_registered_overridden_and_answered_as_given(lab, value):
    definition = lab.define("hello", container={"resourceRequirements": fuelled(lab, PLENTY)})
    [described] = lab.batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    assert described["containerProperties"]["resourceRequirements"][-1] == fuel(PLENTY)
    job_id = lab.submit(definition, containerOverrides={"resourceRequirements": [fuel(value)]})
    job = lab.wait(job_id, "SUCCEEDED", "FAILED")
    assert fuel(value) in job["container"]["resourceRequirements"]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "", str(2**63)])
def test_fuel_is_a_whole_number_from_1(lab, value):
    container = lab.container("hello", resourceRequirements=fuelled(lab, value))
    message = refused(
        lab.batch.register_job_definition,
        jobDefinitionName=unique("d"),
        type="container",
        containerProperties=container,
    )
    assert "FUEL" in message
    overrides = {"resourceRequirements": [fuel(value)]}
    members = {"jobName": "j", "jobQueue": "default", "jobDefinition": lab.define("hello")}
    assert "FUEL" in refused(lab.batch.submit_job, containerOverrides=overrides, **members)


def test_fuel_is_for_containers_of_tasks_and_pods_too(lab):
    def task(value):
        containers = [{"name": "a", "image": "hello", "resourceRequirements": fuelled(lab, value)}]
        return {"taskProperties": [{"containers": containers}]}

    name = unique("task")
    lab.batch.register_job_definition(
        jobDefinitionName=name, type="container", ecsProperties=task(PLENTY)
    )
    containers = [{"name": "a", "resourceRequirements": [fuel("2000000")]}]
    override = {"taskProperties": [{"containers": containers}]}
    job = lab.wait(lab.submit(name, ecsPropertiesOverride=override), "SUCCEEDED")
    [container] = job["ecsProperties"]["taskProperties"][0]["containers"]
    assert fuel("2000000") in container["resourceRequirements"]
    name = unique("pod")
    pod = {
        "containers": [
            {
                "name": "a",
                "image": "hello",
                "resources": {"limits": {"cpu": "1", "memory": "64Mi", "wasmbatch/fuel": PLENTY}},
            }
        ]
    }
    lab.batch.register_job_definition(
        jobDefinitionName=name, type="container", eksProperties={"podProperties": pod}
    )
    lab.wait(lab.submit(name), "SUCCEEDED")


def test_a_program_out_of_fuel_is_ended_with_134(lab):
    job = fuelled_job(lab, "spin", "10000000", wanted="FAILED")
    assert job["container"]["exitCode"] == 134
    assert job["container"]["reason"].startswith("FuelExhausted: ")
    assert "10000000" in job["container"]["reason"]
    assert lab.lines(job) == ["spinning"]


def test_what_a_fuelled_attempt_used_is_counted(lab):
    spent = used(lab, fuelled_job(lab, "hello", PLENTY, wanted="SUCCEEDED"))
    assert 0 < spent["fuel"] < int(PLENTY)
    assert "fuel" not in used(lab, lab.run("hello"))


def test_what_attempts_used_is_told_beside_describe_jobs(lab, node):
    job = lab.run("eat-memory", "16", container={"memory": "64"})
    spent = used(lab, job)
    assert spent["cpuMicroseconds"] > 0
    assert 16 << 20 <= spent["peakMemoryBytes"] < 1 << 30
    assert spent["writtenBytes"] > 0
    usage = lab.usage(job["jobId"])
    assert usage["total"] == spent
    assert usage["attempts"][0]["number"] == 1
    [described] = json.loads(node.run("describe", job["jobId"], "--json").stdout)
    assert described["usage"] == usage["attempts"]
    assert "s of CPU" in node.run("describe", job["jobId"]).stdout


def test_a_job_that_never_ran_used_nothing(lab):
    job = lab.run("there-is-none", wanted="FAILED")
    usage = lab.usage(job["jobId"])
    assert usage["attempts"] == [{"number": 1, "containers": [{"name": "default"}]}]
    assert "total" not in usage


def test_determinism_wants_fuel(lab):
    plain = lab.define("hello")
    members = {"jobName": "j", "jobQueue": "default", "jobDefinition": plain}
    message = refused(lab.batch.submit_job, tags={"wasmbatch:deterministic": "true"}, **members)
    assert "wasmbatch:deterministic" in message and "FUEL" in message
    message = refused(lab.batch.submit_job, tags={"wasmbatch:deterministic": "yes"}, **members)
    assert "true or false" in message
    tagged = lab.define("hello", tags={"wasmbatch:deterministic": "true"})
    assert "FUEL" in refused(lab.batch.submit_job, jobName="j", jobQueue="default", jobDefinition=tagged)
    # The submit's tag wins, and its overrides count.
    lab.wait(lab.submit(tagged, tags={"wasmbatch:deterministic": "false"}), "SUCCEEDED")
    lab.wait(lab.submit(tagged, containerOverrides={"resourceRequirements": [fuel(PLENTY)]}), "SUCCEEDED")


def test_a_deterministic_job_uses_the_same_fuel_and_says_the_same_every_time(lab):
    def once():
        tags = {"wasmbatch:deterministic": "true"}
        job = fuelled_job(lab, "hello", PLENTY, "Ada", wanted="SUCCEEDED", tags=tags)
        return used(lab, job)["fuel"], lab.lines(job)

    assert once() == once()


def test_cpu_time_is_limited_by_a_tag(lab):
    plain = lab.define("hello")
    members = {"jobName": "j", "jobQueue": "default", "jobDefinition": plain}
    for value in ("0", "31536001", "1.5", "x"):
        message = refused(lab.batch.submit_job, tags={"wasmbatch:cpu-limit": value}, **members)
        assert "a whole number from 1 to 31536000" in message
    lab.wait(lab.submit(plain, tags={"wasmbatch:cpu-limit": "31536000"}), "SUCCEEDED")


def test_a_program_over_its_cpu_time_is_ended(lab):
    job = lab.wait(lab.submit(lab.define("spin"), tags={"wasmbatch:cpu-limit": "1"}), "FAILED")
    assert job["container"]["exitCode"] == 137
    assert 1000 <= job["stoppedAt"] - job["startedAt"] < 10_000


def test_submit_takes_fuel_on_the_command_line(lab, node):
    definition = lab.define("hello").rpartition("/")[2]
    job_id = node.run("submit", "--definition", definition, "--fuel", PLENTY).stdout.strip()
    assert fuel(PLENTY) in lab.wait(job_id, "SUCCEEDED")["container"]["resourceRequirements"]


def test_arguments_of_almost_a_mebibyte_arrive(lab):
    text = " ".join(["Ref::x"] * 100)
    definition = lab.define("word-count", "--text", text, parameters={"x": "v" * 10_000})
    job = lab.wait(lab.submit(definition), "SUCCEEDED")
    assert "100" in lab.lines(job)[0] and "1000099" in lab.lines(job)[0]


def test_arguments_that_grow_beyond_a_mebibyte_fail_the_attempt(lab):
    definition = lab.define("hello", " ".join(["Ref::x"] * 1000), parameters={"x": "v" * 10_000})
    job = lab.wait(lab.submit(definition), "FAILED")
    reason = "ResourceInitializationError: the arguments and the environment together have more than 1 MiB"
    assert job["container"]["reason"] == reason
    assert "exitCode" not in job["container"]
