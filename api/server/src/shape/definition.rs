//! Shapes of job definitions.

use super::Shape::{self, List, Object, OneOf};
use super::{BOOLEAN, INTEGER, LONG, TEXT, TEXT_MAP, TEXTS, may, must};

pub(crate) static HOST: Shape = Object(&[may("sourcePath", &TEXT)]);

pub(crate) static EFS_AUTHORIZATION_CONFIG: Shape =
    Object(&[may("accessPointId", &TEXT), may("iam", &OneOf(&["ENABLED", "DISABLED"]))]);

pub(crate) static EFS_VOLUME_CONFIGURATION: Shape = Object(&[
    must("fileSystemId", &TEXT),
    may("rootDirectory", &TEXT),
    may("transitEncryption", &OneOf(&["ENABLED", "DISABLED"])),
    may("transitEncryptionPort", &INTEGER),
    may("authorizationConfig", &EFS_AUTHORIZATION_CONFIG),
]);

pub(crate) static S3_FILES_VOLUME_CONFIGURATION: Shape = Object(&[
    must("fileSystemArn", &TEXT),
    may("rootDirectory", &TEXT),
    may("transitEncryptionPort", &INTEGER),
    may("accessPointArn", &TEXT),
]);

pub(crate) static VOLUME: Shape = Object(&[
    may("host", &HOST),
    may("name", &TEXT),
    may("efsVolumeConfiguration", &EFS_VOLUME_CONFIGURATION),
    may("s3filesVolumeConfiguration", &S3_FILES_VOLUME_CONFIGURATION),
]);

pub(crate) static KEY_VALUE_PAIR: Shape = Object(&[may("name", &TEXT), may("value", &TEXT)]);

pub(crate) static MOUNT_POINT: Shape =
    Object(&[may("containerPath", &TEXT), may("readOnly", &BOOLEAN), may("sourceVolume", &TEXT)]);

pub(crate) static ULIMIT: Shape =
    Object(&[must("hardLimit", &INTEGER), must("name", &TEXT), must("softLimit", &INTEGER)]);

pub(crate) static RESOURCE_REQUIREMENT: Shape = Object(&[must("value", &TEXT), must("type", &TEXT)]);

pub(crate) static DEVICE: Shape = Object(&[
    must("hostPath", &TEXT),
    may("containerPath", &TEXT),
    may("permissions", &List(&OneOf(&["READ", "WRITE", "MKNOD"]))),
]);

pub(crate) static TMPFS: Shape =
    Object(&[must("containerPath", &TEXT), must("size", &INTEGER), may("mountOptions", &TEXTS)]);

pub(crate) static LINUX_PARAMETERS: Shape = Object(&[
    may("devices", &List(&DEVICE)),
    may("initProcessEnabled", &BOOLEAN),
    may("sharedMemorySize", &INTEGER),
    may("tmpfs", &List(&TMPFS)),
    may("maxSwap", &INTEGER),
    may("swappiness", &INTEGER),
]);

pub(crate) static SECRET: Shape = Object(&[must("name", &TEXT), must("valueFrom", &TEXT)]);

pub(crate) static LOG_CONFIGURATION: Shape = Object(&[
    must(
        "logDriver",
        &OneOf(&["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens"]),
    ),
    may("options", &TEXT_MAP),
    may("secretOptions", &List(&SECRET)),
]);

pub(crate) static NETWORK_CONFIGURATION: Shape = Object(&[may("assignPublicIp", &OneOf(&["ENABLED", "DISABLED"]))]);

pub(crate) static FARGATE_PLATFORM_CONFIGURATION: Shape = Object(&[may("platformVersion", &TEXT)]);

pub(crate) static EPHEMERAL_STORAGE: Shape = Object(&[must("sizeInGiB", &INTEGER)]);

pub(crate) static RUNTIME_PLATFORM: Shape =
    Object(&[may("operatingSystemFamily", &TEXT), may("cpuArchitecture", &TEXT)]);

