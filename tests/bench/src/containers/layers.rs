//! A large image: taken in, pulled, and mounted, beside the tools that do the same without walls.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use wasmbatch_container::image::{Image, ImageStore, Options, Resolved};
use wasmbatch_executor::Images as _;
use wasmbatch_jail::IdMap;
use wasmbatch_jail::mounts::{self, Overlay, OwnerShift};

use super::archive::{LARGE_BYTES, Made, digest};
use super::registry::{self, REPOSITORY};
use super::{Series, UNPACK_FLAG};

/// Makes this process one that mounts a layer, in a mount namespace of its own.
pub(super) const MOUNT_FLAG: &str = "--mount";
const ROUNDS: usize = 5;
const MOUNTS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(120);
/// Of an image's files, and of a container's.
const USERS: (u32, u32) = (1_900_065_536, 2_000_000_000);

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    compressed: usize,
    tar: Series,
    load: Series,
    pull: Series,
    download: Series,
    remove: Series,
    mount: Series,
    unmount: Series,
    copy: Series,
    copy_removed: Series,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (LARGE_BYTES / 1_000_000, self.compressed / 1_000_000);
        writeln!(f, "image of {whole} MB in 4,600 files, one layer of {part} MB (gzip)")?;
        writeln!(f, "  tar xz                          {}", self.tar)?;
        writeln!(f, "  taken in from an archive        {}  {:.2}x of tar xz", self.load, self.load.of(&self.tar))?;
        writeln!(f, "  pulled from a registry          {}  {:.2}x of tar xz", self.pull, self.pull.of(&self.tar))?;
        writeln!(f, "    of it download and digest     {}", self.download)?;
        writeln!(f, "  removed                         {}", self.remove)?;
        writeln!(f, "  cp -a of it unpacked            {}  rm -r {}", self.copy, self.copy_removed)?;
        write!(
            f,
            "  mounted as a container's root   {}  {:.0}x faster than cp -a; taken off {}",
            self.mount,
            self.copy.of(&self.mount),
            self.unmount
        )
    }
}

/// Measures all of it below `home`.
pub(crate) fn measure(home: &Path) -> Result<Figures> {
    let image = Made::of_many_files()?;
    let host = registry::serve(&image)?;
    let (layer, archive) = (home.join("layer.tar.gz"), home.join("image.tar"));
    std::fs::write(&layer, &image.layer)?;
    std::fs::write(&archive, image.archive()?)?;
    let mut options = Options::new(home.to_owned(), vec![std::env::current_exe()?.into(), UNPACK_FLAG.into()]);
    options.plain_http_registries = vec![host.clone()];
    let store = ImageStore::open(options)?;
    let name = format!("{host}/{REPOSITORY}:latest");
    let [mut tar, mut load, mut pull, mut download, mut remove] = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        tar.push(unpack(&layer, &home.join("unpacked"))?);
        load.push(timed(|| load_into(&store, &archive))?);
        remove.push(timed(|| forget(&store, "large"))?);
        download.push(fetch(&host, &image)?);
        pull.push(timed(|| resolve(&store, &name).map(drop))?);
        forget(&store, &name)?;
    }
    load_into(&store, &archive)?;
    let held = resolve(&store, "large")?;
    let folder = held.layers.first().context("an image has a layer")?;
    let [mut copy, mut copy_removed] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let to = home.join("copy");
        copy.push(timed(|| tool("cp", &["-a".into(), folder.into(), to.clone().into()]))?);
        copy_removed.push(timed(|| tool("rm", &["-r".into(), to.clone().into()]))?);
    }
    let (mount, unmount) = mounting(folder, home)?;
    Ok(Figures {
        compressed: image.layer.len(),
        tar: tar.into(),
        load: load.into(),
        pull: pull.into(),
        download: download.into(),
        remove: remove.into(),
        mount,
        unmount,
        copy: copy.into(),
        copy_removed: copy_removed.into(),
    })
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "the tools are what it is compared with")]
fn tool(program: &str, arguments: &[OsString]) -> Result<()> {
    ensure!(Command::new(program).args(arguments).status()?.success(), "{program} failed");
    Ok(())
}

