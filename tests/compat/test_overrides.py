"""Parameters with Ref:: placeholders, and containerOverrides."""

import pytest

from jobs import refused, unique


def arguments(lab, job_id):
    return lab.arguments(lab.wait(job_id, "SUCCEEDED"))[1:]


def test_placeholders_take_the_definitions_parameters(lab):
    definition = lab.define("args-env", "in", "Ref::source", parameters={"source": "/data/in"})
    assert arguments(lab, lab.submit(definition)) == ["in", "/data/in"]


def test_parameters_of_the_submit_win_and_both_are_described(lab):
    definition = lab.define("args-env", "Ref::a", "Ref::b", parameters={"a": "1", "b": "2"})
    job_id = lab.submit(definition, parameters={"b": "3", "c": "4"})
    assert arguments(lab, job_id) == ["1", "3"]
    assert lab.job(job_id)["parameters"] == {"a": "1", "b": "3", "c": "4"}


def test_several_placeholders_in_one_element_are_all_replaced(lab):
    definition = lab.define("args-env", "Ref::a,Ref::b/Ref::a", "--x=Ref::b.txt")
    job_id = lab.submit(definition, parameters={"a": "one", "b": "two"})
    assert arguments(lab, job_id) == ["one,two/one", "--x=two.txt"]


def test_a_hyphen_may_be_part_of_a_name_or_stand_behind_it(lab):
    definition = lab.define("args-env", "Ref::a-Ref::b", "Ref::a-b", "Ref::a-part")
    job_id = lab.submit(definition, parameters={"a": "one", "b": "two", "a-b": "three"})
    assert arguments(lab, job_id) == ["one-two", "three", "one-part"]


def test_a_placeholder_without_a_parameter_stays_as_it_is(lab):
    definition = lab.define("args-env", "Ref::nothing", "Ref::a")
    assert arguments(lab, lab.submit(definition, parameters={"a": "1"})) == ["Ref::nothing", "1"]


def test_a_name_that_begins_another_name_is_not_mistaken_for_it(lab):
    definition = lab.define("args-env", "Ref::in", "Ref::input")
    job_id = lab.submit(definition, parameters={"in": "short", "input": "long"})
    assert arguments(lab, job_id) == ["short", "long"]


def test_a_value_that_looks_like_a_placeholder_is_not_replaced_again(lab):
    definition = lab.define("args-env", "Ref::a")
    job_id = lab.submit(definition, parameters={"a": "Ref::b", "b": "never"})
    assert arguments(lab, job_id) == ["Ref::b"]


def test_placeholders_in_an_overriding_command_are_replaced_too(lab):
    definition = lab.define("args-env", "unused", parameters={"a": "1"})
    job_id = lab.submit(definition, containerOverrides={"command": ["now", "Ref::a"]})
    assert arguments(lab, job_id) == ["now", "1"]


def test_placeholders_work_in_the_command_only(lab):
    definition = lab.define("args-env", container={"environment": [{"name": "V", "value": "Ref::a"}]})
    job = lab.wait(lab.submit(definition, parameters={"a": "1"}), "SUCCEEDED")
    assert lab.environment(job)["V"] == "Ref::a"


def test_environment_is_merged_by_name(lab):
    definition = lab.define(
        "args-env",
        container={
            "environment": [
                {"name": "KEPT", "value": "definition"},
                {"name": "CHANGED", "value": "definition"},
            ]
        },
    )
    job_id = lab.submit(
        definition,
        containerOverrides={
            "environment": [
                {"name": "CHANGED", "value": "submit"},
                {"name": "MANAGED_BY_AWS", "value": "a = b"},
            ]
        },
    )
    job = lab.wait(job_id, "SUCCEEDED")
    wanted = {"KEPT": "definition", "CHANGED": "submit", "MANAGED_BY_AWS": "a = b"}
    assert wanted.items() <= lab.environment(job).items()
    described = {pair["name"]: pair["value"] for pair in job["container"]["environment"]}
    assert wanted.items() <= described.items()
    names = [pair["name"] for pair in job["container"]["environment"]]
    assert len(names) == len(set(names))


