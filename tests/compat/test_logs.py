"""CloudWatch Logs: streams, events, tokens, searching."""

import time

import pytest
from botocore.exceptions import ClientError

import wasm
from daemon import until
from jobs import GROUP, unique


@pytest.fixture
def job(lab):
    """A job that printed `1 MiB` to `12 MiB` and then `ate 12 MiB`."""
    return lab.run("eat-memory", "12", name=unique("logged"))


@pytest.fixture
def stream(job):
    return job["container"]["logStreamName"]


WANTED = [f"{number} MiB" for number in range(1, 13)] + ["ate 12 MiB"]


def messages(answer):
    return [event["message"] for event in answer["events"]]


def test_events_are_lines_in_order_with_times(logs, job, stream):
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    assert messages(answer) == WANTED
    times = [event["timestamp"] for event in answer["events"]]
    assert times == sorted(times)
    now = int(time.time() * 1000)
    for event in answer["events"]:
        assert job["createdAt"] <= event["timestamp"] <= now
        assert event["ingestionTime"] >= event["timestamp"]


def test_forward_tokens_lead_to_the_end_and_then_stay(logs, stream):
    seen, token, steps = [], None, 0
    while True:
        more = {"nextToken": token} if token else {"startFromHead": True}
        answer = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, limit=5, **more)
        seen += messages(answer)
        steps += 1
        if answer["nextForwardToken"] == token:
            break
        token = answer["nextForwardToken"]
        assert token
    assert seen == WANTED
    assert steps <= 5
    again = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, nextToken=token)
    assert messages(again) == []
    assert again["nextForwardToken"] == token


def test_the_latest_events_come_first_without_start_from_head_and_still_ascend(logs, stream):
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, limit=3)
    assert messages(answer) == WANTED[-3:]
    back = logs.get_log_events(
        logGroupName=GROUP, logStreamName=stream, limit=3, nextToken=answer["nextBackwardToken"]
    )
    assert messages(back) == WANTED[-6:-3]
    forth = logs.get_log_events(
        logGroupName=GROUP, logStreamName=stream, limit=3, nextToken=back["nextForwardToken"]
    )
    assert messages(forth) == WANTED[-3:]


def test_going_back_ends_at_the_head_where_the_token_stays(logs, stream):
    seen, token = [], None
    for _ in range(20):
        more = {"nextToken": token} if token else {}
        answer = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, limit=4, **more)
        seen = messages(answer) + seen
        if answer["nextBackwardToken"] == token:
            break
        token = answer["nextBackwardToken"]
    else:
        pytest.fail("the backward token never stayed")
    assert seen == WANTED


def test_a_running_job_is_followed_by_its_forward_token(lab, logs):
    job = lab.wait(lab.submit(lab.define("sleep", "1")), "RUNNING")
    where = {"logGroupName": GROUP, "logStreamName": job["container"]["logStreamName"]}

    def first():
        answer = logs.get_log_events(**where, startFromHead=True)
        return answer if answer["events"] else None

    answer = until(first, 10, "the first line")
    assert messages(answer) == ["sleeping for 1 s"]
    token = answer["nextForwardToken"]
    lab.wait(job["jobId"], "SUCCEEDED")
    assert messages(logs.get_log_events(**where, nextToken=token)) == ["awake again"]


def test_a_time_range_cuts_the_events(logs, stream):
    everything = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    first, last = (everything["events"][at]["timestamp"] for at in (0, -1))
    where = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True}
    assert messages(logs.get_log_events(**where, startTime=last + 1)) == []
    assert messages(logs.get_log_events(**where, endTime=first)) == [], "endTime is exclusive"
    assert messages(logs.get_log_events(**where, startTime=first, endTime=last + 1)) == WANTED


def test_the_group_is_described(logs, stream):
    found = logs.describe_log_groups(logGroupNamePrefix="/aws/batch")["logGroups"]
    assert GROUP in [group["logGroupName"] for group in found]
    [group] = [group for group in found if group["logGroupName"] == GROUP]
    assert f":log-group:{GROUP}" in group["arn"]
    assert logs.describe_log_groups(logGroupNamePrefix="/nobody")["logGroups"] == []


def test_streams_are_found_by_prefix(logs, stream):
    prefix = stream.partition("/")[0]
    [found] = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=prefix)["logStreams"]
    assert found["logStreamName"] == stream
    assert found["firstEventTimestamp"] <= found["lastEventTimestamp"]
    assert found["creationTime"] <= found["lastEventTimestamp"] + 1000
    nothing = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=unique("nobody"))
    assert nothing["logStreams"] == []


def test_streams_page_by_name_and_by_time(lab, logs):
    name = unique("paged")
    definition = lab.define("hello", name=name)
    wanted = [lab.wait(lab.submit(definition), "SUCCEEDED") for _ in range(3)]
    wanted = [job["container"]["logStreamName"] for job in wanted]
    pages = list(
        logs.get_paginator("describe_log_streams").paginate(
            logGroupName=GROUP,
            logStreamNamePrefix=name,
            PaginationConfig={"PageSize": 2},
        )
    )
    assert [len(page["logStreams"]) for page in pages] == [2, 1]
    found = [one["logStreamName"] for page in pages for one in page["logStreams"]]
    assert found == sorted(wanted)
    latest = logs.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", descending=True, limit=1)
    assert latest["logStreams"][0]["logStreamName"] == wanted[-1]


