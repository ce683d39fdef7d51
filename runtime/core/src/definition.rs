//! Job definitions and what a submit may override of them.

use std::collections::BTreeMap;

use crate::consumable::ConsumableRequirement;
use crate::document::Document;
use crate::job::retry::RetryStrategy;
use crate::layout::{Condition, Role};
use crate::limits;
use crate::name::Name;
use crate::rejection::Rejection;
use crate::resource::{Resources, Vcpus};
use crate::settings::ContainerSettings;

/// One revision of a job definition. All but its status is immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDefinition {
    /// The name that all its revisions share.
    pub name: Name,
    /// Counts from 1 and goes on after deregistering.
    pub revision: u32,
    /// Whether jobs may be submitted with it.
    pub status: DefinitionStatus,
    /// What RegisterJobDefinition gave.
    pub spec: DefinitionSpec,
}

/// The two statuses of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionStatus {
    /// Registered.
    Active,
    /// Deregistered: listed still, refused on submit.
    Inactive,
}

/// What RegisterJobDefinition gave, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionSpec {
    /// What its jobs run.
    pub shape: JobShape,
    /// `consumableResourceProperties`: what every attempt needs beside the machine.
    pub consumables: Vec<ConsumableRequirement>,
    /// Defaults for `Ref::` placeholders.
    pub parameters: BTreeMap<String, String>,
    /// Absent when not given.
    pub retry: Option<RetryStrategy>,
    /// attemptDurationSeconds, from 1. Absent when not given.
    pub timeout_seconds: Option<u32>,
    /// Absent when not given.
    pub propagate_tags: Option<bool>,
    /// 0 to 9999; absent when not given.
    pub scheduling_priority: Option<u32>,
    /// As given: `EC2`, `FARGATE`.
    pub platform_capabilities: Vec<String>,
    /// Other top-level members, answered as they came (`ecsProperties`, `nodeProperties`, ...).
    pub rest: Document,
}

impl DefinitionSpec {
    /// A definition of this shape in which nothing else was given.
    pub fn of(shape: JobShape) -> Self {
        Self {
            shape,
            consumables: Vec::new(),
            parameters: BTreeMap::new(),
            retry: None,
            timeout_seconds: None,
            propagate_tags: None,
            scheduling_priority: None,
            platform_capabilities: Vec::new(),
            rest: Document::default(),
        }
    }
}

/// What kind of job a definition describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobShape {
    /// `containerProperties`: one container.
    Container(Box<ContainerProperties>),
    /// `ecsProperties` or `eksProperties`: several containers side by side.
    Task(Box<Task>),
    /// `nodeProperties`: several nodes, each with its containers.
    Nodes(Box<NodeProperties>),
    /// Registered by an earlier version, which could not run it: kept and described, a submit is
    /// refused with this member's name.
    NotRunnable {
        /// `nodeProperties`, `ecsProperties` or `eksProperties`.
        member: String,
        /// The `type` as given: `container` or `multinode`.
        kind: String,
    },
}

/// The containers of an ECS task or of a pod, as far as they decide something; the members as they
/// came stand in [`DefinitionSpec::rest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Which of the two it is.
    pub kind: TaskKind,
    /// In the order given, a pod's initContainers first. Never empty; names are distinct.
    pub containers: Vec<TaskContainer>,
}

/// Where a task's containers came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskKind {
    /// `ecsProperties.taskProperties[0]`.
    #[default]
    Ecs,
    /// `eksProperties.podProperties`.
    Pod,
}

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskContainer {
    /// Unique in its task; `default` where a lone container has none.
    pub name: String,
    /// What its end means for the task.
    pub role: Role,
    /// Containers of the same task that must come so far first.
    pub depends_on: Vec<(String, Condition)>,
    /// A pod's `args`, which follow the command.
    pub args: Vec<String>,
    /// The rest, in the form of a lone container's.
    pub properties: ContainerProperties,
}

/// `nodeProperties`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeProperties {
    /// `numNodes`, 1 to 1,000.
    pub count: u32,
    /// `mainNode`, below `count`.
    pub main: u32,
    /// `nodeRangeProperties`, in the order given; together they name every node.
    pub ranges: Vec<NodeRange>,
}

