//! The log of a run: JSON lines that a run which goes on continues at the right place.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// How steps go, from the line before to this one.
    Steps(Steps),
    /// How good the model is.
    Figures(Figures),
}

impl Line {
    pub(crate) fn into_figures(self) -> Option<Figures> {
        match self {
            Self::Figures(figures) => Some(figures),
            Self::Steps(_) => None,
        }
    }
}

/// A line about steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Steps taken so far.
    pub step: u64,
    /// Epochs, in parts of one.
    pub epoch: f64,
    /// The mean loss since the line before.
    pub loss: f64,
    /// The learning rate of the last step,
    pub rate: f64,
    /// and the length of its gradient before it was clipped.
    pub norm: f64,
    /// How fast the steps were.
    pub tokens_per_second: f64,
}

/// A line about figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Steps taken so far.
    pub step: u64,
    /// Names and numbers, the one that decides first.
    pub figures: Vec<(String, f64)>,
    /// Whether the model is the best so far.
    pub best: bool,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Log {
    /// Opens a log to go on after its first bytes; what stands behind them belongs to steps that are taken again.
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
        let (file, bytes) = open().map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            bytes,
        })
    }

    /// Adds a line, in one piece.
    ///
    /// # Errors
    /// `Io`, which names the file.
    pub(crate) fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.bytes += text.len() as u64;
        self.file.write_all(&text).map_err(|source| Error::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// How long it is, all of it being on the disk.
    ///
    /// # Errors
    /// `Io`, which names the file.
    pub(crate) fn sync(&self) -> Result<u64> {
        let synced = self.file.sync_data().map_err(|source| Error::Io {
            path: self.path.clone(),
            source,
        });
        synced.map(|()| self.bytes)
    }
}

/// All lines of a log; a last one that is cut off is left out.
///
/// # Errors
/// `Io`, which names the file.
pub fn read_log(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
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
