//! Slots: a thread each, with at most one worker process and one attempt.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmbatch_core::{AttemptEvent, AttemptId, Digest, Ending};

use crate::host::HostFolder;
use crate::pool::{Reuse, Shared};
use crate::program::refusal;
use crate::reason::matchable;
use crate::spec::{AttemptSpec, MountSource, OutputStream};
use crate::worker::{Loss, OVERHEAD_BYTES, Outcome, Progress, Ready, Worker, WorkerKind};

/// How long an idle worker more than wanted stays.
const LINGER: Duration = Duration::from_secs(2);

/// All slots of a pool, and the attempts that wait for one.
#[derive(Debug)]
pub(crate) struct Slots {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: HashMap<u64, Slot>,
    /// Idle ones, the one that was idle longest first.
    idle: VecDeque<u64>,
    queue: VecDeque<Ready>,
    next_number: u64,
    /// Threads that ended or are about to.
    ended: Vec<JoinHandle<()>>,
    closing: bool,
}

#[derive(Debug)]
struct Slot {
    thread: Option<JoinHandle<()>>,
    /// The domain its worker ran for; `None` while it ran for nobody.
    domain: Option<String>,
    /// What its worker is made for, if it has one.
    kind: Option<WorkerKind>,
    order: Option<Order>,
    wake: Arc<Condvar>,
}

#[derive(Debug)]
enum Order {
    Run(Box<Ready>),
    End,
}

/// What a slot's thread has in hand.
#[derive(Debug)]
struct Hands {
    number: u64,
    worker: Option<Worker>,
    domain: Option<String>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Takes an attempt back that waits for a slot.
    pub(crate) fn forget(&self, attempt: AttemptId) {
        self.lock().queue.retain(|ready| ready.spec.attempt != attempt);
    }

    /// Ends all slots once their attempts have ended, and joins their threads.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        inner.queue.clear();
        let Inner { slots, ended, .. } = &mut *inner;
        for slot in slots.values_mut() {
            if slot.order.is_none() {
                slot.order = Some(Order::End);
            }
            slot.wake.notify_all();
            ended.extend(slot.thread.take());
        }
        let threads = std::mem::take(&mut inner.ended);
        drop(inner);
        for thread in threads {
            join(thread);
        }
    }
}

impl Shared {
    /// Gives an attempt to a slot or lets it wait for one.
    pub(crate) fn dispatch(self: &Arc<Self>, ready: Ready) {
        if let Some(why) = self.quarantine.reason(&ready.digest) {
            let reason = format!("ResourceInitializationError: module {} is in quarantine: {why}", ready.digest);
            self.finish(ready.spec.attempt, Ending::CouldNotStart { reason: matchable(&reason) }, None);
            return;
        }
        let mut inner = self.slots.lock();
        if inner.closing {
            drop(inner);
            self.finish(ready.spec.attempt, Ending::Lost, None);
            return;
        }
        if inner.queue.is_empty() {
            if let Some(number) = inner.choose(&ready.spec, self.options.max_workers) {
                inner.give(number, Order::Run(Box::new(ready)));
                return;
            }
            if inner.slots.len() < self.options.max_workers {
                let attempt = ready.spec.attempt;
                if let Err(error) = self.add_slot(&mut inner, Some(ready), None) {
                    drop(inner);
                    let reason = format!("ResourceInitializationError: no thread for a worker: {error}");
                    self.finish(attempt, Ending::CouldNotStart { reason: matchable(&reason) }, None);
                }
                return;
            }
        }
        if inner.queue.len() >= self.options.queue_capacity {
            drop(inner);
            self.queue_full(ready.spec.attempt);
            return;
        }
        inner.queue.push_back(ready);
    }

    /// Adds an idle slot with a worker that ran nothing yet.
    pub(crate) fn add_warm(self: &Arc<Self>, worker: Worker) {
        let mut inner = self.slots.lock();
        if let Err(error) = self.add_slot(&mut inner, None, Some(worker)) {
            tracing::warn!(%error, "no thread for a warm worker");
        }
    }

