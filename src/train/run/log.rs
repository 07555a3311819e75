//! The log of a run, in JSON lines. A resumed run continues it after the last saved step.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A record of the training log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Mean loss and throughput since the previous record.
    Steps(Steps),
    /// Metrics of an evaluation.
    Figures(Figures),
}

/// A log record about training steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Number of steps taken so far.
    pub step: u64,
    /// Number of epochs so far, with the fraction of the current one.
    pub epoch: f64,
    /// Mean loss of the steps since the previous record.
    pub loss: f64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Norm of the last step's gradient, before clipping.
    pub norm: f64,
    /// Throughput since the previous record, in tokens per second.
    pub tokens_per_second: f64,
}

/// A log record about an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Number of steps taken so far.
    pub step: u64,
    /// Metric names and values; the first one selects the best model.
    pub figures: Vec<(String, f64)>,
    /// Whether the model is the best so far.
    pub best: bool,
}

/// A log file that is open for writing.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Log {
    /// Opens a log and truncates it to its first `bytes` bytes. Later records belong to steps that the resumed run takes again.
    ///
    /// # Errors
    /// `Io`, which names the file.
    pub(crate) fn open(path: &Path, bytes: u64) -> Result<Self> {
        let open = || -> std::io::Result<(File, u64)> {
            let mut options = OpenOptions::new();
            let mut file = options
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            let bytes = file.metadata()?.len().min(bytes);
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|cause| Error::Io {
            path: path.to_owned(),
            cause,
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            bytes,
        })
    }

    /// Appends a record in a single write.
    ///
    /// # Errors
    /// `Io`, which names the file.
    pub(crate) fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.bytes += text.len() as u64;
        self.file.write_all(&text).map_err(|cause| Error::Io {
            path: self.path.clone(),
            cause,
        })
    }

    /// Syncs the log to the disk and returns its length in bytes.
    ///
    /// # Errors
    /// `Io`, which names the file.
    pub(crate) fn sync(&self) -> Result<u64> {
        let synced = self.file.sync_data().map_err(|cause| Error::Io {
            path: self.path.clone(),
            cause,
        });
        synced.map(|()| self.bytes)
    }
}

/// Reads all records of a log. A last line that is incomplete is left out.
///
/// # Errors
/// `Io`, which names the file.
pub fn read_log(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).map_err(|cause| Error::Io {
        path: path.to_owned(),
        cause,
    })?;
    let lines = text.lines();
    Ok(lines
        .map_while(|line| serde_json::from_str(line).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> Line {
        Line::Figures(Figures {
            step,
            figures: vec![("accuracy".to_owned(), 0.5)],
            best: true,
        })
    }

    #[test]
    fn a_run_that_goes_on_overwrites_what_it_does_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        log.write(&line(1)).unwrap();
        let bytes = log.sync().unwrap();
        log.write(&line(2)).unwrap();
        let mut log = Log::open(&path, bytes).unwrap();
        log.write(&line(3)).unwrap();
        assert_eq!(read_log(&path).unwrap(), [line(1), line(3)]);
        assert_eq!(log.sync().unwrap(), std::fs::metadata(&path).unwrap().len());
        std::fs::write(&path, "{\"step\":1,\"figures\":[],\"best\":false}\n{\"st").unwrap();
        assert_eq!(read_log(&path).unwrap().len(), 1);
    }
}
