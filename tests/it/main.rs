//! The integration tests, in one program: `cargo test --test it golden::` runs one of its modules.
//!
//! `tests/memory.rs` is a program of its own, because it measures the memory of its whole process.

mod bad_input;
mod calls;
#[cfg(feature = "cli")]
mod cli;
mod folders;
mod golden;
mod in_place;
mod independence;
mod levels;
mod packed;
mod real;
mod tokenizer;
mod tokenizer_files;