    fn add_slot(
        self: &Arc<Self>,
        inner: &mut Inner,
        first: Option<Ready>,
        worker: Option<Worker>,
    ) -> std::io::Result<()> {
        let threads = std::mem::take(&mut inner.ended);
        inner.ended = threads.into_iter().filter(|thread| !thread.is_finished()).collect();
        inner.next_number += 1;
        let number = inner.next_number;
        let shared = Arc::clone(self);
        let hands = Hands { number, worker, domain: None };
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || shared.work(hands))?;
        let slot = Slot {
            thread: Some(thread),
            domain: None,
            kind: None,
            order: first.map(|ready| Order::Run(Box::new(ready))),
            wake: Arc::new(Condvar::new()),
        };
        inner.slots.insert(number, slot);
        Ok(())
    }

    fn work(self: &Arc<Self>, mut hands: Hands) {
        while let Some(ready) = self.next(&mut hands) {
            self.run(&mut hands, ready);
        }
    }

    /// The slot's next attempt; `None` when the slot is to end, which is then off the books.
    fn next(self: &Arc<Self>, hands: &mut Hands) -> Option<Box<Ready>> {
        let mut inner = self.slots.lock();
        loop {
            let mut ending = inner.closing || hands.worker.is_none();
            match inner.slots.get_mut(&hands.number)?.order.take() {
                Some(Order::Run(ready)) => return Some(ready),
                Some(Order::End) => ending = true,
                None => {}
            }
            // Even one that was told to end: who queued meanwhile counted on it.
            if let Some(ready) = inner.queue.pop_front() {
                return Some(Box::new(ready));
            }
            if ending {
                break;
            }
            let slot = inner.slots.get_mut(&hands.number)?;
            slot.domain.clone_from(&hands.domain);
            slot.kind = hands.worker.as_ref().map(|worker| worker.kind().clone());
            let wake = Arc::clone(&slot.wake);
            inner.idle.push_back(hands.number);
            let (guard, waited) = wake
                .wait_timeout_while(inner, LINGER, |inner| inner.has_no_order(hands.number))
                .expect("no holder of this lock panics");
            inner = guard;
            if !waited.timed_out() {
                continue;
            }
            // Many short attempts at once make and lose idle workers all the time; beginning one costs more
            // than many of them.
            if inner.idle.len() > self.options.warm_workers && inner.has_no_order(hands.number) {
                inner.idle.retain(|idle| *idle != hands.number);
                break;
            }
            inner = wake
                .wait_while(inner, |inner| inner.has_no_order(hands.number))
                .expect("no holder of this lock panics");
        }
        if let Some(slot) = inner.slots.remove(&hands.number) {
            inner.ended.extend(slot.thread);
        }
        None
    }

    fn run(self: &Arc<Self>, hands: &mut Hands, ready: Box<Ready>) {
        let attempt = ready.spec.attempt;
        // A worker that was dead before it got the attempt is replaced once; a new one that is dead
        // too has a reason that will not go away.
        for _ in 0..2 {
            if !self.is_wanted(attempt) {
                return;
            }
            if let Err(reason) = self.provide_worker(hands, &ready.spec) {
                self.finish(attempt, Ending::CouldNotStart { reason: matchable(&reason) }, None);
                return;
            }
            if self.run_once(hands, &ready) {
                return;
            }
        }
        let reason = "ResourceInitializationError: workers end before they run anything".to_owned();
        self.finish(attempt, Ending::CouldNotStart { reason }, None);
    }

    /// Sees to it that the slot has a worker that may run this attempt.
    fn provide_worker(&self, hands: &mut Hands, spec: &AttemptSpec) -> Result<(), String> {
        let kind = WorkerKind::of(spec);
        let other = hands.domain.as_ref().is_some_and(|domain| *domain != spec.trust_domain);
        // Folders of the host are known to a worker from its beginning.
        let fits = hands.worker.as_ref().is_some_and(|worker| *worker.kind() == kind) && !has_host_folders(spec);
        if other || !fits {
            hands.worker = None;
        }
        if hands.worker.is_none() {
            let failed = |error: &dyn std::fmt::Display| {
                tracing::warn!(%error, "no worker can be begun");
                format!("ResourceInitializationError: {error}")
            };
            let folders = self.open_mounts(spec)?;
            let memory = OVERHEAD_BYTES.saturating_add(spec.memory_limit_bytes);
            let mut worker = Worker::begin(&self.host, &kind, memory, folders).map_err(|error| failed(&error))?;
            let hello = worker.hello(&self.host, memory).map_err(|error| {
                let (end, stderr) = worker.autopsy();
                failed(&format!("no worker can be begun: {error}, {end:?}: {stderr}"))
            })?;
            let known = self.engine(kind.profile).map_err(|error| failed(&error))?;
            if hello.engine != known.hello.engine {
                return Err(failed(&"the program changed since this node started"));
            }
            hands.worker = Some(worker);
            hands.domain = None;
        }
        if hands.domain.is_none() {
            hands.domain = Some(spec.trust_domain.clone());
        }
        Ok(())
    }

    /// Runs the attempt on the slot's worker; `false` when that was dead before it got it.
    fn run_once(&self, hands: &mut Hands, ready: &Ready) -> bool {
        let attempt = ready.spec.attempt;
        let worker = hands.worker.as_mut().expect("a worker was provided");
        if !self.begin_running(attempt, worker.killer()) {
            return true;
        }
        let progress = AttemptProgress { shared: self, attempt, digest: ready.digest };
        let reuse = match worker.run(&self.host, ready, &progress) {
            Outcome::Ended(ending, usage) => {
                if worker.is_spent(self.options.attempts_per_worker) {
                    hands.worker = None;
                }
                self.finish(attempt, ending, usage)
            }
            Outcome::Lost(loss) => {
                // Reaped before its end is told: whoever hears of the end may count on it.
                hands.worker = None;
                self.lost(ready, loss);
                Reuse::No
            }
            Outcome::NotSent => {
                hands.worker = None;
                return false;
            }
        };
        if reuse == Reuse::No {
            hands.worker = None;
        }
        true
    }

    /// Tells the end of an attempt whose worker is no more. If it was not us who ended it, an operator
    /// wants to know; if it looks like an escape, its program doesn't run again.
    fn lost(&self, ready: &Ready, loss: Loss) {
        let Loss { ending, usage, why, suspicion } = loss;
        let usage = Some(usage);
        let attempt = ready.spec.attempt;
        let told = format!("{ending:?}");
        if let Some(suspicion) = suspicion.filter(|_| self.is_running(attempt)) {
            tracing::error!(
                %attempt, module = %ready.digest, ending = told, why, suspicion,
                "POSSIBLE ESCAPE: a worker behaved as if its program had taken it over; the module is in quarantine"
            );
            if let Err(error) = self.quarantine.add(ready.digest, &suspicion) {
                tracing::error!(module = %ready.digest, %error, "the quarantine does not survive a restart");
            }
            self.finish(attempt, ending, usage);
        } else if self.finish(attempt, ending, usage) == Reuse::Yes {
            tracing::warn!(%attempt, ending = told, why, "a worker was lost");
        }
    }

    fn open_mounts(&self, spec: &AttemptSpec) -> Result<Vec<HostFolder>, String> {
        let mut folders = Vec::new();
        let most = wasmbatch_jail::socket::MAX_DESCRIPTORS - 1;
        if spec.mounts.len() > most {
            return Err(format!("ResourceInitializationError: more than {most} mount points"));
        }
        for mount in &spec.mounts {
            if !Path::new(&mount.container_path).is_absolute() {
                let path = &mount.container_path;
                return Err(format!("ResourceInitializationError: container path {path} is not absolute"));
            }
            if let MountSource::Host(path) = &mount.source {
                let opened = self.allowed.open_folder(path);
                let opened = opened
                    .map_err(|error| format!("ResourceInitializationError: {}", refusal("folder", path, &error)))?;
                folders.push(HostFolder { directory: opened, path: path.clone(), read_only: mount.read_only });
            }
        }
        Ok(folders)
    }
}

