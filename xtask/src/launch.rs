//! Programs that end when xtask ends, even when xtask is killed with SIGKILL.
//!
//! The kernel can send a process a signal when its parent dies, but the process has to ask for it
//! itself. So a program is started through xtask: `xtask launch PARENT PROGRAM ARGUMENTS` asks, and
//! then becomes the program. Process id, standard streams and environment stay as they are.
//!
//! Left to others: ends that xtask survives. There a process is killed when its owner is dropped.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::gettid;

/// Become a program that is killed when its parent ends.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The process id of the parent.
    parent: i32,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// The program was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The kernel does not send a signal at the parent's death.
    #[error("launch: asking for a signal at the death of process {parent}: {source}")]
    Ask {
        /// The expected parent.
        parent: i32,
        /// Why it failed.
        source: io::Error,
    },
    /// The parent was dead before the signal could be asked for.
    #[error("launch: process {parent} has ended, so nothing is started for it")]
    Orphaned {
        /// The expected parent.
        parent: i32,
    },
    /// The operating system refused.
    #[error("launch: starting {}: {source}", program.display())]
    Start {
        /// The program.
        program: OsString,
        /// Why it failed.
        source: io::Error,
    },
}

/// Becomes the program; comes back only when that fails.
pub(crate) fn run(args: Args) -> Result<Infallible, LaunchError> {
    let parent = args.parent;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| LaunchError::Ask {
        parent,
        source: errno.into(),
    })?;
    if Pid::as_raw(getppid()) != parent {
        return Err(LaunchError::Orphaned { parent });
    }
    let mut words = args.command.into_iter();
    let program = words.next().unwrap_or_default();
    let source = Command::new(&program).args(words).exec();
    Err(LaunchError::Start { program, source })
}

/// How to start a program so that it is killed when this process ends.
///
/// # Panics
///
/// On any thread but the main one: the kernel takes the end of the *thread* that started a program
/// for the death of its parent, and only the main thread lasts as long as the process.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    // The binary of unit tests is no launcher, and their threads end early.
    if cfg!(test) {
        return Command::new(program);
    }
    assert_eq!(gettid(), getpid(), "not the main thread");
    // Not `current_exe`: cargo may have replaced the file since this process was started.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("launch")
        .arg(getpid().to_string())
        .arg(program.as_ref());
    command
}
