//! Rows of the output: as text, CSV and JSON.

use serde::Serialize;

use super::bill::{Bill, Call};
use super::prices::Platform;

/// Header of the text table, aligned with its rows.
pub(crate) const HEAD: &str = "platform        MB  texts  latency ms   billed ms    compute   requests  $ a million  pays from";

/// Cost of one memory size of one platform for one number of texts per call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CostRow {
    pub(crate) platform: &'static str,
    pub(crate) memory_mb: usize,
    pub(crate) texts: usize,
    latency_ms: f64,
    billed_ms: f64,
    compute: f64,
    requests: f64,
    /// Dollars for a million predictions.
    pub(crate) total: f64,
    /// Predictions per second above which an instance is cheaper.
    break_even: Option<f64>,
}

impl CostRow {
    pub(crate) fn new(
        platform: Platform,
        memory_mb: usize,
        call: Call,
        bill: &Bill,
        month: f64,
    ) -> Self {
        Self {
            platform: platform.name(),
            memory_mb,
            texts: call.texts,
            latency_ms: bill.latency_ms,
            billed_ms: bill.billed_ms,
            compute: bill.compute,
            requests: bill.requests,
            total: bill.total(),
            break_even: bill.break_even(call, month),
        }
    }

    /// Formats a row of the text table.
    pub(crate) fn line(&self) -> String {
        let pays = match self.break_even {
            Some(rate) => format!("{rate:.1}/s"),
            None => "never".to_owned(),
        };
        format!(
            "{:<13} {:>4} {:>6} {:>11.2} {:>11.2} {:>10.4} {:>10.4} {:>12.4} {:>10}",
            self.platform,
            self.memory_mb,
            self.texts,
            self.latency_ms,
            self.billed_ms,
            self.compute,
            self.requests,
            self.total,
            pays
        )
    }

    /// Header of the CSV output.
    pub(crate) const CSV: &str =
        "platform,memory_mb,texts,latency_ms,billed_ms,compute,requests,total,break_even";

    /// Formats a row of CSV. No cell needs quotes.
    pub(crate) fn csv(&self) -> String {
        let rate = self.break_even.map(|rate| rate.to_string());
        format!(
            "{},{},{},{},{},{},{},{},{}",
            self.platform,
            self.memory_mb,
            self.texts,
            self.latency_ms,
            self.billed_ms,
            self.compute,
            self.requests,
            self.total,
            rate.unwrap_or_default()
        )
    }
}

/// Finds the row with the fewest texts per call whose compute costs at least as much as its requests: beyond it, more texts per
/// call save less than half of the bill. All rows are of one memory size of one platform.
pub(crate) fn worth_sending<'a>(
    rows: impl IntoIterator<Item = &'a CostRow>,
) -> Option<&'a CostRow> {
    let rows = rows.into_iter().filter(|row| row.compute >= row.requests);
    rows.min_by_key(|row| row.texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: usize, total: f64) -> CostRow {
        CostRow {
            platform: "lambda-arm64",
            memory_mb: 512,
            texts,
            latency_ms: 1.5,
            billed_ms: 2.0,
            compute: 0.25,
            requests: 0.2,
            total,
            break_even: None,
        }
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let mut row = row(1, 0.45);
        assert_eq!(row.line().len(), HEAD.len());
        assert!(row.line().ends_with("0.4500      never"), "{}", row.line());
        row.break_even = Some(12.34);
        assert!(row.line().ends_with(" 12.3/s"), "{}", row.line());
        assert_eq!(row.csv(), "lambda-arm64,512,1,1.5,2,0.25,0.2,0.45,12.34");
        assert_eq!(
            row.csv().split(',').count(),
            CostRow::CSV.split(',').count()
        );
    }

    #[test]
    fn more_texts_are_worth_sending_until_computing_costs_as_much() {
        let of = |texts, compute, requests| CostRow {
            compute,
            requests,
            ..row(texts, compute + requests)
        };
        let rows = [
            of(8, 0.025, 0.025),
            of(1, 0.03, 0.2),
            of(64, 0.02, 0.003),
            of(4, 0.03, 0.05),
        ];
        assert_eq!(worth_sending(&rows).unwrap().texts, 8);
        assert_eq!(worth_sending(&rows[1..2]), None);
    }
}
