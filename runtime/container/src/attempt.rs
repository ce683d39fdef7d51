//! One attempt in a container: begun, followed, ended, and found again by the next process.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wasmbatch_core::{AttemptEvent, AttemptId, Digest, Ending, Usage};
use wasmbatch_executor::{AttemptSpec, MountSource, OUT_OF_MEMORY, Survivor, cpu_time_exceeded};
use wasmbatch_jail::UserMap;
use wasmbatch_jail::counters::ContainerGroup;

use crate::executor::Shared;
use crate::folder::{Cause, ContainerFolder, End, Order, Status, Used, Users, Word};
use crate::image::Image;
use crate::leases::{Given, LentDisk, Range};
use crate::runtime::{Runtime, wait_readable};
use crate::spool;

const KILLED: u8 = 137;
/// How long a container that nobody wants may take to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a shim that has said its last word may take to end.
const SHIM_PATIENCE: Duration = Duration::from_secs(10);

/// The pipe to a shim.
#[derive(Debug)]
pub(crate) struct Conversation(File);

impl Conversation {
    fn open(folder: &ContainerFolder) -> io::Result<Self> {
        ContainerFolder::open_pipe(&folder.words()).map(Self)
    }

    /// Asks the container to stop.
    pub(crate) fn stop(&self) {
        self.say(Word::Stop);
    }

    /// A shim that is gone hears nothing, and one that has not read 64 KiB is none.
    fn say(&self, word: Word) {
        let _ = rustix::io::write(&self.0, &[word.byte()]);
    }
}

/// What an attempt holds for as long as its container is there.
#[derive(Debug, Default)]
pub(crate) struct Held {
    range: Option<Range>,
    gpus: Option<Given>,
    disk: Option<LentDisk>,
    image: Option<Arc<Image>>,
}

impl Held {
    /// What a container of an earlier process holds.
    pub(crate) fn again(shared: &Shared, order: &Order) -> Self {
        let range = match (order.users, &shared.ranges) {
            (Users::Range { first, .. }, Some(ranges)) => ranges.take(first),
            (Users::Range { .. } | Users::Host { .. } | Users::Inner { .. }, _) => None,
        };
        Self {
            range,
            gpus: Some(shared.gpus.take(&order.gpus)),
            disk: None,
            image: shared.images.lease(&order.image_digest()),
        }
    }
}

/// Why an attempt gets no container.
struct Unstartable(String);

impl From<io::Error> for Unstartable {
    fn from(error: io::Error) -> Self {
        Self(format!("ResourceInitializationError: the container cannot be made: {error}"))
    }
}

/// Runs an attempt from its beginning to its end, or until this process ends.
pub(crate) fn serve(shared: &Arc<Shared>, spec: AttemptSpec, image: Arc<Image>) {
    let attempt = spec.attempt;
    if shared.is_stopped(attempt) {
        return shared.finish(attempt, Ending::Stopped, None);
    }
    let mut held = Held { image: Some(Arc::clone(&image)), ..Held::default() };
    match begin(shared, spec, &image, &mut held) {
        Ok((folder, shim)) => follow(shared, &folder, attempt, held, Shim::Child(shim), 0),
        Err(Unstartable(reason)) => {
            drop(held);
            shared.could_not_start(attempt, &reason);
        }
    }
}

/// Follows a container of an earlier process. `recorded` of its lines are known already.
pub(crate) fn adopt(shared: &Arc<Shared>, folder: &ContainerFolder, attempt: AttemptId, held: Held, recorded: u64) {
    match find_shim(folder) {
        Ok(shim) => follow(shared, folder, attempt, held, shim, recorded),
        Err(error) => {
            tracing::error!(%attempt, %error, "a container can't be followed");
            destroy(shared, folder);
            drop(held);
            shared.finish(attempt, Ending::Lost, None);
        }
    }
}

