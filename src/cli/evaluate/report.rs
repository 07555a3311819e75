//! Metrics by name.

use std::fmt;

use anyhow::Result;
use serde::{Serialize, Serializer};

/// Metrics and the number of rows that they were computed on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Report {
    rows: usize,
    figures: Vec<(&'static str, Option<f64>)>,
}

impl Report {
    /// A report on `rows` rows. Refuses 0 rows.
    pub(super) fn of(rows: usize) -> Result<Self> {
        if rows == 0 {
            anyhow::bail!("the table has a header and no rows");
        }
        Ok(Self {
            rows,
            figures: Vec::new(),
        })
    }

    pub(super) fn figure(self, name: &'static str, figure: f64) -> Self {
        self.correlation(name, Some(figure))
    }

    /// Adds a metric that may be undefined.
    pub(super) fn correlation(mut self, name: &'static str, figure: Option<f64>) -> Self {
        self.figures.push((name, figure));
        self
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Names and values, in the order in which they were added.
    pub(super) fn figures(&self) -> &[(&'static str, Option<f64>)] {
        &self.figures
    }
}

/// Serializes as one object: "n", then the metrics; null for an undefined one.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = ("n", serde_json::Value::from(self.rows));
        let figures = self.figures.iter();
        let figures = figures.map(|&(name, figure)| (name, serde_json::Value::from(figure)));
        serializer.collect_map(std::iter::once(rows).chain(figures))
    }
}

/// Formats a line for each metric.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:16} {}", "n", self.rows)?;
        for (name, figure) in &self.figures {
            match figure {
                Some(figure) => write!(f, "\n{name:16} {figure:.4}")?,
                None => write!(f, "\n{name:16} not defined")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_in_the_order_of_measuring() {
        let report = Report::of(3)
            .unwrap()
            .figure("mcc", 0.5)
            .correlation("pearson", None);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(json, r#"{"n":3,"mcc":0.5,"pearson":null}"#);
        let lines = report.to_string();
        assert!(lines.ends_with("mcc              0.5000\npearson          not defined"));
        assert!(Report::of(0).is_err());
    }
}
