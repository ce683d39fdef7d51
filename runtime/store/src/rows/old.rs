//! Rows as earlier versions wrote them.

use wasmbatch_core::definition::{
    ContainerOverrides, ContainerProperties, DefinitionStatus, JobShape, NodeWork, Overrides, ResourceKind, TaskKind,
    VolumeSource,
};
use wasmbatch_core::extension::Extensions;
use wasmbatch_core::layout::Layout;
use wasmbatch_core::settings::ContainerSettings;
use wasmbatch_core::{AttemptId, Dependency, JobId, Resources, Timestamp, Vcpus};

use super::definition::{decode_definition, encode_definition};
use super::job::{decode_job, decode_job_head, encode_job};
use super::progress::{decode_progress, encode_progress};

const CONTAINER: &str = "010a646566696e6974696f6e0301000768656c6c6f3a3101065265663a3a78010141013101045643505504302e32350101014001\
    01052f64617461010101017604010176000101760101017602042f73727601017603027b7d01076177736c6f6773010d6177736c\
    6f67732d67726f75700167010d7365637265744f7074696f6e73097b2261223a5b315d7d01010108612073656372657401047573\
    6572097b2261223a5b315d7d01017801310103020102782a0101790102312a000102782a0101790102312a01013c010001050103\
    45433201056f74686572097b2261223a5b315d7d";
const NOT_RUNNABLE: &str = "01057a656272610301010e6e6f646550726f70657274696573096d756c74696e6f6465000000000000010e6e6f646550726f7065\
    7274696573097b2261223a5b315d7d";
const JOB: &str = "010101010101010101010101010101010105666972737405717565756504050a646566696e6974696f6e03f6a1abfef962010179\
    013202020202020202020202020202020202020303030303030303030303030303030301010162010142013201064d454d4f5259\
    033132380000010c696e7374616e636554797065097b2261223a5b315d7d058001010103020102782a0101790102312a00010278\
    2a0101790102312a0101090101010f73686172654964656e746966696572097b2261223a5b315d7d";
const JOB_WITH_PRIORITY: &str = "010101010101010101010101010101010105666972737405717565756504050a646566696e6974696f6e03f6a1abfef962010179\
    013202020202020202020202020202020202020303030303030303030303030303030301010162010142013201064d454d4f5259\
    033132380000010c696e7374616e636554797065097b2261223a5b315d7d058001010103020102782a0101790102312a00010278\
    2a0101790102312a010109010101127363686564756c696e675072696f726974790137";
const NODES_2: &str = "02056e6f646573030103040102000101000566697273740000000001050000000003416e6574776f726b436f6e66696775726174\
    696f6e2e61737369676e5075626c69634970206973206e6f7420617661696c61626c65206f6e2074686973206e6f64653a726573\
    6f75726365526571756972656d656e7473204655454c206973206e6f7420617661696c61626c6520696e20746869732076657273\
    696f6e267365637265747320617265206e6f7420617661696c61626c65206f6e2074686973206e6f64650210657068656d657261\
    6c53746f72616765107b2273697a65496e476942223a33307d0a6a6f62526f6c6541726e072261726e3a72220104736561740202\
    00010002016100010162000101780000000000000000000000000162010000067365636f6e640000000000000000000000000000\
    013c0000000000";
const CONTAINER_3: &str = "03016401000005666972737400000000010500000000032870726976696c65676564206973206e6f7420617661696c61626c6520\
    6f6e2074686973206e6f6465336c696e7578506172616d65746572732e746d706673206973206e6f7420617661696c61626c6520\
    6f6e2074686973206e6f6465267365637265747320617265206e6f7420617661696c61626c65206f6e2074686973206e6f646503\
    0f6c696e7578506172616d65746572731b7b22696e697450726f63657373456e61626c6564223a747275657d0a70726976696c65\
    6765640474727565047573657206226d653a3722011e01010561726e3a72000000000000010d65637350726f7065727469657302\
    7b7d01076c6963656e636502";
const POD_3: &str = "030164010002010301610001056f74686572000101780161000000000105000000000000011501011561726e3a6177733a69616d\
    3a3a313a726f6c652f7201620101056f74686572010101780162000000000105000000000000011501011561726e3a6177733a69\
    616d3a3a313a726f6c652f7201630201056f74686572020101780163000000000105000000000000011501011561726e3a617773\
    3a69616d3a3a313a726f6c652f72000000000000010d65637350726f70657274696573027b7d01076c6963656e636502";