/// One entry of `nodeRangeProperties`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRange {
    /// First node of `targetNodes`.
    pub first: u32,
    /// Last node of `targetNodes`; `None` is the last there is.
    pub last: Option<u32>,
    /// What these nodes run.
    pub work: NodeWork,
    /// `consumableResourceProperties` of each node.
    pub consumables: Vec<ConsumableRequirement>,
}

/// What a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeWork {
    /// `container`.
    Container(Box<ContainerProperties>),
    /// `ecsProperties` or `eksProperties`.
    Task(Box<Task>),
}

/// Everything that a submit may override of its definition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `containerOverrides`.
    pub container: ContainerOverrides,
    /// `ecsPropertiesOverride` or `eksPropertiesOverride`.
    pub task: Vec<TaskContainerOverrides>,
    /// `nodeOverrides.numNodes`.
    pub node_count: Option<u32>,
    /// `nodeOverrides.nodePropertyOverrides`, in the order given.
    pub nodes: Vec<NodeOverrides>,
    /// `consumableResourcePropertiesOverride`, instead of the definition's.
    pub consumables: Option<Vec<ConsumableRequirement>>,
}

/// Overrides of one container of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskContainerOverrides {
    /// Which kind of task this is for.
    pub kind: TaskKind,
    /// Which one; `None` is the only one there is.
    pub name: Option<String>,
    /// A pod's container only.
    pub image: Option<String>,
    /// A pod's container only: replaces `args` whole.
    pub args: Option<Vec<String>>,
    /// The rest.
    pub container: ContainerOverrides,
}

/// One entry of `nodePropertyOverrides`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeOverrides {
    /// First node of `targetNodes`.
    pub first: u32,
    /// Last node of `targetNodes`; `None` is the last there is.
    pub last: Option<u32>,
    /// `containerOverrides`.
    pub container: ContainerOverrides,
    /// `ecsPropertiesOverride` or `eksPropertiesOverride`.
    pub task: Vec<TaskContainerOverrides>,
    /// `consumableResourcePropertiesOverride`, instead of those of the node's range.
    pub consumables: Option<Vec<ConsumableRequirement>>,
}

/// `containerProperties`, the members that decide something typed, the others in `rest`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerProperties {
    /// Image reference as given.
    pub image: String,
    /// With `Ref::` placeholders in place.
    pub command: Vec<String>,
    /// In the order given.
    pub environment: Vec<EnvironmentVariable>,
    /// In the order and spelling given.
    pub resource_requirements: Vec<ResourceRequirement>,
    /// Deprecated member.
    pub vcpus: Option<u32>,
    /// Deprecated member, MiB.
    pub memory: Option<u32>,
    /// Where volumes appear to the job.
    pub mount_points: Vec<MountPoint>,
    /// Named volumes.
    pub volumes: Vec<Volume>,
    /// Log driver and options.
    pub log: Option<LogConfiguration>,
    /// `readonlyRootFilesystem`: whether its own folder may only be read. Absent means no.
    pub read_only_root: Option<bool>,
    /// `ephemeralStorage.sizeInGiB`, of the task where it is part of one: bound of its own folder.
    pub ephemeral_storage_gib: Option<u32>,
    /// Whether `networkConfiguration.assignPublicIp` is ENABLED: it asks for the node's network, and
    /// where the node gives none its attempts fail in STARTING.
    pub assign_public_ip: bool,
    /// In whose name it acts: `jobRoleArn`, a task's `taskRoleArn`, a pod's `serviceAccountName`.
    pub role: Option<String>,
    /// What it asks of its container, beside the members above.
    pub settings: ContainerSettings,
    /// What the job needs beyond its own sandbox that no node has, decided at registration from the
    /// members in `rest`; its attempts fail in STARTING.
    pub needs: Vec<Need>,
    /// Every other member, answered as it came.
    pub rest: Document,
}

/// A need that no node can meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Names the member and what it asks for, for the ResourceInitializationError.
    pub what: String,
}

/// One environment variable. A missing value is an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentVariable {
    /// Never empty, no `=`, no NUL; never begins with `AWS_BATCH`.
    pub name: String,
    /// Any text without NUL.
    pub value: String,
}

