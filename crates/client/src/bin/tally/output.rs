//! What all commands print with: numbers for people, tables, JSON lines, and failures.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use tally_client::{CounterValue, Error};

/// Shown at the end of `tally --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: no node could answer, or one refused
  2  the command or an argument is wrong
  3  indeterminate: the add counted once or not at all; read the counter before you repeat it
  4  refused: the counter would leave the range of 64 bits
  5  the nodes hold different things (`tally audit`)";

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// A call failed.
    Call(Error),
    /// An argument is wrong in a way that the command line parser cannot see.
    Argument(String),
    /// A file, a signal handler or standard output.
    Io { what: String, error: io::Error },
    /// Some answers are missing; each was reported.
    Partial(String),
    /// The nodes differ; how was printed.
    Differs(String),
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl CommandError {
    /// Prints the error on standard error, and gives the exit code for it.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            // Whoever reads our output has closed it, as `head` does: that is no failure.
            Self::Io { error, .. } if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Call(error) => eprintln!("tally: {error}"),
            Self::Argument(text) | Self::Partial(text) | Self::Differs(text) => {
                eprintln!("tally: {text}");
            }
            Self::Io { what, error } => eprintln!("tally: {what}: {error}"),
        }
        ExitCode::from(match self {
            Self::Call(error) if error.is_indeterminate() => 3,
            Self::Call(error) if error.is_out_of_range() => 4,
            Self::Call(error) if error.is_invalid() => 2,
            Self::Argument(_) => 2,
            Self::Differs(_) => 5,
            Self::Call(_) | Self::Io { .. } | Self::Partial(_) => 1,
        })
    }
}

/// The form of results.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints a counter: a line `NAME  VALUE`, or an object.
    pub(crate) fn counter(
        self,
        counter: &CounterValue,
        name_width: usize,
    ) -> Result<(), CommandError> {
        let CounterValue {
            counter,
            value,
            clamped,
        } = counter;
        if self.json {
            let object =
                serde_json::json!({ "counter": counter, "value": value, "clamped": clamped });
            return print_line(&object.to_string());
        }
        let note = if *clamped {
            "  (the true sum does not fit 64 bits)"
        } else {
            ""
        };
        print_line(&format!(
            "{counter:name_width$}  {:>16}{note}",
            grouped(*value)
        ))
    }
}

/// Prints a line at once, so that a reader at the other end of a pipe sees it.
pub(crate) fn print_line(line: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| CommandError::Io {
            what: "standard output".to_owned(),
            error,
        })
}

/// Digits in groups of three, for people.
pub(crate) fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table with a head; columns are as wide as their widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:width$}  ").expect("writing to a string cannot fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people_are_in_groups_of_three() {
        let shown = [0, 12, 999, 1_000, -123_456, i64::MIN].map(grouped);
        let expected = [
            "0",
            "12",
            "999",
            "1,000",
            "-123,456",
            "-9,223,372,036,854,775,808",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "A     B\nlong  x");
    }
}