pub(crate) static REPOSITORY_CREDENTIALS: Shape = Object(&[must("credentialsParameter", &TEXT)]);

pub(crate) static CONTAINER_PROPERTIES: Shape = Object(&[
    may("image", &TEXT),
    may("vcpus", &INTEGER),
    may("memory", &INTEGER),
    may("command", &TEXTS),
    may("jobRoleArn", &TEXT),
    may("executionRoleArn", &TEXT),
    may("volumes", &List(&VOLUME)),
    may("environment", &List(&KEY_VALUE_PAIR)),
    may("mountPoints", &List(&MOUNT_POINT)),
    may("readonlyRootFilesystem", &BOOLEAN),
    may("privileged", &BOOLEAN),
    may("ulimits", &List(&ULIMIT)),
    may("user", &TEXT),
    may("instanceType", &TEXT),
    may("resourceRequirements", &List(&RESOURCE_REQUIREMENT)),
    may("linuxParameters", &LINUX_PARAMETERS),
    may("logConfiguration", &LOG_CONFIGURATION),
    may("secrets", &List(&SECRET)),
    may("networkConfiguration", &NETWORK_CONFIGURATION),
    may("fargatePlatformConfiguration", &FARGATE_PLATFORM_CONFIGURATION),
    may("enableExecuteCommand", &BOOLEAN),
    may("ephemeralStorage", &EPHEMERAL_STORAGE),
    may("runtimePlatform", &RUNTIME_PLATFORM),
    may("repositoryCredentials", &REPOSITORY_CREDENTIALS),
]);

pub(crate) static TASK_CONTAINER_DEPENDENCY: Shape = Object(&[may("containerName", &TEXT), may("condition", &TEXT)]);

pub(crate) static FIRELENS_CONFIGURATION: Shape =
    Object(&[must("type", &OneOf(&["fluentd", "fluentbit"])), may("options", &TEXT_MAP)]);

pub(crate) static TASK_CONTAINER_PROPERTIES: Shape = Object(&[
    may("command", &TEXTS),
    may("dependsOn", &List(&TASK_CONTAINER_DEPENDENCY)),
    may("environment", &List(&KEY_VALUE_PAIR)),
    may("essential", &BOOLEAN),
    may("firelensConfiguration", &FIRELENS_CONFIGURATION),
    must("image", &TEXT),
    may("linuxParameters", &LINUX_PARAMETERS),
    may("logConfiguration", &LOG_CONFIGURATION),
    may("mountPoints", &List(&MOUNT_POINT)),
    may("name", &TEXT),
    may("privileged", &BOOLEAN),
    may("readonlyRootFilesystem", &BOOLEAN),
    may("repositoryCredentials", &REPOSITORY_CREDENTIALS),
    may("resourceRequirements", &List(&RESOURCE_REQUIREMENT)),
    may("secrets", &List(&SECRET)),
    may("ulimits", &List(&ULIMIT)),
    may("user", &TEXT),
    may("startTimeout", &INTEGER),
    may("stopTimeout", &INTEGER),
]);

pub(crate) static ECS_TASK_PROPERTIES: Shape = Object(&[
    must("containers", &List(&TASK_CONTAINER_PROPERTIES)),
    may("ephemeralStorage", &EPHEMERAL_STORAGE),
    may("executionRoleArn", &TEXT),
    may("platformVersion", &TEXT),
    may("ipcMode", &TEXT),
    may("taskRoleArn", &TEXT),
    may("pidMode", &TEXT),
    may("networkConfiguration", &NETWORK_CONFIGURATION),
    may("runtimePlatform", &RUNTIME_PLATFORM),
    may("volumes", &List(&VOLUME)),
    may("enableExecuteCommand", &BOOLEAN),
    may("networkMode", &TEXT),
]);