/// One entry of `resourceRequirements`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRequirement {
    /// Which resource.
    pub kind: ResourceKind,
    /// Decimal text, as given.
    pub value: String,
}

/// The types of `resourceRequirements`; FUEL is this product's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// In steps of 0.25.
    Vcpu,
    /// In MiB.
    Memory,
    /// Whole devices.
    Gpu,
    /// wasmtime fuel units for one attempt.
    Fuel,
}

impl ResourceKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vcpu => "VCPU",
            Self::Memory => "MEMORY",
            Self::Gpu => "GPU",
            Self::Fuel => "FUEL",
        }
    }

    /// From the word on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Vcpu, Self::Memory, Self::Gpu, Self::Fuel].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One entry of `mountPoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Absolute path inside the job.
    pub container_path: Option<String>,
    /// Absent means writable.
    pub read_only: Option<bool>,
    /// Name of a volume.
    pub source_volume: Option<String>,
}

/// One entry of `volumes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What mount points refer to.
    pub name: Option<String>,
    /// What stands behind it.
    pub source: VolumeSource,
}

/// What stands behind a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// Neither host nor EFS: an empty folder that lives as long as the attempt.
    Empty,
    /// `host` given without a path: the same.
    EmptyHost,
    /// `host.sourcePath`: a folder of this machine, if its owner allows it.
    Host(String),
    /// `efsVolumeConfiguration`, as its JSON text; no node has one to give.
    Efs(String),
}

/// `logConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfiguration {
    /// As given; all but `awslogs` are stored and logged as awslogs.
    pub driver: String,
    /// As given.
    pub options: BTreeMap<String, String>,
    /// Other members, answered as they came.
    pub rest: Document,
}

/// `containerOverrides` of a submit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerOverrides {
    /// Replaces the definition's command whole.
    pub command: Option<Vec<String>>,
    /// Laid over the definition's by name.
    pub environment: Vec<EnvironmentVariable>,
    /// Laid over the definition's by type.
    pub resource_requirements: Vec<ResourceRequirement>,
    /// Deprecated; doesn't override a VCPU requirement of the definition `[API]`.
    pub vcpus: Option<u32>,
    /// Deprecated, MiB; doesn't override a MEMORY requirement of the definition `[API]`.
    pub memory: Option<u32>,
    /// `instanceType`, answered as it came.
    pub rest: Document,
}

impl ContainerProperties {
    /// The container as a job runs it: these properties with a submit's overrides over them.
    #[must_use]
    pub fn with_overrides(&self, overrides: &ContainerOverrides) -> Self {
        let mut merged = self.clone();
        if let Some(command) = &overrides.command {
            merged.command.clone_from(command);
        }
        for variable in &overrides.environment {
            match merged.environment.iter_mut().find(|known| known.name == variable.name) {
                Some(known) => known.value.clone_from(&variable.value),
                None => merged.environment.push(variable.clone()),
            }
        }
        for requirement in &overrides.resource_requirements {
            merged.set_requirement(requirement.clone());
        }
        if overrides.vcpus.is_some() && self.requirement(ResourceKind::Vcpu).is_none() {
            merged.vcpus = overrides.vcpus;
        }
        if overrides.memory.is_some() && self.requirement(ResourceKind::Memory).is_none() {
            merged.memory = overrides.memory;
        }
        merged.rest.merge(overrides.rest.clone());
        merged
    }

    fn set_requirement(&mut self, requirement: ResourceRequirement) {
        match self.resource_requirements.iter_mut().find(|known| known.kind == requirement.kind) {
            Some(known) => *known = requirement,
            None => self.resource_requirements.push(requirement),
        }
    }

    /// The text of a requirement, where there is one.
    pub fn requirement(&self, kind: ResourceKind) -> Option<&str> {
        self.resource_requirements.iter().find(|known| known.kind == kind).map(|known| known.value.as_str())
    }