const JOB_2: &str = "0201010101010101010101010101010101067365636f6e6405717565756504050a646566696e6974696f6e03f6a1abfef9620101\
    78013102020102020202020202020202020202020202010a0104626c756501070000000000000100010161000000000000000000\
    00000101000100000161000004400005800101000103013c01017401020001090101010b706f644d65746164617461027b7d";
const PROGRESS_2: &str = "0204050203026365044000010106656e6f75676828013c000101141a010301017801730107070707070707070707070707070707\
    07070707070707070707070707070707020301160118010301017201090909090909090909090909090909090909090909090909\
    09090909090909090501160118018901017201090909090909090909090909090909090909090909090909090909090909090901\
    01730101020202011601180001017201090909090909090909090909090909090909090909090909090909090909090900000000\
    0000010100";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn a_definition_of_version_1_is_read() {
    let definition = decode_definition(&bytes(CONTAINER)).unwrap();
    assert_eq!((definition.name.as_str(), definition.revision), ("definition", 3));
    assert_eq!(definition.status, DefinitionStatus::Active);
    let spec = &definition.spec;
    let JobShape::Container(container) = &spec.shape else { panic!("{:?}", spec.shape) };
    assert_eq!((container.image.as_str(), container.command.as_slice()), ("hello:1", &["Ref::x".to_owned()][..]));
    assert_eq!(container.requirement(ResourceKind::Vcpu), Some("0.25"));
    assert_eq!(container.volumes[3].source, VolumeSource::Efs("{}".to_owned()));
    assert_eq!((container.needs.len(), container.read_only_root), (1, Some(true)));
    assert_eq!((spec.timeout_seconds, spec.propagate_tags, spec.scheduling_priority), (Some(60), Some(false), Some(5)));
    assert_eq!((spec.consumables.len(), spec.platform_capabilities.as_slice()), (0, &["EC2".to_owned()][..]));
    assert!(spec.rest.members().contains_key("other"));
    assert_eq!(decode_definition(&encode_definition(&definition)).unwrap(), definition);
}

#[test]
fn a_definition_of_version_2_is_read_with_what_it_asked_for() {
    let definition = decode_definition(&bytes(NODES_2)).unwrap();
    assert_eq!((definition.name.as_str(), definition.revision), ("nodes", 3));
    let JobShape::Nodes(nodes) = &definition.spec.shape else { panic!("{:?}", definition.spec.shape) };
    assert_eq!((nodes.count, nodes.main, nodes.ranges[0].consumables.len()), (4, 1, 1));
    let NodeWork::Container(container) = &nodes.ranges[0].work else { panic!("{:?}", nodes.ranges[0]) };
    assert_eq!((container.image.as_str(), container.memory), ("first", Some(5)));
    let ContainerProperties { assign_public_ip, ephemeral_storage_gib, role, needs, .. } = &**container;
    assert_eq!((*assign_public_ip, *ephemeral_storage_gib, role.as_deref()), (true, Some(30), Some("arn:r")));
    let needs: Vec<_> = needs.iter().map(|need| need.what.as_str()).collect();
    assert_eq!(needs, ["secrets are not available on this node"], "the others were met since");
    let NodeWork::Task(task) = &nodes.ranges[1].work else { panic!("{:?}", nodes.ranges[1]) };
    let properties = &task.containers[1].properties;
    assert_eq!((task.containers.len(), properties.image.as_str(), properties.assign_public_ip), (2, "second", false));
    assert_eq!(decode_definition(&encode_definition(&definition)).unwrap(), definition);
}

#[test]
fn a_container_of_version_3_keeps_its_needs_and_its_user() {
    let definition = decode_definition(&bytes(CONTAINER_3)).unwrap();
    let JobShape::Container(container) = &definition.spec.shape else { panic!("{:?}", definition.spec.shape) };
    assert_eq!((container.ephemeral_storage_gib, container.role.as_deref()), (Some(30), Some("arn:r")));
    let needs: Vec<_> = container.needs.iter().map(|need| need.what.as_str()).collect();
    assert_eq!(needs.len(), 3, "it has to be registered again to get what it asked for");
    let user = Some("me:7".to_owned());
    assert_eq!(container.settings, ContainerSettings { user, ..ContainerSettings::default() });
    assert_eq!(decode_definition(&encode_definition(&definition)).unwrap(), definition);
}

#[test]
fn a_pod_of_version_3_is_read() {
    let definition = decode_definition(&bytes(POD_3)).unwrap();
    let JobShape::Task(task) = &definition.spec.shape else { panic!("{:?}", definition.spec.shape) };
    assert_eq!((task.kind, task.containers.len()), (TaskKind::Pod, 3));
    assert!(task.containers.iter().all(|container| container.properties.assign_public_ip));
    assert!(task.containers.iter().all(|container| container.properties.settings == ContainerSettings::default()));
    assert_eq!(decode_definition(&encode_definition(&definition)).unwrap(), definition);
}

