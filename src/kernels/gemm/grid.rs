//! Division of a product into tasks.

use std::ops::Range;

/// Bytes of activations in a block of rows. A task reads them again for every panel, so they should stay in a core's
/// second-level cache.
pub(super) const MAX_BLOCK_BYTES: usize = 256 * 1024;

/// Minimum number of rows in a block, however long they are. Fewer rows would not repay reading the weights once more.
pub(super) const MIN_BLOCK_ROWS: usize = 48;

/// Number of tasks per thread. With several, a thread that is late can leave some of its tasks to others.
pub(super) const TASKS_PER_THREAD: usize = 8;

/// Tasks of a product: blocks of rows by groups of panels. Each row and panel is in exactly one task.
pub(super) struct Grid {
    rows: usize,
    rows_per_block: usize,
    panels: usize,
    panels_per_group: usize,
}

impl Grid {
    /// Divides a product of `rows` rows and `panels` panels into tasks for `threads` threads. A row of activations takes `bytes_per_row` bytes.
    pub(super) fn new(rows: usize, panels: usize, bytes_per_row: usize, threads: usize) -> Self {
        // As many rows as the cache holds, in blocks of about equal size.
        let max_rows = (MAX_BLOCK_BYTES / bytes_per_row.max(1)).max(MIN_BLOCK_ROWS);
        let blocks = rows.div_ceil(max_rows).max(1);
        let rows_per_block = rows.div_ceil(blocks).max(1);
        // With one thread a task has all panels of its block. With several threads the panels are divided, so that each
        // weight is still read once. Groups are whole pairs, since tiles are up to two panels wide, and numerous enough
        // that all threads finish at about the same time.
        let panels_per_group = match threads {
            1 => panels.max(1),
            _ => (panels / (TASKS_PER_THREAD * threads).div_ceil(blocks))
                .next_multiple_of(2)
                .max(2),
        };
        Self {
            rows,
            rows_per_block,
            panels,
            panels_per_group,
        }
    }

    /// Number of groups of panels.
    fn groups(&self) -> usize {
        self.panels.div_ceil(self.panels_per_group)
    }

    /// Returns the number of tasks.
    pub(super) fn tasks(&self) -> usize {
        self.rows.div_ceil(self.rows_per_block) * self.groups()
    }

    /// Returns the rows and panels of task `index`, which must be below [`tasks`](Self::tasks).
    pub(super) fn task(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let (block, group) = (index / self.groups(), index % self.groups());
        let row = block * self.rows_per_block;
        let panel = group * self.panels_per_group;
        (
            row..(row + self.rows_per_block).min(self.rows),
            panel..(panel + self.panels_per_group).min(self.panels),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_panel_of_every_row_is_in_one_task() {
        for threads in [1, 2, 3, 8] {
            for (rows, panels, bytes_per_row) in [
                (0, 5, 4),
                (5, 0, 4),
                (1, 1, 4),
                (47, 3, 1536),
                (200, 24, 6144),
                (1000, 97, 1 << 20),
            ] {
                let grid = Grid::new(rows, panels, bytes_per_row, threads);
                let mut tasks = vec![0; rows * panels];
                for task in 0..grid.tasks() {
                    let (of_task, panels_of_task) = grid.task(task);
                    for row in of_task {
                        for panel in panels_of_task.clone() {
                            tasks[row * panels + panel] += 1;
                        }
                    }
                }
                assert!(
                    tasks.iter().all(|&tasks| tasks == 1),
                    "{rows} rows, {panels} panels, {threads} threads"
                );
            }
        }
    }
}
