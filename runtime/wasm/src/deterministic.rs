//! The world of a guest whose runs must come out the same: clocks that only its own asking and
//! waiting moves, and random numbers that follow from what it was given.
//!
//! Time begins at the same moment in each run, moves by [`STEP`] whenever a clock is read, and jumps
//! when a guest waits for it, so that nothing ever waits. Random numbers, secure or not, follow from
//! the program, its arguments and its environment.
//!
//! What comes from outside stays what it is: the times, numbers and order of files in folders, the
//! network, and a component that waits for a file and a clock at once may see either first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Accessor, HasData, Resource, ResourceTable};
use wasmtime::{Caller, Extern, Linker, Result};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock as p2_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock as p3_clock;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use crate::wasi::ModuleState;

/// When each run begins: the first second of 2020, UTC.
const BEGINNING: Duration = Duration::from_secs(1_577_836_800);
/// How far reading a clock moves time, in nanoseconds.
const STEP: u64 = 1_000;

/// A guest's time, in nanoseconds since the beginning.
#[derive(Debug, Clone, Default)]
pub(crate) struct VirtualTime(Arc<Time>);

#[derive(Debug, Default)]
struct Time {
    elapsed: AtomicU64,
    /// What is waited for at the moment.
    waiting: Mutex<Vec<u64>>,
}

/// A wait that is among those waiting as long as this lives.
struct Waiting<'a> {
    time: &'a Time,
    until: u64,
}

impl VirtualTime {
    fn read(&self) -> u64 {
        let step = |elapsed: u64| Some(elapsed.saturating_add(STEP));
        let (Ok(before) | Err(before)) = self.0.elapsed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        before
    }

    fn elapsed(&self) -> u64 {
        self.0.elapsed.load(Ordering::SeqCst)
    }

    /// Moves time on to `moment`, never back.
    fn advance_to(&self, moment: u64) {
        self.0.elapsed.fetch_max(moment, Ordering::SeqCst);
    }

    /// Waits by moving time, in the order of the moments that are waited for together.
    async fn wait_until(&self, moment: u64) {
        if self.elapsed() >= moment {
            return;
        }
        let waiting = Waiting::add(&self.0, moment);
        // Whatever is waited for in the same breath is among those waiting after the first round, and
        // what the guest does about an earlier wait that ended after the second.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        while self.elapsed() < moment {
            if waiting.is_first() {
                self.advance_to(moment);
            } else {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl<'a> Waiting<'a> {
    fn add(time: &'a Time, until: u64) -> Self {
        time.waiting.lock().expect("no holder of this lock panics").push(until);
        Self { time, until }
    }

    fn is_first(&self) -> bool {
        let waiting = self.time.waiting.lock().expect("no holder of this lock panics");
        waiting.iter().all(|other| *other >= self.until)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.time.waiting.lock().expect("no holder of this lock panics");
        if let Some(place) = waiting.iter().position(|until| *until == self.until) {
            waiting.swap_remove(place);
        }
    }
}

impl HostMonotonicClock for VirtualTime {
    fn resolution(&self) -> u64 {
        STEP
    }

    fn now(&self) -> u64 {
        self.read()
    }
}

impl HostWallClock for VirtualTime {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP)
    }

    fn now(&self) -> Duration {
        BEGINNING + Duration::from_nanos(self.read())
    }
}

/// Gives a guest virtual clocks and seeded random numbers, and returns its time.
pub(crate) fn make_deterministic(
    builder: &mut WasiCtxBuilder,
    program: &[u8; 32],
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> VirtualTime {
    let time = VirtualTime::default();
    let seed = |purpose: &str| {
        let mut hasher = Sha256::new_with_prefix(purpose);
        hasher.update(program);
        let names_and_values = environment.iter().flat_map(|(name, value)| [*name, *value]);
        for text in arguments.iter().copied().chain(names_and_values) {
            // With lengths, so that no two lists of texts are the same bytes.
            hasher.update(text.len().to_le_bytes());
            hasher.update(text);
        }
        hasher.update(arguments.len().to_le_bytes());
        <[u8; 32]>::from(hasher.finalize())
    };
    let insecure_seed = seed("insecure seed");
    let (half, _) = insecure_seed.split_first_chunk().expect("16 of 32 bytes are there");
    builder
        .wall_clock(time.clone())
        .monotonic_clock(time.clone())
        .secure_random(StdRng::from_seed(seed("secure")))
        .insecure_random(StdRng::from_seed(seed("insecure")))
        .insecure_random_seed(u128::from_le_bytes(*half));
    time
}

/// The clocks of a component with virtual time.
pub(crate) struct VirtualClocks;

/// What they need of a component's state.
pub(crate) struct VirtualClocksView<'a> {
    pub(crate) time: &'a VirtualTime,
    pub(crate) table: &'a mut ResourceTable,
}

impl HasData for VirtualClocks {
    type Data<'a> = VirtualClocksView<'a>;
}

struct Deadline {
    time: VirtualTime,
    moment: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        self.time.wait_until(self.moment).await;
    }
}

impl p2_clock::Host for VirtualClocksView<'_> {
    fn now(&mut self) -> Result<u64> {
        Ok(self.time.read())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        let deadline = self.table.push(Deadline { time: self.time.clone(), moment: when })?;
        subscribe(self.table, deadline)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        self.subscribe_instant(self.time.elapsed().saturating_add(duration))
    }
}

impl p3_clock::Host for VirtualClocksView<'_> {
    fn now(&mut self) -> Result<u64> {
        Ok(self.time.read())
    }

    fn get_resolution(&mut self) -> Result<u64> {
        Ok(STEP)
    }
}

