//! What is learned from: tables of texts and of what is right about them.
//!
//! `table` reads named columns of files, `labels` gives labels their numbers, `examples` makes tokens and targets of rows, and
//! `batches` says in which order they are seen. Nothing here knows the network.

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
