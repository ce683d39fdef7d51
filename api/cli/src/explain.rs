//! `wasmbatch explain`.

use std::process::ExitCode;

use wasmbatch_client::model::own::{Amount, ExplainJobResponse};

use crate::output::{self, Endpoint, Format};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The job, or an array's child as JOB:INDEX
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { job, endpoint, format } = arguments;
    let explained = endpoint.client()?.explain_job(&job).await?;
    if format.json {
        output::json(&explained)?;
    } else {
        show(&explained)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(explained: &ExplainJobResponse) -> anyhow::Result<()> {
    output::line(&explained.explanation)?;
    if matches!(explained.status.as_str(), "SUCCEEDED" | "FAILED") {
        return Ok(());
    }
    let mut lines = vec![("status", explained.status.clone())];
    lines.extend(explained.position.map(|position| ("position", position.to_string())));
    lines.push(("wants", amount(&explained.wanted)));
    lines.push(("node", format!("{} held of {}", amount(&explained.node.held), amount(&explained.node.total))));
    for environment in &explained.compute_environments {
        let most = environment.max_vcpus.map_or_else(String::new, |most| format!(" of {most}"));
        let state = if environment.takes_work { "" } else { ", takes no work" };
        let name = &environment.compute_environment;
        lines.push(("environment", format!("{name}: {} vCPU held{most}{state}", environment.held_vcpus)));
    }
    for resource in &explained.consumable_resources {
        let total = resource.total.map_or_else(|| "none".to_owned(), |total| total.to_string());
        let name = &resource.consumable_resource;
        lines.push(("consumes", format!("{} of {name}: {} in use of {total}", resource.wanted, resource.in_use)));
    }
    lines.extend(explained.waits_for.iter().map(|job| ("waits for", job.clone())));
    lines.extend(explained.not_before.map(|at| ("not before", output::time(Some(at)))));
    for (label, value) in lines {
        output::field(label, &value)?;
    }
    Ok(())
}

fn amount(amount: &Amount) -> String {
    let gpus = if amount.gpus == 0 { String::new() } else { format!(", {} GPU", amount.gpus) };
    format!("{} vCPU, {} MiB{gpus}", amount.vcpus, amount.memory_mib)
}