fn begin(
    shared: &Shared,
    spec: AttemptSpec,
    image: &Image,
    held: &mut Held,
) -> Result<(ContainerFolder, Child), Unstartable> {
    let options = &shared.options;
    let runtime = options.runtime.as_ref();
    let runtime = runtime.map_err(|why| Unstartable(format!("CannotStartContainerError: {why}")))?;
    refuse(shared, &spec)?;
    let images = options.images.image_uid_base;
    let users = match &shared.ranges {
        Some(_) if spec.container.privileged => Users::Host { images },
        Some(ranges) => {
            let none = || Unstartable("ResourceInitializationError: too many containers on this node".to_owned());
            Users::Range { first: held.range.insert(ranges.lease().ok_or_else(none)?).first(), images }
        }
        None => Users::Inner { count: UserMap::of_this_host(0).count() },
    };
    let gpus = usize::try_from(spec.container.gpus).unwrap_or(usize::MAX);
    if gpus > 0 {
        let none = || Unstartable("ResourceInitializationError: no GPU is free".to_owned());
        held.gpus = Some(shared.gpus.lease(gpus).ok_or_else(none)?);
    }
    if let Ok(disks) = &shared.disks
        && (!spec.read_only_root || spec.mounts.iter().any(|mount| matches!(mount.source, MountSource::Empty)))
    {
        held.disk = Some(disks.lend(spec.scratch.bytes, spec.scratch.inodes)?);
    }
    let name = ContainerFolder::name_of(spec.attempt);
    let group = ContainerGroup::of(&name);
    let order = Order {
        image: *image.digest.as_bytes(),
        config: image.config.clone(),
        layers: image.layers.clone(),
        users,
        disk: held.disk.as_ref().map(|disk| disk.path().to_owned()),
        runtime: runtime.program.clone(),
        group: (group.memory.is_some() || group.cpu.is_some()).then(|| group.into()),
        allowed: options.allowed_mounts.clone(),
        gpus: held.gpus.as_ref().map(|given| given.names.clone()).unwrap_or_default(),
        device_folders: options.device_folders.clone(),
        most_processes: options.most_processes,
        spec,
    };
    let folder = ContainerFolder::create(&shared.folder, &order)?;
    let device = held.disk.as_ref().map(LentDisk::device).transpose();
    match device.and_then(|device| begin_shim(&options.shim_command, &folder, device)) {
        Ok(child) => Ok((folder, child)),
        Err(error) => {
            remove(shared, &folder);
            Err(error.into())
        }
    }
}

