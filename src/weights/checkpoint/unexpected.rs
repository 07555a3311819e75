//! Detection of tensors that should have been loaded and were not.
//!
//! A checkpoint may hold more than a task needs: another head, a pooler, a table of positions. But an unused tensor in the
//! encoder's layers, or in a module with a tensor that was used, means that checkpoint and configuration disagree (a name is
//! misspelt, or there are more layers than config.json says). The answers would be silently wrong.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::kernels::threads::lock;

/// Tensors that were used so far, by their canonical names in the family's checkpoints.
#[derive(Debug, Default)]
pub(super) struct UsedNames {
    names: Mutex<BTreeSet<String>>,
    /// Prefixes of modules that are not checked: the reference implementation saves them and never uses them.
    ignored: Mutex<Vec<String>>,
}

impl UsedNames {
    /// Records that a tensor was used.
    pub(super) fn note(&self, name: &str) {
        lock(&self.names).insert(name.to_owned());
    }

    /// Excludes the tensors of a module from the check.
    pub(super) fn ignore(&self, module: &str) {
        lock(&self.ignored).push(format!("{module}."));
    }

    /// Returns the first of `names` that should have been used and was not, and the reason. Names of the encoder's `layers`
    /// layers start with `layers_prefix` and the layer's index.
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

/// Name of a tensor's module.
fn module(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(module, _)| module)
}
