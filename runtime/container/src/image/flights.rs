//! Work that several wait for, done once; given up when nobody waits any more.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// Work in progress, by what it is about.
pub(crate) struct Flights<K, V: Clone>(Mutex<BTreeMap<K, WeakShared<BoxFuture<'static, V>>>>);

/// A share in some work.
pub(crate) type Flight<V> = Shared<Pin<Box<dyn Future<Output = V> + Send>>>;

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V: Clone> std::fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flights(..)")
    }
}

impl<K: Ord + Clone, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// Joins the work about `key`, or begins it. Says whether it was begun.
    pub(crate) fn join(&self, key: &K, begin: impl FnOnce() -> BoxFuture<'static, V>) -> (Flight<V>, bool) {
        let mut flights = self.0.lock().expect("no holder of this lock panics");
        flights.retain(|_, flight| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        if let Some(flight) = flights.get(key).and_then(WeakShared::upgrade) {
            return (flight, false);
        }
        let flight = begin().shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key.clone(), weak);
        }
        (flight, true)
    }

    /// Has whoever comes from now on begin anew.
    pub(crate) fn close(&self, key: &K) {
        self.0.lock().expect("no holder of this lock panics").remove(key);
    }
}
