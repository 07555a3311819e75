//! The trainable model: its network with forward and backward pass, its parameters, and the folder that it is read from and
//! saved to.
//!
//! This module does not depend on tables, losses or steps.

pub(crate) mod checkpoint;
pub(crate) mod network;
pub(crate) mod ops;
pub(crate) mod parameters;
pub(crate) mod student_init;
pub(crate) mod vocabulary;
