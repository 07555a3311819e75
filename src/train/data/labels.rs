//! Labels and their numbers.

use std::collections::BTreeSet;

/// The labels that a model tells apart, by number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Labels(Vec<String>);

impl Labels {
    /// Labels with these names, in this order.
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// All that occur: whole numbers in their order, otherwise in that of the alphabet.
    pub(crate) fn of<'a>(found: impl Iterator<Item = &'a str>) -> Self {
        let distinct: BTreeSet<&str> = found.collect();
        let mut names: Vec<&str> = distinct.into_iter().collect();
        let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if numbers.is_some() {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
        }
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// The number of a label that is given by its name, or by its number if names are no numbers themselves.
    ///
    /// # Errors
    /// The reason, if it is none of them.
    pub(crate) fn number(&self, label: &str) -> Result<usize, String> {
        let named = self.0.iter().position(|name| name == label);
        let numbered = || {
            let is_number = |name: &String| name.parse::<i64>().is_ok();
            let number: usize = label.parse().ok()?;
            (number < self.0.len() && !self.0.iter().any(is_number)).then_some(number)
        };
        named.or_else(numbered).ok_or_else(|| match self.0.len() {
            0..=20 => format!("label {label:?} is none of {}", self.0.join(", ")),
            count => format!("label {label:?} is none of the {count} known ones"),
        })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_by_name_and_by_number() {
        let labels = Labels::of(["spam", "ham", "spam"].into_iter());
        assert_eq!(labels.names(), ["ham", "spam"]);
        assert_eq!(labels.number("spam"), Ok(1));
        assert_eq!(labels.number("0"), Ok(0));
        for wrong in ["2", "-1", "Spam", ""] {
            assert!(
                labels
                    .number(wrong)
                    .unwrap_err()
                    .contains("none of ham, spam"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn numbers_are_names_of_themselves() {
        let labels = Labels::of(["10", "2", "1"].into_iter());
        assert_eq!(labels.names(), ["1", "2", "10"]);
        // By its name, not as a number among three.
        assert_eq!(labels.number("1"), Ok(0));
        assert_eq!(labels.number("2"), Ok(1));
        // Nor is what is no name of theirs.
        assert!(labels.number("0").is_err());
    }
}