impl<T> p3_clock::HostWithStore<T> for VirtualClocks {
    async fn wait_until(store: &Accessor<T, Self>, when: u64) -> Result<()> {
        let time = store.with(|mut access| access.get().time.clone());
        time.wait_until(when).await;
        Ok(())
    }

    async fn wait_for(store: &Accessor<T, Self>, duration: u64) -> Result<()> {
        let time = store.with(|mut access| access.get().time.clone());
        time.wait_until(time.elapsed().saturating_add(duration)).await;
        Ok(())
    }
}

const SUBSCRIPTION_BYTES: usize = 48;
const EVENT_BYTES: usize = 32;
const ERRNO_SUCCESS: i32 = 0;
const ERRNO_INVAL: i32 = 28;
const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
const ABSOLUTE: u16 = 1;

/// What a module waits for.
enum Subscription {
    Clock {
        moment: u64,
    },
    /// Files, outputs and an empty stdin never keep anybody waiting. A descriptor that is none is told
    /// of when it is used.
    Descriptor,
}

/// Puts a `poll_oneoff` in the place of WASI's own that moves a guest's time instead of waiting.
pub(crate) fn shadow_poll(linker: &mut Linker<ModuleState>) -> Result<()> {
    linker.func_wrap("wasi_snapshot_preview1", "poll_oneoff", poll)?;
    Ok(())
}

fn poll(
    mut caller: Caller<'_, ModuleState>,
    subscriptions: u32,
    events: u32,
    count: u32,
    ready_count: u32,
) -> Result<i32> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("missing required memory export"));
    };
    let (memory, state) = memory.data_and_store_mut(&mut caller);
    let Some(time) = &state.time else {
        return Err(wasmtime::Error::msg("a guest without virtual time"));
    };
    if count == 0 {
        return Ok(ERRNO_INVAL);
    }
    let now = time.elapsed();
    let mut first: Option<u64> = None;
    let mut waits = true;
    for place in 0..count {
        match subscription(slice(memory, subscriptions, place, SUBSCRIPTION_BYTES)?, now) {
            Some(Subscription::Clock { moment }) => first = Some(first.map_or(moment, |first| first.min(moment))),
            Some(Subscription::Descriptor) => waits = false,
            None => return Ok(ERRNO_INVAL),
        }
    }
    if let Some(first) = first.filter(|_| waits) {
        time.advance_to(first);
    }
    let mut ready = 0_u32;
    for place in 0..count {
        let bytes: [u8; SUBSCRIPTION_BYTES] =
            slice(memory, subscriptions, place, SUBSCRIPTION_BYTES)?.try_into().expect("the slice has this length");
        let (kind, bytes_ready) = match subscription(&bytes, now) {
            Some(Subscription::Clock { moment }) if moment > time.elapsed() => continue,
            Some(Subscription::Clock { .. }) => (0, 0_u64),
            Some(Subscription::Descriptor) => (bytes[8], 1),
            // It was another one before an event was written over it.
            None => return Ok(ERRNO_INVAL),
        };
        let event = slice(memory, events, ready, EVENT_BYTES)?;
        event.fill(0);
        event[..8].copy_from_slice(&bytes[..8]);
        event[10] = kind;
        event[16..24].copy_from_slice(&bytes_ready.to_le_bytes());
        ready += 1;
    }
    slice(memory, ready_count, 0, 4)?.copy_from_slice(&ready.to_le_bytes());
    Ok(ERRNO_SUCCESS)
}

fn subscription(bytes: &[u8], now: u64) -> Option<Subscription> {
    let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).expect("8 bytes");
    match bytes[8] {
        0 => {
            let clock = u32::from_le_bytes(bytes[16..20].try_into().expect("4 bytes"));
            let timeout = number(24);
            let absolute = u16::from_le_bytes([bytes[40], bytes[41]]) & ABSOLUTE != 0;
            let beginning = u64::try_from(BEGINNING.as_nanos()).expect("a moment of our time fits");
            let moment = match (clock, absolute) {
                (CLOCK_REALTIME | CLOCK_MONOTONIC, false) => now.saturating_add(timeout),
                (CLOCK_MONOTONIC, true) => timeout,
                (CLOCK_REALTIME, true) => timeout.saturating_sub(beginning),
                _ => return None,
            };
            Some(Subscription::Clock { moment })
        }
        1 | 2 => Some(Subscription::Descriptor),
        _ => None,
    }
}

/// The bytes of element `place` of a list of a guest's.
fn slice(memory: &mut [u8], list: u32, place: u32, length: usize) -> Result<&mut [u8]> {
    let start = usize::try_from(u64::from(list))? + usize::try_from(u64::from(place))? * length;
    let outside = || wasmtime::Error::msg("pointer out of bounds");
    memory.get_mut(start..start + length).ok_or_else(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_moves_time_by_a_step_and_it_never_wraps() {
        let time = VirtualTime::default();
        assert_eq!((time.read(), time.read()), (0, STEP));
        time.advance_to(u64::MAX - 1);
        time.advance_to(5);
        assert_eq!((time.read(), time.read()), (u64::MAX - 1, u64::MAX));
        assert!(HostWallClock::now(&time) > BEGINNING);
    }

    #[test]
    fn waits_end_in_the_order_of_their_moments_and_nobody_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let time = VirtualTime::default();
        let order = Mutex::new(Vec::new());
        let wait = async |hours: u64| {
            time.wait_until(hours * 3_600_000_000_000).await;
            order.lock().unwrap().push(hours);
        };
        runtime.block_on(async {
            tokio::join!(wait(3), wait(1), wait(2));
        });
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
        assert!(time.0.waiting.lock().unwrap().is_empty());
    }
}
