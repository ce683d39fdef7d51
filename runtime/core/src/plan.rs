//! From a definition and a submit's overrides to what an attempt runs and holds.

use std::collections::BTreeMap;

use crate::consumable::ConsumableRequirement;
use crate::definition::{
    ContainerOverrides, ContainerProperties, DefinitionSpec, JobShape, NodeProperties, NodeWork, Overrides,
    ResourceKind, Task, TaskContainer, TaskKind,
};
use crate::layout::{Group, Layout, Member, Role};
use crate::limits;
use crate::name::Name;
use crate::nodes::{check_targets, overrides_of, wrong_member};
use crate::rejection::Rejection;
use crate::resource::{Resources, Vcpus};

/// What a container is called that has no name of its own.
pub const DEFAULT_CONTAINER: &str = "default";

/// What every attempt of a job comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its containers.
    pub layout: Layout,
    /// What they hold together.
    pub resources: Resources,
    /// What they need beside the machine, each resource once.
    pub consumables: Vec<ConsumableRequirement>,
    /// Whether each of its containers has a FUEL requirement.
    pub metered: bool,
}

impl DefinitionSpec {
    /// What every attempt of a job with these overrides comes to.
    ///
    /// # Errors
    /// A requirement is missing or out of bounds, an override is for a shape or a container that
    /// this definition doesn't have, or the definition can't run here.
    pub fn plan(&self, overrides: &Overrides) -> Result<Plan, Rejection> {
        self.check_override_members(overrides)?;
        let needed = overrides.consumables.as_ref().unwrap_or(&self.consumables);
        let mut consumables = Consumables::default();
        consumables.add(needed)?;
        let (layout, resources, metered) = match &self.shape {
            JobShape::Container(container) => {
                let container = container.with_overrides(&overrides.container);
                (Layout::Single, container.resources()?, is_metered(&container))
            }
            JobShape::Task(task) => plan_task(&task.with_overrides(&overrides.task)?)?,
            JobShape::Nodes(nodes) => plan_nodes(nodes, overrides, &mut consumables)?,
            JobShape::NotRunnable { member, kind } => {
                return Err(Rejection::NotRunnable { member: member.clone(), kind: kind.clone() });
            }
        };
        Ok(Plan { layout, resources, consumables: consumables.into_list(), metered })
    }

    /// Overrides of members that the definition doesn't have would be lost.
    fn check_override_members(&self, overrides: &Overrides) -> Result<(), Rejection> {
        let Overrides { container, task, node_count, nodes, consumables: _ } = overrides;
        let has = self.shape.member();
        let takes = |shape: &JobShape| match shape {
            JobShape::Container(_) => (true, false, false),
            JobShape::Task(_) => (false, true, false),
            JobShape::Nodes(_) => (false, false, true),
            JobShape::NotRunnable { .. } => (true, true, true),
        };
        let (takes_container, takes_task, takes_nodes) = takes(&self.shape);
        if !takes_container && *container != ContainerOverrides::default() {
            return wrong_member("containerOverrides", has);
        }
        if let Some(one) = task.first().filter(|_| !takes_task) {
            return wrong_member(one.kind.override_member(), has);
        }
        if !takes_nodes && (node_count.is_some() || !nodes.is_empty()) {
            return wrong_member("nodeOverrides", has);
        }
        Ok(())
    }

    /// The container that runs as container `container` of node `node`, the overrides laid over it
    /// and a pod's args behind its command; `None` where there is none.
    pub fn container(&self, overrides: &Overrides, node: u32, container: u32) -> Option<ContainerProperties> {
        self.node_work(overrides, node)?.into_container(container)
    }

    /// The name and the properties of that container as the definition has them, for what no submit
    /// overrides.
    pub fn defined_container(
        &self,
        overrides: &Overrides,
        node: u32,
        container: u32,
    ) -> Option<(&str, &ContainerProperties)> {
        let index = usize::try_from(container).ok()?;
        let (properties, task) = match &self.shape {
            JobShape::Container(properties) if node == 0 => (Some(properties), None),
            JobShape::Task(task) if node == 0 => (None, Some(task)),
            JobShape::Nodes(nodes) => {
                let range = nodes.range_of(node, overrides.node_count.unwrap_or(nodes.count))?;
                match &nodes.ranges[range].work {
                    NodeWork::Container(properties) => (Some(properties), None),
                    NodeWork::Task(task) => (None, Some(task)),
                }
            }
            JobShape::Container(_) | JobShape::Task(_) | JobShape::NotRunnable { .. } => (None, None),
        };
        if let Some(container) = task.and_then(|task| task.containers.get(index)) {
            return Some((&container.name, &container.properties));
        }
        properties.filter(|_| index == 0).map(|properties| (DEFAULT_CONTAINER, &**properties))
    }

