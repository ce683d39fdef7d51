//! `wasmbatch modules`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Subcommand;
use futures_util::stream::unfold;
use tokio::io::AsyncReadExt as _;
use wasmbatch_client::Client;
use wasmbatch_client::model::own::{CompileState, Module, ModuleKind};

use crate::output::{self, Endpoint, Format};

/// Bytes handed to the connection at once.
const CHUNK: usize = 64 * 1024;
/// Between two looks at a compilation.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload a module or component under a name that jobs can use as their image
    Push {
        /// `name:tag`; without a tag it is `latest`
        #[arg(value_name = "NAME:TAG")]
        name: String,
        /// The .wasm file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Don't wait for the compilation, which goes on in the background
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        endpoint: Endpoint,
        #[command(flatten)]
        format: Format,
    },
    /// List uploaded modules
    List {
        #[command(flatten)]
        endpoint: Endpoint,
        #[command(flatten)]
        format: Format,
    },
    /// Let a module run again that is quarantined, since a worker running it behaved as if it had
    /// been taken over; `wasmbatch nodes` lists them
    Release {
        /// `sha256:` and 64 hexadecimal digits
        #[arg(value_name = "DIGEST")]
        digest: String,
        #[command(flatten)]
        endpoint: Endpoint,
    },
    /// Forget a module's name, and its bytes with the last name they have
    Delete {
        /// `name:tag`
        #[arg(value_name = "NAME:TAG")]
        name: String,
        #[command(flatten)]
        endpoint: Endpoint,
    },
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Push { name, file, no_wait, endpoint, format } => {
            let client = endpoint.client()?;
            let mut module = push(&client, &name, file).await?;
            if !no_wait {
                module = compiled(&client, module).await?;
            }
            show_pushed(&module, format)?;
        }
        Command::List { endpoint, format } => list(&endpoint.client()?, format).await?,
        Command::Release { digest, endpoint } => endpoint.client()?.release_quarantined(&digest).await?,
        Command::Delete { name, endpoint } => endpoint.client()?.delete_module(&name).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Uploads a file.
pub(crate) async fn push(client: &Client, name: &str, path: PathBuf) -> anyhow::Result<Module> {
    let file = tokio::fs::File::open(&path).await.with_context(|| format!("can't open {}", path.display()))?;
    let size = file.metadata().await?.len();
    let bar = output::bar(size, "uploading {bar:30} {bytes}/{total_bytes}");
    let chunks = unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(Bytes::from(chunk)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let progress = bar.clone();
    let module = client.put_module(name, Some(size), Box::pin(chunks), move |sent| progress.set_position(sent)).await;
    bar.finish_and_clear();
    Ok(module?)
}

/// Waits until a module is compiled, or refused.
pub(crate) async fn compiled(client: &Client, mut module: Module) -> anyhow::Result<Module> {
    let spinner = output::spinner(format!("compiling {}", module.name));
    while module.compile.state == CompileState::Compiling {
        tokio::time::sleep(PAUSE).await;
        module = client.module(&module.name).await?;
    }
    spinner.finish_and_clear();
    Ok(module)
}

fn show_pushed(module: &Module, format: Format) -> anyhow::Result<()> {
    if module.compile.state == CompileState::Refused {
        let reason = module.compile.reason.as_deref().unwrap_or("it is refused");
        output::complain(&format!("{} is stored but will not run: {reason}", module.name));
    }
    if format.json {
        return output::json(module);
    }
    output::line(&format!("{} {} {} bytes", module.name, module.digest, module.size))
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let (mut modules, mut token) = (Vec::new(), None);
    loop {
        let page = client.list_modules(token.as_deref()).await?;
        modules.extend(page.modules);
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    if format.json {
        return output::json(&modules);
    }
    let row = |module: &Module| {
        let kind = match module.compile.kind {
            Some(ModuleKind::Module) => "module",
            Some(ModuleKind::Component) => "component",
            None => "-",
        };
        let uploaded = output::time(Some(module.uploaded_at));
        vec![module.name.clone(), kind.to_owned(), module.size.to_string(), uploaded, module.digest.clone()]
    };
    output::table(&["NAME", "KIND", "BYTES", "UPLOADED", "DIGEST"], &modules.iter().map(row).collect::<Vec<_>>())
}
