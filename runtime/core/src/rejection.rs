//! Mistakes of a client. Display is the message it gets, in Batch's own wording where that is
//! known (the ClientException texts that clients have reported).

use crate::definition::ResourceKind;
use crate::id::JobId;
use crate::limits;
use crate::module::ModuleName;

/// A command was refused and changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("A compute environment already exists with the name {name}")]
    EnvironmentExists { name: String },
    #[error("Job queue {name} already exists")]
    QueueExists { name: String },
    #[error("Compute environment {name} not found.")]
    EnvironmentNotFound { name: String },
    #[error("Job queue {name} does not exist")]
    QueueUpdateNotFound { name: String },
    #[error("JobQueue {name} not found.")]
    QueueNotFound { name: String },
    #[error("JobQueue {name} is not in ENABLED state.")]
    QueueDisabled { name: String },
    #[error("JobQueue {name} is being deleted.")]
    QueueDeleting { name: String },
    #[error("Cannot delete, resource is being used by a job queue: found existing JobQueue relationship")]
    EnvironmentInUse,
    #[error("Cannot delete, state must be DISABLED")]
    NotDisabled,
    #[error("At least 1 compute environment must be provided")]
    NoEnvironment,
    #[error("At most {} compute environments can be provided", limits::ENVIRONMENTS_PER_QUEUE)]
    TooManyEnvironments,
    #[error("computeEnvironmentOrder is malformed")]
    EnvironmentOrderUnknown,
    #[error("computeEnvironmentOrder: {what} stands in it twice")]
    EnvironmentOrderRepeats { what: String },
    #[error("Cannot mix Fargate and EC2 compute environments in one job queue")]
    MixedPlatforms,
    #[error(
        "computeResources.maxvCpus can be set on a MANAGED compute environment only, unmanagedvCpus on an UNMANAGED one only"
    )]
    WrongEnvironmentKind,
    #[error("computeResources.type can't be changed from {from} to {to}")]
    PlatformChange { from: &'static str, to: &'static str },
    #[error("computeResources.managedInstancesProvider is for the type ECS_MANAGED_INSTANCES only")]
    ProviderOfNoInstances,
    #[error("JobDefinition {reference} not found")]
    DefinitionNotFound { reference: String },
    #[error("JobDefinition name {name} does not exist or is not in ACTIVE status")]
    DefinitionNotActive { name: String },
    #[error(
        "Job definition of type {kind} with {member} was registered by an earlier version that could not run it; register it again"
    )]
    NotRunnable { member: String, kind: String },
    /// What a definition describes, or a submit's overrides of it, doesn't hold together.
    #[error("{member}: {what}")]
    Shape { member: &'static str, what: String },
    #[error("{} is not provided.", requirement_label(*.kind))]
    MissingRequirement { kind: ResourceKind },
    #[error("Resource requirement {} has the value {value}, which is out of bounds", .kind.as_str())]
    BadRequirement { kind: ResourceKind, value: String },
    #[error("Job {id} not found.")]
    JobNotFound { id: JobId },
    #[error("Job {id}, on which the job depends, not found.")]
    DependencyNotFound { id: JobId },
    #[error("Job {id}: N_TO_N dependencies are between array jobs of the same size")]
    PairedSizes { id: JobId },
    #[error("dependsOn of type N_TO_N, or of type SEQUENTIAL without a jobId, is for array jobs")]
    ArrayDependencyOfNoArray,
    #[error("Array size must be between 2 and {}", limits::ARRAY_SIZE)]
    ArraySize,
    #[error("The job queue has {} active share identifiers, and no more are possible", limits::ACTIVE_SHARES)]
    TooManyActiveShares,
    #[error("Job queue {name} is of type SAGEMAKER_TRAINING: it takes service jobs only")]
    ServiceJobsOnly { name: String },
    #[error("Fargate has no size of {vcpus} VCPU with {memory_mib} MEMORY")]
    FargateSize { vcpus: crate::resource::Vcpus, memory_mib: u64 },
    #[error("dependsOn can have at most {} entries", limits::DEPENDENCIES)]
    TooManyDependencies,
    #[error("A resource can have at most {} tags", limits::TAGS)]
    TooManyTags,
    #[error("Tag key {key}: keys have 1 to 128 characters, values at most 256")]
    TagBounds { key: String },
    #[error("Tag key {key}: the prefix aws: is reserved")]
    ReservedTag { key: String },
    #[error("Tag key {key}: this version knows no such wasmbatch: tag")]
    UnknownExtensionTag { key: String },
    #[error("Tag key {key}: its value must be {wanted}")]
    ExtensionTagValue { key: String, wanted: String },
    #[error(
        "Tag key {}: a deterministic job needs a resource requirement of type FUEL in each of its containers",
        crate::extension::DETERMINISTIC
    )]
    DeterministicWithoutFuel,
    #[error("Tag key {key}: wasmbatch: tags are read at submit, from the job definition and the submit only")]
    ExtensionTagPlace { key: String },
    #[error("Resource {resource} not found.")]
    TaggedResourceNotFound { resource: String },
    #[error("Module {name} not found.")]
    ModuleNotFound { name: ModuleName },
    #[error("eksConfiguration can be updated on a compute environment that was created with one only")]
    NotOnEks,
    #[error("jobStateTimeLimitActions.maxTimeSeconds must be between 600 and 86400")]
    TimeLimitBounds,
    #[error("jobStateTimeLimitActions.action {given} is not possible on this type of job queue, it must be {wanted}")]
    TimeLimitAction { given: &'static str, wanted: &'static str },
    #[error("A job queue can't have both a computeEnvironmentOrder and a serviceEnvironmentOrder")]
    BothEnvironmentKinds,
    #[error("A job queue of type {queue_type} can't have a {member}")]
    WrongQueueType { queue_type: &'static str, member: &'static str },
    #[error("At least 1 service environment must be provided")]
    NoServiceEnvironment,
    #[error("At most {} service environment can be provided", limits::SERVICE_ENVIRONMENTS_PER_QUEUE)]
    TooManyServiceEnvironments,
    #[error("serviceEnvironmentOrder is malformed")]
    ServiceEnvironmentOrderUnknown,
    #[error("Job queue {name} is for service jobs: it takes no other jobs")]
    QueueForServiceJobs { name: String },

    #[error("Scheduling policy {name} already exists")]
    PolicyExists { name: String },
    #[error("Scheduling policy {name} not found.")]
    PolicyNotFound { name: String },
    #[error("Cannot delete, scheduling policy {name} is being used by a job queue")]
    PolicyInUse { name: String },
    #[error("Only one of fairsharePolicy and quotaSharePolicy can be set")]
    BothPolicyKinds,
    #[error("A fairsharePolicy can't be changed to a quotaSharePolicy, nor the other way round")]
    PolicyKindChange,
    #[error("A scheduling policy can't be added to a job queue that was created without one")]
    PolicyNotAddable,
    #[error("A quotaSharePolicy is for job queues of type SAGEMAKER_TRAINING only")]
    QuotaPolicyQueue,
    #[error("fairsharePolicy.shareDecaySeconds must be between 0 and {}", limits::SHARE_DECAY_SECONDS)]
    ShareDecayBounds,
    #[error("fairsharePolicy.computeReservation must be between 0 and {}", limits::COMPUTE_RESERVATION_PERCENT)]
    ComputeReservationBounds,
    #[error("fairsharePolicy.shareDistribution can have at most {} entries", limits::SHARE_WEIGHTS)]
    TooManyShares,
    #[error("shareIdentifier {identifier}: 1 to 255 letters and digits, in a policy with an optional * behind them")]
    ShareIdentifier { identifier: String },
    #[error("fairsharePolicy.shareDistribution: the share identifiers {one} and {other} overlap")]
    SharesOverlap { one: String, other: String },

    #[error("Consumable resource {name} already exists")]
    ConsumableExists { name: String },
    #[error("Consumable resource {name} not found.")]
    ConsumableNotFound { name: String },
    #[error("Cannot delete, consumable resource {name} is in use: jobs hold {in_use} of it")]
    ConsumableInUse { name: String, in_use: u64 },
    #[error("Cannot remove {quantity} of consumable resource {name}: it has {total} in all")]
    ConsumableUnderflow { name: String, total: u64, quantity: u64 },
    #[error("Consumable resource {name} can't have more than {} in all", limits::CONSUMABLE_QUANTITY)]
    ConsumableOverflow { name: String },
    #[error("clientToken must have 1 to {} characters", limits::CLIENT_TOKEN_CHARS)]
    ClientTokenBounds,
    #[error("clientToken {token} was used for another request")]
    ClientTokenReused { token: String },

    #[error("Service environment {name} already exists")]
    ServiceEnvironmentExists { name: String },
    #[error("Service environment {name} not found.")]
    ServiceEnvironmentNotFound { name: String },
    #[error("Cannot delete, service environment {name} is being used by a job queue")]
    ServiceEnvironmentInUse { name: String },
    #[error("capacityLimits must have at least 1 entry")]
    NoCapacityLimit,
    #[error("capacityLimits: the capacityUnit {unit} stands in it twice")]
    CapacityUnitRepeats { unit: String },
    #[error("Quota share {name} already exists in job queue {queue}")]
    QuotaShareExists { name: String, queue: String },
    #[error("Quota share {name} not found.")]
    QuotaShareNotFound { name: String },
    #[error("Quota share {name} is not in ENABLED state.")]
    QuotaShareDisabled { name: String },
    #[error("A job queue can have at most {} quota shares", limits::QUOTA_SHARES_PER_QUEUE)]
    TooManyQuotaShares,
    #[error("Job queue {name} has no quota share scheduling policy")]
    NoQuotaPolicy { name: String },
    #[error("Job queue {name} is not of type SAGEMAKER_TRAINING: it takes no service jobs")]
    NotForServiceJobs { name: String },
    #[error("{member} must be specified: job queue {queue} has a {policy} scheduling policy")]
    ShareMissing { member: &'static str, queue: String, policy: &'static str },
    #[error("{member} can't be specified: job queue {queue} has no {policy} scheduling policy")]
    ShareUncalledFor { member: &'static str, queue: String, policy: &'static str },
    #[error("Service job {id} not found.")]
    ServiceJobNotFound { id: String },

    #[error("The store could not be read")]
    Archive,
}

fn requirement_label(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Vcpu => "vCPU",
        ResourceKind::Memory => "Memory",
        ResourceKind::Gpu => "GPU",
        ResourceKind::Fuel => "Fuel",
    }
}
