//! Usual names of columns, used where a recipe names no other.

/// Usual names of the column of a text, the first text of a pair included. The first that a table has is read.
pub const TEXT_COLUMNS: [&str; 4] = ["sentence", "text", "sentence1", "premise"];

/// Usual names of the column of the second text of a pair. The first that a table has is read.
pub const SECOND_COLUMNS: [&str; 4] = ["sentence2", "text_pair", "context", "hypothesis"];

/// Prefix of the names of columns with a teacher's logits; the label follows.
pub(crate) const LOGIT: &str = "logit:";

/// Usual names of the two columns of a pair.
const PAIRS: [[&str; 2]; 3] = [
    ["sentence1", "sentence2"],
    ["text", "text_pair"],
    ["premise", "hypothesis"],
];

/// Returns the usual names of the two columns of a pair, the first two that are both there. `has` says whether a column is.
///
/// ```
/// use bertless::train::usual_pair;
///
/// let columns = ["label", "text_pair", "text"];
/// assert_eq!(usual_pair(|name| columns.contains(&name)), Some(["text", "text_pair"]));
/// assert_eq!(usual_pair(|name| name == "text"), None);
/// ```
pub fn usual_pair(has: impl Fn(&str) -> bool) -> Option<[&'static str; 2]> {
    PAIRS
        .into_iter()
        .find(|pair| pair.iter().all(|name| has(name)))
}

/// Returns the given name of a column, or else its usual names.
pub(crate) fn named(name: Option<&str>, usual: &[&str]) -> Vec<String> {
    match name {
        Some(name) => vec![name.to_owned()],
        None => usual.iter().map(|&name| name.to_owned()).collect(),
    }
}
