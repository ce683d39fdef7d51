//! Shapes of jobs and tags.

use super::Shape::{self, List, Object, OneOf};
use super::definition::{
    CONSUMABLE_RESOURCE_PROPERTIES, EKS_CONTAINER_ENVIRONMENT_VARIABLE, EKS_CONTAINER_RESOURCE_REQUIREMENTS,
    EKS_METADATA, JOB_TIMEOUT, KEY_VALUE_PAIR, RESOURCE_REQUIREMENT, RETRY_STRATEGY,
};
use super::{BOOLEAN, INTEGER, TEXT, TEXT_MAP, TEXTS, may, must};

pub(crate) static ARRAY_PROPERTIES: Shape = Object(&[may("size", &INTEGER)]);

pub(crate) static JOB_DEPENDENCY: Shape =
    Object(&[may("jobId", &TEXT), may("type", &OneOf(&["N_TO_N", "SEQUENTIAL"]))]);

pub(crate) static CONTAINER_OVERRIDES: Shape = Object(&[
    may("vcpus", &INTEGER),
    may("memory", &INTEGER),
    may("command", &TEXTS),
    may("instanceType", &TEXT),
    may("environment", &List(&KEY_VALUE_PAIR)),
    may("resourceRequirements", &List(&RESOURCE_REQUIREMENT)),
]);

pub(crate) static TASK_CONTAINER_OVERRIDES: Shape = Object(&[
    may("command", &TEXTS),
    may("environment", &List(&KEY_VALUE_PAIR)),
    may("name", &TEXT),
    may("resourceRequirements", &List(&RESOURCE_REQUIREMENT)),
]);

pub(crate) static TASK_PROPERTIES_OVERRIDE: Shape = Object(&[may("containers", &List(&TASK_CONTAINER_OVERRIDES))]);

pub(crate) static ECS_PROPERTIES_OVERRIDE: Shape = Object(&[may("taskProperties", &List(&TASK_PROPERTIES_OVERRIDE))]);

pub(crate) static EKS_CONTAINER_OVERRIDE: Shape = Object(&[
    may("name", &TEXT),
    may("image", &TEXT),
    may("command", &TEXTS),
    may("args", &TEXTS),
    may("env", &List(&EKS_CONTAINER_ENVIRONMENT_VARIABLE)),
    may("resources", &EKS_CONTAINER_RESOURCE_REQUIREMENTS),
]);

pub(crate) static EKS_POD_PROPERTIES_OVERRIDE: Shape = Object(&[
    may("containers", &List(&EKS_CONTAINER_OVERRIDE)),
    may("initContainers", &List(&EKS_CONTAINER_OVERRIDE)),
    may("metadata", &EKS_METADATA),
]);

pub(crate) static EKS_PROPERTIES_OVERRIDE: Shape = Object(&[may("podProperties", &EKS_POD_PROPERTIES_OVERRIDE)]);

pub(crate) static NODE_PROPERTY_OVERRIDE: Shape = Object(&[
    must("targetNodes", &TEXT),
    may("containerOverrides", &CONTAINER_OVERRIDES),
    may("ecsPropertiesOverride", &ECS_PROPERTIES_OVERRIDE),
    may("instanceTypes", &TEXTS),
    may("eksPropertiesOverride", &EKS_PROPERTIES_OVERRIDE),
    may("consumableResourcePropertiesOverride", &CONSUMABLE_RESOURCE_PROPERTIES),
]);

pub(crate) static NODE_OVERRIDES: Shape =
    Object(&[may("numNodes", &INTEGER), may("nodePropertyOverrides", &List(&NODE_PROPERTY_OVERRIDE))]);

pub(crate) static SUBMIT_JOB: Shape = Object(&[
    must("jobName", &TEXT),
    must("jobQueue", &TEXT),
    may("shareIdentifier", &TEXT),
    may("schedulingPriorityOverride", &INTEGER),
    may("arrayProperties", &ARRAY_PROPERTIES),
    may("dependsOn", &List(&JOB_DEPENDENCY)),
    must("jobDefinition", &TEXT),
    may("parameters", &TEXT_MAP),
    may("containerOverrides", &CONTAINER_OVERRIDES),
    may("nodeOverrides", &NODE_OVERRIDES),
    may("retryStrategy", &RETRY_STRATEGY),
    may("propagateTags", &BOOLEAN),
    may("timeout", &JOB_TIMEOUT),
    may("tags", &TEXT_MAP),
    may("eksPropertiesOverride", &EKS_PROPERTIES_OVERRIDE),
    may("ecsPropertiesOverride", &ECS_PROPERTIES_OVERRIDE),
    may("consumableResourcePropertiesOverride", &CONSUMABLE_RESOURCE_PROPERTIES),
]);

pub(crate) static DESCRIBE_JOBS: Shape = Object(&[must("jobs", &TEXTS)]);

pub(crate) static KEY_VALUES_PAIR: Shape = Object(&[may("name", &TEXT), may("values", &TEXTS)]);

pub(crate) static LIST_JOBS: Shape = Object(&[
    may("jobQueue", &TEXT),
    may("arrayJobId", &TEXT),
    may("multiNodeJobId", &TEXT),
    may("jobStatus", &TEXT),
    may("maxResults", &INTEGER),
    may("nextToken", &TEXT),
    may("filters", &List(&KEY_VALUES_PAIR)),
]);

pub(crate) static CANCEL_JOB: Shape = Object(&[must("jobId", &TEXT), must("reason", &TEXT)]);

pub(crate) static TERMINATE_JOB: Shape = Object(&[must("jobId", &TEXT), must("reason", &TEXT)]);

pub(crate) static TAG_RESOURCE: Shape = Object(&[must("tags", &TEXT_MAP)]);
