//! Modules and the node, of our own API.

use wasmbatch_controller::{ModuleState, NetworkAccess, NodeFacts, Quarantined, Wall};
use wasmbatch_core::{Module, Resources};
use wasmbatch_model::own::{self, Compile, CompileState, ModuleKind};

use super::explain::amount;

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

/// What is known of the node at this moment, beside what never changes of it.
pub(crate) struct NodeState {
    pub(crate) held: Resources,
    pub(crate) walls: Vec<Wall>,
    pub(crate) quarantined: Vec<Quarantined>,
}

pub(crate) fn from_node(facts: NodeFacts, state: NodeState) -> own::Node {
    let NodeFacts { instance, vcpus, memory_mib, gpus, started_at, allowed_mounts, job_network } = facts;
    let NodeState { held, walls, quarantined } = state;
    own::Node {
        instance,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        vcpus: f64::from(vcpus.quarters()) / 4.0,
        memory_mib,
        gpus,
        started_at: started_at.as_millis(),
        held: amount(held),
        allowed_mounts: allowed_mounts.iter().map(|path| path.display().to_string()).collect(),
        job_network: match job_network {
            NetworkAccess::None => "none".to_owned(),
            NetworkAccess::Host => "host".to_owned(),
        },
        walls: walls.into_iter().map(from_wall).collect(),
        quarantined: quarantined.into_iter().map(from_quarantined).collect(),
    }
}

fn from_wall(wall: Wall) -> own::Wall {
    let Wall { name, state } = wall;
    let stands = state.is_ok();
    let (Ok(detail) | Err(detail)) = state;
    own::Wall { name: name.to_owned(), stands, detail }
}

fn from_quarantined(module: Quarantined) -> own::QuarantinedModule {
    let Quarantined { digest, since, reason } = module;
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    own::QuarantinedModule { digest: digest.to_string(), since, reason }
}
