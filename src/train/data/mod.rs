//! Training data: tables of texts and targets.
//!
//! `table` reads named columns of files, `labels` maps labels to ids, `examples` encodes rows as tokens and targets, and
//! `batches` orders them. This module does not depend on the network.

mod batches;
mod columns;
mod dataset;
mod examples;
mod labels;
mod source;
mod table;

pub(crate) use batches::{Batching, Epoch};
pub(crate) use columns::{LOGIT, named};
pub use columns::{SECOND_COLUMNS, TEXT_COLUMNS, usual_pair};
pub(crate) use dataset::{ColumnNames, Dataset, TextRow};
pub(crate) use examples::{Example, ExampleEncoder, PairMode, Target, TargetKind};
pub(crate) use labels::Labels;
pub use labels::{label_id, label_ids};
pub use source::{Condition, Source};
pub use table::{Cell, JsonLines, JsonRow, Row, TableFormat, TableReader, TextLines};
pub(crate) use table::{Column, Table};
