//! The crate's own `team`, `passes` and `sync`, compiled with loom's atomics, cells and threads.
#![allow(dead_code, reason = "the rest of the crate is not here")]

#[path = "../../../src/kernels"]
mod kernels {
    mod passes;
    mod sync;
    mod team;

    #[cfg(test)]
    #[path = "../../tests/loom/src/model.rs"]
    mod model;
}
