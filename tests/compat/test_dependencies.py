"""dependsOn between single jobs."""

from jobs import refused


def test_a_job_waits_for_the_jobs_it_depends_on(lab):
    first = lab.submit(lab.define("sleep", "0.5"))
    second = lab.submit(lab.define("sleep", "0.2"))
    definition = lab.define("hello")
    last = lab.submit(definition, dependsOn=[{"jobId": first}, {"jobId": second}])
    job = lab.wait(last, "SUCCEEDED")
    assert {dependency["jobId"] for dependency in job["dependsOn"]} == {first, second}
    for job_id in (first, second):
        assert lab.job(job_id)["stoppedAt"] <= job["startedAt"]


def test_it_is_pending_while_it_waits(lab):
    occupier = lab.occupy()
    waiting = lab.submit(lab.define("hello"), dependsOn=[{"jobId": occupier}])
    assert lab.job(waiting)["status"] == "PENDING"
    listed = lab.batch.list_jobs(jobQueue="default", jobStatus="PENDING")["jobSummaryList"]
    assert waiting in [job["jobId"] for job in listed]


def test_a_failed_dependency_fails_all_that_follow(lab):
    definition = lab.define("hello")
    bad = lab.submit(lab.define("exit-code", "1"))
    second = lab.submit(definition, dependsOn=[{"jobId": bad}])
    third = lab.submit(definition, dependsOn=[{"jobId": second}])
    for job_id in (second, third):
        job = lab.wait(job_id, "FAILED")
        assert job["statusReason"] == "Dependent Job failed"
        assert job["attempts"] == []
        assert "logStreamName" not in job["container"]
        assert not job.get("startedAt")


def test_one_failure_is_enough(lab):
    occupier = lab.occupy("1")
    bad = lab.submit(lab.define("exit-code", "1"))
    job_id = lab.submit(lab.define("hello"), dependsOn=[{"jobId": occupier}, {"jobId": bad}])
    assert lab.wait(job_id, "FAILED")["statusReason"] == "Dependent Job failed"
    assert lab.job(occupier)["status"] == "RUNNING"


def test_a_retried_dependency_has_not_failed_yet(lab):
    flaky = lab.submit(lab.define("exit-code", "3", "2"), retryStrategy={"attempts": 2})
    lab.wait(lab.submit(lab.define("hello"), dependsOn=[{"jobId": flaky}]), "SUCCEEDED")


def test_dependencies_that_have_ended_already(lab):
    good, bad = lab.run("hello"), lab.run("exit-code", "1", wanted="FAILED")
    definition = lab.define("hello")
    lab.wait(lab.submit(definition, dependsOn=[{"jobId": good["jobId"]}]), "SUCCEEDED")
    job = lab.wait(lab.submit(definition, dependsOn=[{"jobId": bad["jobId"]}]), "FAILED")
    assert job["statusReason"] == "Dependent Job failed"


def test_sequential_with_a_job_id_is_a_plain_dependency(lab):
    first = lab.submit(lab.define("sleep", "0.3"))
    job_id = lab.submit(lab.define("hello"), dependsOn=[{"jobId": first, "type": "SEQUENTIAL"}])
    job = lab.wait(job_id, "SUCCEEDED")
    assert lab.job(first)["stoppedAt"] <= job["startedAt"]


def test_a_terminated_dependency_has_failed(lab):
    occupier = lab.occupy("1")
    job_id = lab.submit(lab.define("hello"), dependsOn=[{"jobId": occupier}])
    lab.free(occupier)
    assert lab.wait(job_id, "FAILED")["statusReason"] == "Dependent Job failed"


def test_a_dependency_on_an_unknown_job_is_refused(lab):
    for unknown in ("5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f", "no-such-job"):
        message = refused(
            lab.batch.submit_job,
            jobName="a",
            jobQueue="default",
            jobDefinition=lab.define("hello"),
            dependsOn=[{"jobId": unknown}],
        )
        assert unknown in message


def test_more_dependencies_than_aws_takes_are_fine(lab):
    definition = lab.define("hello")
    first = [lab.submit(definition) for _ in range(30)]
    last = lab.submit(definition, dependsOn=[{"jobId": job_id} for job_id in first])
    assert len(lab.wait(last, "SUCCEEDED", seconds=60)["dependsOn"]) == 30


def test_a_chain_over_two_queues_runs_in_order(lab):
    other = lab.queue()
    definition = lab.define("hello")
    chain = [lab.submit(definition)]
    for number in range(5):
        queue = other if number % 2 == 0 else "default"
        chain.append(lab.submit(definition, queue=queue, dependsOn=[{"jobId": chain[-1]}]))
    lab.wait(chain[-1], "SUCCEEDED")
    starts = [lab.job(job_id)["startedAt"] for job_id in chain]
    assert starts == sorted(starts)