pub(crate) static ECS_PROPERTIES: Shape = Object(&[must("taskProperties", &List(&ECS_TASK_PROPERTIES))]);

pub(crate) static IMAGE_PULL_SECRET: Shape = Object(&[must("name", &TEXT)]);

pub(crate) static EKS_CONTAINER_ENVIRONMENT_VARIABLE: Shape = Object(&[must("name", &TEXT), may("value", &TEXT)]);

pub(crate) static EKS_CONTAINER_RESOURCE_REQUIREMENTS: Shape =
    Object(&[may("limits", &TEXT_MAP), may("requests", &TEXT_MAP)]);

pub(crate) static EKS_CONTAINER_VOLUME_MOUNT: Shape =
    Object(&[may("name", &TEXT), may("mountPath", &TEXT), may("subPath", &TEXT), may("readOnly", &BOOLEAN)]);

pub(crate) static EKS_CONTAINER_LINUX_CAPABILITIES: Shape = Object(&[may("add", &TEXTS), may("drop", &TEXTS)]);

pub(crate) static EKS_SECCOMP_PROFILE: Shape =
    Object(&[must("type", &OneOf(&["RuntimeDefault", "Localhost", "Unconfined"])), may("localhostProfile", &TEXT)]);

pub(crate) static EKS_CONTAINER_SECURITY_CONTEXT: Shape = Object(&[
    may("runAsUser", &LONG),
    may("runAsGroup", &LONG),
    may("privileged", &BOOLEAN),
    may("allowPrivilegeEscalation", &BOOLEAN),
    may("readOnlyRootFilesystem", &BOOLEAN),
    may("runAsNonRoot", &BOOLEAN),
    may("capabilities", &EKS_CONTAINER_LINUX_CAPABILITIES),
    may("seccompProfile", &EKS_SECCOMP_PROFILE),
]);

pub(crate) static EKS_CONTAINER: Shape = Object(&[
    may("name", &TEXT),
    must("image", &TEXT),
    may("imagePullPolicy", &TEXT),
    may("command", &TEXTS),
    may("args", &TEXTS),
    may("env", &List(&EKS_CONTAINER_ENVIRONMENT_VARIABLE)),
    may("resources", &EKS_CONTAINER_RESOURCE_REQUIREMENTS),
    may("volumeMounts", &List(&EKS_CONTAINER_VOLUME_MOUNT)),
    may("securityContext", &EKS_CONTAINER_SECURITY_CONTEXT),
]);

pub(crate) static EKS_HOST_PATH: Shape = Object(&[may("path", &TEXT)]);

pub(crate) static EKS_EMPTY_DIR: Shape = Object(&[may("medium", &TEXT), may("sizeLimit", &TEXT)]);

pub(crate) static EKS_SECRET: Shape = Object(&[must("secretName", &TEXT), may("optional", &BOOLEAN)]);

pub(crate) static EKS_PERSISTENT_VOLUME_CLAIM: Shape = Object(&[must("claimName", &TEXT), may("readOnly", &BOOLEAN)]);

pub(crate) static EKS_VOLUME: Shape = Object(&[
    must("name", &TEXT),
    may("hostPath", &EKS_HOST_PATH),
    may("emptyDir", &EKS_EMPTY_DIR),
    may("secret", &EKS_SECRET),
    may("persistentVolumeClaim", &EKS_PERSISTENT_VOLUME_CLAIM),
]);

pub(crate) static EKS_METADATA: Shape =
    Object(&[may("labels", &TEXT_MAP), may("annotations", &TEXT_MAP), may("namespace", &TEXT)]);

pub(crate) static EKS_POD_SECURITY_CONTEXT: Shape = Object(&[
    may("runAsUser", &LONG),
    may("runAsGroup", &LONG),
    may("runAsNonRoot", &BOOLEAN),
    may("seccompProfile", &EKS_SECCOMP_PROFILE),
    may("fsGroup", &LONG),
]);

