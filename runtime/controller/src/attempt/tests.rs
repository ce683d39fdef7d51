use std::collections::BTreeMap;

use wasmbatch_core::definition::{
    DefinitionSpec, DefinitionStatus, EnvironmentVariable, JobShape, LogConfiguration, NodeProperties, NodeRange,
    NodeWork, Overrides, ResourceKind, ResourceRequirement, Task, TaskContainer, TaskKind,
};
use wasmbatch_core::extension::Extensions;
use wasmbatch_core::layout::Role;
use wasmbatch_core::{Document, JobId, JobName, Timestamp};
use wasmbatch_store::Store;

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn properties(memory: u32) -> ContainerProperties {
    ContainerProperties {
        image: "file:///srv/prog.wasm".to_owned(),
        command: vec!["Ref::who".to_owned(), "$(A) $(B) $$(A)".to_owned()],
        environment: vec![EnvironmentVariable { name: "A".to_owned(), value: "1".to_owned() }],
        vcpus: Some(1),
        memory: Some(memory),
        ..ContainerProperties::default()
    }
}

fn container(name: &str, role: Role, memory: u32) -> TaskContainer {
    let properties = properties(memory);
    TaskContainer { name: name.to_owned(), role, depends_on: Vec::new(), args: vec!["arg".to_owned()], properties }
}

fn definition(shape: JobShape) -> JobDefinition {
    let spec = DefinitionSpec::of(shape);
    JobDefinition { name: name("def"), revision: 1, status: DefinitionStatus::Active, spec }
}

fn job(definition: &JobDefinition) -> Job {
    let plan = definition.spec.plan(&Overrides::default()).unwrap();
    Job {
        id: JobId::from_bytes([7; 16]),
        name: JobName::parse("j").unwrap(),
        queue: name("q"),
        queue_uid: 1,
        order: 1,
        definition: name("def"),
        revision: 1,
        created_at: Timestamp::from_millis(1),
        parameters: BTreeMap::from([("who".to_owned(), "world".to_owned())]),
        depends_on: Vec::new(),
        array_size: None,
        share: None,
        scheduling_priority: None,
        overrides: Overrides::default(),
        layout: plan.layout,
        resources: plan.resources,
        consumables: plan.consumables,
        extensions: Extensions::default(),
        retry: None,
        timeout_seconds: None,
        propagate_tags: None,
        rest: Document::default(),
    }
}

fn attempt(job: JobId, member: u32) -> AttemptId {
    AttemptId { job, number: 2, generation: 9, member }
}

fn spec(job: &Job, definition: &JobDefinition, attempt: AttemptId) -> AttemptSpec {
    resolved(job, definition, attempt, NetworkAccess::None).unwrap()
}