/// What the job asks for and this node's owner doesn't allow, or no container has.
fn refuse(shared: &Shared, spec: &AttemptSpec) -> Result<(), Unstartable> {
    let options = &shared.options;
    let refused = |what: &str| Err(Unstartable(format!("ResourceInitializationError: {what}")));
    if spec.fuel.is_some() {
        return refused("FUEL is counted of WebAssembly only and this image is none");
    }
    if spec.deterministic {
        return refused("wasmbatch:deterministic is possible for WebAssembly only and this image is none");
    }
    if spec.container.privileged && !options.allow_privileged {
        return refused("privileged is not allowed on this node");
    }
    if spec.container.privileged && shared.ranges.is_none() {
        return refused("privileged is not possible on a node that is not root");
    }
    let allowed = |path: &str| options.allowed_devices.iter().any(|allowed| allowed == Path::new(path));
    if let Some(device) = spec.container.devices.iter().find(|device| !allowed(&device.host_path)) {
        return refused(&format!("device {} is not allowed on this node", device.host_path));
    }
    if options.require_limits {
        let group = ContainerGroup::of("");
        if group.memory.is_none() || group.cpu.is_none() || group.processes.is_none() {
            return refused("memory, CPU and processes of containers cannot be bounded on this node");
        }
        if let Err(why) = &shared.disks {
            return refused(&format!("what containers write cannot be bounded on this node: {why}"));
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a shim outlives this process, which none of the jail's does")]
fn begin_shim(command: &[std::ffi::OsString], folder: &ContainerFolder, device: Option<OwnedFd>) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // The shim reads nothing from it. It holds the disk, which would be another's if this process ended
    // before the shim has mounted it.
    let stdin = device.map_or_else(Stdio::null, Stdio::from);
    Command::new(program)
        .args(arguments)
        .arg(folder.path())
        .env_clear()
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(File::create(folder.shim_log())?)
        // What ends this process by its terminal doesn't end it.
        .process_group(0)
        .spawn()
}

/// The process beside a container.
enum Shim {
    /// Begun by this process.
    Child(Child),
    /// Begun by an earlier one.
    Alive(OwnedFd),
    /// Gone.
    Ended,
}

/// The shim of a container that an earlier process began.
fn find_shim(folder: &ContainerFolder) -> io::Result<Shim> {
    if folder.take_lock()?.is_some() {
        return Ok(Shim::Ended);
    }
    let number = fs::read_to_string(folder.lock())?;
    let process = number.trim().parse().ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let pidfd = match pidfd_open(process, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(Shim::Ended),
        opened => opened?,
    };
    // While it holds the lock it lives, and so its number was nobody else's when it was opened.
    Ok(if folder.take_lock()?.is_some() { Shim::Ended } else { Shim::Alive(pidfd) })
}

impl Shim {
    fn pidfd(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            Self::Child(child) => Ok(Some(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)),
            Self::Alive(pidfd) => Ok(Some(rustix::io::fcntl_dupfd_cloexec(pidfd, 3)?)),
            Self::Ended => Ok(None),
        }
    }
}

/// How following a container ended.
enum Outcome {
    Ended(Status),
    /// The shim is gone and has not told the end.
    Abandoned,
    /// This process ends first.
    Left,
}

fn follow(shared: &Arc<Shared>, folder: &ContainerFolder, attempt: AttemptId, held: Held, shim: Shim, recorded: u64) {
    let was_gone = matches!(shim, Shim::Ended);
    let outcome = Following::new(shared, folder, attempt, &shim, recorded).and_then(Following::run);
    let outcome = outcome.unwrap_or_else(|error| {
        tracing::error!(%attempt, %error, "a container can't be followed");
        Outcome::Abandoned
    });
    let Held { range, gpus, disk, image } = held;
    match outcome {
        Outcome::Left => shared.leave(attempt),
        Outcome::Ended(status) => {
            reap(shim);
            if let (Some(disk), true, Ok(disks)) = (disk, status.disk_is_clean, &shared.disks) {
                disks.give_back(disk);
            }
            note_shim(folder, attempt);
            let cpu_limit = folder.order().ok().and_then(|order| order.spec.cpu_limit);
            drop((range, gpus, image));
            let (ending, usage) = ending(status, cpu_limit.unwrap_or_default());
            // Until then it is all that knows of the end.
            if shared.finish_for_good(attempt, ending, usage) {
                remove(shared, folder);
            }
        }
        Outcome::Abandoned => {
            destroy(shared, folder);
            reap(shim);
            drop((range, gpus, disk, image));
            // Node and shim went down together.
            let ending = if was_gone {
                Ending::Lost
            } else {
                let reason = "ContainerRuntimeError: the shim of the container was killed".to_owned();
                Ending::Failed { exit_code: KILLED, reason }
            };
            shared.finish(attempt, ending, None);
        }
    }
}

fn reap(shim: Shim) {
    match shim {
        Shim::Child(mut child) => {
            if let Ok(pidfd) = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
                && !wait_readable(&pidfd, SHIM_PATIENCE)
            {
                // It has told the end: nothing of it is needed any more.
                let _ = child.kill();
            }
            // Reaping a child of ours can't fail.
            let _ = child.wait();
        }
        Shim::Alive(pidfd) => {
            if !wait_readable(&pidfd, SHIM_PATIENCE) {
                let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            }
        }
        Shim::Ended => {}
    }
}

/// What the shim wrote to its stderr is the node's business.
fn note_shim(folder: &ContainerFolder, attempt: AttemptId) {
    let text = fs::read(folder.shim_log()).unwrap_or_default();
    if !text.is_empty() {
        let text: String = String::from_utf8_lossy(&text).chars().filter(|c| !c.is_control()).take(1000).collect();
        tracing::warn!(%attempt, "a shim says: {text}");
    }
}

/// One container, followed.
struct Following<'a> {
    shared: &'a Shared,
    folder: &'a ContainerFolder,
    attempt: AttemptId,
    events: File,
    words: Conversation,
    reader: spool::Reader,
    shim: Option<OwnedFd>,
    image_digest: Option<Digest>,
    started: bool,
}

