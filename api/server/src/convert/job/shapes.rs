//! `ecsProperties`, `eksProperties` and `nodeProperties` of a job: those of its definition with the
//! overrides over them, and what became of the containers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wasmbatch_core::definition::{
    ContainerProperties, NodeProperties, NodeWork, ResourceKind, Task, TaskContainer, TaskKind,
};
use wasmbatch_core::job::MemberRecord;
use wasmbatch_core::nodes::overrides_of;
use wasmbatch_core::{DefinitionSpec, Job};
use wasmbatch_model::Rest;
use wasmbatch_model::definition as wire;

use super::shown_command;
use crate::convert::container::{from_properties, from_requirement, from_variable};
use crate::convert::from_document;
use crate::convert::overrides::{NODE_INSTANCE_TYPES, POD_METADATA};

/// What became of the containers of a task in the attempt shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// By the place in the task. Empty where nothing is to be shown.
    pub(crate) containers: Vec<(MemberRecord, Option<String>)>,
    /// Members of the task as a whole: its ARN, its node's name.
    pub(crate) task: Rest,
}

fn to_value(wire: impl serde::Serialize) -> Value {
    serde_json::to_value(wire).expect("a wire type writes as JSON")
}

/// The member of `rest` that describes a task, filled in.
pub(crate) fn task_detail(raw: &Value, task: &Task, job: &Job, shown: &Shown) -> Rest {
    let mut detail = raw.clone();
    match task.kind {
        TaskKind::Ecs => fill_ecs(&mut detail, task, job, shown),
        TaskKind::Pod => fill_pod(&mut detail, task, job, shown),
    }
    match detail {
        Value::Object(members) => members,
        _ => Rest::new(),
    }
}

fn fill_ecs(detail: &mut Value, task: &Task, job: &Job, shown: &Shown) {
    let Some(Value::Object(members)) = detail.pointer_mut("/taskProperties/0") else {
        return;
    };
    members.extend(shown.task.clone());
    let Some(Value::Array(containers)) = members.get_mut("containers") else {
        return;
    };
    for (index, (entry, container)) in containers.iter_mut().zip(&task.containers).enumerate() {
        let Value::Object(entry) = entry else {
            continue;
        };
        let properties = &container.properties;
        entry.insert("name".to_owned(), container.name.clone().into());
        entry.insert("command".to_owned(), shown_command(&properties.command, job).into());
        entry.insert("environment".to_owned(), environment(properties));
        let requirements = properties.resource_requirements.iter().map(from_requirement);
        entry.insert("resourceRequirements".to_owned(), to_value(requirements.collect::<Vec<_>>()));
        if let Some((record, stream)) = shown.containers.get(index) {
            insert_ending(entry, record);
            entry.extend(stream.clone().map(|stream| ("logStreamName".to_owned(), stream.into())));
            entry.insert("networkInterfaces".to_owned(), json!([]));
        }
    }
}

fn environment(properties: &ContainerProperties) -> Value {
    to_value(properties.environment.iter().map(from_variable).collect::<Vec<wire::KeyValuePair>>())
}

fn insert_ending(entry: &mut Rest, record: &MemberRecord) {
    entry.extend(record.exit_code.map(|code| ("exitCode".to_owned(), code.into())));
    entry.extend(record.reason.clone().map(|reason| ("reason".to_owned(), reason.into())));
}

fn fill_pod(detail: &mut Value, task: &Task, job: &Job, shown: &Shown) {
    let Some(Value::Object(pod)) = detail.pointer_mut("/podProperties") else {
        return;
    };
    pod.extend(shown.task.clone());
    if let Some(Value::Object(metadata)) = from_document(&job.rest).remove(POD_METADATA) {
        merge_metadata(pod, metadata);
    }
    let mut index = 0;
    for member in ["initContainers", "containers"] {
        let Some(Value::Array(containers)) = pod.get_mut(member) else {
            continue;
        };
        for entry in containers {
            if let (Value::Object(entry), Some(container)) = (entry, task.containers.get(index)) {
                fill_pod_container(entry, container, job);
                if let Some((record, _)) = shown.containers.get(index) {
                    insert_ending(entry, record);
                }
            }
            index += 1;
        }
    }
}

/// Labels and annotations of a submit lie over the definition's by name.
fn merge_metadata(pod: &mut Rest, metadata: Rest) {
    let Value::Object(known) = pod.entry("metadata").or_insert_with(|| json!({})) else {
        return;
    };
    for (name, value) in metadata {
        match (known.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
            (_, value) => {
                known.insert(name, value);
            }
        }
    }
}

fn fill_pod_container(entry: &mut Rest, container: &TaskContainer, job: &Job) {
    let TaskContainer { name, role: _, depends_on: _, args, properties } = container;
    entry.insert("name".to_owned(), name.clone().into());
    entry.insert("image".to_owned(), properties.image.clone().into());
    for (member, words) in [("command", &properties.command), ("args", args)] {
        if !words.is_empty() {
            entry.insert(member.to_owned(), shown_command(words, job).into());
        }
    }
    if !properties.environment.is_empty() {
        entry.insert("env".to_owned(), environment(properties));
    }
    fill_quantities(entry, properties);
}

