//! One container, from its beginning to its end: what it writes, when it is asked to stop, when its
//! time on the CPU is up.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use wasmbatch_executor::OutputStream;
use wasmbatch_jail::counters::ContainerGroup;

use super::Talk;
use crate::folder::{Cause, Order, Used, Word};
use crate::spool;

/// How often a bounded CPU time is looked at.
const CPU_PAUSE: Duration = Duration::from_millis(200);
/// How often a full disk is tried again.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// Longest time from asking to stop to killing, whatever the job says: ECS's most of `stopTimeout` `[API]`.
const MOST_GRACE: Duration = Duration::from_secs(120);
/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// A container that runs.
pub(super) struct Watched<'a> {
    pidfd: OwnedFd,
    talk: &'a Talk,
    spool: spool::Writer,
    pipes: [Option<File>; 2],
    group: Option<&'a ContainerGroup>,
    cpu_limit: Option<Duration>,
    stop_signal: Signal,
    grace: Duration,
    /// When it is killed, once it was asked to stop.
    kill_at: Option<Instant>,
    cause: Cause,
    stopped: bool,
}

/// When a word of the node is heard.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// It was said before the program began.
    Beginning,
    Running,
}

/// How a container ended.
pub(super) struct Ending {
    /// Its exit code, or 128 and the signal.
    pub(super) exit_code: u8,
    pub(super) cause: Cause,
    /// Whether it was asked to stop before.
    pub(super) stopped: bool,
}

impl<'a> Watched<'a> {
    pub(super) fn new(
        process: i32,
        order: &Order,
        talk: &'a Talk,
        spool: spool::Writer,
        pipes: [OwnedFd; 2],
        group: Option<&'a ContainerGroup>,
    ) -> io::Result<Self> {
        let process = Pid::from_raw(process).ok_or(io::ErrorKind::InvalidData)?;
        let stop_signal =
            crate::oci::stop_signal(&order.config).ok().and_then(Signal::from_named_raw).unwrap_or(Signal::TERM);
        Ok(Self {
            pidfd: pidfd_open(process, PidfdFlags::empty())?,
            talk,
            spool,
            pipes: pipes.map(|pipe| Some(File::from(pipe))),
            group,
            cpu_limit: order.spec.cpu_limit,
            stop_signal,
            grace: order.spec.container.stop_timeout.min(MOST_GRACE),
            kill_at: None,
            cause: Cause::Own,
            stopped: false,
        })
    }

    /// Blocks until all of it has ended and what it wrote is kept.
    pub(super) fn until_end(mut self) -> io::Result<Ending> {
        self.listen(Moment::Beginning)?;
        let exit_code = loop {
            if let Some(exit_code) = self.ended()? {
                break exit_code;
            }
            self.wait()?;
        };
        // Whatever it began has ended with it; the pipes have a rest and then end.
        for place in 0..self.pipes.len() {
            while self.pipes[place].is_some() {
                self.read(place)?;
                self.wait_for_rest()?;
            }
        }
        self.spool.finish()?;
        Ok(Ending { exit_code, cause: self.cause, stopped: self.stopped })
    }

    fn wait(&mut self) -> io::Result<()> {
        let has_room = self.spool.has_room()?;
        let timeout = self.patience()?;
        let mut watched = vec![PollFd::new(&self.pidfd, PollFlags::IN), PollFd::new(&self.talk.words, PollFlags::IN)];
        let open = self.pipes.iter().enumerate().filter_map(|(place, pipe)| Some((place, pipe.as_ref()?)));
        let open: Vec<_> = open.filter(|_| has_room).collect();
        watched.extend(open.iter().map(|(_, pipe)| PollFd::new(*pipe, PollFlags::IN)));
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<usize> = open
            .iter()
            .zip(&watched[2..])
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|((place, _), _)| *place)
            .collect();
        let spoken = !watched[1].revents().is_empty();
        drop((watched, open));
        if spoken {
            self.listen(Moment::Running)?;
        }
        for place in ready {
            self.read(place)?;
        }
        self.enforce();
        Ok(())
    }

    /// Waits until a pipe of an ended container has something, or has ended.
    fn wait_for_rest(&self) -> io::Result<()> {
        let mut watched: Vec<_> = self.pipes.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        if watched.is_empty() {
            return Ok(());
        }
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn patience(&self) -> io::Result<Option<Timespec>> {
        let kill = self.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        let cpu = self.cpu_limit.map(|_| CPU_PAUSE);
        let disk = self.spool.is_stuck().then_some(DISK_PAUSE);
        let shortest = [kill, cpu, disk].into_iter().flatten().min();
        shortest.map(|wait| Timespec::try_from(wait).map_err(io::Error::other)).transpose()
    }

    /// What the node says.
    fn listen(&mut self, moment: Moment) -> io::Result<()> {
        let mut words = [0; 64];
        let length = match (&self.talk.words).read(&mut words) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            read => read?,
        };
        for word in words[..length].iter().filter_map(|byte| Word::of(*byte)) {
            match word {
                Word::Consumed => {}
                Word::Stop if !self.stopped => {
                    self.stopped = true;
                    match moment {
                        // It has done nothing yet, and can't have said either what to do with the signal.
                        Moment::Beginning => self.signal(Signal::KILL),
                        Moment::Running => {
                            self.signal(self.stop_signal);
                            self.kill_at = Some(Instant::now() + self.grace);
                        }
                    }
                }
                Word::Stop => {}
                Word::Kill => {
                    self.stopped = true;
                    self.signal(Signal::KILL);
                }
            }
        }
        Ok(())
    }

    fn enforce(&mut self) {
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            self.signal(Signal::KILL);
            self.kill_at = None;
        }
        if let Some(limit) = self.cpu_limit
            && self.group.and_then(ContainerGroup::cpu_time).is_some_and(|used| used > limit)
        {
            self.cause = Cause::CpuTime;
            self.cpu_limit = None;
            self.signal(Signal::KILL);
        }
    }

    /// Ends it, when it can't be watched any more.
    pub(super) fn kill(process: i32) {
        if let Some(pidfd) = Pid::from_raw(process).and_then(|process| pidfd_open(process, PidfdFlags::empty()).ok()) {
            // It is a child that nobody has waited for, so the number is still its own.
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }

    /// The end of a container's first process is the end of all of them.
    fn signal(&self, signal: Signal) {
        // Gone is as good.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    fn read(&mut self, place: usize) -> io::Result<()> {
        let Some(pipe) = &mut self.pipes[place] else { return Ok(()) };
        let mut chunk = vec![0; CHUNK];
        let length = match pipe.read(&mut chunk) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(());
            }
            read => read?,
        };
        if length == 0 {
            self.pipes[place] = None;
            return Ok(());
        }
        let stream = if place == 0 { OutputStream::Stdout } else { OutputStream::Stderr };
        self.spool.add(stream, &chunk[..length])?;
        self.talk.tell();
        Ok(())
    }

    fn ended(&self) -> io::Result<Option<u8>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(Some(status)) => status,
            Ok(None) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
        let signal = || status.terminating_signal().and_then(|signal| u8::try_from(128 + signal).ok());
        Ok(Some(code.or_else(signal).unwrap_or(255)))
    }
}

/// What a container used, all its processes together.
pub(super) fn used(group: &ContainerGroup) -> Used {
    let (read_bytes, written_bytes) = group.device_bytes();
    let cpu = group.cpu_time().unwrap_or_default();
    Used {
        cpu_microseconds: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
        peak_memory_bytes: group.memory_peak().unwrap_or(0),
        read_bytes,
        written_bytes,
    }
}
