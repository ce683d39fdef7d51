//! Our own API below `/wasmbatch/v1/`: modules, the node, why a job waits, what it used.

wire! {
    /// An uploaded module.
    Module {
        required {
            /// `name:tag`.
            name: String,
            /// `sha256:` and 64 hexadecimal digits.
            digest: String,
            /// Bytes as uploaded.
            size: u64,
            /// Milliseconds since the epoch.
            uploaded_at: i64,
            compile: Compile,
        }
    }
}

wire! {
    /// How far a module's compilation is.
    Compile {
        required { state: CompileState }
        optional {
            kind: ModuleKind,
            /// Why it was refused.
            reason: String,
            /// Size of the compiled code.
            compiled_bytes: u64,
            /// Absent when it was found in the cache.
            compile_millis: u64,
        }
    }
}

/// The states of [`Compile`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CompileState {
    /// At its first use.
    #[default]
    NotCompiled,
    /// Under way.
    Compiling,
    /// In the cache.
    Ready,
    /// No job can run it.
    Refused,
}

/// What a module's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ModuleKind {
    /// A core module for WASI preview 1.
    Module,
    /// A component for WASI 0.2.
    Component,
}

wire! {
    /// A page of modules, by name.
    ListModulesResponse {
        required { modules: Vec<Module> }
        optional { next_token: String }
    }
}

wire! {
    /// An image on the node's disk.
    Image {
        required {
            /// What jobs call it; the digest where it has no name.
            name: String,
            /// Of its manifest: `sha256:` and 64 hexadecimal digits.
            digest: String,
            /// Whether it was loaded and stays until it is deleted; a pulled one goes when room is
            /// wanted.
            loaded: bool,
            /// What its layers take on disk, those that it shares with others included.
            size_bytes: u64,
            /// When an attempt last asked for it, milliseconds since the epoch.
            used_at: i64,
        }
    }
}

wire! {
    /// Images, by name.
    ListImagesResponse {
        required { images: Vec<Image> }
    }
}

wire! {
    /// The node.
    Node {
        required {
            /// Its name in ARNs and reasons.
            instance: String,
            /// Of this program.
            version: String,
            /// What jobs may hold together.
            vcpus: f64,
            /// What jobs may hold together.
            memory_mib: u64,
            /// What jobs may hold together.
            gpus: u32,
            /// Milliseconds since the epoch.
            started_at: i64,
            /// What jobs hold together now.
            held: Amount,
            /// Folders that jobs may mount.
            allowed_mounts: Vec<String>,
            /// What jobs that ask for the network get of it: `none` or `host`.
            job_network: String,
            /// What stands between jobs and the node.
            walls: Vec<Wall>,
            /// Modules that are not run any more, since a worker running them behaved as if it had
            /// been taken over.
            quarantined: Vec<QuarantinedModule>,
        }
    }
}

wire! {
    /// One wall around the workers that run jobs.
    Wall {
        required {
            /// Such as `seccomp`.
            name: String,
            stands: bool,
            /// What it is made of on this node, or why it is missing.
            detail: String,
        }
    }
}

wire! {
    /// A module that is not run any more.
    QuarantinedModule {
        required {
            /// `sha256:` and 64 hexadecimal digits.
            digest: String,
            /// Milliseconds since the epoch.
            since: i64,
            /// What its worker did.
            reason: String,
        }
    }
}

wire! {
    /// What the attempts of a job used.
    JobUsageResponse {
        required {
            /// As it was asked for.
            job_id: String,
            /// Those that have ended, oldest first. An array as a whole has none; its children have.
            attempts: Vec<AttemptUsage>,
        }
        optional {
            /// Of all containers of all attempts: the most memory of any, the sum of everything
            /// else. Absent where nothing is known.
            total: Usage,
        }
    }
}

wire! {
    /// What one attempt used.
    AttemptUsage {
        required {
            /// Counts from 1.
            number: u32,
            containers: Vec<ContainerUsage>,
        }
    }
}

wire! {
    /// What one container of an attempt used.
    ContainerUsage {
        required {
            /// `default` where it has no name of its own.
            name: String,
        }
        optional {
            /// Of a multi-node job.
            node: u32,
            /// What its image turned out to be: the digest of a module, or of an image's manifest. Absent
            /// where it never ran.
            image_digest: String,
            /// Absent where it never ran or nobody knows.
            usage: Usage,
        }
    }
}

wire! {
    /// What a program used.
    Usage {
        required {
            cpu_microseconds: u64,
            peak_memory_bytes: u64,
            /// From files and sockets.
            read_bytes: u64,
            /// To files, outputs and sockets.
            written_bytes: u64,
        }
        optional {
            /// wasmtime fuel, where it was counted.
            fuel: u64,
        }
    }
}

wire! {
    /// Why a job waits and what would let it run.
    ExplainJobResponse {
        required {
            /// As it was asked for.
            job_id: String,
            status: String,
            /// The answer, in sentences.
            explanation: String,
            /// What it wants to hold.
            wanted: Amount,
            /// What the node has, and what is held of it.
            node: Capacity,
            /// Those of its queue, in the order they are tried.
            compute_environments: Vec<EnvironmentUse>,
            /// Jobs that must succeed first and have not ended; the first 100.
            waits_for: Vec<String>,
            /// What it needs beside the machine.
            consumable_resources: Vec<ConsumableUse>,
        }
        optional {
            /// Its place in its queue's order, from 1.
            position: u64,
            /// When it may be tried again, in milliseconds since the epoch.
            not_before: i64,
        }
    }
}

wire! {
    /// What a job holds, or a node has.
    Amount {
        required {
            vcpus: f64,
            memory_mib: u64,
            gpus: u32,
        }
    }
}

wire! {
    /// An amount and how much of it is held.
    Capacity {
        required {
            total: Amount,
            held: Amount,
        }
    }
}

wire! {
    /// A compute environment as a waiting job sees it.
    EnvironmentUse {
        required {
            compute_environment: String,
            /// Whether it takes work now.
            takes_work: bool,
            held_vcpus: f64,
        }
        optional {
            /// Absent where it has no bound of its own.
            max_vcpus: f64,
        }
    }
}

wire! {
    /// A consumable resource as a waiting job sees it.
    ConsumableUse {
        required {
            consumable_resource: String,
            wanted: u64,
            in_use: u64,
        }
        optional {
            /// Absent where there is no such resource.
            total: u64,
        }
    }
}
