"""ListJobs: by status, by filter, page by page."""

import pytest

from jobs import refused, unique


@pytest.fixture
def queue(lab):
    """A queue of the test's own, so that it lists its own jobs alone."""
    return lab.queue()


def ids(batch, **members):
    pages = batch.get_paginator("list_jobs").paginate(**members)
    return [job["jobId"] for page in pages for job in page["jobSummaryList"]]


def test_running_jobs_are_listed_by_default(lab, queue):
    running = lab.occupy("1", queue)
    done = lab.wait(lab.submit(lab.define("hello"), queue=queue), "SUCCEEDED")["jobId"]
    assert ids(lab.batch, jobQueue=queue) == [running]
    assert ids(lab.batch, jobQueue=queue, jobStatus="RUNNING") == [running]
    assert ids(lab.batch, jobQueue=queue, jobStatus="SUCCEEDED") == [done]
    assert ids(lab.batch, jobQueue=queue, jobStatus="FAILED") == []


def test_every_status_lists_its_jobs(lab, queue):
    running = lab.occupy("2", queue)
    definition = lab.define("hello")
    runnable = lab.submit(definition, queue=queue)
    pending = lab.submit(definition, queue=queue, dependsOn=[{"jobId": runnable}])
    failed = lab.submit(definition, queue=queue)
    lab.batch.cancel_job(jobId=failed, reason="to have one that failed")
    for status, wanted in [
        ("SUBMITTED", []),
        ("PENDING", [pending]),
        ("RUNNABLE", [runnable]),
        ("STARTING", []),
        ("RUNNING", [running]),
        ("SUCCEEDED", []),
        ("FAILED", [failed]),
    ]:
        assert ids(lab.batch, jobQueue=queue, jobStatus=status) == wanted, status


def test_a_summary_says_what_happened(lab, queue):
    definition = lab.define("exit-code", "3")
    job_id = lab.submit(definition, "summed-up", queue)
    job = lab.wait(job_id, "FAILED")
    [summary] = lab.batch.list_jobs(jobQueue=queue, jobStatus="FAILED")["jobSummaryList"]
    assert summary["jobId"] == job_id
    assert summary["jobArn"] == job["jobArn"]
    assert summary["jobName"] == "summed-up"
    assert summary["jobDefinition"] == definition
    assert summary["status"] == "FAILED"
    assert summary["statusReason"] == "Essential container in task exited"
    for member in ("createdAt", "startedAt", "stoppedAt"):
        assert summary[member] == job[member]
    assert summary["container"]["exitCode"] == 3
    lab.wait(lab.submit(lab.define("hello"), queue=queue), "SUCCEEDED")
    [summary] = lab.batch.list_jobs(jobQueue=queue, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert summary["container"]["exitCode"] == 0


def test_pages_add_up_to_all_and_repeat_nothing(lab, queue):
    definition = lab.define("hello")
    submitted = [lab.submit(definition, queue=queue) for _ in range(7)]
    for job_id in submitted:
        lab.wait(job_id, "SUCCEEDED")
    pages = list(
        lab.batch.get_paginator("list_jobs").paginate(
            jobQueue=queue, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 3}
        )
    )
    assert [len(page["jobSummaryList"]) for page in pages] == [3, 3, 1]
    assert "nextToken" not in pages[-1]
    listed = [job["jobId"] for page in pages for job in page["jobSummaryList"]]
    assert sorted(listed) == sorted(submitted)


def test_a_full_last_page_is_not_followed_by_an_empty_one(lab, queue):
    definition = lab.define("hello")
    for _ in range(4):
        lab.wait(lab.submit(definition, queue=queue), "SUCCEEDED")
    answer = lab.batch.list_jobs(jobQueue=queue, jobStatus="SUCCEEDED", maxResults=4)
    assert len(answer["jobSummaryList"]) == 4
    assert "nextToken" not in answer


def test_paging_survives_jobs_that_change_meanwhile(lab, queue):
    occupier = lab.occupy("2", queue)
    definition = lab.define("hello")
    submitted = [lab.submit(definition, queue=queue) for _ in range(5)]
    first = lab.batch.list_jobs(jobQueue=queue, jobStatus="RUNNABLE", maxResults=2)
    for job in first["jobSummaryList"]:
        lab.batch.cancel_job(jobId=job["jobId"], reason="seen")
    rest = lab.batch.list_jobs(
        jobQueue=queue, jobStatus="RUNNABLE", maxResults=10, nextToken=first["nextToken"]
    )
    seen = [job["jobId"] for job in first["jobSummaryList"] + rest["jobSummaryList"]]
    assert sorted(seen) == sorted(submitted)
    lab.free(occupier)


