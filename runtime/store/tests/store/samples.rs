//! Domain values with every field set to something that is not its default.

use std::collections::BTreeMap;

use wasmbatch_core::command::{DefinitionReference, Submission};
use wasmbatch_core::definition::*;
use wasmbatch_core::environment::*;
use wasmbatch_core::job::retry::*;
use wasmbatch_core::queue::*;
use wasmbatch_core::settings::ContainerSettings;
use wasmbatch_core::*;

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn node() -> Node {
    Node { instance: "i-test".to_owned(), vcpus: Vcpus::whole(2), memory_mib: 1024, gpus: 0 }
}

pub(crate) fn id(number: u8) -> JobId {
    JobId::from_bytes([number; 16])
}

fn document(member: &str) -> Document {
    Document::new(BTreeMap::from([(member.to_owned(), "{\"a\":[1]}".to_owned())]))
}

pub(crate) fn tags() -> Tags {
    Tags::new(BTreeMap::from([("team".to_owned(), "a".to_owned())])).unwrap()
}

pub(crate) fn environment(text: &str) -> Command {
    Command::CreateComputeEnvironment {
        environment: Box::new(ComputeEnvironment {
            name: name(text),
            uuid: "u".to_owned(),
            state: Enablement::Enabled,
            lifecycle: Lifecycle::Valid,
            kind: EnvironmentKind::Managed { platform: Platform::Spot, max_vcpus: 2, resources: document("subnets") },
            rest: document("serviceRole"),
        }),
        tags: tags(),
    }
}

pub(crate) fn queue(text: &str, environment: &str) -> Command {
    Command::CreateJobQueue {
        queue: Box::new(NewQueue {
            queue_type: Some(QueueType::Ecs),
            time_limits: vec![TimeLimit {
                reason: "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT".to_owned(),
                max_time_seconds: 600,
                action: TimeLimitAction::Cancel,
            }],
            rest: document("other"),
            ..NewQueue::new(name(text), 7, vec![EnvironmentOrder { order: 3, environment: name(environment) }])
        }),
        tags: tags(),
    }
}

pub(crate) fn retry() -> RetryStrategy {
    let rule = ExitRule {
        on_reason: Some("x*".to_owned()),
        on_status_reason: Some("y".to_owned()),
        on_exit_code: Some("1*".to_owned()),
        action: ExitAction::Exit,
    };
    RetryStrategy { attempts: 3, rules: vec![rule.clone(), ExitRule { action: ExitAction::Retry, ..rule }] }
}

pub(crate) fn definition(text: &str) -> Command {
    let volume = |source| Volume { name: Some("v".to_owned()), source };
    let container = ContainerProperties {
        image: "hello:1".to_owned(),
        command: vec!["Ref::x".to_owned()],
        environment: vec![EnvironmentVariable { name: "A".to_owned(), value: "1".to_owned() }],
        resource_requirements: vec![ResourceRequirement { kind: ResourceKind::Vcpu, value: "0.25".to_owned() }],
        vcpus: Some(1),
        memory: Some(64),
        mount_points: vec![MountPoint {
            container_path: Some("/data".to_owned()),
            read_only: Some(true),
            source_volume: Some("v".to_owned()),
        }],
        volumes: vec![
            volume(VolumeSource::Empty),
            volume(VolumeSource::EmptyHost),
            volume(VolumeSource::Host("/srv".to_owned())),
            volume(VolumeSource::Efs("{}".to_owned())),
        ],
        log: Some(LogConfiguration {
            driver: "awslogs".to_owned(),
            options: BTreeMap::from([("awslogs-group".to_owned(), "g".to_owned())]),
            rest: document("secretOptions"),
        }),
        read_only_root: Some(true),
        ephemeral_storage_gib: Some(21),
        assign_public_ip: true,
        role: Some("arn:aws:iam::1:role/r".to_owned()),
        settings: ContainerSettings { user: Some("me".to_owned()), ..ContainerSettings::default() },
        needs: vec![Need { what: "a secret".to_owned() }],
        rest: document("user"),
    };
    Command::RegisterJobDefinition {
        name: name(text),
        spec: Box::new(DefinitionSpec {
            shape: JobShape::Container(Box::new(container)),
            consumables: Vec::new(),
            parameters: BTreeMap::from([("x".to_owned(), "1".to_owned())]),
            retry: Some(retry()),
            timeout_seconds: Some(60),
            propagate_tags: Some(false),
            scheduling_priority: Some(5),
            platform_capabilities: vec!["EC2".to_owned()],
            rest: document("other"),
        }),
        tags: tags(),
    }
}

pub(crate) fn unrunnable_definition(text: &str) -> Command {
    Command::RegisterJobDefinition {
        name: name(text),
        spec: Box::new(DefinitionSpec {
            rest: document("nodeProperties"),
            ..DefinitionSpec::of(JobShape::NotRunnable {
                member: "nodeProperties".to_owned(),
                kind: "multinode".to_owned(),
            })
        }),
        tags: Tags::default(),
    }
}

pub(crate) fn submission(job: JobId, queue: &str, job_name: &str, depends_on: Vec<JobId>) -> Command {
    Command::SubmitJob(Box::new(Submission {
        id: job,
        name: JobName::parse(job_name).unwrap(),
        queue: name(queue),
        definition: DefinitionReference { name: name("definition"), revision: None },
        parameters: BTreeMap::from([("y".to_owned(), "2".to_owned())]),
        depends_on: depends_on.into_iter().map(Dependency::On).collect(),
        array_size: None,
        share: None,
        scheduling_priority: Some(7),
        overrides: Overrides { container: container_overrides(), consumables: None, ..Overrides::default() },
        fingerprint: [3; 32],
        retry: None,
        timeout_seconds: Some(9),
        propagate_tags: None,
        tags: tags(),
        rest: document("other"),
    }))
}

pub(crate) fn container_overrides() -> ContainerOverrides {
    ContainerOverrides {
        command: Some(vec!["b".to_owned()]),
        environment: vec![EnvironmentVariable { name: "B".to_owned(), value: "2".to_owned() }],
        resource_requirements: vec![ResourceRequirement { kind: ResourceKind::Memory, value: "128".to_owned() }],
        vcpus: None,
        memory: None,
        rest: document("instanceType"),
    }
}
