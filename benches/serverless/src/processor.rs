//! Processor that rows were measured on. A table must not mix processors, since their times cannot be compared.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::table::Row;

/// Returns the name, family and model of this machine's processor. On a virtual machine the name alone often does not identify it.
pub(crate) fn name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    parse_name(&text)
}

fn parse_name(cpuinfo: &str) -> String {
    let value = |key: &str| {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let mut own = fields.filter(|(name, _)| name.trim() == key);
        own.next().map(|(_, value)| value.trim())
    };
    let name = value("model name").unwrap_or("unknown");
    match (value("cpu family"), value("model")) {
        (Some(family), Some(model)) => format!("{name}, family {family}, model {model}"),
        _ => name.to_owned(),
    }
}

/// Pins this thread, and all threads and processes that it starts, to one core. Must be called before the process has other threads.
pub(crate) fn pin_to(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    if core < CpuSet::MAX_CPU {
        cores.set(core);
    }
    sched_setaffinity(None, &cores).with_context(|| format!("core {core} is not available"))
}

/// Checks that all rows of a table are of the processor `own`, so that rows can be added.
pub(crate) fn check(rows: &[Row], own: &str) -> Result<()> {
    match rows.iter().find(|row| row.processor != own) {
        None => Ok(()),
        Some(row) if row.processor.is_empty() => {
            bail!("its rows do not name their processor: begin a new table")
        }
        Some(row) => bail!(
            "its rows are of another processor ({}) than this machine's ({own}): begin a new table",
            row.processor
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{RowKind, tests::row};

    #[test]
    fn the_name_is_parsed_from_cpuinfo() {
        let x86 = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nprocessor\t: 1\n";
        assert_eq!(parse_name(x86), "AMD EPYC, family 25, model 17");
        assert_eq!(parse_name("CPU implementer\t: 0x41\n"), "unknown");
    }

    #[test]
    fn a_thread_is_pinned_to_a_core() {
        let granted = rustix::thread::sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU).find(|&core| granted.is_set(core));
        // Affinity is a property of a thread, so the other tests keep theirs.
        let own = std::thread::spawn(move || {
            pin_to(core.unwrap()).unwrap();
            std::thread::available_parallelism().unwrap().get()
        });
        assert_eq!(own.join().unwrap(), 1);
        for core in [CpuSet::MAX_CPU - 1, usize::MAX] {
            let error = pin_to(core).unwrap_err().to_string();
            assert_eq!(error, format!("core {core} is not available"));
        }
    }

    #[test]
    fn rows_of_another_processor_are_errors() {
        let mut rows =
            [RowKind::Spaced, RowKind::BackToBack].map(|what| row("ort", "minilm", 512, what));
        assert!(check(&[], "b").is_ok() && check(&rows, "a").is_ok());
        let error = check(&rows, "b").unwrap_err().to_string();
        assert!(error.contains("(a)") && error.contains("(b)"), "{error}");
        rows[1].processor.clear();
        let error = check(&rows, "a").unwrap_err().to_string();
        assert!(error.contains("do not name"), "{error}");
    }
}
