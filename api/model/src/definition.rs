//! Job definitions and the shapes that jobs share with them.

use crate::{Rest, TextMap};

wire! {
    /// RegisterJobDefinition.
    RegisterJobDefinitionRequest {
        optional {
            job_definition_name: String,
            #[serde(rename = "type")]
            kind: String,
            parameters: TextMap,
            scheduling_priority: i32,
            container_properties: ContainerProperties,
            retry_strategy: RetryStrategy,
            propagate_tags: bool,
            timeout: JobTimeout,
            tags: TextMap,
            platform_capabilities: Vec<String>,
        }
        flatten { rest: Rest }
    }
}

wire! {
    /// The answer of RegisterJobDefinition.
    RegisterJobDefinitionResponse {
        required {
            job_definition_name: String,
            job_definition_arn: String,
            revision: u32,
        }
    }
}

wire! {
    /// DeregisterJobDefinition.
    DeregisterJobDefinitionRequest {
        optional { job_definition: String }
    }
}

wire! {
    /// DescribeJobDefinitions.
    DescribeJobDefinitionsRequest {
        optional {
            job_definitions: Vec<String>,
            max_results: i32,
            job_definition_name: String,
            status: String,
            next_token: String,
        }
    }
}

wire! {
    /// The answer of DescribeJobDefinitions.
    DescribeJobDefinitionsResponse {
        required { job_definitions: Vec<JobDefinition> }
        optional { next_token: String }
    }
}

wire! {
    /// One revision of a job definition.
    JobDefinition {
        required {
            job_definition_name: String,
            job_definition_arn: String,
            revision: u32,
            status: String,
            #[serde(rename = "type")]
            kind: String,
            parameters: TextMap,
            tags: TextMap,
            container_orchestration_type: String,
        }
        optional {
            scheduling_priority: u32,
            container_properties: ContainerProperties,
            retry_strategy: RetryStrategy,
            propagate_tags: bool,
            timeout: JobTimeout,
            platform_capabilities: Vec<String>,
        }
        flatten { rest: Rest }
    }
}

wire! {
    /// `containerProperties`.
    ContainerProperties {
        optional {
            image: String,
            vcpus: i32,
            memory: i32,
            command: Vec<String>,
            volumes: Vec<Volume>,
            environment: Vec<KeyValuePair>,
            mount_points: Vec<MountPoint>,
            resource_requirements: Vec<ResourceRequirement>,
            log_configuration: LogConfiguration,
            readonly_root_filesystem: bool,
        }
        flatten { rest: Rest }
    }
}

wire! {
    /// One entry of `environment`.
    KeyValuePair {
        optional {
            name: String,
            value: String,
        }
    }
}

wire! {
    /// One entry of `resourceRequirements`.
    ResourceRequirement {
        optional {
            #[serde(rename = "type")]
            kind: String,
            value: String,
        }
    }
}

wire! {
    /// One entry of `mountPoints`.
    MountPoint {
        optional {
            container_path: String,
            read_only: bool,
            source_volume: String,
        }
    }
}

wire! {
    /// One entry of `volumes`.
    Volume {
        optional {
            host: Host,
            name: String,
            efs_volume_configuration: Rest,
            #[serde(rename = "s3filesVolumeConfiguration")]
            s3files_volume_configuration: Rest,
        }
    }
}

wire! {
    /// `volumes[].host`.
    Host {
        optional { source_path: String }
    }
}

wire! {
    /// `logConfiguration`.
    LogConfiguration {
        optional {
            log_driver: String,
            options: TextMap,
        }
        flatten { rest: Rest }
    }
}

wire! {
    /// `retryStrategy`.
    RetryStrategy {
        optional {
            attempts: i32,
            evaluate_on_exit: Vec<EvaluateOnExit>,
        }
    }
}

wire! {
    /// One entry of `evaluateOnExit`.
    EvaluateOnExit {
        optional {
            on_status_reason: String,
            on_reason: String,
            on_exit_code: String,
            action: String,
        }
    }
}

wire! {
    /// `timeout`.
    JobTimeout {
        optional { attempt_duration_seconds: i32 }
    }
}
