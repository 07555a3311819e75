//! Properties of a team in every order of events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use loom::cell::UnsafeCell;

use super::budget::HelperBudget;
use super::team::Team;

/// Item of an output that tasks write without a lock. Loom fails the model if two threads access it in no certain
/// order.
struct Output(UnsafeCell<usize>);

// SAFETY: loom checks each access, and reports one that is unordered before it happens.
unsafe impl Sync for Output {}

impl Output {
    fn add(&self, x: usize) {
        // SAFETY: the pointer is the cell's, and loom has checked that no other access happens at the same time.
        self.0.with_mut(|value| unsafe { *value += x });
    }

    fn get(&self) -> usize {
        // SAFETY: as in `add`. Other reads may happen at the same time.
        self.0.with(|value| unsafe { *value })
    }
}

fn outputs(count: usize) -> Vec<Output> {
    (0..count).map(|_| Output(UnsafeCell::new(0))).collect()
}

fn team(threads: usize) -> Team {
    let pass = HelperBudget::lease(&Arc::new(HelperBudget::new(threads)));
    Team::spawn(pass, |help| {
        loom::thread::spawn(help);
    })
}

/// Explores all orders of events in which threads are preempted at most `preemptions` times.
fn model(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(check);
}

/// Runs a step for each number of `tasks`, and after each step checks what its tasks have written.
fn steps(threads: usize, tasks: &[usize]) {
    let team = team(threads);
    for &tasks in tasks {
        // On this thread's stack, as in production: a helper that is late would access freed memory.
        let outputs = outputs(tasks);
        team.parallel_for(tasks, || (), |(), task| outputs[task].add(task + 1));
        for (task, output) in outputs.iter().enumerate() {
            assert_eq!(output.get(), task + 1, "task {task} of {tasks}");
        }
    }
}

#[test]
fn one_helper_and_two_steps() {
    model(3, || steps(2, &[2, 3]));
}

#[test]
fn two_helpers_and_a_step() {
    model(2, || steps(3, &[3]));
}

#[test]
fn two_helpers_and_two_steps() {
    model(1, || steps(3, &[2, 2]));
}

#[test]
fn a_pass_without_steps_lets_its_helpers_go() {
    model(3, || drop(team(3)));
}

#[test]
fn a_panic_reaches_the_caller_after_every_helper_is_done() {
    model(2, || {
        let team = team(2);
        let outputs = outputs(2);
        let ran = catch_unwind(AssertUnwindSafe(|| {
            team.parallel_for(
                2,
                || (),
                |(), task| {
                    outputs[task].add(1);
                    assert_ne!(task, 1);
                },
            );
        }));
        assert!(ran.is_err());
        assert_eq!(outputs[1].get(), 1);
    });
}
