//! Standard output, notes on standard error, and files that are written whole.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use bertless::TokenizerWarning;
use serde::Serialize;

use super::closed;

/// Buffered standard output that is written in whole lines.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    /// Whether answers are printed as JSON.
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            out: BufWriter::new(io::stdout().lock()),
            json,
        }
    }

    /// Writes a line, or all lines of one answer.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), WriteError> {
        self.write(format!("{line}\n").as_bytes())
    }

    /// Writes an object as a line.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(object)?;
        line.push(b'\n');
        Ok(self.write(&line)?)
    }

    /// Writes one answer: the record as JSON if that was asked for, else the text.
    pub(crate) fn answer<T: Display>(
        &mut self,
        record: &impl Serialize,
        text: impl FnOnce() -> T,
    ) -> anyhow::Result<()> {
        if self.json {
            return self.object(record);
        }
        Ok(self.line(text())?)
    }

    /// Flushes the buffer.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        self.out.flush().map_err(WriteError)
    }

    /// Writes bytes in one piece: if the buffer has no room for them, it is flushed first.
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        check_open()?;
        self.out.write_all(bytes).map_err(WriteError)
    }
}

/// Runs a function that prints on standard output itself, and flushes.
pub(crate) fn printed(print: impl FnOnce() -> io::Result<()>) -> Result<(), WriteError> {
    check_open()?;
    print()
        .and_then(|()| io::stdout().flush())
        .map_err(WriteError)
}

fn check_open() -> Result<(), WriteError> {
    if closed::stdout() {
        return Err(WriteError(io::Error::other("it is closed")));
    }
    Ok(())
}

/// An error of writing to standard output.
#[derive(Debug, thiserror::Error)]
#[error("standard output")]
pub(crate) struct WriteError(#[source] io::Error);

impl WriteError {
    /// Whether the reader closed the pipe.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a temporary file beside `path` and renames it to `path`, so the file is never half-written. What is not a regular
/// file, such as a pipe or a device, is written in place.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        if std::fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
            return std::fs::write(path, bytes);
        }
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // the umask narrows it
        let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| path.display().to_string())
}

/// Prints a line on standard error in one piece. If standard error is closed, the line is lost.
pub(crate) fn note(message: impl Display) {
    let _ = io::stderr().write_all(format!("{message}\n").as_bytes());
}

/// Prints each warning on standard error, once per process.
pub(crate) fn warn(warnings: &[TokenizerWarning]) {
    static THERE: Mutex<Vec<TokenizerWarning>> = Mutex::new(Vec::new());
    let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in warnings {
        if !there.contains(warning) {
            note(format_args!("warning: {}", printable(&warning.to_string())));
            there.push(warning.clone());
        }
    }
}

/// Puts a text on one line: line breaks and other control characters, which could move a terminal's cursor, are escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => line.extend(c.escape_default()),
            // Line and paragraph separators, and what turns the direction of writing.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_moves_the_cursor() {
        assert_eq!(
            printable("a\tb\n\u{1b}[2J é\u{202e}"),
            "a\\tb\\n\\u{1b}[2J é\\u{202e}"
        );
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.svg");
        replace(&path, b"old").unwrap();
        let link = dir.path().join("link");
        std::fs::hard_link(&path, &link).unwrap();
        replace(&path, b"new").unwrap();
        let read = |path: &Path| std::fs::read(path).unwrap();
        // The old file is as it was: the new one took its name alone.
        assert_eq!(
            (read(&path), read(&link)),
            (b"new".to_vec(), b"old".to_vec())
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
            let other = dir.path().join("other");
            std::fs::write(&other, "").unwrap();
            assert_eq!(mode(&path), mode(&other)); // not the mode of a temporary file
        }
        let error = replace(&dir.path().join("no/f"), b"").unwrap_err();
        assert!(format!("{error:#}").contains("no/f: "), "{error:#}");
        #[cfg(unix)]
        replace(Path::new("/dev/null"), b"x").unwrap();
        #[cfg(target_os = "linux")]
        assert!(!Path::new("/dev/null").is_file());
    }
}
