//! Operations of a network, forward and backward side by side, over ragged rows.
//!
//! They are functions of slices: parameter names and the order of operations belong to the network. A backward function names
//! the forward line that it mirrors. Gradients of parameters are added to the buffer's content; gradients of rows are stored.
//! Every sum is split into pieces by its lengths alone, so results are the same bits at any number of threads.

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

/// Number of rows per task of an element-wise operation: enough work to be worth handing to a thread.
const ROWS_PER_TASK: usize = 16;