/// What a submit made of the quantities, in whichever of limits and requests has them. One that
/// means the same as before keeps its spelling.
fn fill_quantities(entry: &mut Rest, properties: &ContainerProperties) {
    let given = entry.get("resources").cloned().and_then(|value| serde_json::from_value(value).ok());
    let before = crate::convert::quantity::to_requirements(given).unwrap_or_default();
    for requirement in properties.resource_requirements.iter().filter(|requirement| !before.contains(requirement)) {
        let (key, value) = match requirement.kind {
            ResourceKind::Vcpu => ("cpu", requirement.value.clone()),
            ResourceKind::Memory => ("memory", format!("{}Mi", requirement.value)),
            ResourceKind::Gpu => ("nvidia.com/gpu", requirement.value.clone()),
            ResourceKind::Fuel => continue,
        };
        let Value::Object(resources) = entry.entry("resources").or_insert_with(|| json!({})) else {
            return;
        };
        let has = |of: &str, resources: &Rest| resources.get(of).is_some_and(|members| members.get(key).is_some());
        let places: Vec<_> = ["limits", "requests"].into_iter().filter(|of| has(of, resources)).collect();
        let places = if places.is_empty() { vec!["limits"] } else { places };
        for place in places {
            if let Value::Object(members) = resources.entry(place).or_insert_with(|| json!({})) {
                members.insert(key.to_owned(), value.clone().into());
            }
        }
    }
}

/// `nodeProperties`: each range as its nodes run it. Where only some of a range's nodes are
/// overridden, they get a range of their own, which nests in the one they come from.
pub(crate) fn nodes_detail(spec: &DefinitionSpec, nodes: &NodeProperties, job: &Job) -> Rest {
    let mut detail = from_document(&spec.rest).remove("nodeProperties").unwrap_or_default();
    let count = job.overrides.node_count.unwrap_or(nodes.count);
    let Value::Object(members) = &mut detail else {
        return Rest::new();
    };
    members.insert("numNodes".to_owned(), count.into());
    let Some(Value::Array(ranges)) = members.get_mut("nodeRangeProperties") else {
        return Rest::new();
    };
    let instance_types = from_document(&job.rest).remove(NODE_INSTANCE_TYPES);
    let mut nested = Vec::new();
    for (index, raw) in ranges.iter_mut().enumerate() {
        let runs = runs_of(nodes, index, job, count);
        let alike = runs.values().map(Vec::len).sum::<usize>() > 0 && runs.len() == 1;
        for (reaching, spans) in &runs {
            let Some((first, _)) = spans.first() else {
                continue;
            };
            let Some(work) = spec.node_work(&job.overrides, *first) else {
                continue;
            };
            let mut entry = raw.clone();
            fill_range(&mut entry, &work, job);
            fill_overridden(&mut entry, reaching, job, instance_types.as_ref());
            if alike || reaching.is_empty() {
                if alike {
                    *raw = entry;
                }
                continue;
            }
            for (first, last) in spans {
                let mut own = entry.clone();
                own["targetNodes"] = if first == last { first.to_string() } else { format!("{first}:{last}") }.into();
                nested.push(own);
            }
        }
    }
    ranges.extend(nested);
    match detail {
        Value::Object(members) => members,
        _ => Rest::new(),
    }
}

/// The nodes of a range in runs of neighbours, by the overrides that reach them.
fn runs_of(nodes: &NodeProperties, range: usize, job: &Job, count: u32) -> BTreeMap<Vec<usize>, Vec<(u32, u32)>> {
    let mut runs: BTreeMap<Vec<usize>, Vec<(u32, u32)>> = BTreeMap::new();
    for node in (0..count).filter(|node| nodes.range_of(*node, count) == Some(range)) {
        let spans = runs.entry(overrides_of(&job.overrides.nodes, node, count)).or_default();
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == node => *last = node,
            Some(_) | None => spans.push((node, node)),
        }
    }
    runs
}

fn fill_range(entry: &mut Value, work: &NodeWork, job: &Job) {
    match work {
        NodeWork::Container(properties) => {
            let mut wire = from_properties(properties);
            wire.command = wire.command.map(|command| shown_command(&command, job));
            entry["container"] = to_value(wire);
        }
        NodeWork::Task(task) => {
            let member = task.kind.member();
            entry[member] = Value::Object(task_detail(&entry[member], task, job, &Shown::default()));
        }
    }
}

/// What overrides of a range change beside its containers; the last of them wins.
fn fill_overridden(entry: &mut Value, reaching: &[usize], job: &Job, instance_types: Option<&Value>) {
    for index in reaching {
        if let Some(types) = instance_types.and_then(|all| all.get(index)).filter(|types| !types.is_null()) {
            entry["instanceTypes"] = types.clone();
        }
        if let Some(needed) = job.overrides.nodes.get(*index).and_then(|one| one.consumables.as_deref()) {
            let needed = crate::convert::requirement::from_requirements(needed);
            entry["consumableResourceProperties"] = to_value(needed);
        }
    }
}