    /// What an attempt holds of the node.
    ///
    /// # Errors
    /// VCPU or MEMORY is given nowhere, or a value is out of bounds.
    pub fn resources(&self) -> Result<Resources, Rejection> {
        let vcpus = match (self.requirement(ResourceKind::Vcpu), self.vcpus) {
            (Some(text), _) => parse_requirement::<Vcpus>(ResourceKind::Vcpu, text)?,
            (None, Some(vcpus)) if vcpus > 0 => Vcpus::whole(vcpus),
            (None, Some(_)) => {
                return Err(Rejection::BadRequirement { kind: ResourceKind::Vcpu, value: "0".to_owned() });
            }
            (None, None) => {
                return Err(Rejection::MissingRequirement { kind: ResourceKind::Vcpu });
            }
        };
        let memory_mib = match (self.requirement(ResourceKind::Memory), self.memory) {
            (Some(text), _) => parse_requirement::<u64>(ResourceKind::Memory, text)?,
            (None, Some(memory)) => u64::from(memory),
            (None, None) => {
                return Err(Rejection::MissingRequirement { kind: ResourceKind::Memory });
            }
        };
        if !(limits::MIN_MEMORY_MIB..=u64::from(u32::MAX)).contains(&memory_mib) {
            return Err(Rejection::BadRequirement { kind: ResourceKind::Memory, value: memory_mib.to_string() });
        }
        let gpus = match self.requirement(ResourceKind::Gpu) {
            Some(text) => parse_requirement::<u16>(ResourceKind::Gpu, text)?,
            None => 0,
        };
        self.fuel()?;
        Ok(Resources { vcpus, memory_mib, gpus: u32::from(gpus) })
    }

    /// The wasmtime fuel that one attempt may use, where it is metered.
    ///
    /// # Errors
    /// The value is no whole number within [`limits::FUEL`].
    pub fn fuel(&self) -> Result<Option<u64>, Rejection> {
        let Some(text) = self.requirement(ResourceKind::Fuel) else {
            return Ok(None);
        };
        let fuel = parse_requirement::<u64>(ResourceKind::Fuel, text)?;
        if limits::FUEL.contains(&fuel) {
            Ok(Some(fuel))
        } else {
            Err(Rejection::BadRequirement { kind: ResourceKind::Fuel, value: fuel.to_string() })
        }
    }
}

fn parse_requirement<T: std::str::FromStr>(kind: ResourceKind, text: &str) -> Result<T, Rejection> {
    // `u64::from_str` takes a leading plus sign; Batch's values are plain digits.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| Rejection::BadRequirement { kind, value: crate::name::shortened(text) })
}

/// Replaces each `Ref::name` in each element. The longest name of a parameter that stands behind
/// `Ref::` as a whole word is taken; where there is none, the placeholder stays as it is. `None`
/// where it comes to more than `most` bytes: a short command can name a long parameter many times.
pub fn substitute(command: &[String], parameters: &BTreeMap<String, String>, most: usize) -> Option<Vec<String>> {
    let mut left = most;
    command.iter().map(|element| substitute_element(element, parameters, &mut left)).collect()
}

/// `left` is how many bytes there is room for.
fn substitute_element(element: &str, parameters: &BTreeMap<String, String>, left: &mut usize) -> Option<String> {
    const MARK: &str = "Ref::";
    let mut out = String::with_capacity(element.len());
    let mut push = |text: &str, out: &mut String| {
        *left = left.checked_sub(text.len())?;
        out.push_str(text);
        Some(())
    };
    let mut rest = element;
    while let Some(at) = rest.find(MARK) {
        let (before, behind) = (&rest[..at], &rest[at + MARK.len()..]);
        push(before, &mut out)?;
        rest = match named(behind, parameters) {
            Some((name, value)) => {
                push(value, &mut out)?;
                &behind[name.len()..]
            }
            None => {
                push(MARK, &mut out)?;
                behind
            }
        };
    }
    push(rest, &mut out)?;
    Some(out)
}