pub(crate) static EKS_POD_PROPERTIES: Shape = Object(&[
    may("serviceAccountName", &TEXT),
    may("hostNetwork", &BOOLEAN),
    may("dnsPolicy", &TEXT),
    may("imagePullSecrets", &List(&IMAGE_PULL_SECRET)),
    may("containers", &List(&EKS_CONTAINER)),
    may("initContainers", &List(&EKS_CONTAINER)),
    may("volumes", &List(&EKS_VOLUME)),
    may("metadata", &EKS_METADATA),
    may("shareProcessNamespace", &BOOLEAN),
    may("securityContext", &EKS_POD_SECURITY_CONTEXT),
]);

pub(crate) static EKS_PROPERTIES: Shape = Object(&[may("podProperties", &EKS_POD_PROPERTIES)]);

pub(crate) static CONSUMABLE_RESOURCE_REQUIREMENT: Shape =
    Object(&[may("consumableResource", &TEXT), may("quantity", &LONG)]);

pub(crate) static CONSUMABLE_RESOURCE_PROPERTIES: Shape =
    Object(&[may("consumableResourceList", &List(&CONSUMABLE_RESOURCE_REQUIREMENT))]);

pub(crate) static NODE_RANGE_PROPERTY: Shape = Object(&[
    must("targetNodes", &TEXT),
    may("container", &CONTAINER_PROPERTIES),
    may("instanceTypes", &TEXTS),
    may("ecsProperties", &ECS_PROPERTIES),
    may("eksProperties", &EKS_PROPERTIES),
    may("consumableResourceProperties", &CONSUMABLE_RESOURCE_PROPERTIES),
]);

pub(crate) static NODE_PROPERTIES: Shape = Object(&[
    must("numNodes", &INTEGER),
    must("mainNode", &INTEGER),
    must("nodeRangeProperties", &List(&NODE_RANGE_PROPERTY)),
]);

pub(crate) static EVALUATE_ON_EXIT: Shape =
    Object(&[may("onStatusReason", &TEXT), may("onReason", &TEXT), may("onExitCode", &TEXT), must("action", &TEXT)]);

pub(crate) static RETRY_STRATEGY: Shape =
    Object(&[may("attempts", &INTEGER), may("evaluateOnExit", &List(&EVALUATE_ON_EXIT))]);

pub(crate) static JOB_TIMEOUT: Shape = Object(&[may("attemptDurationSeconds", &INTEGER)]);

pub(crate) static REGISTER_JOB_DEFINITION: Shape = Object(&[
    must("jobDefinitionName", &TEXT),
    must("type", &OneOf(&["container", "multinode"])),
    may("parameters", &TEXT_MAP),
    may("schedulingPriority", &INTEGER),
    may("containerProperties", &CONTAINER_PROPERTIES),
    may("nodeProperties", &NODE_PROPERTIES),
    may("retryStrategy", &RETRY_STRATEGY),
    may("propagateTags", &BOOLEAN),
    may("timeout", &JOB_TIMEOUT),
    may("tags", &TEXT_MAP),
    may("platformCapabilities", &List(&OneOf(&["EC2", "FARGATE", "MANAGED_INSTANCES"]))),
    may("eksProperties", &EKS_PROPERTIES),
    may("ecsProperties", &ECS_PROPERTIES),
    may("consumableResourceProperties", &CONSUMABLE_RESOURCE_PROPERTIES),
]);

pub(crate) static DEREGISTER_JOB_DEFINITION: Shape = Object(&[must("jobDefinition", &TEXT)]);

pub(crate) static DESCRIBE_JOB_DEFINITIONS: Shape = Object(&[
    may("jobDefinitions", &TEXTS),
    may("maxResults", &INTEGER),
    may("jobDefinitionName", &TEXT),
    may("status", &TEXT),
    may("nextToken", &TEXT),
]);
