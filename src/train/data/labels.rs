//! Labels and their ids.

use std::collections::BTreeSet;

use super::Cell;
use crate::error::excerpt;

/// Maximum number of labels that an error lists.
const NAMED: usize = 20;

/// Label names, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Labels(Vec<String>);

impl Labels {
    /// Creates labels with these names, in this order.
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Collects all labels that occur: integers in numeric order, others in alphabetic order. Integers with a fraction of zero,
    /// such as `1.0`, lose it.
    pub(crate) fn of<'a>(found: impl Iterator<Item = &'a str>) -> Self {
        let distinct: BTreeSet<&str> = found.collect();
        let number = |name: &str| without_fraction(name).parse::<i128>().ok();
        let integers = distinct.iter().map(|name| Some((number(name)?, *name)));
        let integers: Option<BTreeSet<(i128, &str)>> = integers
            .map(|it| it.map(|(number, name)| (number, without_fraction(name))))
            .collect();
        let owned = |name: &str| name.to_owned();
        Self(match integers {
            Some(integers) => integers.into_iter().map(|(_, name)| owned(name)).collect(),
            None => distinct.into_iter().map(owned).collect(),
        })
    }

    /// Returns the id of a label; see [`label_id`].
    ///
    /// # Errors
    /// The reason, if there is no such label.
    pub(crate) fn id(&self, label: &str) -> Result<usize, String> {
        label_id(&self.0, label)
    }

    /// Returns the ids of a cell's labels; see [`label_ids`].
    ///
    /// # Errors
    /// The reason, if a label is unknown or repeated.
    pub(crate) fn ids(&self, cell: &Cell) -> Result<Vec<usize>, String> {
        label_ids(&self.0, cell)
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the id of a label, given by its name, or by its id if no name is a number itself.
///
/// Spaces around a name are ignored, and so is a fraction of zero after an integer. An id consists of digits alone, without a
/// sign and without leading zeros.
///
/// ```
/// use bertless::train::label_id;
///
/// let labels = ["ham", "spam"].map(str::to_owned);
/// assert_eq!(label_id(&labels, " spam"), Ok(1));
/// assert_eq!(label_id(&labels, "0"), Ok(0));
/// let numbers = ["1", "2"].map(str::to_owned);
/// assert_eq!(label_id(&numbers, "1.0"), Ok(0));
/// assert!(label_id(&numbers, "0").is_err());
/// ```
///
/// # Errors
/// The reason, if there is no such label, or if two labels have this name.
pub fn label_id(labels: &[String], label: &str) -> Result<usize, String> {
    let label = label.trim();
    let mut named = (0..labels.len()).filter(|&id| labels[id].trim() == label);
    match (named.next(), named.next()) {
        (Some(id), None) => return Ok(id),
        (Some(_), Some(_)) => {
            return Err(format!("two labels are called {:?}", excerpt(label)));
        }
        (None, _) => {}
    }
    let whole = without_fraction(label);
    let same = labels
        .iter()
        .position(|name| without_fraction(name.trim()) == whole);
    let numbered = || {
        let is_number = |name: &String| name.trim().parse::<f64>().is_ok_and(f64::is_finite);
        let digits = is_whole(whole) && !whole.starts_with('-');
        let id: usize = digits.then(|| whole.parse().ok())??;
        (id < labels.len() && !labels.iter().any(is_number)).then_some(id)
    };
    same.or_else(numbered).ok_or_else(|| {
        let label = excerpt(label);
        match labels.len() {
            0..=NAMED => {
                let known = labels.join(", ");
                format!("label {label:?} is none of {}", excerpt(&known))
            }
            count => format!("label {label:?} is none of the {count} known ones"),
        }
    })
}

/// Returns the ids of all labels in a cell: the items of a list, or the parts of a text between commas. Each is given as in
/// [`label_id`].
///
/// ```
/// use bertless::train::{Cell, label_ids};
///
/// let labels = ["calm", "joy", "sad"].map(str::to_owned);
/// assert_eq!(label_ids(&labels, &Cell::list(["joy", "0"])), Ok(vec![1, 0]));
/// assert_eq!(label_ids(&labels, &"joy, sad".into()), Ok(vec![1, 2]));
/// assert!(label_ids(&labels, &Cell::list(["0", "0", "1"])).is_err());
/// ```
///
/// # Errors
/// The reason, if a label is unknown or repeated, as in a list that has a 0 or a 1 for each label.
pub fn label_ids(labels: &[String], cell: &Cell) -> Result<Vec<usize>, String> {
    let mut ids = Vec::new();
    let named = cell.labels();
    for label in &named {
        let id = label_id(labels, label)?;
        if ids.contains(&id) {
            let mark =
                |label: &&str| matches!(without_fraction(label), "0" | "1" | "true" | "false");
            let hint = if named.iter().all(mark) {
                ": the names or ids of the labels that hold belong there, not a 0 or 1 for each label"
            } else {
                ""
            };
            let (label, list) = (excerpt(label), excerpt(cell.text()));
            return Err(format!("label {label:?} stands twice in {list:?}{hint}"));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// Removes a fraction of zero from an integer, as `1` for `1.0`; returns any other text unchanged.
fn without_fraction(name: &str) -> &str {
    match name.split_once('.') {
        Some((whole, zeros))
            if is_whole(whole) && !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') =>
        {
            whole
        }
        _ => name,
    }
}

/// Returns whether a text is an integer as programs write it: digits without leading zeros, optionally after a minus sign.
fn is_whole(text: &str) -> bool {
    match text.strip_prefix('-').unwrap_or(text).as_bytes() {
        [b'0'] => text == "0",
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_by_name_and_by_number() {
        let labels = Labels::of(["spam", "ham", "spam"].into_iter());
        assert_eq!(labels.names(), ["ham", "spam"]);
        assert_eq!(labels.id("spam"), Ok(1));
        assert_eq!(labels.id(" spam "), Ok(1));
        assert_eq!(labels.id("0"), Ok(0));
        assert_eq!(labels.id("1.0"), Ok(1));
        for wrong in [
            "2",
            "-1",
            "Spam",
            "",
            "0.5",
            "+1",
            "+1.0",
            "01",
            "01.0",
            "00",
            "-0",
            "-0.0",
            "1e0",
            "1.",
            "1.0e0",
            "18446744073709551617",
        ] {
            assert!(
                labels.id(wrong).unwrap_err().contains("none of ham, spam"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn numbers_are_names_of_themselves() {
        let labels = Labels::of(["10", "2", "1"].into_iter());
        assert_eq!(labels.names(), ["1", "2", "10"]);
        // By its name, not as a number among three.
        assert_eq!(labels.id("1"), Ok(0));
        assert_eq!(labels.id("2"), Ok(1));
        // Nor is what is no name of theirs.
        assert!(labels.id("0").is_err());
    }

    #[test]
    fn whole_numbers_are_one_label_however_they_are_written() {
        let labels = Labels::of(["10.0", "2", "-1.0", "2.0"].into_iter());
        assert_eq!(labels.names(), ["-1", "2", "10"]);
        assert_eq!(labels.id("10"), Ok(2));
        assert_eq!(labels.id("-1.00"), Ok(0));
        // Beside other numbers and words they are names.
        let labels = Labels::of(["1.0", "1.5", "v2.0"].into_iter());
        assert_eq!(labels.names(), ["1.0", "1.5", "v2.0"]);
        assert_eq!(labels.id("1"), Ok(0));
        assert!(labels.id("2").is_err());
        // A model that calls a label so, by its name.
        let labels = Labels::new(["nan", "inf"].map(str::to_owned).to_vec());
        assert_eq!(labels.id("1"), Ok(1));
    }

    #[test]
    fn numbers_that_are_written_otherwise_are_names() {
        let labels = Labels::of(["+1", "02", "1e0", "1"].into_iter());
        assert_eq!(labels.names(), ["+1", "02", "1", "1e0"]);
        let found = labels.names().iter().map(|name| labels.id(name));
        assert!(found.eq((0..4).map(Ok)));
        // Beyond 64 bits they are told apart and in order.
        let large = ["100000000000000000001", "100000000000000000000.0", "7"];
        let labels = Labels::of(large.into_iter());
        assert_eq!(
            labels.names(),
            ["7", "100000000000000000000", "100000000000000000001"]
        );
        assert_eq!(labels.id(large[1]), Ok(1));
        assert!(labels.id("1e20").is_err());
    }

    #[test]
    fn a_label_that_stands_twice_is_no_set() {
        let labels = Labels::new(["a", "b", "c"].map(str::to_owned).to_vec());
        assert_eq!(labels.ids(&Cell::list(["c", "0"])), Ok(vec![2, 0]));
        assert_eq!(labels.ids(&"".into()), Ok(vec![]));
        for marks in [
            Cell::list(["0", "0", "1"]),
            Cell::list(["1.0", "0.0", "1.0"]),
            "0,1,1".into(),
        ] {
            let reason = labels.ids(&marks).unwrap_err();
            assert!(reason.contains("stands twice in"), "{reason}");
            assert!(reason.ends_with("not a 0 or 1 for each label"), "{reason}");
        }
        // By its name and by its id it is one label.
        assert_eq!(
            labels.ids(&Cell::list(["b", "c", "1"])),
            Err("label \"1\" stands twice in \"b c 1\"".to_owned())
        );
        let truths = Labels::of(["true", "false"].into_iter());
        let reason = truths.ids(&Cell::list(["true", "false", "true"]));
        assert!(reason.unwrap_err().contains("for each label"));
    }

    #[test]
    fn names_that_two_labels_have_and_long_ones() {
        let labels = Labels::new(["a", "b", "a"].map(str::to_owned).to_vec());
        assert!(labels.id("a").unwrap_err().contains("two labels"));
        assert_eq!(labels.id("b"), Ok(1));
        let long = labels.id(&"x".repeat(10_000)).unwrap_err();
        assert!(long.len() < 300, "{}", long.len());
    }
}