def by(name, *values):
    return [{"name": name, "values": list(values)}]


def test_the_name_filter_knows_no_case_and_takes_a_prefix_and_any_status(lab, queue):
    definition = lab.define("hello")
    one = lab.submit(definition, "Render-One", queue)
    two = lab.submit(definition, "render-two", queue)
    other = lab.submit(lab.define("exit-code", "1"), "other", queue)
    for job_id in (one, two):
        lab.wait(job_id, "SUCCEEDED")
    lab.wait(other, "FAILED")
    for values, wanted in [
        (["RENDER-one"], [one]),
        (["render-*"], [two, one]),
        (["*"], [other, two, one]),
        (["render"], []),
        (["OTHER"], [other]),
    ]:
        found = ids(lab.batch, jobQueue=queue, filters=by("JOB_NAME", *values))
        assert sorted(found) == sorted(wanted), values
    found = ids(lab.batch, jobQueue=queue, jobStatus="RUNNING", filters=by("JOB_NAME", "other"))
    assert found == [other], "jobStatus is ignored beside a filter"


def test_the_definition_filter_knows_case_revisions_and_arns(lab, queue):
    name = unique("Filtered")
    first, second = lab.define("hello", name=name), lab.define("hello", name=name)
    one = lab.submit(first, queue=queue)
    two = lab.submit(second, queue=queue)
    other = lab.submit(lab.define("hello"), queue=queue)
    for job_id in (one, two, other):
        lab.wait(job_id, "SUCCEEDED")
    for value, wanted in [
        (name, [one, two]),
        (f"{name}:2", [two]),
        (name.lower(), []),
        ("Filtered*", [one, two]),
        (first, [one]),
    ]:
        found = ids(lab.batch, jobQueue=queue, filters=by("JOB_DEFINITION", value))
        assert sorted(found) == sorted(wanted), value


def test_the_time_filters_are_in_milliseconds_and_the_newest_comes_first(lab, queue):
    definition = lab.define("hello")
    jobs = []
    for _ in range(3):
        jobs.append(lab.wait(lab.submit(definition, queue=queue), "SUCCEEDED"))
    in_order = [job["jobId"] for job in jobs]
    middle = jobs[1]["createdAt"]
    assert jobs[0]["createdAt"] < middle < jobs[2]["createdAt"]
    after = ids(lab.batch, jobQueue=queue, filters=by("AFTER_CREATED_AT", str(middle - 1)))
    assert after == [in_order[2], in_order[1]]
    before = ids(lab.batch, jobQueue=queue, filters=by("BEFORE_CREATED_AT", str(middle + 1)))
    assert before == [in_order[1], in_order[0]]
    all_of_them = ids(lab.batch, jobQueue=queue, filters=by("AFTER_CREATED_AT", "0"))
    assert all_of_them == in_order[::-1]


def test_filtered_lists_page_too(lab, queue):
    definition = lab.define("hello")
    submitted = [lab.submit(definition, "paged", queue) for _ in range(5)]
    for job_id in submitted:
        lab.wait(job_id, "SUCCEEDED")
    listed = ids(
        lab.batch,
        jobQueue=queue,
        filters=by("JOB_NAME", "paged"),
        PaginationConfig={"PageSize": 2},
    )
    assert sorted(listed) == sorted(submitted)


def test_a_queue_is_named_by_its_arn_too(lab, queue):
    [found] = lab.batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    assert ids(lab.batch, jobQueue=found["jobQueueArn"], jobStatus="SUCCEEDED") == []


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({}, "jobQueue"),
        ({"jobQueue": "default", "arrayJobId": "x"}, "jobQueue"),
        ({"jobQueue": "no-such-queue"}, "no-such-queue"),
        ({"jobQueue": "default", "jobStatus": "DREAMING"}, "status"),
        ({"jobQueue": "default", "nextToken": "not one of ours"}, "nextToken"),
        ({"jobQueue": "default", "maxResults": 0}, "maxResults"),
        ({"jobQueue": "default", "filters": by("COLOUR", "red")}, "COLOUR"),
        ({"jobQueue": "default", "filters": by("AFTER_CREATED_AT", "yesterday")}, "yesterday"),
        ({"jobQueue": "default", "filters": by("JOB_NAME", "a") + by("JOB_NAME", "b")}, "filter"),
    ],
)
def test_a_wrong_list_is_refused_by_name(batch, members, word):
    assert word.lower() in refused(batch.list_jobs, **members).lower()
