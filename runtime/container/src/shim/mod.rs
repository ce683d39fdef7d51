//! The process beside each container: it outlives the node, keeps the container's pipes and exit code,
//! and removes what it left.

mod rootfs;
mod watch;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use rustix::pipe::{PipeFlags, pipe_with};
use wasmbatch_executor::MountSource;
use wasmbatch_jail::counters::ContainerGroup;
use wasmbatch_jail::mounts::leave_mount_namespace;
use wasmbatch_jail::{UserMap, namespace};

use crate::cdi::{Edits, Registry};
use crate::folder::{ContainerFolder, End, Order, Status, Users};
use crate::oci::{self, BindMount, Identity, Limits, Plan, Starter, user};
use crate::runtime::Runtime;
use crate::spool;
use rootfs::{Rootfs, Unmountable};
use watch::Watched;

/// Serves one container, whose folder this is, from beginning to end.
pub fn shim_main(folder: &Path) -> ExitCode {
    let folder = ContainerFolder::at(folder.to_owned());
    match serve(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It ends up in the shim's log.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(folder: &ContainerFolder) -> io::Result<()> {
    let Some(mut lock) = folder.take_lock()? else { return Err(io::Error::other("there is a shim already")) };
    lock.set_len(0)?;
    lock.write_all(std::process::id().to_string().as_bytes())?;
    if folder.is_given_up() {
        // What users of its own left there only root of them can remove.
        become_root()?;
        return folder.remove();
    }
    let order = folder.order()?;
    let talk = Talk::open(folder)?;
    let (end, disk_is_clean) = match run(folder, &order, &talk) {
        Ok(ended) => ended,
        Err(Unmountable(reason)) => (End::NotStarted { reason }, false),
    };
    let started_at = folder.status()?.and_then(|status| status.started_at);
    folder.write_status(&Status { started_at, end: Some(end), disk_is_clean })?;
    talk.tell();
    Ok(())
}

/// The two pipes to the node, each open in both directions so that neither ever ends.
pub(crate) struct Talk {
    words: File,
    events: File,
}

impl Talk {
    fn open(folder: &ContainerFolder) -> io::Result<Self> {
        let open = |path: std::path::PathBuf| ContainerFolder::open_pipe(&path);
        Ok(Self { words: open(folder.words())?, events: open(folder.events())? })
    }

    /// Says that there is something new. A full pipe says so already.
    fn tell(&self) {
        let _ = rustix::io::write(&self.events, b"!");
    }
}

/// Lets users exist in the user namespace of a shim, once it has one and says so: a process that the
/// shim begins, since none can do it from within.
pub fn map_users_main(process: u32) -> ExitCode {
    let mut word = [0; 1];
    let spoken = io::Read::read(&mut io::stdin(), &mut word);
    let mapped = match spoken {
        // The shim is gone.
        Ok(0) | Err(_) => return ExitCode::FAILURE,
        Ok(_) => namespace::map_users_of(process, UserMap::of_this_host(0)),
    };
    match mapped {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// An ordinary user's shim becomes root of a user namespace. It can't map more than its own user from
/// within, so another process of the host does it.
fn become_root() -> io::Result<()> {
    let own = std::env::current_exe()?;
    #[expect(clippy::disallowed_methods, reason = "it has to be outside of what the jail would put it into")]
    let mut mapper = std::process::Command::new(own)
        .args(["map-users", &std::process::id().to_string()])
        .env_clear()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()?;
    namespace::leave_user_namespace()?;
    if let Some(mut stdin) = mapper.stdin.take() {
        stdin.write_all(b"!")?;
    }
    if mapper.wait()?.success() { Ok(()) } else { Err(io::Error::other("its users can't be mapped")) }
}

/// How it ended, and whether the disk is as empty as it was.
fn run(folder: &ContainerFolder, order: &Order, talk: &Talk) -> Result<(End, bool), Unmountable> {
    let failed = |error: io::Error| Unmountable(format!("ResourceInitializationError: the shim: {error}"));
    if order.users.is_inner() {
        become_root().map_err(failed)?;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| failed(error.into()))?;
    leave_mount_namespace().map_err(failed)?;
    let rootfs = Rootfs::mount(order, &folder.path().join("changes"))?;
    let end = run_in(folder, order, talk, &rootfs).unwrap_or_else(|Unmountable(reason)| End::NotStarted { reason });
    Ok((end, rootfs.take_down()))
}

fn run_in(folder: &ContainerFolder, order: &Order, talk: &Talk, rootfs: &Rootfs) -> Result<End, Unmountable> {
    let failed = |error: io::Error| Unmountable(format!("ResourceInitializationError: the shim: {error}"));
    let group = order.group.clone().map(ContainerGroup::from);
    specify(folder, order, rootfs, group.as_ref())?;
    let runtime = folder.path().join("runtime");
    std::fs::create_dir(&runtime).map_err(failed)?;
    let runtime = Runtime { program: &order.runtime, folder: &runtime };
    let name = folder.name();
    let ([stdout, stderr], outputs) = pipes().map_err(failed)?;
    let kept = group.as_ref().map(ContainerGroup::keep_common);
    let run = runtime.run(folder.path(), &name, outputs);
    drop(kept);
    let process = match run {
        Ok(process) => process,
        Err(complaint) => {
            clean(&runtime, &name, order, group.as_ref());
            return Err(Unmountable(format!("CannotStartContainerError: {complaint}")));
        }
    };
    let ended = keep(folder, order, talk, process, [stdout, stderr], group.as_ref());
    if ended.is_err() {
        Watched::kill(process);
    }
    let memory_kills = group.as_ref().map_or(0, ContainerGroup::memory_kills);
    let usage = group.as_ref().map(watch::used).unwrap_or_default();
    clean(&runtime, &name, order, group.as_ref());
    match ended {
        Ok(watch::Ending { exit_code, cause, stopped }) => {
            Ok(End::Ended { exit_code, cause, memory_kills, stopped, usage })
        }
        Err(error) => Ok(End::Failed { reason: format!("ContainerRuntimeError: the shim: {error}") }),
    }
}

/// Keeps what a container writes, tells that it has begun, and waits for its end.
fn keep(
    folder: &ContainerFolder,
    order: &Order,
    talk: &Talk,
    process: i32,
    outputs: [OwnedFd; 2],
    group: Option<&ContainerGroup>,
) -> io::Result<watch::Ending> {
    let spool = spool::Writer::new(
        File::options().write(true).open(folder.output())?,
        File::options().read(true).write(true).create(true).truncate(false).open(folder.consumed())?,
    );
    let watched = Watched::new(process, order, talk, spool, outputs, group)?;
    folder.write_status(&Status { started_at: Some(crate::clock::now_millis()), end: None, disk_is_clean: false })?;
    talk.tell();
    watched.until_end()
}

fn pipes() -> io::Result<([OwnedFd; 2], [OwnedFd; 2])> {
    let (stdout, container_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, container_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    for end in [&stdout, &stderr] {
        rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?;
    }
    Ok(([stdout, stderr], [container_stdout, container_stderr]))
}

/// Writes the specification that the runtime reads.
fn specify(
    folder: &ContainerFolder,
    order: &Order,
    rootfs: &Rootfs,
    group: Option<&ContainerGroup>,
) -> Result<(), Unmountable> {
    let Order { spec, users, gpus, device_folders, most_processes, .. } = order;
    let cannot = |error: &dyn std::fmt::Display| Unmountable(format!("CannotStartContainerError: {error}"));
    let failed = |error: io::Error| Unmountable(format!("ResourceInitializationError: the shim: {error}"));
    let config = &order.config;
    let wanted = spec.container.user.as_deref().or(config.user.as_deref());
    let user = user::resolve_below(&rootfs.root(), wanted).map_err(|error| cannot(&error))?;
    let mut mounts = Vec::new();
    for (number, mount) in spec.mounts.iter().enumerate() {
        let source = rootfs.volume(order, number, mount, user.uid, user.gid)?;
        let read_only = mount.read_only && !matches!(mount.source, MountSource::Empty);
        mounts.push(BindMount::look_up(source, mount.container_path.clone(), read_only).map_err(failed)?);
    }
    let devices = spec.container.devices.iter().map(oci::device::look_up);
    let devices = devices.collect::<Result<Vec<_>, _>>().map_err(|error| cannot(&error))?;
    let edits = if gpus.is_empty() {
        Edits::default()
    } else {
        Registry::scan(device_folders).edits(gpus).map_err(|error| cannot(&error))?
    };
    let init = spec.container.init_process.then(|| crate::init::install(rootfs.site())).transpose().map_err(failed)?;
    let specification = oci::specification(&Plan {
        arguments: spec.arguments.get(1..).unwrap_or_default(),
        environment: &spec.environment,
        settings: &spec.container,
        image: config,
        rootfs: &rootfs.root(),
        read_only_root: spec.read_only_root,
        identity: match users {
            Users::Range { first, .. } => Identity::Range { first: *first },
            Users::Host { .. } => Identity::Host,
            Users::Inner { count } => Identity::Inner { count: *count },
        },
        network: spec.network,
        mounts: &mounts,
        cgroup: group.map(|group| Path::new(&group.runtime_path)),
        limits: group.map(|group| Limits {
            memory_bytes: spec.memory_limit_bytes,
            swap_bytes: spec.container.swap_bytes.unwrap_or(0),
            swappiness: spec.container.swappiness.filter(|_| group.is_version_one()),
            cpu_thousandths: spec.cpu_thousandths,
            pids: *most_processes,
        }),
        starter: Starter::look().map_err(failed)?,
        user: &user,
        init: init.as_deref(),
        devices: &devices,
        edits: &edits,
        hostname: "localhost",
    });
    let specification = specification.map_err(|error| cannot(&error))?;
    let text = serde_json::to_vec(&specification).map_err(|error| cannot(&error))?;
    std::fs::write(folder.path().join("config.json"), text).map_err(failed)
}

/// Removes what the kernel has of a container whose processes have ended; what the runtime knows of it
/// goes with its folder. Where that isn't all there is to do, the runtime does it.
fn clean(runtime: &Runtime<'_>, name: &str, order: &Order, group: Option<&ContainerGroup>) {
    if let Some(group) = group {
        group.kill();
        // A device's specification may have something to be run at the end.
        if order.gpus.is_empty() && group.remove() {
            return;
        }
    }
    if let Err(error) = runtime.delete(name) {
        // It ends up in the shim's log.
        let _ = writeln!(io::stderr(), "the runtime can't remove {name}: {error}");
    }
}
