//! Figures of the machine that no row has, as of the last commit.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use wasmbatch_core::{Name, Resources, Vcpus};

/// What the attempts of each compute environment hold, and of all of them.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    environments: BTreeMap<Name, Vcpus>,
    all: Resources,
}

impl Figures {
    pub(crate) fn set<'n>(&self, held: impl Iterator<Item = (&'n Name, Vcpus)>, all: Resources) {
        let mut known = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (name, vcpus) in held {
            count += 1;
            match known.environments.get_mut(name) {
                Some(before) => *before = vcpus,
                None => {
                    known.environments.insert(name.clone(), vcpus);
                }
            }
        }
        if known.environments.len() > count {
            // An environment is gone; the others come back with the next commit at the latest.
            known.environments.clear();
        }
        known.all = all;
    }

    pub(crate) fn held(&self, environment: &Name) -> Vcpus {
        let known = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        known.environments.get(environment).copied().unwrap_or_default()
    }

    pub(crate) fn held_in_all(&self) -> Resources {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}
