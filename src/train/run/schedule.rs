//! Learning-rate schedule.

/// Linear warm-up from 0 to the peak rate, then linear decay to 0, as `transformers.get_linear_schedule_with_warmup`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Schedule {
    /// Peak learning rate.
    pub(crate) rate: f64,
    /// Number of warm-up steps.
    pub(crate) warmup: u64,
    /// Number of steps in the whole run.
    pub(crate) steps: u64,
}

impl Schedule {
    /// Returns the learning rate of a step, counted from 0.
    pub(crate) fn rate_at(self, step: u64) -> f64 {
        let share = if step < self.warmup {
            step as f64 / self.warmup as f64
        } else {
            let down = self.steps.saturating_sub(self.warmup).max(1);
            self.steps.saturating_sub(step) as f64 / down as f64
        };
        self.rate * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_and_down_in_lines() {
        let schedule = Schedule {
            rate: 8.0,
            warmup: 2,
            steps: 6,
        };
        let rates: Vec<f64> = (0..8).map(|step| schedule.rate_at(step)).collect();
        assert_eq!(rates, [0.0, 4.0, 8.0, 6.0, 4.0, 2.0, 0.0, 0.0]);
        let level = Schedule {
            rate: 1.0,
            warmup: 3,
            steps: 3,
        };
        assert_eq!(level.rate_at(2), 2.0 / 3.0);
        assert_eq!(level.rate_at(3), 0.0);
    }
}
