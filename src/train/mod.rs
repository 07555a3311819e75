//! Learning: fine-tuning and distillation, by backward passes written by hand. Nothing below knows that it exists.

#![allow(
    dead_code,
    reason = "the trainer, which uses the rest, is not there yet"
)]

mod network;
mod ops;
mod parameters;
mod trial;

pub use trial::Trial;
