//! Learning: fine-tuning and distillation, by backward passes written by hand. Nothing below knows that it exists.

// Commands that use all of this are on their way.
#![allow(dead_code, unused_imports)]

mod adamw;
mod blueprint;
mod bm25;
mod data;
mod log;
mod losses;
mod parameters;
mod random;
mod recipe;
mod replace;
mod schedule;
mod start;
mod state;
mod trainer;
mod vocabulary;
