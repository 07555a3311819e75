//! Names of labels, by id.

use serde_json::Value;

use super::Keys;
use crate::error::Result;

/// The most labels that are believed.
const MAX_LABELS: usize = 1 << 20;

/// Label names in the order of their ids: `id2label`, else `LABEL_0` and so on, `num_labels` of them, or two.
///
/// Where they disagree, `id2label` counts, as in the reference; whether it fits the weights shows when these are read.
/// A name may be a number, or true or false, and is then what stands in the file.
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

/// The id of the label that means entailment, if there is one: that of the name in `label2id` that starts with "entail", as
/// in the reference. Where `label2id` has none, or gives an id that no label has, the names of `id2label` decide.
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
