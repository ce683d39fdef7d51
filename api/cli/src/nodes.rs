//! `wasmbatch nodes`.

use std::process::ExitCode;

use wasmbatch_client::model::own::{Node, QuarantinedModule, Wall};

use crate::output::{self, Endpoint, Format};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { endpoint, format } = arguments;
    let node = endpoint.client()?.node().await?;
    if format.json {
        // One node is all there is so far.
        output::json(&[&node])?;
    } else {
        show(&node, &endpoint.url)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(node: &Node, endpoint: &str) -> anyhow::Result<()> {
    let mounts = if node.allowed_mounts.is_empty() { "none".to_owned() } else { node.allowed_mounts.join(", ") };
    let lines = [
        ("node", node.instance.clone()),
        ("version", node.version.clone()),
        ("endpoint", endpoint.to_owned()),
        ("up since", output::time(Some(node.started_at))),
        ("vCPUs", format!("{} held of {}", node.held.vcpus, node.vcpus)),
        ("memory", format!("{} MiB held of {} MiB", node.held.memory_mib, node.memory_mib)),
        ("GPUs", format!("{} held of {}", node.held.gpus, node.gpus)),
        ("mounts", mounts),
        ("job network", node.job_network.clone()),
    ];
    for (label, value) in lines {
        output::field(label, &value)?;
    }
    for Wall { name, stands, detail } in &node.walls {
        let state = if *stands { format!("yes: {detail}") } else { format!("MISSING: {detail}") };
        output::field("wall", &format!("{name:<11} {state}"))?;
    }
    for QuarantinedModule { digest, since, reason } in &node.quarantined {
        output::field("quarantined", &format!("{digest} since {}: {reason}", output::time(Some(*since))))?;
    }
    Ok(())
}
