//! Former names of recipe keys and tasks. They are still accepted, and fingerprints are still computed from them.

use toml::{Table, Value};

use crate::error::{Error, Result};

/// Renamed keys: section, former name, current name.
const KEYS: [(&str, &str, &str); 13] = [
    ("training", "batch", "batch-size"),
    ("training", "accumulate", "micro-batches"),
    ("training", "rate", "learning-rate"),
    ("training", "decay", "weight-decay"),
    ("training", "warmup", "warmup-ratio"),
    ("training", "clip", "max-grad-norm"),
    ("training", "smoothing", "label-smoothing"),
    ("training", "weights", "class-weights"),
    ("training", "measure-every", "eval-steps"),
    ("training", "patience", "early-stopping-patience"),
    ("training", "save-every", "save-steps"),
    ("training", "log-every", "logging-steps"),
    ("student", "least", "min-count"),
];

/// Renamed tasks: former name, current name.
const TASKS: [(&str, &str); 3] = [
    ("tokens", "token-classification"),
    ("questions", "question-answering"),
    ("ranking", "multiple-negatives"),
];

/// Returns the current name of a dotted key.
pub(super) fn current_key(key: &str) -> String {
    let names = key.split_once('.');
    let is_key = |(section, former, _): &&_| names == Some((*section, *former));
    let renamed = KEYS.iter().find(is_key);
    renamed.map_or(key.to_owned(), |(section, _, current)| {
        format!("{section}.{current}")
    })
}

/// Replaces former names in a table by the current ones, and adds a note about each to `notes`.
///
/// # Errors
/// `Config` if a key is given by both names.
pub(super) fn rename(table: &mut Table, file: &str, notes: &mut Vec<String>) -> Result<()> {
    let mut note = |note: String| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    for (section, former, current) in KEYS {
        let keys = table.get_mut(section).and_then(Value::as_table_mut);
        let Some((keys, value)) = keys.and_then(|keys| keys.remove(former).map(|it| (keys, it)))
        else {
            continue;
        };
        if keys.insert(current.to_owned(), value).is_some() {
            let twice = "is given twice, also by its former name";
            return Err(Error::Config {
                file: file.to_owned(),
                key: format!("{section}.{current}"),
                reason: format!("{twice} {section}.{former}: remove one"),
            });
        }
        note(format!("`{section}.{former}` is now `{section}.{current}`"));
    }
    if let Some(Value::String(task)) = table.get_mut("task")
        && let Some((former, current)) = TASKS.iter().find(|(former, _)| former == task)
    {
        note(format!("task `{former}` is now `{current}`"));
        *task = (*current).to_owned();
    }
    Ok(())
}

/// Replaces current names in a recipe's JSON by the former ones.
pub(super) fn with_former_names(json: String) -> String {
    // A quote inside a JSON string is escaped, so a name between quotes and a colon is a key.
    let json = KEYS.iter().fold(json, |json, (_, former, current)| {
        json.replace(&format!("\"{current}\":"), &format!("\"{former}\":"))
    });
    TASKS.iter().fold(json, |json, (former, current)| {
        let task = |name| format!("\"task\":\"{name}\"");
        json.replace(&task(current), &task(former))
    })
}
