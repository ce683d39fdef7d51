//! A bounded queue between threads whose entries can be taken back.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct Inner<T> {
    entries: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Inner { entries: VecDeque::new(), closed: false };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Gives the entry back when the queue is full or closed.
    pub(crate) fn push(&self, entry: T) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.closed || inner.entries.len() >= self.capacity {
            return Err(entry);
        }
        inner.entries.push_back(entry);
        self.changed.notify_one();
        Ok(())
    }

    /// Blocks for the next entry; `None` once the queue is closed.
    pub(crate) fn pop(&self) -> Option<T> {
        let waiting = |inner: &mut Inner<T>| inner.entries.is_empty() && !inner.closed;
        let mut inner = self.changed.wait_while(self.lock(), waiting).expect("no holder of this lock panics");
        if inner.closed { None } else { inner.entries.pop_front() }
    }

    pub(crate) fn remove(&self, unwanted: impl Fn(&T) -> bool) {
        self.lock().entries.retain(|entry| !unwanted(entry));
    }

    /// Ends every `pop`; what was left is dropped.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.entries.clear();
        self.changed.notify_all();
    }
}
