//! Age and peak memory of this process, on Linux only.

use std::time::Duration;

/// Clock tick of /proc: 10 ms on every processor that Rust supports.
const TICK: Duration = Duration::from_millis(10);

/// Time since this process started. Call it while the process has one thread.
///
/// The system knows the start to a tick of 10 ms, which is longer than a small model takes to load. But it counts to the
/// nanosecond how long a thread has run and waited for its turn; that is all of the time but waits for a disk, and has
/// to agree with the ticks.
pub(crate) fn age() -> Option<Duration> {
    // What a thread has run is added up when it gives way.
    std::thread::yield_now();
    let read = |file| std::fs::read_to_string(file).ok();
    age_from(
        &read("/proc/self/schedstat")?,
        &read("/proc/self/stat")?,
        &read("/proc/uptime")?,
    )
}

fn age_from(schedstat: &str, stat: &str, uptime: &str) -> Option<Duration> {
    let mut fields = schedstat.split_whitespace();
    let mut nanoseconds = || fields.next()?.parse().map(Duration::from_nanos).ok();
    let (ran, waited) = (nanoseconds()?, nanoseconds()?);
    // The second field is the command's name in brackets, with any character in it; the start is field 22.
    let (_, after_name) = stat.rsplit_once(')')?;
    let start: u64 = after_name.split_whitespace().nth(22 - 3)?.parse().ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let by_ticks = Duration::try_from_secs_f64(now)
        .ok()?
        .saturating_sub(Duration::from_millis(start.saturating_mul(10)));
    // Both ends of that span are cut to whole ticks.
    let (least, most) = (by_ticks.saturating_sub(TICK), by_ticks + TICK);
    Some((ran + waited).clamp(least, most))
}

/// Peak resident memory of this process so far, in bytes.
pub(crate) fn peak_memory() -> Option<u64> {
    peak_from(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_from(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(ran: u64, start: u32, uptime: &str) -> Option<Duration> {
        let stat = format!("7 (a) b) R 1{} {start} 0", " 0".repeat(17));
        age_from(&format!("{ran} 1000000 5\n"), &stat, uptime)
    }

    #[test]
    fn run_time_within_what_the_ticks_allow() {
        let ms = Duration::from_millis;
        assert_eq!(age(3_000_000, 1000, "10.00 9.0"), Some(ms(4)));
        assert_eq!(age(13_000_000, 1000, "10.02 9.0"), Some(ms(14)));
        // It has waited for a disk; or, which cannot be, run before it was started.
        assert_eq!(age(3_000_000, 1000, "10.05 9.0"), Some(ms(40)));
        assert_eq!(age(99_000_000, 1000, "10.00 9.0"), Some(ms(10)));
        assert_eq!(age(3_000_000, 1000, "soon"), None);
        assert_eq!(age_from("", "", ""), None);
    }

    #[test]
    fn peak_memory_in_bytes() {
        let status = "VmPeak:\t  100 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_from(status), Some(2048 * 1024));
        assert_eq!(peak_from("VmRSS:\t 1 kB\n"), None);
    }
}