impl<'a> Following<'a> {
    fn new(
        shared: &'a Shared,
        folder: &'a ContainerFolder,
        attempt: AttemptId,
        shim: &Shim,
        recorded: u64,
    ) -> io::Result<Self> {
        let consumed = File::options().read(true).write(true).create(true).truncate(false).open(folder.consumed())?;
        let output = File::options().read(true).write(true).open(folder.output())?;
        shared.begun(attempt, Conversation::open(folder)?);
        Ok(Self {
            shared,
            folder,
            attempt,
            events: ContainerFolder::open_pipe(&folder.events())?,
            words: Conversation::open(folder)?,
            reader: spool::Reader::new(output, consumed, recorded),
            shim: shim.pidfd()?,
            image_digest: Some(folder.order()?.image_digest()),
            started: false,
        })
    }

    fn run(mut self) -> io::Result<Outcome> {
        loop {
            let shim_ended = self.shim.as_ref().is_none_or(|shim| wait_readable(shim, Duration::ZERO));
            if let Some(status) = self.look()? {
                return Ok(Outcome::Ended(status));
            }
            if shim_ended {
                return Ok(Outcome::Abandoned);
            }
            if self.wait()? {
                return Ok(Outcome::Left);
            }
        }
    }

    /// Tells what is new; the status once it is the last.
    fn look(&mut self) -> io::Result<Option<Status>> {
        let status = self.folder.status()?;
        if !self.started && status.as_ref().is_some_and(|status| status.started_at.is_some()) {
            self.started = true;
            self.shared.report(self.attempt, AttemptEvent::Started { image_digest: self.image_digest });
        }
        let (shared, attempt) = (self.shared, self.attempt);
        if self.reader.take(|stream, bytes| shared.sink.output(attempt, stream, bytes))? {
            self.words.say(Word::Consumed);
        }
        Ok(status.filter(|status| status.end.is_some()))
    }

    /// Waits for something new; whether this process ends.
    fn wait(&self) -> io::Result<bool> {
        let mut watched =
            vec![PollFd::new(&self.shared.closing, PollFlags::IN), PollFd::new(&self.events, PollFlags::IN)];
        watched.extend(self.shim.iter().map(|shim| PollFd::new(shim, PollFlags::IN)));
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let closing = !watched[0].revents().is_empty();
        if !watched[1].revents().is_empty() {
            let mut bytes = [0; 4096];
            // Whoever reads them all at once has heard them all.
            let _ = rustix::io::read(&self.events, &mut bytes);
        }
        Ok(closing)
    }
}

