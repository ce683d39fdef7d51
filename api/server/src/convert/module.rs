//! Modules and the node, of our own API.

use wasmbatch_controller::{ModuleState, NodeFacts};
use wasmbatch_core::Module;
use wasmbatch_model::own::{self, Compile, CompileState, ModuleKind};

pub(crate) fn from_module(module: &Module, state: ModuleState) -> own::Module {
    let Module { name, digest, size_bytes, uploaded_at } = module;
    own::Module {
        name: name.to_string(),
        digest: digest.to_string(),
        size: *size_bytes,
        uploaded_at: uploaded_at.as_millis(),
        compile: from_state(state),
    }
}

fn from_state(state: ModuleState) -> Compile {
    match state {
        ModuleState::NotCompiled => Compile { state: CompileState::NotCompiled, ..Compile::default() },
        ModuleState::Compiling => Compile { state: CompileState::Compiling, ..Compile::default() },
        ModuleState::Ready { component, compiled_bytes, compile_millis } => Compile {
            state: CompileState::Ready,
            kind: Some(if component { ModuleKind::Component } else { ModuleKind::Module }),
            compiled_bytes: Some(compiled_bytes),
            compile_millis,
            ..Compile::default()
        },
        ModuleState::Refused { reason } => {
            Compile { state: CompileState::Refused, reason: Some(reason), ..Compile::default() }
        }
    }
}

pub(crate) fn from_node(facts: NodeFacts) -> own::Node {
    let NodeFacts { instance, vcpus, memory_mib, started_at, allowed_mounts } = facts;
    own::Node {
        instance,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        vcpus: f64::from(vcpus.quarters()) / 4.0,
        memory_mib,
        started_at: started_at.as_millis(),
        allowed_mounts: allowed_mounts.iter().map(|path| path.display().to_string()).collect(),
    }
}
