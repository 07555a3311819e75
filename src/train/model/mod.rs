//! The model that learns: its network, forward and backward, its parameters, and the folder that it is read from and saved as.
//!
//! Nothing here knows tables, losses or steps.

pub(crate) mod checkpoint;
pub(crate) mod network;
pub(crate) mod ops;
pub(crate) mod parameters;
pub(crate) mod student_init;
pub(crate) mod vocabulary;
