//! Tensors that no part of the model asked for.
//!
//! A checkpoint may hold more than a task needs: another head, a pooler, a table of positions. But a tensor that is left
//! over right beside one that was used, or in the encoder's layers, means that checkpoint and configuration disagree (a
//! name is misspelt, there are more layers than config.json says), and the answers would be wrong in silence.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The tensors that were used so far, by their names in a checkpoint's map.
#[derive(Debug, Default)]
pub(super) struct UsedNames {
    names: Mutex<BTreeSet<String>>,
    /// Modules that the reference implementation, too, saves and never uses.
    ignored: Mutex<Vec<String>>,
}

impl UsedNames {
    pub(super) fn note(&self, name: &str) {
        lock(&self.names).insert(name.to_owned());
    }

    /// Marks whatever is in this module as known and not used.
    pub(super) fn ignore(&self, module: &str) {
        lock(&self.ignored).push(format!("{module}."));
    }

    /// The first of `names` that should have been used and was not, and the reason. The names of the encoder's `layers`
    /// layers start with `layers_prefix` and a number.
    pub(super) fn unexpected<'n>(
        &self,
        mut names: impl Iterator<Item = &'n String>,
        layers_prefix: &str,
        layers: usize,
    ) -> Option<(&'n String, String)> {
        let (used, ignored) = (lock(&self.names), lock(&self.ignored));
        let modules: BTreeSet<&str> = used.iter().filter_map(|name| module(name)).collect();
        names.find_map(|name| {
            if used.contains(name) || ignored.iter().any(|module| name.starts_with(module)) {
                return None;
            }
            let inside = name.strip_prefix(layers_prefix);
            let layer = inside.map(|rest| rest.split('.').next().unwrap_or(rest).parse::<usize>());
            let reason = match layer {
                Some(Ok(layer)) if layer >= layers => {
                    format!("config.json says that there are {layers} layers")
                }
                Some(_) => "a layer as config.json describes it has no such weight".to_owned(),
                None if module(name).is_some_and(|module| modules.contains(module)) => {
                    "the rest of its module is used, but it has no such weight".to_owned()
                }
                None => return None,
            };
            Some((name, reason))
        })
    }
}

fn module(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(module, _)| module)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
