//! `wasmbatch demo`: a node in a temporary folder renders a picture, a child of an array for each tile.

use std::fs::File;
use std::io::BufWriter;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use wasmbatch_client::Client;
use wasmbatch_client::model::definition::{
    ContainerProperties, Host, MountPoint, RegisterJobDefinitionRequest, ResourceRequirement, Volume,
};
use wasmbatch_client::model::job::{
    ArrayProperties, ContainerOverrides, DescribeJobsRequest, JobDetail, SubmitJobRequest,
};
use wasmbatch_executor::NetworkAccess;

use crate::node::{Options, RunningNode, WorkerOptions};
use crate::{config, containers, modules, output, submit};

/// Built from `guest-examples/mandelbrot`; committed, so that the demo needs a Rust toolchain and
/// nothing else.
const RENDERER: &[u8] = include_bytes!("../../../guest-examples/prebuilt/mandelbrot.wasm");
const TILE: u32 = 160;
/// Between two looks at how many tiles are done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to leave the picture
    #[arg(long, value_name = "FILE", default_value = "wasmbatch-demo.png")]
    output: PathBuf,
    /// Its width, pixels
    #[arg(long, value_name = "N", default_value_t = 1280, value_parser = clap::value_parser!(u32).range(160..=16_384))]
    width: u32,
    /// Its height, pixels
    #[arg(long, value_name = "N", default_value_t = 800, value_parser = clap::value_parser!(u32).range(160..=16_384))]
    height: u32,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("can't make a temporary folder")?;
    // The tiles' folder is named in the jobs: its one true path.
    let base = folder.path().canonicalize()?;
    let tiles = base.join("tiles");
    std::fs::create_dir(&tiles)?;
    let node = RunningNode::start(Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        data_dir: base.join("data"),
        allow_mount: vec![tiles.clone()],
        job_network: NetworkAccess::None,
        workers: WorkerOptions::default(),
        containers: containers::ContainerArguments::defaults(),
        vcpus: config::machine_vcpus(),
        memory_mib: config::machine_memory_mib()?,
        region: "us-east-1".to_owned(),
        account_id: "000000000000".to_owned(),
        keep_finished: Duration::from_secs(24 * 3600),
    })
    .await?;
    let rendered = render(&node, &base, &tiles, &arguments).await;
    node.stop(Duration::ZERO).await?;
    rendered?;
    hints(&arguments.output)?;
    Ok(ExitCode::SUCCESS)
}

async fn render(node: &RunningNode, base: &Path, tiles: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let client = Client::new(&node.endpoint())?;
    output::line(&format!("a node listens on {}", node.endpoint()))?;
    let file = base.join("mandelbrot.wasm");
    std::fs::write(&file, RENDERER)?;
    let module = modules::push(&client, "mandelbrot:1", file).await?;
    let module = modules::compiled(&client, module).await?;
    output::line(&format!("pushed {} ({} bytes)", module.name, module.size))?;
    client.register_job_definition(&definition(tiles)).await?;

    let begun = Instant::now();
    let places = places(arguments.width, arguments.height);
    let tiles_count = u32::try_from(places.len())?;
    let job = client.submit_job(&picture_job(tiles_count, arguments)).await?.job_id;
    output::line(&format!("submitted an array job of {tiles_count} tiles, {job}"))?;
    let bar = output::bar(u64::from(tiles_count), "rendering {bar:40} {pos}/{len} tiles {elapsed}");
    let detail = rendered(&client, &job, &bar).await?;
    if detail.status != "SUCCEEDED" {
        bail!("the picture failed: {}", submit::verdict(&detail));
    }
    bar.finish_and_clear();
    let took = begun.elapsed();
    write_picture(arguments, &places, tiles)?;
    output::line(&format!("{tiles_count} tiles SUCCEEDED in {:.2} s", took.as_secs_f64()))?;
    output::line(&format!("the picture is {}", arguments.output.display()))
}