fn refused(job: &Job, definition: &JobDefinition) -> String {
    match resolved(job, definition, attempt(job.id, 0), NetworkAccess::None) {
        Err(Unstartable::Reason(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn resolved(
    job: &Job,
    definition: &JobDefinition,
    attempt: AttemptId,
    network: NetworkAccess,
) -> Result<AttemptSpec, Unstartable> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db")).unwrap();
    let environment = name("ce");
    let host = Host { instance: "i-test", environment: &environment, network };
    attempt_spec(&store.snapshot().unwrap(), attempt, job, definition, &host)
}

fn variable<'s>(spec: &'s AttemptSpec, name: &str) -> Option<&'s str> {
    spec.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_child_of_an_array_is_told_which_one_it_is() {
    let definition = definition(JobShape::Container(Box::new(properties(64))));
    let mut job = job(&definition);
    job.array_size = Some(5);
    let spec = spec(&job, &definition, attempt(job.id.child(3), 0));
    assert_eq!(variable(&spec, "AWS_BATCH_JOB_ID"), Some(job.id.child(3).to_string().as_str()));
    assert_eq!(variable(&spec, "AWS_BATCH_JOB_ARRAY_INDEX"), Some("3"));
    assert_eq!(variable(&spec, "AWS_BATCH_JOB_ARRAY_SIZE"), Some("5"));
    assert_eq!(variable(&spec, "AWS_BATCH_JOB_NUM_NODES"), None);
    assert_eq!(variable(&spec, "AWS_BATCH_JOB_KUBERNETES_NODE_UID"), None);
    assert_eq!(spec.arguments, ["prog.wasm", "world", "$(A) $(B) $$(A)"]);
    let target = log_target(&job, &definition, attempt(job.id.child(3), 0));
    assert_eq!(target.stream, format!("def/default/{}_3-2", job.id));
}

#[test]
fn a_pods_container_expands_its_variables_and_runs_its_args() {
    let pod = Task::new(TaskKind::Pod, vec![container("a", Role::Pod, 64), container("b", Role::Pod, 32)]).unwrap();
    let definition = definition(JobShape::Task(Box::new(pod)));
    let job = job(&definition);
    let spec = spec(&job, &definition, attempt(job.id, 1));
    assert_eq!(spec.arguments, ["prog.wasm", "world", "1 $(B) $(A)", "arg"]);
    assert_eq!(spec.memory_limit_bytes, 32 << 20, "its own and not the pod's");
    assert_eq!(variable(&spec, "AWS_BATCH_JOB_KUBERNETES_NODE_UID"), Some("i-test"));
    let target = log_target(&job, &definition, attempt(job.id, 1));
    assert_eq!(target.stream, format!("def/b/{}.1-2", job.id));
}

#[test]
fn a_node_is_told_its_place_and_where_the_main_node_is() {
    let mut logged = properties(16);
    logged.log = Some(LogConfiguration {
        driver: "awslogs".to_owned(),
        options: BTreeMap::from([("awslogs-stream-prefix".to_owned(), "mine".to_owned())]),
        rest: Document::default(),
    });
    let task = vec![container("main", Role::Essential, 64), container("side", Role::Sidecar, 32)];
    let task = NodeWork::Task(Box::new(Task::new(TaskKind::Ecs, task).unwrap()));
    let range = |first, last, work| NodeRange { first, last, work, consumables: Vec::new() };
    let ranges = vec![range(0, Some(1), NodeWork::Container(Box::new(logged))), range(2, None, task)];
    let definition = definition(JobShape::Nodes(Box::new(NodeProperties::new(3, 1, ranges).unwrap())));
    let job = job(&definition);
    let (main, side) = (spec(&job, &definition, attempt(job.id, 1)), spec(&job, &definition, attempt(job.id, 3)));
    assert_eq!(variable(&main, "AWS_BATCH_JOB_ID"), Some(job.id.node(1).to_string().as_str()));
    assert_eq!(variable(&main, "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"), None);
    assert_eq!(main.memory_limit_bytes, 16 << 20);
    assert_eq!(variable(&side, "AWS_BATCH_JOB_ID"), Some(job.id.node(2).to_string().as_str()));
    assert_eq!(variable(&side, "AWS_BATCH_JOB_NUM_NODES"), Some("3"));
    assert_eq!(variable(&side, "AWS_BATCH_JOB_NODE_INDEX"), Some("2"));
    assert_eq!(variable(&side, "AWS_BATCH_JOB_MAIN_NODE_INDEX"), Some("1"));
    assert_eq!(variable(&side, "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"), Some("127.0.0.1"));
    assert_eq!(side.memory_limit_bytes, 32 << 20);
    let stream = |member| log_target(&job, &definition, attempt(job.id, member)).stream;
    assert_eq!(stream(0), format!("mine/default/{}-2", job.id));
    assert_eq!(stream(3), format!("def/side/{}.3-2", job.id));
}

#[test]
fn a_streams_name_has_room_for_its_end() {
    let mut long = container(&"n".repeat(255), Role::Essential, 64);
    long.properties.log = Some(LogConfiguration {
        driver: "awslogs".to_owned(),
        options: BTreeMap::from([("awslogs-stream-prefix".to_owned(), "p".repeat(440))]),
        rest: Document::default(),
    });
    let definition = definition(JobShape::Task(Box::new(Task::new(TaskKind::Ecs, vec![long]).unwrap())));
    let job = job(&definition);
    let stream = log_target(&job, &definition, attempt(job.id, 0)).stream;
    assert_eq!(stream.chars().count(), 512);
    assert!(stream.ends_with(&format!("nn/{}-2", job.id)));
}

#[test]
fn an_attempt_gets_what_its_job_asked_for() {
    let requirement = |kind, value: &str| ResourceRequirement { kind, value: value.to_owned() };
    let container = ContainerProperties {
        resource_requirements: vec![requirement(ResourceKind::Vcpu, "0.5"), requirement(ResourceKind::Fuel, "77")],
        ephemeral_storage_gib: Some(21),
        role: Some("arn:aws:iam::1:role/r".to_owned()),
        ..properties(64)
    };
    let definition = definition(JobShape::Container(Box::new(container)));
    let mut job = job(&definition);
    job.share = Some("blue".to_owned());
    job.extensions = Extensions { deterministic: true, cpu_limit_seconds: Some(90), ..Extensions::default() };
    let spec = spec(&job, &definition, attempt(job.id, 0));
    assert_eq!((spec.cpu_thousandths, spec.fuel, spec.deterministic), (500, Some(77), true));
    assert_eq!(spec.cpu_limit, Some(Duration::from_secs(90)));
    assert_eq!(spec.scratch, ScratchLimits::of_gib(21));
    assert_eq!(spec.trust_domain, "q/blue/arn:aws:iam::1:role/r");
}

fn asking(image: &str, settings: core::ContainerSettings) -> JobDefinition {
    let container = ContainerProperties { image: image.to_owned(), settings, ..properties(64) };
    definition(JobShape::Container(Box::new(container)))
}

#[test]
fn what_a_container_asks_of_its_runtime_is_handed_on() {
    let settings = core::ContainerSettings {
        user: Some("me:7".to_owned()),
        privileged: true,
        must_not_be_root: true,
        init_process: true,
        shared_memory_mib: Some(128),
        max_swap_mib: Some(2),
        swappiness: Some(10),
        tmpfs: vec![core::Tmpfs { container_path: "/t".to_owned(), size_mib: 1, options: vec!["exec".to_owned()] }],
        devices: vec![core::Device {
            host_path: "/dev/a".to_owned(),
            container_path: None,
            permissions: "rw".to_owned(),
        }],
        ulimits: vec![core::Ulimit { name: "cpu".to_owned(), soft: 1, hard: core::Ulimit::NONE }],
        stop_timeout_seconds: Some(5),
    };
    let definition = asking("registry.example/else:9", settings);
    let job = job(&definition);
    let expected = ContainerSettings {
        entrypoint: None,
        user: Some("me:7".to_owned()),
        pod: false,
        must_not_be_root: true,
        privileged: true,
        init_process: true,
        shared_memory_bytes: Some(128 << 20),
        swap_bytes: Some(2 << 20),
        swappiness: Some(10),
        tmpfs: vec![Tmpfs { container_path: "/t".to_owned(), bytes: 1 << 20, options: vec!["exec".to_owned()] }],
        devices: vec![Device {
            host_path: "/dev/a".to_owned(),
            container_path: "/dev/a".to_owned(),
            permissions: "rw".to_owned(),
        }],
        ulimits: vec![Ulimit { name: "cpu".to_owned(), soft: 1, hard: u64::MAX }],
        gpus: 0,
        stop_timeout: Duration::from_secs(5),
    };
    assert_eq!(spec(&job, &definition, attempt(job.id, 0)).container, expected);
}

#[test]
fn a_module_is_refused_what_only_an_image_can_have() {
    let privileged = core::ContainerSettings { privileged: true, ..core::ContainerSettings::default() };
    let module = asking("file:///srv/prog.wasm", privileged.clone());
    let reason = "ResourceInitializationError: privileged is not available on this node";
    assert_eq!(refused(&job(&module), &module), reason);
    // A digest may be an image's.
    for image in ["registry.example/else:9", &format!("sha256:{}", "ab".repeat(32))] {
        let definition = asking(image, privileged.clone());
        let job = job(&definition);
        let spec = spec(&job, &definition, attempt(job.id, 0));
        assert!(spec.container.privileged && spec.program == Program::Image { reference: image.to_owned() });
    }
}

#[test]
fn a_pods_command_stands_in_place_of_the_entrypoint() {
    let entrypoint = |kind: TaskKind, role: Role, command: &[&str]| {
        let mut one = container("a", role, 64);
        one.properties.command = command.iter().map(|word| (*word).to_owned()).collect();
        let task = Task::new(kind, vec![one]).unwrap();
        let definition = definition(JobShape::Task(Box::new(task)));
        let job = job(&definition);
        let spec = spec(&job, &definition, attempt(job.id, 0));
        (spec.container.entrypoint, spec.container.pod, spec.arguments.len())
    };
    assert_eq!(entrypoint(TaskKind::Pod, Role::Pod, &["a", "b"]), (Some(2), true, 4));
    assert_eq!(entrypoint(TaskKind::Pod, Role::Pod, &[]), (None, true, 2));
    assert_eq!(entrypoint(TaskKind::Ecs, Role::Essential, &["a"]), (None, false, 3));
}

#[test]
fn an_attempt_of_a_job_that_asks_for_nothing_gets_the_defaults() {
    let definition = definition(JobShape::Container(Box::new(properties(64))));
    let job = job(&definition);
    let spec = spec(&job, &definition, attempt(job.id, 0));
    assert_eq!((spec.cpu_thousandths, spec.fuel, spec.deterministic, spec.cpu_limit), (1000, None, false, None));
    assert_eq!((spec.scratch, spec.network), (ScratchLimits::default(), NetworkAccess::None));
    assert_eq!(spec.trust_domain, "q//");
}

#[test]
fn the_network_is_for_jobs_that_ask_on_nodes_that_allow_it() {
    let container = ContainerProperties { assign_public_ip: true, ..properties(64) };
    let definition = definition(JobShape::Container(Box::new(container)));
    let job = job(&definition);
    let reason = "ResourceInitializationError: networkConfiguration.assignPublicIp is not allowed on this node";
    assert_eq!(refused(&job, &definition), reason);
    let allowed = resolved(&job, &definition, attempt(job.id, 0), NetworkAccess::Host).unwrap();
    assert_eq!(allowed.network, NetworkAccess::Host);
}

#[test]
fn arguments_that_grow_beyond_bounds_are_refused_before_they_do() {
    let reason = "ResourceInitializationError: the arguments and the environment together have more than 1 MiB";
    let long = "x".repeat(20_000);
    let many = |placeholder: &str| vec![vec![placeholder; 4000].join(" ")];
    let alone = ContainerProperties { command: many("Ref::who"), ..properties(64) };
    let definition = definition(JobShape::Container(Box::new(alone)));
    let mut job = job(&definition);
    assert!(spec(&job, &definition, attempt(job.id, 0)).arguments[1].len() > 20_000);
    job.parameters.insert("who".to_owned(), long.clone());
    assert_eq!(refused(&job, &definition), reason);

    let variable = EnvironmentVariable { name: "A".to_owned(), value: long };
    let mut pods = container("a", Role::Pod, 64);
    pods.properties = ContainerProperties { command: many("$(A)"), environment: vec![variable], ..pods.properties };
    let pod = Task::new(TaskKind::Pod, vec![pods, container("b", Role::Pod, 32)]).unwrap();
    let definition = super::tests::definition(JobShape::Task(Box::new(pod)));
    assert_eq!(refused(&super::tests::job(&definition), &definition), reason);
}
