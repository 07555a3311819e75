//! The crate's own `team`, `budget` and `sync`, compiled with loom's atomics, cells and threads.
#![allow(dead_code, reason = "the rest of the crate is not here")]

#[path = "../../../src/kernels/threads"]
mod kernels {
    mod budget;
    mod sync;
    mod team;

    #[cfg(test)]
    #[path = "../../../tests/loom/src/model.rs"]
    mod model;
}
