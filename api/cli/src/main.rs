//! `wasmbatch`: the node, the worker it re-executes itself as, and what people type.

mod cancel;
mod config;
mod containers;
mod demo;
mod describe;
mod env;
mod explain;
mod images;
mod jobs;
mod logs;
mod modules;
mod node;
mod nodes;
mod output;
mod run;
mod serve;
mod submit;
mod telemetry;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// AWS Batch on a machine of your own.
///
/// Start a node with `wasmbatch serve`; submit to it with this command, with an unmodified AWS CLI
/// (`eval "$(wasmbatch env)"` points it here), or with any SDK.
///
/// Exit codes: 0 done; 1 it failed, or the job waited for did; 2 the command line is wrong; 3 the
/// node refused the request; 4 the node can't be reached. `run` exits as its program does.
#[derive(Debug, Parser)]
#[command(name = "wasmbatch", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(serve::Arguments),
    /// Run one module in the foreground, without a node
    Run(run::Arguments),
    /// Render a picture with an array of jobs on a node of its own
    Demo(demo::Arguments),
    /// Show the node: what it has, what is held of it, the walls around jobs
    Nodes(nodes::Arguments),
    /// Upload, list, delete and release modules
    Modules(modules::Arguments),
    /// Load, list and delete OCI images
    Images(images::Arguments),
    /// Submit a job
    Submit(submit::Arguments),
    /// List jobs, newest first
    Jobs(jobs::Arguments),
    /// Show jobs in full
    Describe(describe::Arguments),
    /// Say why a job waits and what would let it run
    Explain(explain::Arguments),
    /// Show what a job wrote
    Logs(logs::Arguments),
    /// End jobs that have not begun to start
    Cancel(cancel::Arguments),
    /// End jobs whatever they do
    Terminate(cancel::Arguments),
    /// Print the exports that point an AWS client to the node
    Env(env::Arguments),
    /// Execute attempts for a node; the node starts this itself
    #[command(hide = true)]
    Worker,
    /// Keep one container for a node; the node starts this itself
    #[command(hide = true)]
    Shim {
        /// The container's folder.
        folder: std::path::PathBuf,
    },
    /// Map users for a container's keeper, which starts this itself
    #[command(hide = true)]
    MapUsers {
        /// Its process.
        process: u32,
    },
    /// Unpack a layer for a node; the node starts this itself
    #[command(hide = true)]
    Unpack,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A worker must not start a runtime: it has one thread and serves one attempt at a time.
    let outcome = match arguments.command {
        Command::Worker => wasmbatch_wasm::worker_main(),
        Command::Shim { folder } => return wasmbatch_container::shim_main(&folder),
        Command::MapUsers { process } => return wasmbatch_container::map_users_main(process),
        Command::Unpack => return wasmbatch_container::unpack_main(),
        Command::Run(arguments) => return run::run(arguments),
        Command::Env(arguments) => env::run(&arguments),
        Command::Serve(arguments) => in_runtime(serve::run(arguments)),
        Command::Demo(arguments) => in_runtime(demo::run(arguments)),
        Command::Nodes(arguments) => in_runtime(nodes::run(arguments)),
        Command::Modules(arguments) => in_runtime(modules::run(arguments)),
        Command::Images(arguments) => in_runtime(images::run(arguments)),
        Command::Submit(arguments) => in_runtime(submit::run(arguments)),
        Command::Jobs(arguments) => in_runtime(jobs::run(arguments)),
        Command::Describe(arguments) => in_runtime(describe::run(arguments)),
        Command::Explain(arguments) => in_runtime(explain::run(arguments)),
        Command::Logs(arguments) => in_runtime(logs::run(arguments)),
        Command::Cancel(arguments) => in_runtime(cancel::cancel(arguments)),
        Command::Terminate(arguments) => in_runtime(cancel::terminate(arguments)),
    };
    outcome.unwrap_or_else(|error| output::failure(&error))
}

fn in_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
