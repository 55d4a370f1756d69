//! What a rule finds: one place, what is wrong there, and what to do about it.

use std::fmt;

/// One thing that breaks a rule, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The file, with the line where there is one.
    pub(super) place: String,
    /// What is wrong and what to do about it.
    pub(super) problem: String,
    /// Whether it is only about to break the rule.
    pub(super) is_warning: bool,
}

impl Finding {
    /// Something in a line of a file, counted from 1.
    pub(super) fn at_line(path: &str, line: usize, problem: impl Into<String>) -> Self {
        Self::in_file(&format!("{path}:{line}"), problem)
    }

    /// Something about a file as a whole.
    pub(super) fn in_file(path: &str, problem: impl Into<String>) -> Self {
        Self {
            place: path.to_owned(),
            problem: problem.into(),
            is_warning: false,
        }
    }

    /// The same, as a warning.
    pub(super) fn warning(self) -> Self {
        Self {
            is_warning: true,
            ..self
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_warning { "warning" } else { "error" };
        write!(f, "{kind}: {}: {}", self.place, self.problem)
    }
}
