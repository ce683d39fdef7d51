use serde_json::{Value, json};
use wasmbatch_core::definition::VolumeSource;
use wasmbatch_core::layout::{Condition, Role};
use wasmbatch_core::settings::{ContainerSettings, Device, Tmpfs, Ulimit};

use super::*;
use crate::body;
use crate::shape::definition::REGISTER_JOB_DEFINITION;

fn register(members: Value) -> Result<DefinitionSpec, String> {
    let mut request = json!({"jobDefinitionName": "d", "type": "container"});
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let command = body::parse(request.to_string().as_bytes(), &REGISTER_JOB_DEFINITION).and_then(to_register);
    match command.map_err(|error| error.message)? {
        Command::RegisterJobDefinition { spec, .. } => Ok(*spec),
        other => panic!("a registration became {other:?}"),
    }
}

fn container(members: Value) -> Result<ContainerProperties, String> {
    let mut properties = json!({"image": "i", "vcpus": 1, "memory": 64});
    properties.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    match register(json!({"containerProperties": properties}))?.shape {
        JobShape::Container(properties) => Ok(*properties),
        other => panic!("a container became {other:?}"),
    }
}

#[test]
fn what_a_node_cannot_give_is_registered_as_a_need() {
    for (members, word) in [
        (json!({"secrets": [{"name": "s", "valueFrom": "arn"}]}), "secrets"),
        (json!({"repositoryCredentials": {"credentialsParameter": "x"}}), "repositoryCredentials"),
        (json!({"volumes": [{"efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]}), "efsVolumeConfiguration"),
    ] {
        let needs = container(members.clone()).unwrap().needs;
        assert!(matches!(&needs[..], [need] if need.what.contains(word)), "{members}: {needs:?}");
        let matchable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | ' ');
        assert!(needs[0].what.chars().all(matchable), "{needs:?}");
    }
    let nothing = json!({
        "secrets": [], "privileged": false, "networkConfiguration": {"assignPublicIp": "ENABLED"},
        "resourceRequirements": [{"type": "FUEL", "value": "5"}], "ephemeralStorage": {"sizeInGiB": 21},
        "linuxParameters": {"devices": [], "initProcessEnabled": true}, "user": "x", "jobRoleArn": "r",
    });
    assert_eq!(container(nothing).unwrap().needs, []);
}

#[test]
fn what_a_node_may_give_is_read() {
    let found = container(json!({
        "networkConfiguration": {"assignPublicIp": "ENABLED"}, "ephemeralStorage": {"sizeInGiB": 200},
        "jobRoleArn": "arn:r", "resourceRequirements": [{"type": "FUEL", "value": "9223372036854775807"}],
    }))
    .unwrap();
    assert_eq!((found.assign_public_ip, found.ephemeral_storage_gib), (true, Some(200)));
    assert_eq!((found.role.as_deref(), found.fuel()), (Some("arn:r"), Ok(Some(i64::MAX.unsigned_abs()))));
    let nothing = container(json!({"networkConfiguration": {"assignPublicIp": "DISABLED"}, "jobRoleArn": ""})).unwrap();
    assert_eq!((nothing.assign_public_ip, nothing.ephemeral_storage_gib, nothing.role), (false, None, None));
    for (members, word) in [
        (json!({"ephemeralStorage": {"sizeInGiB": 20}}), "between 21 and 200"),
        (json!({"ephemeralStorage": {"sizeInGiB": 201}}), "between 21 and 200"),
        (json!({"resourceRequirements": [{"type": "FUEL", "value": "0"}]}), "FUEL has the value 0"),
        (json!({"resourceRequirements": [{"type": "FUEL", "value": "9223372036854775808"}]}), "out of bounds"),
        (json!({"resourceRequirements": [{"type": "FUEL", "value": "-1"}]}), "FUEL has the value -1"),
    ] {
        let refusal = container(members.clone()).unwrap_err();
        assert!(refusal.contains(word), "{members}: {refusal}");
    }
}

#[test]
fn what_a_task_may_get_is_for_each_of_its_containers() {
    let task = json!({
        "containers": [ecs_container(json!({"name": "a"})), ecs_container(json!({"name": "b"}))],
        "networkConfiguration": {"assignPublicIp": "ENABLED"}, "ephemeralStorage": {"sizeInGiB": 21},
        "taskRoleArn": "arn:t",
    });
    let task = shape_of(json!({"ecsProperties": {"taskProperties": [task]}})).unwrap();
    for ContainerProperties { assign_public_ip, ephemeral_storage_gib, role, .. } in
        task.containers.iter().map(|container| &container.properties)
    {
        assert_eq!((*assign_public_ip, *ephemeral_storage_gib, role.as_deref()), (true, Some(21), Some("arn:t")));
    }
}

#[test]
fn folders_and_variables_are_checked() {
    let volumes = json!([{"name": "v", "host": {"sourcePath": "/a"}}]);
    let mount = |path: &str, volume: &str| json!({"containerPath": path, "sourceVolume": volume});
    for members in [
        json!({"volumes": volumes, "mountPoints": [mount("in", "v")]}),
        json!({"volumes": volumes, "mountPoints": [mount("/a/../b", "v")]}),
        json!({"volumes": volumes, "mountPoints": [mount("/in", "w")]}),
        json!({"volumes": volumes, "mountPoints": [mount("/in", "v"), mount("/in//", "v")]}),
        json!({"volumes": volumes, "mountPoints": [{"sourceVolume": "v"}]}),
        json!({"volumes": [{"name": "v"}, {"name": "v"}]}),
        json!({"volumes": [{"name": "v", "host": {"sourcePath": "a"}}]}),
        json!({"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "x"}]}),
        json!({"environment": [{"value": "x"}]}),
        json!({"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "a b"}}}),
        json!({"logConfiguration": {"logDriver": "awslogs", "options": {"wasmbatch-max-bytes": "-1"}}}),
        json!({"image": ""}),
        json!({"memory": 3}),
        json!({"vcpus": 0}),
    ] {
        assert!(container(members.clone()).is_err(), "{members}");
    }
    assert!(container(json!({"volumes": volumes, "mountPoints": [mount("/", "v")]})).is_ok());
}

#[test]
fn fargate_has_its_table() {
    let fargate = |vcpus: &str, memory: &str| {
        let requirements = json!([{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]);
        let properties = json!({"image": "i", "executionRoleArn": "r", "resourceRequirements": requirements});
        register(json!({"platformCapabilities": ["FARGATE"], "containerProperties": properties}))
    };
    for (vcpus, memory) in [("0.25", "512"), ("1", "8192"), ("8", "20480"), ("32", "249856")] {
        assert!(fargate(vcpus, memory).is_ok(), "{vcpus} {memory}");
    }
    for (vcpus, memory) in [("0.25", "4096"), ("0.75", "2048"), ("1", "2049"), ("8", "17408"), ("3", "8192")] {
        assert!(fargate(vcpus, memory).is_err(), "{vcpus} {memory}");
    }
    let deprecated = json!({"image": "i", "executionRoleArn": "r", "vcpus": 1, "memory": 2048});
    assert!(register(json!({"platformCapabilities": ["FARGATE"], "containerProperties": deprecated})).is_err());
}

fn task(containers: Value) -> Result<Task, String> {
    shape_of(json!({"ecsProperties": {"taskProperties": [{"containers": containers}]}}))
}

fn pod(members: Value) -> Result<Task, String> {
    shape_of(json!({"eksProperties": {"podProperties": members}}))
}

fn shape_of(members: Value) -> Result<Task, String> {
    match register(members)?.shape {
        JobShape::Task(task) => Ok(*task),
        other => panic!("a task became {other:?}"),
    }
}

fn requirements() -> Value {
    json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}])
}

fn ecs_container(members: Value) -> Value {
    let mut container = json!({"image": "i", "resourceRequirements": requirements()});
    container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    container
}

fn eks_container(members: Value) -> Value {
    let resources = json!({"limits": {"cpu": "1", "memory": "64Mi"}});
    let mut container = json!({"image": "i", "resources": resources});
    container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    container
}

fn needs_of(task: &Task) -> Vec<&str> {
    task.containers[0].properties.needs.iter().map(|need| need.what.as_str()).collect()
}

#[test]
fn one_shape_is_given_and_kept_whole() {
    let ecs =
        json!({"taskProperties": [{"containers": [ecs_container(json!({"stopTimeout": 30}))], "taskRoleArn": "r"}]});
    let spec = register(json!({"ecsProperties": ecs})).unwrap();
    assert_eq!(from_document(&spec.rest)["ecsProperties"], ecs);
    let container = json!({"image": "i", "vcpus": 1, "memory": 64});
    let node =
        json!({"numNodes": 1, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0", "container": container}]});
    assert!(register(json!({"type": "multinode", "nodeProperties": node})).is_ok());
    let eks = json!({"podProperties": {"containers": [eks_container(json!({}))]}});
    assert!(register(json!({"eksProperties": eks})).is_ok());
    for members in [
        json!({}),
        json!({"type": "multinode"}),
        json!({"nodeProperties": node}),
        json!({"type": "multinode", "nodeProperties": node, "containerProperties": container}),
        json!({"ecsProperties": ecs, "containerProperties": container}),
        json!({"eksProperties": eks, "containerProperties": container}),
        json!({"eksProperties": eks, "ecsProperties": ecs}),
        json!({"eksProperties": eks, "platformCapabilities": ["EC2"]}),
        json!({"eksProperties": eks, "propagateTags": true}),
        json!({"type": "multinode", "nodeProperties": node, "platformCapabilities": ["FARGATE"]}),
    ] {
        assert!(register(members.clone()).is_err(), "{members}");
    }
}

#[test]
fn the_containers_of_a_task_are_read() {
    let found = task(json!([
        ecs_container(json!({
            "name": "main", "command": ["Ref::x"], "dependsOn": [{"containerName": "fill", "condition": "SUCCESS"}],
        })),
        ecs_container(json!({"name": "fill", "essential": false, "readonlyRootFilesystem": true})),
    ]))
    .unwrap();
    assert_eq!(found.containers[0].depends_on, [("fill".to_owned(), Condition::Success)]);
    assert_eq!(found.containers.iter().map(|c| c.role).collect::<Vec<_>>(), [Role::Essential, Role::Sidecar]);
    assert_eq!(found.containers[1].properties.read_only_root, Some(true));
    assert_eq!(task(json!([ecs_container(json!({}))])).unwrap().containers[0].name, "default");
    for (containers, word) in [
        (json!([]), "1 to 10 containers"),
        (json!([ecs_container(json!({"essential": false}))]), "essential"),
        (json!([ecs_container(json!({"name": "a:b"}))]), "a:b must be 1 to 255 letters"),
        (json!([{"image": "i"}]), "vCPU is not provided"),
        (json!([ecs_container(json!({"stopTimeout": 1}))]), "stopTimeout must be at least 2"),
        (json!([ecs_container(json!({"dependsOn": [{"containerName": "x", "condition": "HEALTHY"}]}))]), "HEALTHY"),
        (json!([ecs_container(json!({"mountPoints": [{"containerPath": "/a", "sourceVolume": "v"}]}))]), "volumes"),
        (json!([ecs_container(json!({"environment": [{"name": "AWS_BATCH_A", "value": "1"}]}))]), "AWS_BATCH"),
    ] {
        let refusal = task(containers.clone()).unwrap_err();
        assert!(refusal.contains(word), "{containers}: {refusal}");
    }
}

#[test]
fn what_a_task_asks_of_a_node_is_a_need_of_its_containers() {
    let with = |container: Value, members: Value| {
        let mut task = json!({"containers": [ecs_container(container)]});
        task.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        shape_of(json!({"ecsProperties": {"taskProperties": [task]}}))
    };
    let efs = json!([{"name": "e", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]);
    for (container, members, word) in [
        (json!({"secrets": [{"name": "s", "valueFrom": "arn"}]}), json!({}), "secrets"),
        (json!({"firelensConfiguration": {"type": "fluentbit"}}), json!({}), "firelensConfiguration"),
        (json!({}), json!({"pidMode": "task"}), "pidMode"),
        (json!({}), json!({"ipcMode": "host"}), "ipcMode"),
        (json!({}), json!({"volumes": efs}), "efsVolumeConfiguration"),
    ] {
        let task = with(container, members).unwrap();
        assert!(matches!(&needs_of(&task)[..], [need] if need.contains(word)), "{word}: {:?}", needs_of(&task));
    }
    let nothing = json!({
        "ipcMode": "none", "networkMode": "host", "taskRoleArn": "r", "enableExecuteCommand": true,
        "volumes": [{"name": "v"}, {"name": "h", "host": {"sourcePath": "/data"}}],
    });
    assert_eq!(needs_of(&with(json!({"user": "x"}), nothing).unwrap()), [""; 0]);
    assert!(with(json!({}), json!({"networkMode": "bridge"})).unwrap_err().contains("networkMode bridge"));
    let mount = |path: &str| json!({"containerPath": path, "sourceVolume": "v"});
    let twice = with(json!({"mountPoints": [mount("/a"), mount("/b")]}), json!({"volumes": [{"name": "v"}]})).unwrap();
    assert!(needs_of(&twice)[0].contains("several mounts"));
}

#[test]
fn a_fargate_task_fills_a_size_with_its_containers() {
    let fargate = |count: usize, role: &str| {
        let sized = json!([{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}]);
        let container = |index: usize| json!({"name": index.to_string(), "image": "i", "resourceRequirements": sized});
        let containers: Vec<_> = (0..count).map(container).collect();
        let ecs = json!({"taskProperties": [{"containers": containers, "executionRoleArn": role}]});
        register(json!({"platformCapabilities": ["FARGATE"], "ecsProperties": ecs}))
    };
    assert!(fargate(1, "r").is_ok() && fargate(2, "r").is_ok());
    assert!(fargate(3, "r").unwrap_err().contains("no size of 0.75 VCPU"));
    assert!(fargate(1, "").unwrap_err().contains("executionRoleArn"));
}

#[test]
fn a_pods_init_containers_run_one_after_another_before_the_others() {
    let container = |name: &str| eks_container(json!({"name": name}));
    let found = pod(json!({
        "hostNetwork": true, "serviceAccountName": "s", "dnsPolicy": "ClusterFirst", "metadata": {"labels": {"a": "b"}},
        "initContainers": [container("first"), container("second")],
        "containers": [container("main"), container("beside")],
    }))
    .unwrap();
    let waits: Vec<_> = found.containers.iter().map(|c| c.depends_on.first().map(|(name, _)| name.as_str())).collect();
    assert_eq!(waits, [None, Some("first"), Some("second"), Some("second")]);
    assert!(found.containers.iter().all(|container| container.role == Role::Pod));
    assert_eq!(needs_of(&found), [""; 0]);
    let lone = pod(json!({"containers": [eks_container(json!({"command": ["a"], "args": ["b"]}))]})).unwrap();
    assert_eq!(
        (lone.containers[0].name.as_str(), lone.containers[0].args.as_slice()),
        ("Default", &["b".to_owned()][..])
    );
    for (members, word) in [
        (json!({}), "at least one"),
        (json!({"containers": vec![container("a"); 11]}), "at most 10"),
        (json!({"containers": [container("a"), container("a")]}), "twice"),
        (json!({"containers": [container("a")], "initContainers": [container("a")]}), "twice"),
        (json!({"containers": [eks_container(json!({"resources": {"limits": {"cpu": "x"}}}))]}), "cpu can't be x"),
    ] {
        let refusal = pod(members.clone()).unwrap_err();
        assert!(refusal.contains(word), "{members}: {refusal}");
    }
}

#[test]
fn a_pods_folders_are_read() {
    let mounted = |mount: Value| {
        let volumes =
            json!([{"name": "h", "hostPath": {"path": "/data"}}, {"name": "e", "emptyDir": {"medium": "Memory"}}]);
        pod(json!({"volumes": volumes, "containers": [eks_container(json!({"volumeMounts": [mount]}))]}))
    };
    let found = mounted(json!({"name": "h", "mountPath": "/in", "subPath": "a/b", "readOnly": true})).unwrap();
    let properties = &found.containers[0].properties;
    let point = &properties.mount_points[0];
    assert_eq!((point.container_path.as_deref(), point.read_only), (Some("/in"), Some(true)));
    let source = properties.volumes.iter().find(|volume| volume.name == point.source_volume).map(|v| &v.source);
    assert_eq!(source, Some(&VolumeSource::Host("/data/a/b".to_owned())));
    assert_eq!(needs_of(&mounted(json!({"name": "e", "mountPath": "/tmp/x"})).unwrap()), [""; 0]);
    let container = |name: &str, mount: Value| eks_container(json!({"name": name, "volumeMounts": [mount]}));
    let whole = container("a", json!({"name": "e", "mountPath": "/a"}));
    let part = container("b", json!({"name": "e", "mountPath": "/b", "subPath": "x"}));
    let shared = pod(json!({"volumes": [{"name": "e", "emptyDir": {}}], "containers": [whole, part]})).unwrap();
    assert!(needs_of(&shared)[0].contains("several mounts"));
    assert!(
        pod(json!({"volumes": [{"name": "a/b", "emptyDir": {}}], "containers": [eks_container(json!({}))]})).is_err()
    );
    for (mount, word) in [
        (json!({"name": "x", "mountPath": "/a"}), "x is not one of the volumes"),
        (json!({"name": "h", "mountPath": "a"}), "mountPath"),
        (json!({"name": "h", "mountPath": "/a/../b"}), "mountPath"),
        (json!({"name": "h", "mountPath": "/a", "subPath": "../x"}), "subPath"),
        (json!({"name": "h", "mountPath": "/a", "subPath": "/x"}), "subPath"),
    ] {
        let refusal = mounted(mount.clone()).unwrap_err();
        assert!(refusal.contains(word), "{mount}: {refusal}");
    }
}

#[test]
fn what_a_pod_asks_of_a_node_is_a_need_of_its_containers() {
    let with = |container: Value, members: Value| {
        let mut pod = json!({"containers": [eks_container(container)]});
        pod.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        shape_of(json!({"eksProperties": {"podProperties": pod}}))
    };
    let context = |members: Value| json!({"securityContext": members});
    for (container, members, word) in [
        (context(json!({"capabilities": {"add": ["NET_ADMIN"]}})), json!({}), "capabilities.add"),
        (context(json!({"seccompProfile": {"type": "Unconfined"}})), json!({}), "seccompProfile"),
        (json!({}), context(json!({"runAsGroup": 5})), "runAsGroup"),
        (json!({}), context(json!({"fsGroup": 5})), "fsGroup"),
        (json!({}), json!({"shareProcessNamespace": true}), "shareProcessNamespace"),
        (json!({}), json!({"imagePullSecrets": [{"name": "s"}]}), "imagePullSecrets"),
        (json!({}), json!({"volumes": [{"name": "s", "secret": {"secretName": "s"}}]}), "volumes.secret"),
        (
            json!({}),
            json!({"volumes": [{"name": "p", "persistentVolumeClaim": {"claimName": "c"}}]}),
            "persistentVolumeClaim",
        ),
    ] {
        let pod = with(container, members).unwrap();
        assert!(matches!(&needs_of(&pod)[..], [need] if need.contains(word)), "{word}: {:?}", needs_of(&pod));
    }
    let taken_away = json!({
        "readOnlyRootFilesystem": true, "runAsNonRoot": true, "allowPrivilegeEscalation": false, "privileged": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let optional = json!({"volumes": [{"name": "s", "secret": {"secretName": "s", "optional": true}}]});
    let found = with(context(taken_away), optional).unwrap();
    assert_eq!((needs_of(&found), found.containers[0].properties.read_only_root), (vec![], Some(true)));
}

#[test]
fn the_nodes_of_a_multinode_definition_are_read() {
    let nodes = |ranges: Value| {
        let properties = json!({"numNodes": 4, "mainNode": 1, "nodeRangeProperties": ranges});
        match register(json!({"type": "multinode", "nodeProperties": properties}))?.shape {
            JobShape::Nodes(nodes) => Ok::<_, String>(*nodes),
            other => panic!("nodes became {other:?}"),
        }
    };
    let container = json!({"image": "i", "vcpus": 1, "memory": 64});
    let ecs = json!({"taskProperties": [{"containers": [ecs_container(json!({}))]}]});
    let eks = json!({"podProperties": {"containers": [eks_container(json!({}))]}});
    let needed = json!({"consumableResourceList": [{"consumableResource": "seat", "quantity": 3}]});
    let found = nodes(json!([
        {"targetNodes": ":", "container": container, "instanceTypes": ["m5.large"]},
        {"targetNodes": "2", "ecsProperties": ecs, "consumableResourceProperties": needed},
        {"targetNodes": ":1", "container": container},
        {"targetNodes": "1:3", "container": container},
    ]))
    .unwrap();
    let targets: Vec<_> = found.ranges.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!(targets, [(0, None), (2, Some(2)), (0, Some(1)), (1, Some(3))]);
    assert_eq!((found.count, found.main, found.ranges[1].consumables[0].quantity), (4, 1, 3));
    assert!(nodes(json!([{"targetNodes": "0:", "eksProperties": eks}])).is_ok());
    for (ranges, word) in [
        (json!([{"targetNodes": "0:2", "container": container}]), "node 3 is in no targetNodes"),
        (json!([{"targetNodes": "0:4", "container": container}]), "beyond the last node"),
        (json!([{"targetNodes": "a", "container": container}]), "targetNodes a"),
        (json!([{"targetNodes": "+1", "container": container}]), "targetNodes"),
        (json!([{"targetNodes": "0:"}]), "exactly one of"),
        (json!([{"targetNodes": "0:", "container": container, "ecsProperties": ecs}]), "exactly one of"),
        (json!([{"targetNodes": "0:", "container": container}, {"targetNodes": "1", "eksProperties": eks}]), "in all"),
    ] {
        let refusal = nodes(ranges.clone()).unwrap_err();
        assert!(refusal.contains(word), "{ranges}: {refusal}");
    }
}

#[test]
fn consumables_are_named_once_each() {
    let with = |list: Value| {
        let properties = json!({"image": "i", "vcpus": 1, "memory": 64});
        register(
            json!({"containerProperties": properties, "consumableResourceProperties": {"consumableResourceList": list}}),
        )
    };
    let spec =
        with(json!([{"consumableResource": "a", "quantity": 1}, {"consumableResource": "b", "quantity": 2}])).unwrap();
    assert_eq!(spec.consumables.iter().map(|needed| needed.quantity).collect::<Vec<_>>(), [1, 2]);
    assert!(from_document(&spec.rest).contains_key("consumableResourceProperties"));
    for list in [
        json!([{"consumableResource": "a", "quantity": 0}]),
        json!([{"consumableResource": "a"}]),
        json!([{"quantity": 1}]),
        json!([{"consumableResource": "a", "quantity": 1}, {"consumableResource": "a", "quantity": 1}]),
    ] {
        assert!(with(list.clone()).is_err(), "{list}");
    }
}

#[test]
fn what_a_container_asks_of_its_runtime_is_read() {
    let members = json!({
        "user": "me:7", "privileged": true,
        "ulimits": [{"name": "nofile", "softLimit": 5, "hardLimit": -1}],
        "linuxParameters": {
            "initProcessEnabled": true, "sharedMemorySize": 128, "maxSwap": 0, "swappiness": 100,
            "tmpfs": [{"containerPath": "/t", "size": 2, "mountOptions": ["exec", "mode=700"]}],
            "devices": [
                {"hostPath": "/dev/a", "containerPath": "/dev/b", "permissions": ["WRITE", "READ"]},
                {"hostPath": "/dev/c", "permissions": []},
            ],
        },
    });
    let settings = container(members.clone()).unwrap().settings;
    let device = |host: &str, inner: Option<&str>, permissions: &str| Device {
        host_path: host.to_owned(),
        container_path: inner.map(str::to_owned),
        permissions: permissions.to_owned(),
    };
    let expected = ContainerSettings {
        user: Some("me:7".to_owned()),
        privileged: true,
        must_not_be_root: false,
        init_process: true,
        shared_memory_mib: Some(128),
        max_swap_mib: Some(0),
        swappiness: Some(100),
        tmpfs: vec![Tmpfs {
            container_path: "/t".to_owned(),
            size_mib: 2,
            options: ["exec", "mode=700"].map(str::to_owned).to_vec(),
        }],
        devices: vec![device("/dev/a", Some("/dev/b"), "rw"), device("/dev/c", None, "rwm")],
        ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: 5, hard: Ulimit::NONE }],
        stop_timeout_seconds: None,
    };
    assert_eq!(settings, expected);
    let mut one = ecs_container(members);
    one["stopTimeout"] = json!(120);
    let task = shape_of(json!({"ecsProperties": {"taskProperties": [{"containers": [one]}]}})).unwrap();
    assert_eq!(
        task.containers[0].properties.settings,
        ContainerSettings { stop_timeout_seconds: Some(120), ..expected }
    );
    let nothing = json!({
        "user": "", "privileged": false, "ulimits": [],
        "linuxParameters": {"sharedMemorySize": 0, "swappiness": 60, "tmpfs": [], "devices": []},
    });
    assert_eq!(container(nothing).unwrap().settings, ContainerSettings::default());
}

#[test]
fn what_no_container_can_ask_is_refused() {
    let linux = |members: Value| json!({"linuxParameters": members});
    let tmpfs = |path: &str, size: i32| linux(json!({"tmpfs": [{"containerPath": path, "size": size}]}));
    let limit = |name: &str, soft: i32| json!({"ulimits": [{"name": name, "softLimit": soft, "hardLimit": 9}]});
    for (members, word) in [
        (linux(json!({"sharedMemorySize": -1})), "sharedMemorySize must be at least 0"),
        (linux(json!({"maxSwap": -1})), "maxSwap must be at least 0"),
        (linux(json!({"maxSwap": 1, "swappiness": 101})), "swappiness must be between 0 and 100"),
        (linux(json!({"swappiness": -1})), "swappiness must be between 0 and 100"),
        (tmpfs("/t", 0), "size must be at least 1"),
        (tmpfs("t", 1), "tmpfs.containerPath must be an absolute path"),
        (tmpfs("/", 1), "tmpfs.containerPath must be an absolute path"),
        (tmpfs("/a/../b", 1), "tmpfs.containerPath must be an absolute path"),
        (linux(json!({"devices": [{"hostPath": "dev/x"}]})), "devices.hostPath"),
        (linux(json!({"devices": [{"hostPath": "/dev/x", "containerPath": "x"}]})), "devices.containerPath"),
        (limit("", 1), "ulimits.name must not be empty"),
        (limit("nofile", -2), "ulimits.softLimit must not be negative"),
        (json!({"ulimits": vec![json!({"name": "cpu", "softLimit": 1, "hardLimit": 1}); 101]}), "at most 100"),
    ] {
        let refusal = container(members.clone()).unwrap_err();
        assert!(refusal.contains(word), "{members}: {refusal}");
    }
}

#[test]
fn a_pods_security_context_lies_under_that_of_its_containers() {
    let settings = |pod_context: Value, own: Value| {
        let container = eks_container(json!({"securityContext": own}));
        let found = pod(json!({"containers": [container], "securityContext": pod_context}))?;
        let properties = found.containers[0].properties.clone();
        Ok::<_, String>((properties.settings, properties.needs.len()))
    };
    let (found, needs) = settings(
        json!({"runAsUser": 5, "runAsGroup": 6, "runAsNonRoot": true}),
        json!({"runAsUser": 0, "privileged": true}),
    )
    .unwrap();
    assert_eq!((found.user.as_deref(), found.privileged, found.must_not_be_root, needs), (Some("0:6"), true, true, 0));
    let (found, needs) =
        settings(json!({"runAsNonRoot": true}), json!({"runAsUser": 7, "runAsNonRoot": false})).unwrap();
    assert_eq!((found.user.as_deref(), found.privileged, found.must_not_be_root, needs), (Some("7"), false, false, 0));
    let (found, needs) = settings(json!({}), json!({"runAsGroup": 7})).unwrap();
    assert_eq!((found, needs), (ContainerSettings::default(), 1));
    assert!(settings(json!({"runAsUser": -1}), json!({})).unwrap_err().contains("between 0 and 2147483647"));
    assert!(settings(json!({}), json!({"runAsUser": 3_000_000_000_u64})).unwrap_err().contains("3000000000"));
}
