"""Images as jobs: what runs, as whom, with which files, and what a job may ask of its container."""

import os
import re
from pathlib import Path

import pytest

import images
from jobs import children, unique

NOT_STARTED = "Task failed to start"
PUBLIC = {"networkConfiguration": {"assignPublicIp": "ENABLED"}}


def load(boxes, layer=None, **config):
    """Loads busybox with a further layer and a configuration; returns its name."""
    name = unique("made")
    layers = [layer] if layer else []
    boxes.node.load(name, images.layout_tar(images.box(*layers, **config)))
    return name


def refusal(boxes, image=None, command=(), container=None):
    """Why a container that can't start didn't."""
    job = boxes.run(image or boxes.BOX, *command, container=container, wanted="FAILED")
    assert job["statusReason"] == NOT_STARTED
    assert "exitCode" not in job["container"]
    return job["container"]["reason"]


def test_a_command_of_an_image_runs_and_what_it_writes_is_its_log(boxes):
    job = boxes.shell("echo hello from a container; echo and a complaint >&2")
    assert sorted(boxes.lines(job)) == ["and a complaint", "hello from a container"]
    assert job["container"]["exitCode"] == 0
    assert job["startedAt"] <= job["stoppedAt"]
    assert "reason" not in job["container"]


def test_an_array_of_50_containers_gives_each_its_index(boxes):
    array = boxes.submit(boxes.define_shell("echo $AWS_BATCH_JOB_ARRAY_INDEX"), arrayProperties={"size": 50})
    boxes.wait(array, "SUCCEEDED", seconds=90)
    jobs = boxes.described(children(array, 50))
    for index, child in enumerate(children(array, 50)):
        assert boxes.lines(jobs[child]) == [str(index)]


def test_what_a_container_used_is_told(boxes):
    work = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/dev/shm/x bs=1M count=20"
    job = boxes.shell(work)
    [attempt] = boxes.usage(job["jobId"])["attempts"]
    [container] = attempt["containers"]
    assert container["usage"]["cpuMicroseconds"] > 10_000
    assert 20 << 20 <= container["usage"]["peakMemoryBytes"] <= 64 << 20


def test_which_image_an_attempt_ran_is_told(boxes):
    name = unique("named")
    image = images.box(images.Layer().file("x", "x"))
    boxes.node.load(name, images.layout_tar(image))
    [attempt] = boxes.usage(boxes.shell("true", image=name)["jobId"])["attempts"]
    assert [container["imageDigest"] for container in attempt["containers"]] == [image.digest]


def test_when_memory_runs_out_on_the_host_containers_go_before_the_node(boxes):
    [score] = boxes.said("cat /proc/self/oom_score_adj")
    own = Path(f"/proc/{boxes.node.process.pid}/oom_score_adj").read_text()
    assert int(score) > int(own)


# What stands in front and behind: Docker's table.
@pytest.mark.parametrize(
    ("entrypoint", "cmd", "command", "said"),
    [
        (["echo", "entry"], ["cmd"], [], "entry cmd"),
        (["echo", "entry"], ["cmd"], ["given"], "entry given"),
        (["echo", "entry"], None, [], "entry"),
        (None, ["echo", "cmd"], [], "cmd"),
        (None, ["echo", "cmd"], ["echo", "given"], "given"),
    ],
)
def test_entrypoint_cmd_and_command_are_combined_as_docker_does(boxes, entrypoint, cmd, command, said):
    config = {key: value for key, value in {"Entrypoint": entrypoint, "Cmd": cmd}.items() if value}
    job = boxes.run(load(boxes, **config), *command)
    assert boxes.lines(job) == [said]


def test_an_image_without_a_command_is_refused_where_the_job_gives_none(boxes):
    reason = refusal(boxes)
    assert reason.startswith("CannotStartContainerError: ")
    assert "no command" in reason


def test_a_program_that_is_not_there_is_refused_in_the_runtimes_words(boxes):
    reason = refusal(boxes, command=["/no/such/program"])
    assert reason.startswith("CannotStartContainerError: ")
    assert "no such file or directory" in reason
    # Only these can be matched by a pattern of evaluateOnExit.
    assert re.fullmatch(r"[A-Za-z0-9.: ]+", reason)


def test_a_file_that_nobody_may_execute_is_refused(boxes):
    reason = refusal(boxes, load(boxes, images.Layer().file("bin/plain", "no x bit")), ["/bin/plain"])
    assert reason.startswith("CannotStartContainerError: ")
    assert "permission denied" in reason


