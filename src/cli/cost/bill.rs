//! Computes what a million predictions cost.

use super::prices::Rates;

/// Seconds in a twelfth of a year.
const SECONDS_A_MONTH: f64 = 365.25 / 12.0 * 86_400.0;

/// A call with one or more texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Call {
    pub(crate) texts: usize,
    /// Latency on a whole vCPU.
    pub(crate) latency_ms: f64,
}

/// Cold starts and overlap of calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallPattern {
    /// Fraction of calls that start a cold process, from 0 to 1.
    pub(crate) cold_share: f64,
    /// Extra time of a cold call on a whole vCPU.
    pub(crate) init_ms: f64,
    /// Number of calls that share a process's billed time, on platforms that allow it.
    pub(crate) overlap: usize,
}

/// Times of a call, and the cost of a million predictions in dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bill {
    /// Latency of a warm call.
    pub(crate) latency_ms: f64,
    /// Mean billed time of a call, cold calls included.
    pub(crate) billed_ms: f64,
    pub(crate) compute: f64,
    pub(crate) requests: f64,
}

impl Bill {
    /// Computes the bill of calls to a function with `memory_mb` of memory.
    ///
    /// Where memory size grants CPU, a fraction of a vCPU takes longer in proportion; more than one vCPU does not speed up one
    /// thread.
    pub(crate) fn new(rates: &Rates, memory_mb: f64, call: Call, pattern: CallPattern) -> Self {
        let slower = rates
            .mb_per_vcpu
            .map_or(1.0, |whole| (whole / memory_mb).max(1.0));
        let latency_ms = call.latency_ms * slower;
        // Calls that share a process are computed one after the other. The platform bills the time during which the process
        // has at least one call.
        let shared = pattern.overlap as f64;
        let warm = stepped(latency_ms * shared, rates.step_ms) / shared;
        let cold = stepped(latency_ms + pattern.init_ms * slower, rates.step_ms);
        let billed_ms = warm + pattern.cold_share * (cold - warm);
        let second = rates.gib_second * memory_mb / 1024.0 + rates.vcpu_second;
        let texts = call.texts as f64;
        Self {
            latency_ms,
            billed_ms,
            compute: billed_ms / 1e3 * second * 1e6 / texts,
            requests: rates.million_requests / texts,
        }
    }

    /// Dollars for a million predictions.
    pub(crate) fn total(&self) -> f64 {
        self.compute + self.requests
    }

    /// Rate of predictions per second above which an instance of one core for `month` dollars a month is cheaper. `None` if the
    /// instance cannot compute that many.
    pub(crate) fn break_even(&self, call: Call, month: f64) -> Option<f64> {
        let rate = month / SECONDS_A_MONTH / (self.total() / 1e6);
        let most = call.texts as f64 / (call.latency_ms / 1e3);
        (rate <= most).then_some(rate)
    }
}

/// Rounds up to whole steps. An excess below 1e-9 of a step is rounding error and ignored.
fn stepped(ms: f64, step: f64) -> f64 {
    (ms / step - 1e-9).ceil() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Round numbers that are nobody's prices.
    const LAMBDA: Rates = Rates {
        gib_second: 0.00002,
        vcpu_second: 0.0,
        million_requests: 0.2,
        step_ms: 1.0,
        mb_per_vcpu: Some(2048.0),
    };
    const CLOUD_RUN: Rates = Rates {
        gib_second: 0.000002,
        vcpu_second: 0.00003,
        million_requests: 0.4,
        step_ms: 100.0,
        mb_per_vcpu: None,
    };
    const WARM: CallPattern = CallPattern {
        cold_share: 0.0,
        init_ms: 0.0,
        overlap: 1,
    };

    fn call(texts: usize, latency_ms: f64) -> Call {
        Call { texts, latency_ms }
    }

    fn near(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= 1e-9 * expected.abs(),
            "{found} {expected}"
        );
    }

    #[test]
    fn a_call_is_its_seconds_times_its_memory_and_a_fee() {
        // 1 GiB is half a vCPU, so 6 ms become 12: 0.012 GiB s at $ 0.00002, times a million calls, is $ 0.24.
        let bill = Bill::new(&LAMBDA, 1024.0, call(1, 6.0), WARM);
        assert_eq!((bill.latency_ms, bill.billed_ms), (12.0, 12.0));
        near(bill.compute, 0.24);
        near(bill.total(), 0.44);
        // With more than a vCPU it is not faster, only dearer.
        let bill = Bill::new(&LAMBDA, 4096.0, call(1, 6.0), WARM);
        assert_eq!(bill.latency_ms, 6.0);
        near(bill.compute, 0.48);
    }

    #[test]
    fn texts_of_a_call_share_its_fee() {
        let bill = Bill::new(&LAMBDA, 2048.0, call(10, 20.0), WARM);
        near(bill.requests, 0.02);
        near(bill.compute, 0.08);
    }

    #[test]
    fn times_are_rounded_up_to_steps() {
        let billed = |ms| Bill::new(&LAMBDA, 2048.0, call(1, ms), WARM).billed_ms;
        assert_eq!(
            [billed(0.2), billed(1.0), billed(1.01), billed(3.0)],
            [1.0, 1.0, 2.0, 3.0]
        );
        assert_eq!(billed(1.0 + 1e-12), 1.0);
        assert_eq!(
            Bill::new(&CLOUD_RUN, 512.0, call(1, 6.0), WARM).billed_ms,
            100.0
        );
    }

    #[test]
    fn overlapping_calls_share_steps() {
        let pattern = CallPattern {
            overlap: 10,
            ..WARM
        };
        // Ten of 6 ms are 60 ms, billed 100; ten of 16 are 160, billed 200.
        assert_eq!(
            Bill::new(&CLOUD_RUN, 512.0, call(1, 6.0), pattern).billed_ms,
            10.0
        );
        let bill = Bill::new(&CLOUD_RUN, 512.0, call(1, 16.0), pattern);
        assert_eq!(bill.billed_ms, 20.0);
        // 0.02 s at $ 0.000031 a second (half a GiB and a vCPU), times a million calls, is $ 0.62.
        near(bill.compute, 0.62);
    }

    #[test]
    fn cold_calls_are_billed_with_their_start() {
        let pattern = CallPattern {
            cold_share: 0.1,
            init_ms: 20.0,
            overlap: 1,
        };
        // Half a vCPU: warm 4 ms, cold 44.
        let bill = Bill::new(&LAMBDA, 1024.0, call(1, 2.0), pattern);
        near(bill.billed_ms, 8.0);
        assert_eq!(bill.latency_ms, 4.0);
    }

    #[test]
    fn an_instance_pays_from_some_rate_on() {
        // A million predictions cost $ 0.48. An instance of $ 2.6298 a month costs $ 0.000001 a second.
        let call = call(1, 7.0);
        let bill = Bill::new(&LAMBDA, 2048.0, call, WARM);
        near(bill.total(), 0.48);
        near(bill.break_even(call, 2.6298).unwrap(), 1.0 / 0.48);
        // The instance computes at most 142 predictions a second. At $ 181 a month it would pay only from 143 on.
        near(bill.break_even(call, 170.0).unwrap(), 170.0 / 2.6298 / 0.48);
        assert_eq!(bill.break_even(call, 181.0), None);
    }
}
