"""A queue's worth of words for tests: define, submit, wait, read the log."""

import glob
import json
import os
import urllib.parse
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from daemon import raw_request, until

ENDED = ("SUCCEEDED", "FAILED")
GROUP = "/aws/batch/job"


def unique(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def refused(call, **members):
    """Calls what must be refused as a client's mistake; returns the message."""
    with pytest.raises(ClientError) as refusal:
        call(**members)
    error = refusal.value.response["Error"]
    assert error["Code"] == "ClientException"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Message"]


class Lab:
    """What a test does on one node. Everything it leaves running is terminated at its end."""

    def __init__(self, node):
        self.node = node
        self.batch = node.batch()
        self.logs = node.logs()
        self.jobs = []

    def container(self, image, *command, vcpus="1", memory="64", **more):
        """containerProperties of a small job."""
        return {
            "image": image,
            "command": list(command),
            "resourceRequirements": [
                {"type": "VCPU", "value": vcpus},
                {"type": "MEMORY", "value": memory},
            ],
            **more,
        }

    def define(self, image, *command, name=None, container=None, **more):
        """Registers a definition for a guest; returns its ARN."""
        return self.batch.register_job_definition(
            jobDefinitionName=name or unique(image.partition(":")[0].replace("/", "-")),
            type="container",
            containerProperties=self.container(image, *command, **(container or {})),
            **more,
        )["jobDefinitionArn"]

    def submit(self, definition, name="job", queue="default", **more):
        """Submits; returns the job's id."""
        job = self.batch.submit_job(jobName=name, jobQueue=queue, jobDefinition=definition, **more)
        self.jobs.append(job["jobId"])
        return job["jobId"]

    def run(self, image, *command, wanted="SUCCEEDED", **more):
        """One job of a guest from definition to its end; returns its last description."""
        return self.wait(self.submit(self.define(image, *command, **more)), wanted)

    def job(self, job_id):
        jobs = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        assert len(jobs) == 1, f"{job_id} is not described"
        return jobs[0]

    def wait(self, job_id, *wanted, seconds=30.0):
        """Waits for one of the statuses; an ending that was not wanted fails at once."""

        def reached():
            job = self.job(job_id)
            if job["status"] in wanted:
                return job
            assert job["status"] not in ENDED, f"wanted {wanted}, got {job}"
            return None

        return until(reached, seconds, f"{job_id} becoming {' or '.join(wanted)}")

    def described(self, job_ids):
        """The descriptions of any number of jobs, by id."""
        found = {}
        for at in range(0, len(job_ids), 100):
            jobs = self.batch.describe_jobs(jobs=job_ids[at : at + 100])["jobs"]
            found |= {job["jobId"]: job for job in jobs}
        return found

    def listed(self, **members):
        """The summaries of ListJobs, of all pages, by id."""
        pages = self.batch.get_paginator("list_jobs").paginate(**members)
        return {job["jobId"]: job for page in pages for job in page["jobSummaryList"]}

    def explained(self, job_id):
        """What the node says of why a job is where it is."""
        status, _, body = raw_request(self.node.endpoint, "GET", f"/wasmbatch/v1/jobs/{job_id}/explain")
        assert status == 200, f"{status} {body!r}"
        return json.loads(body)

    def usage(self, job_id):
        """What the node says that the attempts of a job used."""
        path = "/wasmbatch/v1/jobs/" + urllib.parse.quote(job_id) + "/usage"
        status, _, body = raw_request(self.node.endpoint, "GET", path)
        assert status == 200, f"{status} {body!r}"
        return json.loads(body)

    def events(self, stream, **more):
        """All of a stream's events, in order."""
        answer = self.logs.get_log_events(
            logGroupName=GROUP, logStreamName=stream, startFromHead=True, **more
        )
        return answer["events"]

    def lines(self, job):
        """A described job's log, one string per line."""
        return [event["message"] for event in self.events(job["container"]["logStreamName"])]

    def environment(self, job):
        """The environment that `args-env` printed."""
        lines = [line[4:] for line in self.lines(job) if line.startswith("env ")]
        return dict(line.split("=", 1) for line in lines)

    def arguments(self, job):
        """The arguments that `args-env` printed, the module's name first."""
        return [line.split("=", 1)[1] for line in self.lines(job) if line.startswith("arg[")]

    def queue(self, *environments, priority=1, state="ENABLED", **more):
        """A new queue; returns its name."""
        order = [
            {"order": number, "computeEnvironment": environment}
            for number, environment in enumerate(environments or ("default",), start=1)
        ]
        return self.batch.create_job_queue(
            jobQueueName=unique("queue"),
            priority=priority,
            state=state,
            computeEnvironmentOrder=order,
            **more,
        )["jobQueueName"]

    def compute(self, **more):
        """A new UNMANAGED compute environment, unless told otherwise; returns its name."""
        wanted = {"type": "UNMANAGED", "state": "ENABLED"} | more
        return self.batch.create_compute_environment(computeEnvironmentName=unique("ce"), **wanted)[
            "computeEnvironmentName"
        ]

    def occupy(self, vcpus="2", queue="default"):
        """Holds vCPUs with a job that does nothing, until it is terminated; returns its id."""
        definition = self.define("sleep", "600", container={"vcpus": vcpus})
        job_id = self.submit(definition, "occupier", queue)
        self.wait(job_id, "RUNNING")
        return job_id

    def free(self, job_id):
        """Ends what `occupy` started."""
        self.batch.terminate_job(jobId=job_id, reason="make room")
        self.wait(job_id, "FAILED")

    def close(self, seconds=30):
        """Ends what the test left behind, so that the next one finds an idle node."""
        left = [self.jobs[at : at + 100] for at in range(0, len(self.jobs), 100)]
        for ids in left:
            for job in self.batch.describe_jobs(jobs=ids)["jobs"]:
                if job["status"] not in ENDED:
                    self.batch.terminate_job(jobId=job["jobId"], reason="the test is over")
        for ids in left:
            until(lambda ids=ids: all_ended(self.batch, ids), seconds, "the end of the test's jobs")


class ContainerLab(Lab):
    """A lab whose jobs are images. `BOX` is busybox, which names no command."""

    BOX = "box"

    def define(self, image, *command, name=None, **more):
        return super().define(image, *command, name=name or unique("image"), **more)

    def reopen(self):
        """Starts the node again, and goes on with it."""
        self.node.start()
        self.batch, self.logs = self.node.batch(), self.node.logs()

    def shell(self, script, wanted="SUCCEEDED", image=None, seconds=30.0, **more):
        """Runs a script in busybox, or in an image that has a shell; returns the job's last description."""
        job_id = self.submit(self.define_shell(script, image, **more))
        return self.wait(job_id, wanted, seconds=seconds)

    def define_shell(self, script, image=None, **more):
        return self.define(image or self.BOX, "sh", "-c", script, **more)

    def said(self, script, **more):
        """What a script wrote, one string per line."""
        return self.lines(self.shell(script, **more))

    def begin(self, script, until_line=None, submit=None, **more):
        """Submits a script and waits until it runs and has written a line; returns the job's description."""
        job = self.wait(self.submit(self.define_shell(script, **more), **(submit or {})), "RUNNING")
        if until_line is not None:
            stream = job["container"]["logStreamName"]
            what = f"the line {until_line}"
            until(lambda: until_line in [e["message"] for e in self.events(stream)], 30, what)
        return job

    def lines(self, job):
        """A described job's log, all of it, one string per line."""
        lines, token = [], None
        while True:
            more = {"nextToken": token} if token else {}
            stream = job["container"]["logStreamName"]
            answer = self.logs.get_log_events(
                logGroupName=GROUP, logStreamName=stream, startFromHead=True, **more
            )
            lines += [event["message"] for event in answer["events"]]
            if answer["nextForwardToken"] == token:
                return lines
            token = answer["nextForwardToken"]

    def end(self, job):
        """Ends a job that would go on."""
        self.batch.terminate_job(jobId=job["jobId"], reason="enough")
        return self.wait(job["jobId"], "FAILED", "SUCCEEDED", seconds=60)

    def close(self, seconds=60):
        # What ignores SIGTERM has half a minute.
        super().close(seconds)
        nothing_left(self.node, self.jobs)


def nothing_left(node, job_ids):
    """Waits until nothing of the containers of these jobs is left on this machine."""
    until(lambda: not left_of(node, job_ids), 20, "the last of containers that have ended")


def left_of(node, job_ids):
    """What is there of containers of these jobs: folders, cgroups, and with them processes, and mounts."""
    names = tuple(job_id.partition(":")[0].partition("#")[0] for job_id in job_ids)
    folders = node.data / "containers"
    left = [path.name for path in folders.iterdir()] if folders.is_dir() else []
    left = [name for name in left if name.startswith(names)]
    groups = glob.glob("/sys/fs/cgroup/**/wasmbatch-containers/*", recursive=True)
    left += [path for path in groups if os.path.basename(path).startswith(names)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return left + [line for line in mounts if any(name in line for name in names)]


def children(job_id, size):
    """The ids of an array's children."""
    return [f"{job_id}:{index}" for index in range(size)]


def nodes(job_id, number):
    """The ids of a multi-node job's nodes."""
    return [f"{job_id}#{index}" for index in range(number)]


def overlapping(jobs):
    """The most of these ended jobs that ran at the same time."""
    steps = sorted(
        [(job["startedAt"], 1) for job in jobs] + [(job["stoppedAt"], -1) for job in jobs],
        key=lambda step: (step[0], step[1]),
    )
    most = now = 0
    for _, change in steps:
        now += change
        most = max(most, now)
    return most


def all_ended(batch, ids):
    return all(job["status"] in ENDED for job in batch.describe_jobs(jobs=ids)["jobs"])