def test_a_file_that_is_no_program_fails_as_it_does_with_docker(boxes):
    image = load(boxes, images.Layer().program("bin/garbage", b"\x00garbage"))
    job = boxes.run(image, "/bin/garbage", wanted="FAILED")
    assert job["container"]["exitCode"] in (1, 126, 255)
    assert any("exec format error" in line for line in boxes.lines(job))


def test_the_images_working_directory_is_where_it_starts(boxes):
    image = load(boxes, images.Layer().folder("work"), WorkingDir="/work")
    assert boxes.said("pwd", image=image) == ["/work"]


def test_a_working_directory_that_is_missing_is_made_as_docker_does(boxes):
    assert boxes.said("pwd", image=load(boxes, WorkingDir="/not/there")) == ["/not/there"]


@pytest.mark.parametrize("folder", ["/etc/passwd", "/proc/self/fd/7", "/sys/kernel", "/dev/fd/3", "/a/../.."])
def test_a_working_directory_that_is_none_is_refused(boxes, folder):
    reason = refusal(boxes, load(boxes, WorkingDir=folder), ["pwd"])
    assert reason.startswith(("CannotStartContainerError: ", "CannotPullContainerError: "))


def test_the_images_variables_lie_below_the_jobs(boxes):
    image = load(boxes, Env=["FROM_IMAGE=a", "BOTH=image", "PATH=/bin:/extra", "nothing"])
    variables = [{"name": "BOTH", "value": "job"}, {"name": "FROM_JOB", "value": "b c"}]
    lines = boxes.said("env", image=image, container={"environment": variables})
    assert {"FROM_IMAGE=a", "BOTH=job", "FROM_JOB=b c", "PATH=/bin:/extra"} <= set(lines)
    assert "BOTH=image" not in lines


