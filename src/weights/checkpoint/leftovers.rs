//! Tensors that no part of the model asked for.
//!
//! A checkpoint may hold more than a task needs: another head, a pooler, a table of positions. But a tensor that is left
//! over right beside one that was used, or in the encoder's layers, means that checkpoint and configuration disagree (a
//! name is misspelt, there are more layers than config.json says), and the answers would be wrong in silence.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::Checkpoint;
use crate::error::{Error, Result};
use crate::weights::names;

/// What was asked for, by the names of a checkpoint's map.
#[derive(Debug, Default)]
pub(super) struct Asked {
    names: Mutex<BTreeSet<String>>,
    /// Modules that the reference implementation, too, saves and never uses.
    unused: Mutex<Vec<String>>,
}

impl Asked {
    pub(super) fn note(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned());
    }
}

impl Checkpoint {
    /// Says that whatever is in the module of this name is known, and not used.
    pub(in crate::weights) fn pass_over(&self, name: &str) {
        let module = format!("{}.", names::in_checkpoint(self.family, name));
        let unused = &self.asked.unused;
        unused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(module);
    }

    /// To be called when everything is loaded: refuses what was left over where nothing should be. The encoder has
    /// `layers` layers.
    ///
    /// # Errors
    /// `WeightUnexpected`.
    pub(in crate::weights) fn refuse_leftovers(&self, layers: usize) -> Result<()> {
        let asked = self
            .asked
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let unused = self
            .asked
            .unused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let used: BTreeSet<&str> = asked.iter().filter_map(|name| module(name)).collect();
        let stack = names::in_checkpoint(self.family, "encoder.layer.");
        let stack = stack.trim_end_matches('.');
        for (name, tensor) in &self.tensors {
            if asked.contains(name) || unused.iter().any(|module| name.starts_with(module)) {
                continue;
            }
            let inside = name
                .strip_prefix(stack)
                .and_then(|rest| rest.strip_prefix('.'));
            let layer = inside.map(|rest| rest.split('.').next().unwrap_or(rest).parse::<usize>());
            let reason = match layer {
                Some(Ok(layer)) if layer >= layers => {
                    format!("config.json says that there are {layers} layers")
                }
                Some(_) => "a layer as config.json describes it has no such weight".to_owned(),
                None if module(name).is_some_and(|module| used.contains(module)) => {
                    "the rest of its module is used, but it has no such weight".to_owned()
                }
                None => continue,
            };
            return Err(Error::WeightUnexpected {
                name: tensor.name.clone(),
                reason,
            });
        }
        Ok(())
    }
}

fn module(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(module, _)| module)
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use crate::config::Family;
    use crate::error::Error;
    use crate::weights::checkpoint::Checkpoint;
    use crate::weights::{Access, Files};

    /// Which of these tensors is refused once the tensors of `used` are read from two layers.
    fn refused(family: Family, names: &[&str], used: &[&str]) -> Option<String> {
        let bytes = 1f32.to_le_bytes();
        let view = |name: &&str| {
            let view = TensorView::new(Dtype::F32, vec![1], &bytes).unwrap();
            (name.to_string(), view)
        };
        let file = safetensors::serialize(names.iter().map(view), None).unwrap();
        let files = Files::new().with("model.safetensors", file);
        let checkpoint = Checkpoint::open(&files, "", family, Access::Read).unwrap();
        for name in used {
            checkpoint.find(name, &[1]).unwrap();
        }
        checkpoint.pass_over("encoder.layer.0.known");
        match checkpoint.refuse_leftovers(2) {
            Ok(()) => None,
            Err(Error::WeightUnexpected { name, .. }) => Some(name),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn other_heads_are_left_alone() {
        let names = [
            "bert.embeddings.LayerNorm.weight",
            "bert.embeddings.position_ids",
            "bert.pooler.dense.weight",
            "bert.encoder.layer.0.known.weight",
            "cls.predictions.bias",
            "cls.predictions.decoder.weight",
        ];
        let used = ["embeddings.LayerNorm.weight", "cls.predictions.bias"];
        assert_eq!(refused(Family::Bert, &names, &used), None);
        assert_eq!(refused(Family::Bert, &names, &[]), None);
    }

    #[test]
    fn the_rest_of_a_module_and_of_the_layers_is_not() {
        let names = ["bert.a.b.weight", "bert.a.b.bIas"];
        let refuse = |names: &[&str], used: &[&str]| refused(Family::Bert, names, used);
        assert_eq!(
            refuse(&names, &["a.b.weight"]).as_deref(),
            Some("bert.a.b.bIas")
        );
        for name in [
            "bert.encoder.layer.2.output.dense.weight",
            "encoder.layer.1.ffn.3.output.dense.weight",
            "encoder.layer.x",
        ] {
            assert_eq!(refuse(&[name], &[]).as_deref(), Some(name));
        }
        let name = "distilbert.transformer.layer.2.ffn.lin1.weight";
        let refused = refused(Family::DistilBert, &[name], &[]);
        assert_eq!(refused.as_deref(), Some(name));
    }
}