fn ending(status: Status, cpu_limit: Duration) -> (Ending, Option<Usage>) {
    let Some(end) = status.end else { return (Ending::Lost, None) };
    let (exit_code, cause, memory_kills, stopped, used) = match end {
        End::NotStarted { reason } => {
            return (Ending::CouldNotStart { reason: wasmbatch_executor::matchable(&reason) }, None);
        }
        End::Failed { reason } => {
            let reason = wasmbatch_executor::matchable(&reason);
            return (Ending::Failed { exit_code: KILLED, reason }, None);
        }
        End::Ended { exit_code, cause, memory_kills, stopped, usage } => {
            (exit_code, cause, memory_kills, stopped, usage)
        }
    };
    let Used { cpu_microseconds, peak_memory_bytes, read_bytes, written_bytes } = used;
    let usage = Usage { cpu_microseconds, peak_memory_bytes, fuel: None, read_bytes, written_bytes };
    let ending = match cause {
        _ if stopped => Ending::Complied { exit_code },
        Cause::CpuTime => {
            let reason = cpu_time_exceeded(cpu_limit);
            Ending::Failed { exit_code: KILLED, reason }
        }
        Cause::Own if memory_kills > 0 && exit_code != 0 => {
            Ending::Failed { exit_code, reason: OUT_OF_MEMORY.to_owned() }
        }
        Cause::Own => Ending::Exited { exit_code, reason: None },
    };
    (ending, Some(usage))
}

/// The folders of all containers.
pub(crate) fn folders(containers: &Path) -> Vec<ContainerFolder> {
    let entries = fs::read_dir(containers).into_iter().flatten().flatten();
    entries.map(|entry| ContainerFolder::at(entry.path())).collect()
}

/// Attempts whose container runs, or has ended and nobody told of it.
pub(crate) fn survivors(containers: &Path) -> Vec<Survivor> {
    let survivor = |folder: ContainerFolder| {
        let order = folder.order().ok()?;
        let alive = matches!(find_shim(&folder).ok()?, Shim::Alive(_));
        let status = folder.status().ok()?;
        let ended = status.as_ref().is_some_and(|status| status.end.is_some());
        let started_at = status.and_then(|status| status.started_at);
        (alive || ended).then_some(Survivor { attempt: order.spec.attempt, started_at })
    };
    folders(containers).into_iter().filter_map(survivor).collect()
}

/// Ends a container in whatever state it is, and removes all that is left of it.
pub(crate) fn destroy(shared: &Shared, folder: &ContainerFolder) {
    let shim = find_shim(folder).unwrap_or(Shim::Ended);
    if let (Shim::Alive(pidfd), Ok(words)) = (&shim, Conversation::open(folder)) {
        words.say(Word::Kill);
        if !wait_readable(pidfd, PATIENCE) {
            let _ = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
            wait_readable(pidfd, SHIM_PATIENCE);
        }
    }
    // The shim may have told no more than that it began; what it made goes by its description.
    if let Ok(order) = folder.order() {
        let group = order.group.clone().map(ContainerGroup::from);
        let until = Instant::now() + PATIENCE;
        while let Some(group) = group.as_ref().filter(|group| !group.is_deserted())
            && Instant::now() < until
        {
            group.kill();
            std::thread::sleep(Duration::from_millis(5));
        }
        let known = folder.path().join("runtime");
        if known.exists() {
            let runtime = Runtime { program: &order.runtime, folder: &known };
            if let Err(error) = runtime.delete(&folder.name()) {
                tracing::warn!(container = folder.name(), %error, "a container can't be removed by its runtime");
            }
        }
        if let Some(group) = group
            && !group.remove()
        {
            tracing::warn!(container = folder.name(), "the cgroup of a container can't be removed");
        }
    }
    remove(shared, folder);
}

/// Removes a container's folder. What can't be removed now the next start removes.
fn remove(shared: &Shared, folder: &ContainerFolder) {
    let by_shim = |error: io::Error| {
        if error.kind() != io::ErrorKind::PermissionDenied || shared.ranges.is_some() {
            return Err(error);
        }
        folder.give_up()?;
        begin_shim(&shared.options.shim_command, folder, None)?.wait()?;
        folder.remove()
    };
    if let Err(error) = folder.remove().or_else(by_shim) {
        tracing::warn!(folder = %folder.path().display(), %error, "a container's folder can't be removed");
    }
}