    /// What node `node` runs, the overrides laid over it; `None` where there is no such node.
    pub fn node_work(&self, overrides: &Overrides, node: u32) -> Option<NodeWork> {
        match &self.shape {
            JobShape::Container(properties) if node == 0 => {
                Some(NodeWork::Container(Box::new(properties.with_overrides(&overrides.container))))
            }
            JobShape::Task(task) if node == 0 => {
                task.with_overrides(&overrides.task).ok().map(Box::new).map(NodeWork::Task)
            }
            JobShape::Nodes(nodes) => {
                let count = overrides.node_count.unwrap_or(nodes.count);
                let range = nodes.range_of(node, count)?;
                let reaching = overrides_of(&overrides.nodes, node, count);
                let reaching = reaching.into_iter().map(|index| &overrides.nodes[index]);
                nodes.ranges[range].with_overrides(reaching).ok().map(|(work, _)| work)
            }
            JobShape::Container(_) | JobShape::Task(_) | JobShape::NotRunnable { .. } => None,
        }
    }
}

impl Plan {
    /// Whether a job of this plan may be an array `[UG]` "Multi-node parallel jobs".
    ///
    /// # Errors
    /// It is a multi-node job and `array_size` is given.
    pub fn check_array(&self, array_size: Option<u32>) -> Result<(), Rejection> {
        let multi_node = self.layout.group().is_some_and(|group| group.main_node.is_some());
        if array_size.is_some() && multi_node {
            let what = "a multi-node job can't be an array".to_owned();
            return Err(Rejection::Shape { member: "arrayProperties", what });
        }
        Ok(())
    }
}

impl JobShape {
    /// The member of a definition that gave it.
    pub fn member(&self) -> &str {
        match self {
            Self::Container(_) => "containerProperties",
            Self::Task(task) => task.kind.member(),
            Self::Nodes(_) => "nodeProperties",
            Self::NotRunnable { member, kind: _ } => member,
        }
    }
}

impl NodeWork {
    /// One of its containers, by its place, as it runs.
    pub fn into_container(self, container: u32) -> Option<ContainerProperties> {
        let index = usize::try_from(container).ok()?;
        match self {
            Self::Container(properties) => (index == 0).then_some(*properties),
            Self::Task(task) => task.containers.into_iter().nth(index).map(TaskContainer::running),
        }
    }

    /// How many elements of a container's arguments are a pod's `command`, which stands in place of the
    /// image's entrypoint; `None` where they are arguments of that entrypoint.
    pub fn entrypoint(&self, container: u32) -> Option<usize> {
        match self {
            Self::Container(_) => None,
            Self::Task(task) => match task.kind {
                TaskKind::Ecs => None,
                TaskKind::Pod => {
                    let container = task.containers.get(usize::try_from(container).ok()?)?;
                    Some(container.properties.command.len()).filter(|length| *length > 0)
                }
            },
        }
    }

    /// Whether it is a pod.
    pub fn is_pod(&self) -> bool {
        match self {
            Self::Container(_) => false,
            Self::Task(task) => match task.kind {
                TaskKind::Ecs => false,
                TaskKind::Pod => true,
            },
        }
    }
}

/// The containers, what they hold together, and whether all are metered.
type Planned = (Layout, Resources, bool);

fn is_metered(container: &ContainerProperties) -> bool {
    container.requirement(ResourceKind::Fuel).is_some()
}

fn all_metered(task: &Task) -> bool {
    task.containers.iter().all(|container| is_metered(&container.properties))
}

fn plan_task(task: &Task) -> Result<Planned, Rejection> {
    let members = task_members(task)?;
    let resources = sum(&members)?;
    let layout = match members.len() {
        1 => Layout::Single,
        _ => Layout::Group(Box::new(Group { nodes: 1, main_node: None, members })),
    };
    Ok((layout, resources, all_metered(task)))
}

