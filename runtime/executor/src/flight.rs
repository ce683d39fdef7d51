//! Compilations in the air: one a program and profile, shared by everyone who waits for it.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard};

use wasmbatch_core::AttemptId;
use wasmbatch_jail::Killer;

use crate::cache::{ProgramKey, Temporary};
use crate::queue::Queue;
use crate::spec::{AttemptSpec, PrepareError, Prepared};

/// Who waits for a compilation.
#[derive(Debug)]
pub(crate) enum Waiter {
    Attempt(Box<AttemptSpec>),
    Caller(SyncSender<Result<Prepared, PrepareError>>),
}

/// Where the bytes to compile are.
#[derive(Debug)]
pub(crate) enum Source {
    Stored,
    Copy(Temporary),
}

/// Names one compilation among all of its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlightId {
    pub(crate) program: ProgramKey,
    number: u64,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    waiters: Vec<Waiter>,
    source: Option<Source>,
    killer: Option<Killer>,
}

#[derive(Debug)]
pub(crate) struct Flights {
    inner: Mutex<Inner>,
    /// Flights that nobody compiles yet.
    pub(crate) queue: Queue<FlightId>,
}

#[derive(Debug, Default)]
struct Inner {
    flights: HashMap<ProgramKey, Flight>,
    next_number: u64,
}

impl Flights {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { inner: Mutex::default(), queue: Queue::new(capacity) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Joins the flight of a program or begins one, unless `done` says, under the lock that also
    /// guards landing, that there is nothing left to wait for. Gives the waiter back then, and when
    /// there is no room.
    pub(crate) fn join(
        &self,
        program: ProgramKey,
        waiter: Waiter,
        source: Source,
        done: impl FnOnce() -> bool,
    ) -> Result<(), Waiter> {
        let mut inner = self.lock();
        if let Some(flight) = inner.flights.get_mut(&program) {
            flight.waiters.push(waiter);
            return Ok(());
        }
        inner.next_number += 1;
        let number = inner.next_number;
        if done() || self.queue.push(FlightId { program, number }).is_err() {
            return Err(waiter);
        }
        let flight = Flight { number, waiters: vec![waiter], source: Some(source), killer: None };
        inner.flights.insert(program, flight);
        Ok(())
    }

    /// Begins to compile: its source, unless everybody has left meanwhile.
    pub(crate) fn board(&self, id: FlightId) -> Option<Source> {
        self.lock().flight(id)?.source.take()
    }

    /// Says how to end the compilation. `false`: everybody has left, don't begin.
    pub(crate) fn take_off(&self, id: FlightId, killer: Killer) -> bool {
        let mut inner = self.lock();
        let Some(flight) = inner.flight(id) else { return false };
        flight.killer = Some(killer);
        true
    }

    /// Ends the flight; those who waited.
    pub(crate) fn land(&self, id: FlightId) -> Vec<Waiter> {
        let mut inner = self.lock();
        if inner.flight(id).is_none() {
            return Vec::new();
        }
        inner.flights.remove(&id.program).map_or_else(Vec::new, |flight| flight.waiters)
    }

    /// An attempt no longer waits. A compilation that nobody waits for ends.
    pub(crate) fn leave(&self, attempt: AttemptId) {
        let left = |waiter: &Waiter| matches!(waiter, Waiter::Attempt(spec) if spec.attempt == attempt);
        let mut inner = self.lock();
        for flight in inner.flights.values_mut() {
            flight.waiters.retain(|waiter| !left(waiter));
        }
        let abandoned: Vec<Flight> =
            inner.flights.extract_if(|_, flight| flight.waiters.is_empty()).map(|(_, flight)| flight).collect();
        for flight in abandoned {
            self.queue.remove(|id| id.number == flight.number);
            if let Some(killer) = flight.killer {
                killer.kill();
            }
        }
    }

    /// Ends all flights, for good; those who waited.
    pub(crate) fn close(&self) -> Vec<Waiter> {
        self.queue.close();
        let flights: Vec<Flight> = self.lock().flights.drain().map(|(_, flight)| flight).collect();
        let mut waiters = Vec::new();
        for flight in flights {
            if let Some(killer) = flight.killer {
                killer.kill();
            }
            waiters.extend(flight.waiters);
        }
        waiters
    }
}

impl Inner {
    fn flight(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.flights.get_mut(&id.program).filter(|flight| flight.number == id.number)
    }
}
