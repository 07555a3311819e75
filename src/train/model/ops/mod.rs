//! The operations of a network, forward and backward side by side, over ragged rows.
//!
//! They are functions of slices: what a parameter is called, and in which order operations come, is the network's
//! business. A backward function names the forward line that it mirrors. Gradients of parameters are added to what is
//! there; gradients of rows are stored. Every sum is cut into pieces by its lengths alone, so results are the same bits
//! at any number of threads.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod dropout;
pub(crate) mod embeddings;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod pooling;
pub(crate) mod residual;

#[cfg(test)]
pub(crate) mod oracle;

/// Rows that one task of an element-wise operation takes: enough work to be worth handing to a thread.
const ROWS_PER_TASK: usize = 16;