def test_a_container_knows_its_job_and_nothing_of_the_node(boxes):
    job = boxes.shell("env")
    variables = dict(line.split("=", 1) for line in boxes.lines(job))
    assert variables["AWS_BATCH_JOB_ID"] == job["jobId"]
    assert variables["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert variables["HOME"] == "/root"
    assert variables["PATH"].startswith("/usr/local/sbin:")
    known = ("AWS_", "WASMBATCH_", "HOME", "PATH", "HOSTNAME", "PWD", "SHLVL", "TMPDIR", "ECS_", "_")
    assert [name for name in variables if not name.startswith(known)] == []


@pytest.mark.parametrize(
    ("of_image", "of_job", "shown"),
    [
        (None, None, "uid=0(root) gid=0(root)"),
        ("alice", None, "uid=1000(alice) gid=100(users) groups=29(audio),44(video)"),
        ("1000:44", None, "uid=1000(alice) gid=44(video)"),
        ("alice:kvm", None, "uid=1000(alice) gid=78(kvm)"),
        ("alice", "daemon", "uid=1(daemon) gid=1(daemon)"),
        (None, "4242", "uid=4242 gid=0(root)"),
        (None, "4242:4343", "uid=4242 gid=4343"),
        ("alice", "0:0", "uid=0(root) gid=0(root)"),
    ],
)
def test_users_and_groups_are_found_by_name_and_number(boxes, of_image, of_job, shown):
    image = load(boxes, User=of_image) if of_image else boxes.BOX
    container = {"user": of_job} if of_job else {}
    [line] = boxes.said("id", image=image, container=container)
    # Whether the first group is told again among the others is the runtime's matter.
    own = re.search(r" gid=(\S+)", line).group(1)
    names = line.partition(" groups=")[2].split(",")
    others = ",".join(name for name in names if name and name != own)
    assert line.partition(" groups=")[0] + (f" groups={others}" if others else "") == shown


def test_the_home_of_a_user_is_the_images(boxes):
    assert boxes.said("echo $HOME", container={"user": "alice"}) == ["/home/alice"]


@pytest.mark.parametrize("user", ["nobody-knows", "alice:nobody", "65536", "0:70000", "99999999999999999999"])
def test_a_user_that_the_image_does_not_have_is_refused(boxes, user):
    reason = refusal(boxes, command=["id"], container={"user": user})
    assert reason.startswith("CannotStartContainerError: "), reason


def test_root_in_a_container_can_use_the_files_of_all_its_users(boxes):
    script = """
    touch /tmp/mine && chown 1000:100 /tmp/mine && chmod 600 /tmp/mine
    echo text > /tmp/mine && stat -c '%u:%g %a' /tmp/mine && cat /tmp/mine
    """
    assert boxes.said(script) == ["1000:100 600", "text"]


def test_a_user_can_not_use_the_files_of_another(boxes):
    layer = images.Layer().file("secret", "root's", mode=0o600).file("hers", "alice's", mode=0o600, uid=1000)
    image = load(boxes, layer, User="alice")
    lines = boxes.said("cat /hers; echo; cat /secret 2>/dev/null || echo refused", image=image)
    assert lines == ["alice's", "refused"]


def test_a_root_folder_can_be_written_to_and_nobody_else_sees_it(boxes):
    assert boxes.said("echo x > /new && rm /etc/group && mkdir /etc/made && ls -d /new /etc/*de") == [
        "/etc/made",
        "/new",
    ]
    assert boxes.said("ls -d /new /etc/made 2>/dev/null; ls /etc/group") == ["/etc/group"]


def test_a_read_only_root_is_read_only_all_over(boxes):
    script = (
        "for f in /x /etc/x /tmp/x /root/x /usr/x; do touch $f 2>/dev/null && echo wrote $f; done; echo done"
    )
    assert boxes.said(script, container={"readonlyRootFilesystem": True}) == ["done"]


def test_an_empty_volume_can_be_written_to_below_a_read_only_root(boxes):
    container = {
        "readonlyRootFilesystem": True,
        "user": "alice",
        "volumes": [{"name": "scratch", "host": {}}],
        "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
    }
    assert boxes.said("echo text > /scratch/file && cat /scratch/file", container=container) == ["text"]


def test_a_folder_of_the_host_is_shared_as_the_owner_has_it(boxes):
    folder = boxes.node.shared / unique("folder")
    folder.mkdir()
    (folder / "in").write_text("from the host\n")
    container = {
        "user": "alice",
        "volumes": [{"name": "v", "host": {"sourcePath": str(folder)}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/data"}],
    }
    assert boxes.said("cat /data/in; echo out > /data/out; id -un", container=container) == [
        "from the host",
        "alice",
    ]
    assert (folder / "out").read_text() == "out\n"
    assert (folder / "out").stat().st_uid == folder.stat().st_uid


def test_a_read_only_folder_of_the_host_stays_as_it_is(boxes):
    folder = boxes.node.shared / unique("folder")
    folder.mkdir()
    (folder / "in").write_text("from the host\n")
    container = {
        "volumes": [{"name": "v", "host": {"sourcePath": str(folder)}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/data", "readOnly": True}],
    }
    script = "cat /data/in; rm /data/in || chmod 777 /data/in || touch /data/x || echo refused"
    assert boxes.said(script, container=container)[0] == "from the host"
    assert [path.name for path in folder.iterdir()] == ["in"]


def test_a_folder_that_is_not_allowed_is_refused(boxes):
    container = {
        "volumes": [{"name": "v", "host": {"sourcePath": "/etc"}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/data"}],
    }
    assert refusal(boxes, command=["ls", "/data"], container=container).startswith(
        "ResourceInitializationError: "
    )


@pytest.mark.parametrize("path", ["/proc", "/proc/sys", "/dev", "/sys/x", "/", "/dev/shm"])
def test_nothing_is_mounted_over_what_is_the_containers_own(boxes, path):
    container = {
        "volumes": [{"name": "v", "host": {}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": path}],
    }
    assert refusal(boxes, command=["true"], container=container).startswith("CannotStartContainerError: ")


def kib(boxes, path, **more):
    [line] = boxes.said(f"df -k {path} | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2", **more)
    return int(line)


def test_shared_memory_is_64_mib_or_what_the_job_asks_for(boxes):
    assert kib(boxes, "/dev/shm") == 64 << 10
    assert kib(boxes, "/dev/shm", container={"linuxParameters": {"sharedMemorySize": 10}}) == 10 << 10


def test_a_tmpfs_is_as_large_as_asked_for_and_has_its_options(boxes):
    tmpfs = [{"containerPath": "/fast", "size": 5, "mountOptions": ["noexec", "mode=700"]}]
    container = {"linuxParameters": {"tmpfs": tmpfs}}
    assert kib(boxes, "/fast", container=container) == 5 << 10
    script = (
        "stat -c %a /fast; cp /bin/busybox /fast/busybox; /fast/busybox true 2>/dev/null || echo no programs"
    )
    assert boxes.said(script, container=container) == ["700", "no programs"]


@pytest.mark.parametrize("option", ["suid", "dev", "bind", "size=1g", "mode=7777", "uid=70000"])
def test_an_option_that_would_loosen_a_tmpfs_is_refused(boxes, option):
    tmpfs = [{"containerPath": "/fast", "size": 5, "mountOptions": [option]}]
    reason = refusal(boxes, command=["true"], container={"linuxParameters": {"tmpfs": tmpfs}})
    assert reason.startswith("CannotStartContainerError: ")


def test_ulimits_are_the_jobs(boxes):
    ulimits = [{"name": "nofile", "softLimit": 100, "hardLimit": 200}]
    assert boxes.said("ulimit -n; ulimit -Hn; ulimit -c", container={"ulimits": ulimits}) == [
        "100",
        "200",
        "0",
    ]


def test_the_first_process_is_the_program_itself_unless_an_init_is_asked_for(boxes):
    script = "cat /proc/1/cmdline | tr '\\0' ' '"
    assert boxes.said(script)[0].startswith("sh -c ")
    [line] = boxes.said(script, container={"linuxParameters": {"initProcessEnabled": True}})
    assert line.startswith("/dev/init -- sh -c ")


def test_an_init_reaps_orphans(boxes):
    orphan = "(sh -c 'echo $$ > /tmp/pid; sleep 0.1' &); until read pid < /tmp/pid; do :; done 2>/dev/null; "
    init = {"linuxParameters": {"initProcessEnabled": True}}
    assert boxes.said(orphan + "while [ -e /proc/$pid ]; do :; done; echo reaped", container=init) == [
        "reaped"
    ]


def test_an_init_hands_on_how_its_program_ended(boxes):
    init = {"linuxParameters": {"initProcessEnabled": True}}
    assert boxes.shell("kill -9 $$", container=init, wanted="FAILED")["container"]["exitCode"] == 137
    assert boxes.shell("exit 9", container=init, wanted="FAILED")["container"]["exitCode"] == 9


def test_a_device_that_the_owner_did_not_allow_is_refused(boxes):
    devices = [{"hostPath": "/dev/zero", "containerPath": "/dev/nought", "permissions": ["READ"]}]
    reason = refusal(boxes, command=["true"], container={"linuxParameters": {"devices": devices}})
    assert reason == "ResourceInitializationError: device dev zero is not allowed on this node"


def test_privileged_is_refused(boxes):
    reason = refusal(boxes, command=["true"], container={"privileged": True})
    assert reason == "ResourceInitializationError: privileged is not allowed on this node"


def fuel():
    resources = (("VCPU", "1"), ("MEMORY", "64"), ("FUEL", "1000"))
    return {"resourceRequirements": [{"type": kind, "value": value} for kind, value in resources]}


def test_fuel_is_for_modules(boxes):
    reason = refusal(boxes, command=["true"], container=fuel())
    assert reason.startswith("ResourceInitializationError: FUEL ")


def test_determinism_is_for_modules(boxes):
    definition = boxes.define(boxes.BOX, "true", container=fuel())
    job = boxes.wait(boxes.submit(definition, tags={"wasmbatch:deterministic": "true"}), "FAILED")
    assert job["statusReason"] == NOT_STARTED
    assert job["container"]["reason"].startswith("ResourceInitializationError: ")


def test_there_is_no_network_but_the_containers_own(boxes):
    lines = boxes.said(
        "readlink /proc/self/ns/net; ip -o link | cut -d : -f 2; ip route; ip -6 route | grep -v ' lo '; :"
    )
    assert lines[0] != os.readlink("/proc/self/ns/net")
    assert [line.strip() for line in lines[1:]] == ["lo"]


def test_a_network_is_refused_where_the_node_gives_none(boxes):
    reason = refusal(boxes, command=["true"], container=PUBLIC)
    assert reason.startswith("ResourceInitializationError: ")


def test_a_log_keeps_lines_that_are_no_text_and_one_without_an_end(boxes):
    lines = boxes.said(r"printf 'a\nb\377\ncd\t\342\202\254\nno end'")
    assert len(lines) == 4
    assert (lines[0], lines[2], lines[3]) == ("a", "cd\t€", "no end")


def test_python_runs_from_an_image_of_debian_packages(boxes):
    image = images.packages_image(
        Env=["PATH=/usr/bin:/bin"], Cmd=["python3", "-c", "print('from the image')"]
    )
    name = unique("python")
    boxes.node.load(name, images.layout_tar(image))
    memory = {"resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]}
    assert boxes.lines(boxes.run(name, container=memory)) == ["from the image"]
    script = "import sys, hashlib; print(sys.version_info.major, hashlib.sha256(b'x').hexdigest()[:6])"
    assert boxes.lines(boxes.run(name, "python3", "-c", script, container=memory)) == ["3 2d7116"]
