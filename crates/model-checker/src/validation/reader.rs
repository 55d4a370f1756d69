//! A node's trace, line by line.
//!
//! A process that was killed may leave half a line; it is followed by the start of the next
//! process, or by nothing. A line that is not whole anywhere else is refused, and so is one whose
//! number does not follow.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use trace::{Line, Step};

use super::error::{Mismatch, ValidationError, ensure_equal};

/// How much of a line that is none an error shows.
const TEXT_BYTES_MAX: usize = 200;

/// The lines of one file that are not replayed yet.
pub(super) struct TraceFile {
    path: PathBuf,
    text: BufReader<File>,
    /// How many lines were read ...
    lines: u64,
    /// ... and how many bytes.
    bytes: u64,
    /// The number that the next line of this process has.
    n: u64,
    /// Read, and not replayed.
    peeked: Option<(u64, Line)>,
}

impl TraceFile {
    pub(super) fn open(path: &Path) -> Result<Self, ValidationError> {
        let file = File::open(path).map_err(|source| ValidationError::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            text: BufReader::with_capacity(1 << 20, file),
            lines: 0,
            bytes: 0,
            n: 0,
            peeked: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line, with its number in the file; `None` at the end.
    pub(super) fn peek(&mut self) -> Result<Option<(u64, &Step)>, ValidationError> {
        if self.peeked.is_none() {
            self.peeked = self.read_line()?;
        }
        let peeked = self.peeked.as_ref();
        Ok(peeked.map(|(number, line)| (*number, &line.step)))
    }

    /// The line that was [peeked](Self::peek) at is replayed.
    pub(super) fn next(&mut self) {
        self.peeked = None;
    }

    fn read_line(&mut self) -> Result<Option<(u64, Line)>, ValidationError> {
        let Some(text) = self.read_text()? else {
            return Ok(None);
        };
        let number = self.lines;
        let line = match serde_json::from_slice(&text) {
            Ok(line) => line,
            Err(error) => return self.read_after_torn(number, &text, &error),
        };
        self.check_number(number, &line)?;
        Ok(Some((number, line)))
    }

    /// A line was not whole: nothing may follow, or the start of another process.
    fn read_after_torn(
        &mut self,
        torn: u64,
        text: &[u8],
        error: &serde_json::Error,
    ) -> Result<Option<(u64, Line)>, ValidationError> {
        let Some(next) = self.read_text()? else {
            return Ok(None);
        };
        let number = self.lines;
        if let Ok(line) = serde_json::from_slice(&next)
            && let Line {
                step: Step::Start { .. },
                ..
            } = line
        {
            self.check_number(number, &line)?;
            return Ok(Some((number, line)));
        }
        let text = String::from_utf8_lossy(&text[..text.len().min(TEXT_BYTES_MAX)]);
        let mismatch = Mismatch::new("a line of a trace", format_args!("{text:?}: {error}"));
        Err(mismatch.at(&self.path, torn))
    }

    /// A line's text without its end.
    fn read_text(&mut self) -> Result<Option<Vec<u8>>, ValidationError> {
        let mut text = Vec::new();
        let read = self.text.read_until(b'\n', &mut text);
        let read = read.map_err(|source| ValidationError::File {
            path: self.path.clone(),
            source,
        })?;
        if read == 0 {
            return Ok(None);
        }
        self.lines += 1;
        self.bytes += read as u64;
        text.pop_if(|last| *last == b'\n');
        Ok(Some(text))
    }

    fn check_number(&mut self, number: u64, line: &Line) -> Result<(), ValidationError> {
        if matches!(line.step, Step::Start { .. }) {
            self.n = 0;
        }
        ensure_equal("line n =", &self.n, &line.n)
            .map_err(|mismatch| mismatch.at(&self.path, number))?;
        self.n += 1;
        Ok(())
    }
}
