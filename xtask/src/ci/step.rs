//! One check of `cargo xtask ci`: what it is, how it is performed, and what becomes of it.
//!
//! A step is a command that anyone can run alone, so it is shown as a shell would read it.

use std::fmt;
use std::process::{Command, ExitStatus};

use crate::launch;
use crate::paths::root;
use crate::tools::{Tool, ToolError, search_path};

/// How much is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What belongs before each commit, and takes a minute or two.
    Fast,
    /// What belongs before each change is merged.
    Usual,
    /// Everything, however long it takes.
    Full,
}

/// One check.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Its name, for `--only`.
    pub(super) name: &'static str,
    /// What holds when it passes.
    pub(super) checks: &'static str,
    /// What it needs beyond Rust and git.
    pub(super) tools: &'static [&'static Tool],
    /// What it does.
    pub(super) action: Action,
    /// What it does instead with `--fast`; steps without it are left out then.
    pub(super) fast: Option<Action>,
    /// What it does instead with `--full`.
    pub(super) full: Option<Action>,
}

/// What a step does.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// Runs a program.
    Run(&'static [&'static str]),
    /// Runs a verb of `cargo xtask`.
    Xtask(&'static [&'static str]),
    /// Does what one command cannot say; the text describes it.
    Call(&'static str, fn() -> Result<Outcome, StepError>),
}

/// What became of a step.
pub(super) enum Outcome {
    /// It found nothing wrong.
    Passed,
    /// It could not run, for a reason outside of this machine.
    NotRun(String),
    /// It found something, or could not run for a reason that can be mended here.
    Failed,
    /// An earlier step failed.
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::NotRun(_) => "NOT RUN",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// A tool is missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The command could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command.
        command: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The command says that something is wrong.
    #[error("`{command}` ended with {status}, expected success")]
    Status {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
}

impl Step {
    /// A step that is left out with `--fast`, and does the same with `--full`.
    pub(super) const fn new(
        name: &'static str,
        checks: &'static str,
        tools: &'static [&'static Tool],
        action: Action,
    ) -> Self {
        Self {
            name,
            checks,
            tools,
            action,
            fast: None,
            full: None,
        }
    }

    /// The same, with something to do with `--fast`.
    pub(super) const fn fast(self, action: Action) -> Self {
        let fast = Some(action);
        Self { fast, ..self }
    }

    /// The same, with something else to do with `--full`.
    pub(super) const fn full(self, action: Action) -> Self {
        let full = Some(action);
        Self { full, ..self }
    }

    /// What is left of the step at an extent.
    pub(super) fn at(self, extent: Extent) -> Option<Self> {
        let action = match extent {
            Extent::Fast => self.fast?,
            Extent::Usual => self.action,
            Extent::Full => self.full.unwrap_or(self.action),
        };
        Some(Self { action, ..self })
    }

    /// Checks its tools, and does what it says.
    pub(super) fn perform(&self) -> Result<Outcome, StepError> {
        self.tools.iter().try_for_each(|tool| tool.check())?;
        perform(&self.action)
    }
}

/// Does what a step says.
fn perform(action: &Action) -> Result<Outcome, StepError> {
    match action {
        Action::Run(words) => {
            let mut command = command(words[0]);
            command.args(&words[1..]);
            succeed(&mut command, action)
        }
        Action::Xtask(words) => xtask(words),
        Action::Call(_, function) => function(),
    }
}

/// Runs a verb of `cargo xtask`.
pub(super) fn xtask(words: &[&str]) -> Result<Outcome, StepError> {
    let mut command = at_root(launch::command("/proc/self/exe"));
    succeed(
        command.args(words),
        format!("cargo xtask {}", words.join(" ")),
    )
}

/// A command at the root of the repository, with our tools in its path.
pub(super) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    at_root(Command::new(program))
}

/// The command, at the root of the repository, with our tools in its path.
fn at_root(mut command: Command) -> Command {
    command.current_dir(root()).env("PATH", search_path());
    command
}

/// Runs a command to its end; anything but success is an error. `shown` is how to repeat it.
pub(super) fn succeed(
    command: &mut Command,
    shown: impl fmt::Display,
) -> Result<Outcome, StepError> {
    let shown = shown.to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(Outcome::Passed),
        Ok(status) => Err(StepError::Status {
            command: shown,
            status,
        }),
        Err(source) => Err(StepError::Start {
            command: shown,
            source,
        }),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(words) => write_words(f, words),
            Self::Xtask(words) => {
                write!(f, "cargo xtask ")?;
                write_words(f, words)
            }
            Self::Call(description, _) => write!(f, "{description}"),
        }
    }
}

/// Writes a command so that a shell reads the same words.
fn write_words(f: &mut fmt::Formatter<'_>, words: &[&str]) -> fmt::Result {
    for (index, word) in words.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let quote = if word.contains(' ') { "'" } else { "" };
        write!(f, "{space}{quote}{word}{quote}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_a_shell_would_read_it() {
        let action = Action::Run(&["env", "A=b c", "cargo"]);
        assert_eq!(action.to_string(), "env 'A=b c' cargo");
        assert_eq!(Action::Xtask(&["sim"]).to_string(), "cargo xtask sim");
    }
}
