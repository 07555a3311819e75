//! Names of labels by id, from config.json.

use serde_json::Value;

use super::Keys;
use crate::error::Result;

/// Upper bound for the number of labels that a config.json may declare.
const MAX_LABELS: usize = 1 << 20;

/// Returns the label names in the order of their ids. They come from `id2label`; without it they are `LABEL_0`, `LABEL_1` and
/// so on, `num_labels` of them, or two if that is missing too.
///
/// If `id2label` and `num_labels` disagree, `id2label` counts, as in transformers. The number of labels is checked against the
/// weights when those are read. If a name is a number or a boolean in the file, its JSON text is the name.
pub(super) fn labels(keys: &Keys) -> Result<Vec<String>> {
    let Some(named) = keys.object("id2label")? else {
        let count = keys.size(&["num_labels"], 2, 1..=MAX_LABELS)?;
        return Ok((0..count).map(|id| format!("LABEL_{id}")).collect());
    };
    let count = named.entries().count();
    let wrong = |reason: String| keys.wrong("id2label", reason);
    if count == 0 || count > MAX_LABELS {
        return Err(wrong(format!("{count} labels")));
    }
    let mut labels = vec![None; count];
    for (id, name) in named.entries() {
        let parsed = id.trim().parse::<usize>().ok();
        let slot = parsed.and_then(|id| labels.get_mut(id));
        let text = match name {
            Value::String(name) => Some(name.clone()),
            Value::Number(_) | Value::Bool(_) => Some(name.to_string()),
            _ => None,
        };
        let (Some(slot), Some(text)) = (slot, text) else {
            return Err(wrong(format!(
                "{id:?}: {name} does not name one of labels 0 to {}",
                count - 1
            )));
        };
        *slot = Some(text);
    }
    let missing = labels.iter().position(Option::is_none);
    match missing {
        Some(id) => Err(wrong(format!("label {id} has no name"))),
        None => Ok(labels.into_iter().flatten().collect()),
    }
}

/// Returns the id of the label that means entailment, if there is one. It is the id of the first name in `label2id` that
/// starts with "entail" in any case, as in transformers. If `label2id` has no such name, or gives it an id that no label
/// has, the first of `labels` that starts so decides.
pub(super) fn entailment(keys: &Keys, labels: &[String]) -> Option<usize> {
    let entails = |name: &str| name.to_lowercase().starts_with("entail");
    let ids = keys.value("label2id").and_then(|ids| ids.as_object());
    let id = ids
        .into_iter()
        .flatten()
        .find(|(name, _)| entails(name))
        .and_then(|(_, id)| id.as_u64())
        .and_then(|id| usize::try_from(id).ok())
        .filter(|&id| id < labels.len());
    id.or_else(|| labels.iter().position(|label| entails(label)))
}
