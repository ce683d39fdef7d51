//! `wasmbatch images`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Subcommand;
use futures_util::stream::unfold;
use tokio::io::AsyncReadExt as _;
use wasmbatch_client::Client;
use wasmbatch_client::model::own::Image;

use crate::output::{self, Endpoint, Format};

/// Bytes handed to the connection at once.
const CHUNK: usize = 256 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load the images of an archive or an OCI layout; they stay until they are deleted
    Load {
        /// What `docker save` writes, a tar of an OCI layout, or the folder of one
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Name for an image that has none in there
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        endpoint: Endpoint,
        #[command(flatten)]
        format: Format,
    },
    /// List the images on the node's disk
    List {
        #[command(flatten)]
        endpoint: Endpoint,
        #[command(flatten)]
        format: Format,
    },
    /// Forget an image's name, and what is on disk of it with its last name
    Delete {
        /// Its name, or its digest
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        endpoint: Endpoint,
    },
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Load { path, name, endpoint, format } => {
            show(&load(&endpoint.client()?, &path, name.as_deref()).await?, format)?;
        }
        Command::List { endpoint, format } => show(&endpoint.client()?.list_images().await?.images, format)?,
        Command::Delete { name, endpoint } => endpoint.client()?.delete_image(&name).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn load(client: &Client, path: &Path, name: Option<&str>) -> anyhow::Result<Vec<Image>> {
    let wanted = path.to_owned();
    let shown = path.display().to_string();
    let archive =
        tokio::task::spawn_blocking(move || if wanted.is_dir() { pack(&wanted) } else { File::open(&wanted) });
    let archive = archive.await?.with_context(|| format!("can't read {shown}"))?;
    let bar = output::bar(archive.metadata()?.len(), "uploading {bar:30} {bytes}/{total_bytes}");
    let progress = bar.clone();
    let chunks = unfold(tokio::fs::File::from_std(archive), move |mut file| {
        let progress = progress.clone();
        async move {
            let mut chunk = vec![0; CHUNK];
            match file.read(&mut chunk).await {
                Ok(0) => None,
                Ok(length) => {
                    chunk.truncate(length);
                    progress.inc(length as u64);
                    Some((Ok(Bytes::from(chunk)), file))
                }
                Err(error) => Some((Err(error), file)),
            }
        }
    });
    let loaded = client.load_images(name, Box::pin(chunks)).await;
    bar.finish_and_clear();
    Ok(loaded?.images)
}

/// A tar of a layout's folder, in a file without a name.
fn pack(folder: &Path) -> std::io::Result<File> {
    let mut archive = tar::Builder::new(tempfile::tempfile()?);
    archive.follow_symlinks(false);
    archive.append_dir_all(".", folder)?;
    let mut file = archive.into_inner()?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}

fn show(images: &[Image], format: Format) -> anyhow::Result<()> {
    if format.json {
        return output::json(&images);
    }
    let row = |image: &Image| {
        let kept = if image.loaded { "loaded" } else { "pulled" };
        let used = output::time(Some(image.used_at));
        vec![image.name.clone(), kept.to_owned(), image.size_bytes.to_string(), used, image.digest.clone()]
    };
    output::table(&["NAME", "KEPT", "BYTES", "USED", "DIGEST"], &images.iter().map(row).collect::<Vec<_>>())
}