def test_a_command_override_replaces_the_command(lab):
    definition = lab.define("args-env", "one", "two")
    job_id = lab.submit(definition, containerOverrides={"command": ["three"]})
    assert arguments(lab, job_id) == ["three"]
    assert lab.job(job_id)["container"]["command"] == ["three"]


def test_resource_requirements_are_merged_by_type(lab):
    definition = lab.define("eat-memory", "40", container={"memory": "16"})
    job_id = lab.submit(
        definition,
        containerOverrides={"resourceRequirements": [{"type": "MEMORY", "value": "128"}]},
    )
    job = lab.wait(job_id, "SUCCEEDED")
    found = {r["type"]: r["value"] for r in job["container"]["resourceRequirements"]}
    assert found == {"VCPU": "1", "MEMORY": "128"}


def deprecated(lab, **members):
    return lab.batch.register_job_definition(
        jobDefinitionName=unique("deprecated"),
        type="container",
        containerProperties={"image": "args-env", **members},
    )["jobDefinitionArn"]


def test_deprecated_members_work_and_are_overridden_by_deprecated_members(lab):
    definition = deprecated(lab, vcpus=1, memory=64, command=["a"])
    job = lab.wait(lab.submit(definition), "SUCCEEDED")
    assert (job["container"]["vcpus"], job["container"]["memory"]) == (1, 64)
    job_id = lab.submit(definition, containerOverrides={"vcpus": 2, "memory": 128})
    job = lab.wait(job_id, "SUCCEEDED")
    assert (job["container"]["vcpus"], job["container"]["memory"]) == (2, 128)


def test_deprecated_overrides_do_not_override_resource_requirements(lab):
    definition = lab.define("eat-memory", "64", container={"memory": "16"})
    job = lab.wait(lab.submit(definition, containerOverrides={"memory": 512}), "FAILED")
    assert job["container"]["exitCode"] == 137


def test_a_vcpu_of_a_quarter_is_a_quarter(lab):
    occupiers = [lab.occupy("1"), lab.occupy("0.75")]
    lab.wait(lab.submit(lab.define("hello", container={"vcpus": "0.25"})), "SUCCEEDED")
    waiting = lab.submit(lab.define("hello", container={"vcpus": "0.5"}))
    assert lab.job(waiting)["status"] == "RUNNABLE"
    lab.free(occupiers[1])
    lab.wait(waiting, "SUCCEEDED")


def test_memory_is_a_capacity_too(lab):
    holder = lab.submit(lab.define("sleep", "600", container={"memory": "2000"}))
    lab.wait(holder, "RUNNING")
    waiting = lab.submit(lab.define("hello", container={"memory": "64"}))
    assert lab.job(waiting)["status"] == "RUNNABLE"
    lab.free(holder)
    lab.wait(waiting, "SUCCEEDED")


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ({"command": ["a", ""]}, "empty"),
        ({"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "mine"}]}, "AWS_BATCH"),
        (
            {"environment": [{"name": "BIG", "value": "x" * 8192}]},
            "Container Overrides length must be at most 8192",
        ),
        ({"resourceRequirements": [{"type": "MEMORY", "value": "3"}]}, "emory"),
        ({"resourceRequirements": [{"type": "VCPU", "value": "0.1"}]}, "cpu"),
        ({"resourceRequirements": [{"type": "WARP", "value": "9"}]}, "WARP"),
    ],
)
def test_wrong_overrides_are_refused_by_name(lab, overrides, word):
    message = refused(
        lab.batch.submit_job,
        jobName="wrong",
        jobQueue="default",
        jobDefinition=lab.define("args-env"),
        containerOverrides=overrides,
    )
    assert word.lower() in message.lower()