def test_events_of_several_streams_are_filtered_together(lab, logs):
    name = unique("searched")
    definition = lab.define("exit-code", "0", name=name)
    jobs = [lab.wait(lab.submit(definition), "SUCCEEDED") for _ in range(2)]
    streams = {job["container"]["logStreamName"] for job in jobs}
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNamePrefix=name)
    events = [event for page in pages for event in page["events"]]
    assert {event["logStreamName"] for event in events} == streams
    assert len(events) == 4
    assert len({event["eventId"] for event in events}) == 4
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    named = logs.filter_log_events(logGroupName=GROUP, logStreamNames=[min(streams)])
    assert {event["logStreamName"] for event in named["events"]} == {min(streams)}


def test_a_filter_pattern_chooses_events(logs, stream):
    found = logs.filter_log_events(logGroupName=GROUP, logStreamNames=[stream], filterPattern="ate")
    assert messages(found) == ["ate 12 MiB"]
    found = logs.filter_log_events(logGroupName=GROUP, logStreamNames=[stream], filterPattern='"1 MiB"')
    assert messages(found) == ["1 MiB", "11 MiB"]


def test_filtering_pages(logs, stream):
    pages = list(
        logs.get_paginator("filter_log_events").paginate(
            logGroupName=GROUP, logStreamNames=[stream], PaginationConfig={"PageSize": 5}
        )
    )
    assert [message for page in pages for message in messages(page)] == WANTED
    assert all(len(page["events"]) <= 5 for page in pages)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"logGroupName": "/no/such/group", "logStreamName": "x"}, "ResourceNotFoundException"),
        ({"logGroupName": GROUP, "logStreamName": "no/default/stream"}, "ResourceNotFoundException"),
        ({"logGroupName": GROUP, "logStreamName": "x", "nextToken": "junk"}, None),
        ({"logGroupName": GROUP, "logStreamName": "x", "limit": 10001}, "InvalidParameterException"),
        ({"logStreamName": "x"}, "InvalidParameterException"),
    ],
)
def test_wrong_reads_are_refused_as_cloudwatch_does(logs, members, code):
    with pytest.raises(ClientError) as refusal:
        logs.get_log_events(**members)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    found = refusal.value.response["Error"]["Code"]
    assert found == code or (code is None and found.endswith("Exception"))


def printed(lab, node, output):
    """The log of a job that writes these bytes."""
    name = unique("prints")
    node.push(name, wasm.writes(output))
    return lab.lines(lab.run(name))


def test_a_last_line_without_its_end_is_an_event_too(lab, node):
    assert printed(lab, node, b"one\ntwo") == ["one", "two"]


def test_text_that_is_not_ascii_comes_back_as_it_was(lab, node):
    assert printed(lab, node, "caf\u00e9 \u2603 \U0001f980\n".encode()) == ["caf\u00e9 \u2603 \U0001f980"]


def test_bytes_that_are_no_text_do_not_break_the_log(lab, node):
    lines = printed(lab, node, b"before\nb\xff\xfe\x00d\nafter\n")
    assert (lines[0], lines[-1]) == ("before", "after")
    assert lines[1].startswith("b") and lines[1].endswith("d")


def test_a_long_line_comes_back_complete_and_in_order(lab, node):
    output = "".join(f"{number:07}," for number in range(12_500))
    assert "".join(printed(lab, node, output.encode() + b"\n")) == output


def test_much_output_comes_back_page_by_page(lab, node):
    name = unique("prints")
    wanted = [f"line {number}" for number in range(25_000)]
    node.push(name, wasm.writes("".join(f"{line}\n" for line in wanted).encode()))
    job = lab.run(name)
    seen, token = [], None
    while True:
        more = {"nextToken": token} if token else {"startFromHead": True}
        answer = lab.logs.get_log_events(
            logGroupName=GROUP, logStreamName=job["container"]["logStreamName"], **more
        )
        seen += messages(answer)
        if answer["nextForwardToken"] == token:
            break
        token = answer["nextForwardToken"]
    assert seen == wanted


def test_an_attempt_that_writes_without_end_is_held_back_alone_and_ends_when_told(lab, node):
    node.push("endless:1", wasm.writes(b"x" * 65535 + b"\n", for_ever=True))
    job_id = lab.submit(lab.define("endless:1"))
    stream = lab.wait(job_id, "RUNNING")["container"]["logStreamName"]
    kept = {"logGroupName": GROUP, "logStreamName": stream, "limit": 1}
    until(lambda: "log limit" in messages(lab.logs.get_log_events(**kept))[-1:][0], 30, "a full log")
    began = time.monotonic()
    assert lab.lines(lab.run("hello")) == ["hello from wasmbatch"]
    lab.batch.terminate_job(jobId=job_id, reason="enough")
    lab.wait(job_id, "FAILED", seconds=5)
    assert time.monotonic() - began < 5