#[test]
fn a_definition_that_version_1_could_not_run_stays_so() {
    let definition = decode_definition(&bytes(NOT_RUNNABLE)).unwrap();
    let shape = JobShape::NotRunnable { member: "nodeProperties".to_owned(), kind: "multinode".to_owned() };
    assert_eq!(definition.spec.shape, shape);
    assert_eq!(decode_definition(&encode_definition(&definition)).unwrap(), definition);
}

#[test]
fn a_job_of_version_1_is_read() {
    let job = decode_job(&bytes(JOB)).unwrap();
    assert_eq!((job.id, job.name.to_string().as_str()), (JobId::from_bytes([1; 16]), "first"));
    assert_eq!((job.queue.as_str(), job.queue_uid, job.order), ("queue", 4, 5));
    assert_eq!((job.definition.as_str(), job.revision), ("definition", 3));
    assert_eq!(job.created_at, Timestamp::from_millis(1_700_000_000_123));
    assert_eq!(job.depends_on, [2, 3].map(|number| Dependency::On(JobId::from_bytes([number; 16]))));
    let Overrides { container, task, node_count, nodes, consumables } = &job.overrides;
    let ContainerOverrides { command, environment, resource_requirements, .. } = container;
    assert_eq!(command.as_deref(), Some(&["b".to_owned()][..]));
    assert_eq!((environment.len(), resource_requirements[0].value.as_str()), (1, "128"));
    assert!(task.is_empty() && node_count.is_none() && nodes.is_empty() && consumables.is_none());
    assert_eq!((&job.layout, job.array_size, job.scheduling_priority), (&Layout::Single, None, None));
    assert_eq!(job.resources, Resources { vcpus: Vcpus::from_quarters(5), memory_mib: 128, gpus: 1 });
    assert_eq!((job.timeout_seconds, job.propagate_tags), (Some(9), Some(true)));
    assert_eq!(job.retry.as_ref().map(|retry| retry.rules.len()), Some(2));
    assert_eq!(decode_job(&encode_job(&job)).unwrap(), job);
}

#[test]
fn a_job_of_version_2_is_read() {
    let job = decode_job(&bytes(JOB_2)).unwrap();
    assert_eq!((job.name.to_string().as_str(), job.array_size), ("second", Some(10)));
    assert_eq!(job.depends_on, [Dependency::Sequential, Dependency::NToN(JobId::from_bytes([2; 16]))]);
    let Extensions { max_running, retry_backoff_seconds, client_token, deterministic, cpu_limit_seconds } =
        &job.extensions;
    assert_eq!((*max_running, *retry_backoff_seconds, client_token.as_deref()), (Some(3), Some(60), Some("t")));
    assert_eq!((*deterministic, *cpu_limit_seconds), (false, None));
    assert_eq!((job.timeout_seconds, job.rest.members().len()), (Some(9), 1));
    assert_eq!(decode_job_head(&bytes(JOB_2)).unwrap().name, "second");
    assert_eq!(decode_job(&encode_job(&job)).unwrap(), job);
}

#[test]
fn a_progress_of_version_2_is_read() {
    let id = JobId::from_bytes([1; 16]);
    let progress = decode_progress(id, &bytes(PROGRESS_2)).unwrap();
    assert_eq!(progress.state.attempt(), Some(AttemptId { job: id, number: 2, generation: 3, member: 0 }));
    let attempt = &progress.attempts[0];
    assert_eq!((attempt.exit_code, attempt.usage, attempt.members.len()), (Some(3), None, 2));
    assert_eq!((attempt.members[1].exit_code, attempt.members[1].usage), (Some(137), None));
    assert_eq!((progress.members.len(), progress.decided_by, progress.uncounted), (2, Some(1), 1));
    assert_eq!(decode_progress(id, &encode_progress(&progress)).unwrap(), progress);
}

#[test]
fn jobs_of_all_versions_begin_alike() {
    let old = bytes(JOB);
    let new = encode_job(&decode_job(&old).unwrap());
    for row in [old, new] {
        let head = decode_job_head(&row).unwrap();
        assert_eq!((head.name, head.definition, head.revision), ("first", "definition", 3));
    }
}

#[test]
fn a_priority_of_version_1_gets_its_own_field() {
    let job = decode_job(&bytes(JOB_WITH_PRIORITY)).unwrap();
    assert_eq!(job.scheduling_priority, Some(7));
    assert!(job.rest.members().is_empty());
}
