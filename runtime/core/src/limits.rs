//! Every bound of the domain, with its source. `[API]` is the Batch service model of botocore,
//! `[UG]` the AWS Batch User Guide ("AWS Batch service quotas" unless another page is named).

/// Longest job, queue, environment and definition name, in characters `[API]`.
pub const NAME_CHARS: usize = 128;
/// Job definition document, bytes of JSON `[UG]`.
pub const DEFINITION_BYTES: usize = 24 * 1024;
/// SubmitJob payload, bytes of JSON `[UG]`.
pub const SUBMIT_BYTES: usize = 30 * 1024;
/// Container overrides, serialised; text observed at AWS: `Container Overrides length must be at
/// most 8192`.
pub const OVERRIDES_BYTES: usize = 8192;
/// Jobs that one job may depend on. AWS takes 20 `[API]`; its own fleet's bound, ours to exceed.
pub const DEPENDENCIES: usize = 1000;
/// Children of one array, from 2. AWS takes 10,000 `[API]` ArrayProperties; ours to exceed.
pub const ARRAY_SIZE: u32 = 1_000_000;
/// Nodes of one multi-node job `[UG]` "Multi-node parallel jobs".
pub const NODES: u32 = 1000;
/// Node groups of one multi-node job, the same page.
pub const NODE_RANGES: usize = 5;
/// Containers of one task `[API]` EcsTaskProperties, EksPodProperties.
pub const TASK_CONTAINERS: usize = 10;
/// Active share identifiers of one queue `[API]` schedulingPolicyArn.
pub const ACTIVE_SHARES: usize = 500;
/// Longest wait between two attempts, in seconds, however often it doubled.
pub const RETRY_BACKOFF_SECONDS: u32 = 86_400;
/// shareDecaySeconds `[API]` FairsharePolicy.
pub const SHARE_DECAY_SECONDS: u32 = 604_800;
/// computeReservation, percent, the same page.
pub const COMPUTE_RESERVATION_PERCENT: u32 = 99;
/// Entries of shareDistribution: as many as there may be active shares.
pub const SHARE_WEIGHTS: usize = ACTIVE_SHARES;
/// Share identifier without its asterisk, characters `[API]` ShareAttributes.
pub const SHARE_IDENTIFIER_CHARS: usize = 255;
/// maxTimeSeconds of a jobStateTimeLimitAction `[API]`.
pub const TIME_LIMIT_SECONDS: std::ops::RangeInclusive<u32> = 600..=86_400;
/// Service environments of one queue `[UG]`.
pub const SERVICE_ENVIRONMENTS_PER_QUEUE: usize = 1;
/// Quota shares of one queue `[UG]`.
pub const QUOTA_SHARES_PER_QUEUE: usize = 20;
/// Largest quantity of a consumable resource: a `long` on the wire.
pub const CONSUMABLE_QUANTITY: u64 = i64::MAX.unsigned_abs();
/// Client tokens remembered of one consumable resource's updates.
pub const UPDATE_TOKENS: usize = 64;
/// Client token, characters `[API]` UpdateConsumableResource.
pub const CLIENT_TOKEN_CHARS: usize = 64;
/// How long a client token is remembered, in milliseconds: 8 hours, the same page.
pub const CLIENT_TOKEN_MILLIS: i64 = 8 * 3600 * 1000;
/// Compute environments of one queue `[UG]`.
pub const ENVIRONMENTS_PER_QUEUE: usize = 3;
/// Retry attempts `[API]` RetryStrategy.
pub const RETRY_ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=10;
/// evaluateOnExit entries `[API]` RetryStrategy.
pub const EXIT_RULES: usize = 5;
/// Pattern of an evaluateOnExit condition, characters `[API]`.
pub const EXIT_PATTERN_CHARS: usize = 512;
/// Shortest attempt timeout in seconds. AWS wants 60 `[API]` JobTimeout; ours to exceed.
pub const MIN_TIMEOUT_SECONDS: u32 = 1;
/// Smallest container memory in MiB `[API]` ResourceRequirement.
pub const MIN_MEMORY_MIB: u64 = 4;
/// Fuel of one attempt: what wasmtime can count down from.
pub const FUEL: std::ops::RangeInclusive<u64> = 1..=i64::MAX.unsigned_abs();
/// CPU time of one attempt, in seconds: as long as a year.
pub const CPU_LIMIT_SECONDS: u32 = 31_536_000;
/// ephemeralStorage.sizeInGiB `[API]` EphemeralStorage.
pub const EPHEMERAL_STORAGE_GIB: std::ops::RangeInclusive<u32> = 21..=200;
/// Arguments and environment of one attempt, each with its end, in bytes. A definition and a submit
/// have bounds of their own, but parameters can stand in a command many times.
pub const ARGUMENT_BYTES: usize = 1 << 20;
/// Command of one container with its parameters in place, as an answer shows it, in bytes; a longer
/// one is shown with its placeholders.
pub const SHOWN_COMMAND_BYTES: usize = 64 * 1024;
/// Largest vCPU requirement; keeps quarter steps far from overflow.
pub const MAX_VCPUS: u32 = 1_000_000;
/// Tags of one resource `[API]` TagrisTagsMap.
pub const TAGS: usize = 50;
/// Tag key, characters `[API]`.
pub const TAG_KEY_CHARS: usize = 128;
/// Tag value, characters `[API]`.
pub const TAG_VALUE_CHARS: usize = 256;
/// Reason of a cancel or terminate, characters `[API]`.
pub const REASON_CHARS: usize = 1024;
/// `container.reason` and an attempt's reason, characters `[API]`.
pub const CONTAINER_REASON_CHARS: usize = 255;
/// schedulingPriority `[API]`.
pub const SCHEDULING_PRIORITY_MAX: u32 = 9999;
/// Interruptions of one job that don't count as attempts; each further one does (the plan,
/// "Interrupted attempts").
pub const FREE_INTERRUPTIONS: u32 = 5;
/// Module name and tag, characters each: an image reference has room for 255 `[API]`.
pub const MODULE_NAME_CHARS: usize = 120;