/// The array when it has ended; the bar follows its summary.
async fn rendered(client: &Client, job: &str, bar: &indicatif::ProgressBar) -> anyhow::Result<JobDetail> {
    loop {
        let request = DescribeJobsRequest { jobs: Some(vec![job.to_owned()]) };
        let detail = client.describe_jobs(&request).await?.jobs.pop().context("the job is gone")?;
        let summary = detail.array_properties.as_ref().and_then(|array| array.status_summary.as_ref());
        let count = |status: &str| summary.and_then(|summary| summary.get(status)).copied().unwrap_or(0);
        bar.set_position(u64::from(count("SUCCEEDED") + count("FAILED")));
        if matches!(detail.status.as_str(), "SUCCEEDED" | "FAILED") {
            return Ok(detail);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn definition(tiles: &Path) -> RegisterJobDefinitionRequest {
    let requirement =
        |kind: &str, value: &str| ResourceRequirement { kind: Some(kind.to_owned()), value: Some(value.to_owned()) };
    let volume = Volume {
        name: Some("tiles".to_owned()),
        host: Some(Host { source_path: Some(tiles.display().to_string()) }),
        ..Volume::default()
    };
    let mount = MountPoint {
        source_volume: Some("tiles".to_owned()),
        container_path: Some("/tiles".to_owned()),
        read_only: None,
    };
    let container = ContainerProperties {
        image: Some("mandelbrot:1".to_owned()),
        resource_requirements: Some(vec![requirement("VCPU", "1"), requirement("MEMORY", "64")]),
        volumes: Some(vec![volume]),
        mount_points: Some(vec![mount]),
        ..ContainerProperties::default()
    };
    RegisterJobDefinitionRequest {
        job_definition_name: Some("render".to_owned()),
        kind: Some("container".to_owned()),
        container_properties: Some(container),
        ..RegisterJobDefinitionRequest::default()
    }
}

/// Left upper corners of the tiles.
fn places(width: u32, height: u32) -> Vec<(u32, u32)> {
    let step = usize::try_from(TILE).expect("a small number");
    (0..height).step_by(step).flat_map(|y| (0..width).step_by(step).map(move |x| (x, y))).collect()
}

fn tile_name(index: usize) -> String {
    format!("tile-{index:04}.ppm")
}

/// One job for the whole picture; an array has two children at least.
fn picture_job(tiles: u32, arguments: &Arguments) -> SubmitJobRequest {
    let numbers =
        [("--width", arguments.width), ("--height", arguments.height), ("--tile-width", TILE), ("--tile-height", TILE)];
    let mut command: Vec<String> =
        numbers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect();
    let size = i32::try_from(tiles).ok().filter(|size| *size >= 2);
    let file = if size.is_some() { "tile-INDEX.ppm".to_owned() } else { tile_name(0) };
    command.extend(["--out".to_owned(), format!("/tiles/{file}")]);
    SubmitJobRequest {
        job_name: Some("picture".to_owned()),
        job_queue: Some("default".to_owned()),
        job_definition: Some("render".to_owned()),
        array_properties: size.map(|size| ArrayProperties { size: Some(size) }),
        container_overrides: Some(ContainerOverrides { command: Some(command), ..ContainerOverrides::default() }),
        ..SubmitJobRequest::default()
    }
}

/// Puts the tiles together.
fn write_picture(arguments: &Arguments, places: &[(u32, u32)], tiles: &Path) -> anyhow::Result<()> {
    let (width, height) = (usize::try_from(arguments.width)?, usize::try_from(arguments.height)?);
    let mut picture = vec![0; width * height * 3];
    for (index, (x, y)) in places.iter().enumerate() {
        let bytes = std::fs::read(tiles.join(tile_name(index)))?;
        let (tile_width, pixels) = pixels(&bytes).with_context(|| format!("{} is no tile", tile_name(index)))?;
        for (row, line) in pixels.chunks_exact(tile_width * 3).enumerate() {
            let at = ((usize::try_from(*y)? + row) * width + usize::try_from(*x)?) * 3;
            let place = picture.get_mut(at..at + line.len()).context("a tile is larger than its place")?;
            place.copy_from_slice(line);
        }
    }
    let file =
        File::create(&arguments.output).with_context(|| format!("can't write {}", arguments.output.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), arguments.width, arguments.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture)?;
    writer.finish()?;
    Ok(())
}

/// Width and pixels of a binary PPM with one line break between the parts of its header.
fn pixels(bytes: &[u8]) -> anyhow::Result<(usize, &[u8])> {
    let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
    let (Some(b"P6"), Some(size), Some(b"255"), Some(pixels)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        bail!("not a binary PPM");
    };
    let size = std::str::from_utf8(size)?;
    let (width, height) = size.split_once(' ').context("no size")?;
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    ensure!(width > 0 && pixels.len() == width * height * 3, "cut off");
    Ok((width, pixels))
}

fn hints(picture: &Path) -> anyhow::Result<()> {
    let name = picture.file_name().unwrap_or_default().to_string_lossy();
    let text = format!(
        "
The same with an unmodified AWS CLI, on a node of your own:

  wasmbatch serve --allow-mount \"$PWD\" &
  wasmbatch modules push mandelbrot:1 guest-examples/prebuilt/mandelbrot.wasm
  eval \"$(wasmbatch env)\"
  aws batch register-job-definition --job-definition-name render --type container --container-properties \\
    '{{\"image\":\"mandelbrot:1\",\"resourceRequirements\":[{{\"type\":\"VCPU\",\"value\":\"1\"}},{{\"type\":\"MEMORY\",\"value\":\"64\"}}],
      \"volumes\":[{{\"name\":\"out\",\"host\":{{\"sourcePath\":\"'\"$PWD\"'\"}}}}],\"mountPoints\":[{{\"sourceVolume\":\"out\",\"containerPath\":\"/out\"}}]}}'
  aws batch submit-job --job-name picture --job-queue default --job-definition render --array-properties size=4 \\
    --container-overrides '{{\"command\":[\"--width\",\"640\",\"--height\",\"400\",\"--tile-width\",\"320\",\"--tile-height\",\"200\",\"--out\",\"/out/tile-INDEX.ppm\"]}}'
  aws batch describe-jobs --jobs JOB_ID JOB_ID:0
  aws batch list-jobs --array-job-id JOB_ID --job-status SUCCEEDED
  aws logs get-log-events --log-group-name /aws/batch/job --log-stream-name render/default/JOB_ID_0

Now look at {name}."
    );
    output::line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_picture() {
        assert_eq!(places(320, 160), [(0, 0), (160, 0)]);
        assert_eq!(places(321, 161).len(), 6);
    }

    #[test]
    fn a_tile_is_read_or_refused() {
        let (width, rest) = pixels(b"P6\n2 1\n255\n\n23456").unwrap();
        assert_eq!((width, rest), (2, b"\n23456".as_slice()));
        for bad in
            [b"P5\n2 1\n255\n123456".as_slice(), b"P6\n2 1\n255\n12345", b"P6\n0 0\n255\n", b"", b"P6\n2\n255\n1"]
        {
            assert!(pixels(bad).is_err());
        }
    }
}
