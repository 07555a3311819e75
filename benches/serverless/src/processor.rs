//! What rows were measured on: rows of two processors in one table would compare unlike things.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::table::Row;

/// The processor of this machine, by name, family and model; a virtual machine often names the first alone.
pub(crate) fn name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    named(&text)
}

fn named(cpuinfo: &str) -> String {
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

/// Keeps this process, and those that it starts, on one core. To be called before there are other threads.
pub(crate) fn stay_on(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    if core < CpuSet::MAX_CPU {
        cores.set(core);
    }
    sched_setaffinity(None, &cores).with_context(|| format!("core {core} is not to be had"))
}

/// That a table's rows are of this processor, so that more can stand beside them.
pub(crate) fn check(rows: &[Row], own: &str) -> Result<()> {
    match rows.iter().find(|row| row.processor != own) {
        None => Ok(()),
        Some(row) if row.processor.is_empty() => {
            bail!("its rows do not say of which processor they are: begin a new one")
        }
        Some(row) => bail!(
            "its rows are of another processor ({}) than this one ({own}): begin a new one",
            row.processor
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{What, tests::row};

    #[test]
    fn a_processor_by_what_its_system_says() {
        let x86 = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nprocessor\t: 1\n";
        assert_eq!(named(x86), "AMD EPYC, family 25, model 17");
        assert_eq!(named("CPU implementer\t: 0x41\n"), "unknown");
    }

    #[test]
    fn a_process_stays_on_its_core() {
        let granted = rustix::thread::sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU).find(|&core| granted.is_set(core));
        // Affinity is of a thread: the other tests keep theirs.
        let own = std::thread::spawn(move || {
            stay_on(core.unwrap()).unwrap();
            std::thread::available_parallelism().unwrap().get()
        });
        assert_eq!(own.join().unwrap(), 1);
        for core in [CpuSet::MAX_CPU - 1, usize::MAX] {
            let error = stay_on(core).unwrap_err().to_string();
            assert_eq!(error, format!("core {core} is not to be had"));
        }
    }

    #[test]
    fn rows_of_two_processors_do_not_mix() {
        let mut rows = [What::Spaced, What::BackToBack].map(|what| row("ort", "minilm", 512, what));
        assert!(check(&[], "b").is_ok() && check(&rows, "a").is_ok());
        let error = check(&rows, "b").unwrap_err().to_string();
        assert!(error.contains("(a)") && error.contains("(b)"), "{error}");
        rows[1].processor.clear();
        let error = check(&rows, "a").unwrap_err().to_string();
        assert!(error.contains("do not say"), "{error}");
    }
}
