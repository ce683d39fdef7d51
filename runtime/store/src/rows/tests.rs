//! What the rows of larger jobs write is what they read.

use std::collections::BTreeMap;

use wasmbatch_core::consumable::ConsumableRequirement;
use wasmbatch_core::definition::*;
use wasmbatch_core::extension::Extensions;
use wasmbatch_core::job::{MemberPhase, MemberRecord};
use wasmbatch_core::layout::{Condition, Group, Layout, Member, Role};
use wasmbatch_core::settings::{ContainerSettings, Device, Tmpfs, Ulimit};
use wasmbatch_core::*;

use super::definition::{decode_definition, encode_definition};
use super::job::{decode_job, encode_job};
use super::progress::{decode_progress, encode_progress};

fn document(member: &str) -> Document {
    Document::new(BTreeMap::from([(member.to_owned(), "{}".to_owned())]))
}

fn needed(resource: &str) -> Vec<ConsumableRequirement> {
    vec![ConsumableRequirement { resource: Name::parse(resource).unwrap(), quantity: 2 }]
}

fn container(name: &str, role: Role, condition: Condition) -> TaskContainer {
    TaskContainer {
        name: name.to_owned(),
        role,
        depends_on: vec![("other".to_owned(), condition)],
        args: vec!["x".to_owned()],
        properties: ContainerProperties {
            image: name.to_owned(),
            memory: Some(5),
            ephemeral_storage_gib: Some(21),
            assign_public_ip: true,
            role: Some("arn:aws:iam::1:role/r".to_owned()),
            settings: settings(),
            ..ContainerProperties::default()
        },
    }
}

fn settings() -> ContainerSettings {
    ContainerSettings {
        user: Some("me:7".to_owned()),
        privileged: true,
        must_not_be_root: true,
        init_process: true,
        shared_memory_mib: Some(128),
        max_swap_mib: Some(0),
        swappiness: Some(100),
        tmpfs: vec![Tmpfs { container_path: "/t".to_owned(), size_mib: 1, options: vec!["exec".to_owned()] }],
        devices: vec![Device {
            host_path: "/dev/a".to_owned(),
            container_path: Some("/dev/b".to_owned()),
            permissions: "rw".to_owned(),
        }],
        ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: 5, hard: Ulimit::NONE }],
        stop_timeout_seconds: Some(120),
    }
}

fn task(kind: TaskKind) -> Box<Task> {
    let containers = vec![
        container("a", Role::Essential, Condition::Start),
        container("b", Role::Sidecar, Condition::Complete),
        container("c", Role::Pod, Condition::Success),
    ];
    Box::new(Task { kind, containers })
}

fn definition(shape: JobShape) -> JobDefinition {
    let spec =
        DefinitionSpec { consumables: needed("licence"), rest: document("ecsProperties"), ..DefinitionSpec::of(shape) };
    JobDefinition { name: Name::parse("d").unwrap(), revision: 1, status: DefinitionStatus::Inactive, spec }
}

#[test]
fn a_definition_of_every_shape_is_read_back() {
    let lone = Box::new(ContainerProperties::default());
    let range = |last, work| NodeRange { first: 1, last, work, consumables: needed("seat") };
    let ranges = vec![range(None, NodeWork::Container(lone)), range(Some(7), NodeWork::Task(task(TaskKind::Pod)))];
    for shape in [
        JobShape::Task(task(TaskKind::Ecs)),
        JobShape::Task(task(TaskKind::Pod)),
        JobShape::Nodes(Box::new(NodeProperties { count: 9, main: 3, ranges })),
    ] {
        let definition = definition(shape);
        assert_eq!(decode_definition(&encode_definition(&definition)).unwrap(), definition);
    }
}

fn job(layout: Layout, overrides: Overrides, depends_on: Vec<Dependency>) -> Job {
    Job {
        id: JobId::from_bytes([1; 16]),
        name: JobName::parse("j").unwrap(),
        queue: Name::parse("q").unwrap(),
        queue_uid: 1,
        order: 2,
        definition: Name::parse("d").unwrap(),
        revision: 3,
        created_at: Timestamp::from_millis(4),
        parameters: BTreeMap::new(),
        depends_on,
        array_size: Some(10),
        share: Some("blue".to_owned()),
        scheduling_priority: Some(5),
        overrides,
        layout,
        resources: Resources { vcpus: Vcpus::whole(2), memory_mib: 7, gpus: 1 },
        consumables: needed("licence"),
        extensions: Extensions {
            max_running: Some(3),
            retry_backoff_seconds: Some(60),
            client_token: Some("t".to_owned()),
            deterministic: true,
            cpu_limit_seconds: Some(90),
        },
        retry: None,
        timeout_seconds: None,
        propagate_tags: None,
        rest: document("podMetadata"),
    }
}

#[test]
fn a_job_with_all_that_a_submit_can_say_is_read_back() {
    let array = JobId::from_bytes([2; 16]);
    let depends_on =
        vec![Dependency::On(array), Dependency::On(array.child(0)), Dependency::NToN(array), Dependency::Sequential];
    let one = TaskContainerOverrides {
        kind: TaskKind::Pod,
        name: Some("a".to_owned()),
        image: Some("i".to_owned()),
        args: Some(vec!["x".to_owned()]),
        container: ContainerOverrides { memory: Some(5), rest: document("instanceType"), ..Default::default() },
    };
    let node = NodeOverrides {
        first: 1,
        last: Some(2),
        container: ContainerOverrides { vcpus: Some(5), ..ContainerOverrides::default() },
        task: vec![one.clone()],
        consumables: Some(Vec::new()),
    };
    let overrides = Overrides {
        container: ContainerOverrides { command: Some(Vec::new()), ..ContainerOverrides::default() },
        task: vec![one],
        node_count: Some(4),
        nodes: vec![node.clone(), NodeOverrides { last: None, consumables: None, ..node }],
        consumables: Some(needed("seat")),
    };
    let member = Member {
        node: 1,
        container: 2,
        name: "a".to_owned(),
        role: Role::Sidecar,
        depends_on: vec![(0, Condition::Complete), (1, Condition::Success)],
        resources: Resources { vcpus: Vcpus::whole(1), memory_mib: 3, gpus: 0 },
    };
    let group = Layout::Group(Box::new(Group { nodes: 2, main_node: Some(1), members: vec![member] }));
    for job in [job(group, overrides, depends_on), job(Layout::Single, Overrides::default(), Vec::new())] {
        assert_eq!(decode_job(&encode_job(&job)).unwrap(), job);
    }
}

#[test]
fn what_an_attempt_used_is_read_back() {
    let used = |fuel| {
        let (read_bytes, written_bytes) = (1 << 40, 3);
        Some(Usage { cpu_microseconds: 1, peak_memory_bytes: 2, fuel, read_bytes, written_bytes })
    };
    let member = MemberRecord { phase: MemberPhase::Exited, usage: used(None), ..MemberRecord::default() };
    let attempt = AttemptRecord {
        started_at: None,
        stopped_at: Timestamp::from_millis(1),
        exit_code: None,
        reason: None,
        status_reason: String::new(),
        image_digest: None,
        members: vec![member, MemberRecord::default()],
        usage: used(Some(u64::MAX)),
    };
    let mut progress = JobProgress::waiting_child(false);
    progress.members.clone_from(&attempt.members);
    progress.attempts = vec![attempt];
    let read = decode_progress(JobId::from_bytes([1; 16]), &encode_progress(&progress)).unwrap();
    assert_eq!(read, progress);
}