fn has_host_folders(spec: &AttemptSpec) -> bool {
    spec.mounts.iter().any(|mount| matches!(mount.source, MountSource::Host(_)))
}

/// A panic, which may come out of the sink, was told when it happened.
pub(crate) fn join(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    if thread.join().is_err() {
        tracing::error!(thread = name, "a thread of the executor panicked");
    }
}

struct AttemptProgress<'a> {
    shared: &'a Shared,
    attempt: AttemptId,
    digest: Digest,
}

impl Progress for AttemptProgress<'_> {
    fn started(&self) {
        self.shared.report(self.attempt, AttemptEvent::Started { image_digest: Some(self.digest) });
    }

    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        self.shared.sink.output(self.attempt, stream, bytes);
    }
}

impl Inner {
    /// The idle slot that suits an attempt best: one whose worker it may use, or, when there can be
    /// no further slot, any.
    fn choose(&mut self, spec: &AttemptSpec, max_workers: usize) -> Option<u64> {
        let kind = WorkerKind::of(spec);
        let suits = |number: &&u64| {
            self.slots.get(number).is_some_and(|slot| {
                let ours = slot.domain.as_ref().is_none_or(|domain| *domain == spec.trust_domain);
                ours && slot.kind.as_ref() == Some(&kind) && !has_host_folders(spec)
            })
        };
        // The one used last has the warmest caches.
        let best = self.idle.iter().rev().find(suits).copied();
        if best.is_none() && self.slots.len() < max_workers {
            return None;
        }
        let number = best.or_else(|| self.idle.front().copied())?;
        self.idle.retain(|idle| *idle != number);
        Some(number)
    }

    fn give(&mut self, number: u64, order: Order) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.order = Some(order);
            slot.wake.notify_one();
        }
    }

    fn has_no_order(&self, number: u64) -> bool {
        self.slots.get(&number).is_some_and(|slot| slot.order.is_none())
    }
}
