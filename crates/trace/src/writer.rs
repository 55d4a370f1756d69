//! Writing a trace: one file, many threads.
//!
//! Lines gather in memory and go to the operating system together. A line costs nothing when there
//! is no trace: what it would say is not even computed.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::CommitEffect;

use crate::{Effect, Line, Step};

/// Lines that wait in memory at most, in bytes: what one system call moves well.
const PENDING_BYTES_MAX: usize = 256 << 10;

/// A trace, or none. Cheap to clone: clones write to the same file.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Arc<Writer>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    /// `None` once the file could not be written.
    file: Option<File>,
    pending: Vec<u8>,
    next: u64,
}

impl Trace {
    /// No trace: nothing is written.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// A trace in this file, after those of earlier processes.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let mut pending = Vec::new();
        if last != [b'\n'] {
            // A process that was killed has left half a line.
            pending.push(b'\n');
        }
        let lines = Lines {
            file: Some(file),
            pending,
            next: 0,
        };
        Ok(Self(Some(Arc::new(Writer {
            path: path.to_owned(),
            lines: Mutex::new(lines),
        }))))
    }

    /// Whether there is a trace.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a line, if there is a trace. It waits for the next [`flush`](Self::flush).
    pub fn line(&self, step: impl FnOnce() -> Step) {
        if let Some(writer) = &self.0 {
            writer.line(step());
        }
    }

    /// Writes what is due, unless that is to wait.
    pub fn due(&self, now: protocol::Time, effect: CommitEffect) {
        if let Some(effect) = Effect::of(effect) {
            self.line(|| Step::Due {
                us: now.us(),
                effect,
            });
        }
    }

    /// Writes a line of what others may see from now on.
    pub fn told(&self, step: impl FnOnce() -> Step) {
        self.line(step);
        self.flush();
    }

    /// Hands all lines to the operating system, so that they outlive this process. To be called
    /// before anybody else can see what the last ones tell of.
    pub fn flush(&self) {
        if let Some(writer) = &self.0 {
            writer.flush(&mut writer.lines());
        }
    }
}

impl Writer {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Whole lines are appended, so a panic elsewhere leaves them sound.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, step: Step) {
        let mut lines = self.lines();
        let n = lines.next;
        lines.next += 1;
        let line = Line { n, step };
        serde_json::to_writer(&mut lines.pending, &line).expect("a vector takes plain values");
        lines.pending.push(b'\n');
        if lines.pending.len() >= PENDING_BYTES_MAX {
            self.flush(&mut lines);
        }
    }

    fn flush(&self, lines: &mut Lines) {
        let Lines { file, pending, .. } = lines;
        let written = file.as_mut().map_or(Ok(()), |file| file.write_all(pending));
        pending.clear();
        if let Err(error) = written {
            // A trace with a hole would accuse the node of what it has not done.
            *file = None;
            tracing::error!(
                path = %self.path.display(), %error,
                "the trace cannot be written, and ends here; no checker will accept it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_process_that_is_gone_has_left_what_it_flushed_and_the_next_one_follows() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("a.trace");
        let closing = || Step::Closing;
        let first = Trace::append_to(&path).expect("a file");
        first.line(closing);
        first.told(closing);
        first.line(closing);
        drop(first);
        let whole = "{\"n\":0,\"step\":\"closing\"}\n{\"n\":1,\"step\":\"closing\"}\n";
        assert_eq!(fs::read_to_string(&path).expect("a trace"), whole);

        let torn = &whole[..whole.len() - 5];
        fs::write(&path, torn).expect("a file");
        let second = Trace::append_to(&path).expect("a file");
        second.told(closing);
        let expected = format!("{torn}\n{{\"n\":0,\"step\":\"closing\"}}\n");
        assert_eq!(fs::read_to_string(&path).expect("a trace"), expected);
    }

    #[test]
    fn without_a_trace_no_line_is_made() {
        let trace = Trace::off();
        trace.told(|| panic!("nobody asks"));
        trace.flush();
        assert!(!trace.is_on());
    }
}
