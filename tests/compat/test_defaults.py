"""A new node is ready for the first submit."""


def test_the_default_compute_environment_is_valid_and_enabled(batch):
    found = batch.describe_compute_environments(computeEnvironments=["default"])
    [environment] = found["computeEnvironments"]
    assert environment["computeEnvironmentName"] == "default"
    assert environment["computeEnvironmentArn"].endswith(":compute-environment/default")
    assert environment["computeEnvironmentArn"].startswith("arn:aws:batch:us-east-1:")
    assert (environment["state"], environment["status"]) == ("ENABLED", "VALID")
    assert environment["type"] == "MANAGED"
    assert environment["computeResources"]["type"]
    assert environment["computeResources"]["maxvCpus"] >= 2
    assert environment["ecsClusterArn"]
    assert environment["tags"] == {}


def test_the_default_queue_is_valid_and_leads_to_the_default_environment(batch):
    [queue] = batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    assert queue["jobQueueArn"].endswith(":job-queue/default")
    assert (queue["state"], queue["status"]) == ("ENABLED", "VALID")
    assert queue["statusReason"]
    assert queue["priority"] >= 0
    assert queue["tags"] == {}
    [order] = queue["computeEnvironmentOrder"]
    found = batch.describe_compute_environments(computeEnvironments=[order["computeEnvironment"]])
    [environment] = found["computeEnvironments"]
    assert environment["computeEnvironmentName"] == "default"


def test_an_unfiltered_describe_shows_them(batch):
    queues = batch.describe_job_queues()["jobQueues"]
    assert "default" in [queue["jobQueueName"] for queue in queues]
    environments = batch.describe_compute_environments()["computeEnvironments"]
    assert "default" in [environment["computeEnvironmentName"] for environment in environments]


def test_a_first_job_runs_on_the_default_queue(lab):
    job = lab.run("hello", "Ada")
    assert lab.lines(job) == ["hello from wasmbatch, Ada"]


def test_the_daemon_says_one_line_and_ends_on_sigterm_with_zero(new_node):
    node = new_node()
    assert node.stop() == 0
    assert node.more_lines() == []


def test_defaults_that_were_changed_stay_changed_after_a_restart(new_node):
    node = new_node()
    node.batch().update_job_queue(jobQueue="default", priority=7)
    assert node.stop() == 0
    node.start()
    [queue] = node.batch().describe_job_queues(jobQueues=["default"])["jobQueues"]
    assert queue["priority"] == 7