fn unpack(layer: &Path, to: &Path) -> Result<Duration> {
    std::fs::create_dir(to)?;
    let time = timed(|| tool("tar", &["xzf".into(), layer.into(), "-C".into(), to.into()]))?;
    std::fs::remove_dir_all(to)?;
    Ok(time)
}

fn resolve(store: &ImageStore, name: &str) -> Result<Arc<Image>> {
    let (sender, receiver) = sync_channel(1);
    let _ticket = store.resolve(name, Box::new(move |resolved| drop(sender.send(resolved))));
    match receiver.recv_timeout(PATIENCE)?? {
        Resolved::Image(image) => Ok(image),
        Resolved::Module(_) => bail!("{name} is a module"),
    }
}

fn load_into(store: &ImageStore, archive: &Path) -> Result<()> {
    store.load(File::open(archive)?, Some("large"))?;
    Ok(())
}

fn forget(store: &ImageStore, name: &str) -> Result<()> {
    ensure!(store.remove(name)?, "there is no image {name}");
    Ok(())
}

/// A client of few lines: what no pull is without.
fn fetch(host: &str, image: &Made) -> Result<Duration> {
    let expected = digest(&image.layer);
    let begun = Instant::now();
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /v2/{REPOSITORY}/blobs/{expected} HTTP/1.1\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").context("no answer")?;
    ensure!(digest(&answer[head + 4..]) == expected, "it is another layer");
    Ok(begun.elapsed())
}

/// Mounts a layer many times in a process of its own: how long that took, and to take it off.
#[expect(clippy::disallowed_methods, reason = "it has to have one thread")]
fn mounting(layer: &Path, home: &Path) -> Result<(Series, Series)> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(MOUNT_FLAG).arg(layer).arg(home).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "mounting failed");
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for line in String::from_utf8(output.stdout)?.lines() {
        let (one, other) = line.split_once(' ').context("two numbers")?;
        on.push(Duration::from_nanos(one.parse()?));
        off.push(Duration::from_nanos(other.parse()?));
    }
    Ok((on.into(), off.into()))
}

/// The process's side of [`mounting`]. What changes go to is a folder, not a disk of its own.
///
/// # Errors
/// Something can't be mounted.
#[expect(clippy::print_stdout, reason = "the bench reads it")]
pub(super) fn mount(layer: &Path, home: &Path) -> Result<()> {
    mounts::leave_mount_namespace()?;
    let site = home.join("site");
    std::fs::create_dir(&site)?;
    std::env::set_current_dir(&site)?;
    for _ in 0..MOUNTS {
        for folder in ["layer", "up", "work", "root"] {
            std::fs::create_dir(folder)?;
        }
        let begun = Instant::now();
        let shift = OwnerShift::new(IdMap { inside: USERS.0, outside: USERS.1, count: 65_536 })?;
        mounts::attach(mounts::shifted(layer, &shift)?, Path::new("layer"))?;
        let parts = Overlay { lower: &["layer".to_owned()], upper: "up", work: "work" };
        mounts::overlay(&parts, Path::new("root"))?;
        let on = begun.elapsed();
        ensure!(std::fs::read_dir("root")?.count() > 200, "the layer isn't there");
        let begun = Instant::now();
        mounts::detach(Path::new("root"))?;
        mounts::detach(Path::new("layer"))?;
        println!("{} {}", on.as_nanos(), begun.elapsed().as_nanos());
        std::env::set_current_dir(home)?;
        std::fs::remove_dir_all(&site)?;
        std::fs::create_dir(&site)?;
        std::env::set_current_dir(&site)?;
    }
    Ok(())
}