fn plan_nodes(
    nodes: &NodeProperties,
    overrides: &Overrides,
    consumables: &mut Consumables,
) -> Result<Planned, Rejection> {
    let count = nodes.count_with(overrides)?;
    check_targets(&overrides.nodes, count)?;
    // Nodes of one range that the same overrides reach are alike, and there may be a thousand.
    let mut kinds = BTreeMap::new();
    let mut metered = true;
    let mut members = Vec::new();
    for node in 0..count {
        let range = nodes.range_of(node, count).expect("every node is in a range");
        let reaching = overrides_of(&overrides.nodes, node, count);
        let key = (range, reaching);
        if !kinds.contains_key(&key) {
            let laid_over = key.1.iter().map(|index| &overrides.nodes[*index]);
            let (work, needed) = nodes.ranges[range].with_overrides(laid_over)?;
            metered &= match &work {
                NodeWork::Container(container) => is_metered(container),
                NodeWork::Task(task) => all_metered(task),
            };
            kinds.insert(key.clone(), (node_members(&work)?, needed));
        }
        let (own, needed) = &kinds[&key];
        consumables.add(needed)?;
        let first = u32::try_from(members.len()).expect("members are bounded");
        members.extend(own.iter().cloned().map(|member| Member {
            node,
            depends_on: member.depends_on.iter().map(|(index, condition)| (first + index, *condition)).collect(),
            ..member
        }));
    }
    let resources = sum(&members)?;
    Ok((Layout::Group(Box::new(Group { nodes: count, main_node: Some(nodes.main), members })), resources, metered))
}

/// The members of one node, as if it were the only one.
fn node_members(work: &NodeWork) -> Result<Vec<Member>, Rejection> {
    match work {
        NodeWork::Container(properties) => Ok(vec![Member {
            node: 0,
            container: 0,
            name: DEFAULT_CONTAINER.to_owned(),
            role: Role::Essential,
            depends_on: Vec::new(),
            resources: properties.resources()?,
        }]),
        NodeWork::Task(task) => task_members(task),
    }
}

fn task_members(task: &Task) -> Result<Vec<Member>, Rejection> {
    let place = |name: &str| {
        let index = task.containers.iter().position(|container| container.name == *name);
        index.and_then(|index| u32::try_from(index).ok()).expect("a task's dependencies are its containers")
    };
    let member = |(index, container): (u32, &TaskContainer)| {
        let TaskContainer { name, role, depends_on, args: _, properties } = container;
        Ok(Member {
            node: 0,
            container: index,
            name: name.clone(),
            role: *role,
            depends_on: depends_on.iter().map(|(name, condition)| (place(name), *condition)).collect(),
            resources: properties.resources()?,
        })
    };
    (0..).zip(&task.containers).map(member).collect()
}

/// What all members hold together, within the bounds of one.
fn sum(members: &[Member]) -> Result<Resources, Rejection> {
    let total = |value: fn(&Resources) -> u64| members.iter().map(|member| value(&member.resources)).sum::<u64>();
    let out_of_bounds = |kind: ResourceKind, total: u64| Rejection::BadRequirement { kind, value: total.to_string() };
    let quarters = total(|resources| u64::from(resources.vcpus.quarters()));
    let within = u32::try_from(quarters).ok().filter(|quarters| *quarters <= limits::MAX_VCPUS * 4);
    let vcpus = within.ok_or_else(|| out_of_bounds(ResourceKind::Vcpu, quarters / 4))?;
    let memory_mib = total(|resources| resources.memory_mib);
    if memory_mib > u64::from(u32::MAX) {
        return Err(out_of_bounds(ResourceKind::Memory, memory_mib));
    }
    let gpus = total(|resources| u64::from(resources.gpus));
    let gpus = u16::try_from(gpus).map_err(|_| out_of_bounds(ResourceKind::Gpu, gpus))?;
    Ok(Resources { vcpus: Vcpus::from_quarters(vcpus), memory_mib, gpus: u32::from(gpus) })
}

/// Requirements added up by resource, in the order they first came.
#[derive(Default)]
struct Consumables {
    order: Vec<Name>,
    quantities: BTreeMap<Name, u64>,
}

impl Consumables {
    fn add(&mut self, requirements: &[ConsumableRequirement]) -> Result<(), Rejection> {
        for ConsumableRequirement { resource, quantity } in requirements {
            let known = self.quantities.get(resource).copied();
            if known.is_none() {
                self.order.push(resource.clone());
            }
            // Within what an answer can say, which is signed.
            let sum = known.unwrap_or(0).checked_add(*quantity).filter(|sum| i64::try_from(*sum).is_ok());
            let Some(sum) = sum else {
                let what = format!("the quantity of {resource} is out of bounds");
                return Err(Rejection::Shape { member: "consumableResourceProperties", what });
            };
            self.quantities.insert(resource.clone(), sum);
        }
        Ok(())
    }

    fn into_list(self) -> Vec<ConsumableRequirement> {
        let Self { order, quantities } = self;
        let entry = |resource: Name| ConsumableRequirement { quantity: quantities[&resource], resource };
        order.into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests;
