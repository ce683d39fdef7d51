//! Our own API below `/wasmbatch/v1/`: modules and the node.

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
            /// Milliseconds since the epoch.
            started_at: i64,
            /// Folders that jobs may mount.
            allowed_mounts: Vec<String>,
        }
    }
}
