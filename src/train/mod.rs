//! Learning: fine-tuning and distillation, by backward passes written by hand. Nothing below knows that it exists.

mod parameters;