/// The parameter whose name `text` begins with.
fn named<'p>(text: &str, parameters: &'p BTreeMap<String, String>) -> Option<(&'p str, &'p str)> {
    let whole_word = |name: &str| {
        let behind = text.strip_prefix(name)?;
        let goes_on = behind.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if goes_on || name.is_empty() { None } else { Some(name.len()) }
    };
    let candidates = parameters.iter().filter(|(name, _)| whole_word(name).is_some());
    candidates.max_by_key(|(name, _)| name.len()).map(|(name, value)| (name.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(kind: ResourceKind, value: &str) -> ResourceRequirement {
        ResourceRequirement { kind, value: value.to_owned() }
    }

    fn variable(name: &str, value: &str) -> EnvironmentVariable {
        EnvironmentVariable { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn every_placeholder_of_an_element_is_replaced() {
        let parameters =
            BTreeMap::from([("in".to_owned(), "a.txt".to_owned()), ("n".to_owned(), "Ref::in".to_owned())]);
        let command = ["--in=Ref::in,Ref::n", "Ref::unset", "Ref::", "xRef::in.gz"].map(str::to_owned);
        assert_eq!(
            substitute(&command, &parameters, 1000).unwrap(),
            ["--in=a.txt,Ref::in", "Ref::unset", "Ref::", "xa.txt.gz"]
        );
        let parameters = ["a", "a-b", "b"].map(|name| (name.to_owned(), format!("<{name}>"))).into();
        let command = ["Ref::a-Ref::b", "Ref::a-b/Ref::a-c", "Ref::ab Ref::a_b"].map(str::to_owned);
        assert_eq!(substitute(&command, &parameters, 1000).unwrap(), ["<a>-<b>", "<a-b>/<a>-c", "Ref::ab Ref::a_b"]);
    }

    #[test]
    fn a_command_does_not_grow_without_bound() {
        let parameters = BTreeMap::from([("x".to_owned(), "v".repeat(1000))]);
        let command = |times: usize| [vec!["Ref::x"; times].join(" "), "y".to_owned()];
        let bytes = |times| substitute(&command(times), &parameters, 10_010).map(|all| all.concat().len());
        assert_eq!(bytes(10), Some(10_010));
        assert_eq!(bytes(11), None);
    }

    #[test]
    fn overrides_lie_over_the_definition() {
        let definition = ContainerProperties {
            command: vec!["a".to_owned()],
            environment: vec![variable("A", "1"), variable("B", "2")],
            resource_requirements: vec![requirement(ResourceKind::Vcpu, "1")],
            memory: Some(64),
            ..ContainerProperties::default()
        };
        let merged = definition.with_overrides(&ContainerOverrides {
            environment: vec![variable("B", "3"), variable("C", "4")],
            resource_requirements: vec![requirement(ResourceKind::Gpu, "1")],
            vcpus: Some(8),
            memory: Some(128),
            ..ContainerOverrides::default()
        });
        assert_eq!(merged.command, ["a"]);
        assert_eq!(merged.environment, [variable("A", "1"), variable("B", "3"), variable("C", "4")]);
        let resources = merged.resources().unwrap();
        assert_eq!(resources, Resources { vcpus: Vcpus::whole(1), memory_mib: 128, gpus: 1 });
    }

    #[test]
    fn requirements_out_of_bounds_are_refused() {
        for (kind, value) in [
            (ResourceKind::Vcpu, "0"),
            (ResourceKind::Memory, "3"),
            (ResourceKind::Memory, "+64"),
            (ResourceKind::Memory, "99999999999"),
            (ResourceKind::Gpu, "-1"),
            (ResourceKind::Fuel, "x"),
            (ResourceKind::Fuel, "0"),
            (ResourceKind::Fuel, "1.5"),
            (ResourceKind::Fuel, "9223372036854775808"),
        ] {
            let mut properties =
                ContainerProperties { vcpus: Some(1), memory: Some(4), ..ContainerProperties::default() };
            assert!(properties.resources().is_ok());
            properties.set_requirement(requirement(kind, value));
            assert!(matches!(properties.resources(), Err(Rejection::BadRequirement { .. })), "{kind:?} {value}");
        }
    }
    #[test]
    fn fuel_is_overridden_like_any_requirement() {
        let given = |value: &str| vec![requirement(ResourceKind::Fuel, value)];
        let definition = ContainerProperties { resource_requirements: given("5"), ..ContainerProperties::default() };
        assert_eq!(definition.fuel(), Ok(Some(5)));
        let overrides =
            ContainerOverrides { resource_requirements: given("9223372036854775807"), ..ContainerOverrides::default() };
        assert_eq!(definition.with_overrides(&overrides).fuel(), Ok(Some(i64::MAX.unsigned_abs())));
        assert_eq!(ContainerProperties::default().fuel(), Ok(None));
    }
}
