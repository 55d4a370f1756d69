//! Builds the project's programs, and starts, kills and restarts them as child processes.
//!
//! Every server writes its output to a log file of its own, and works in a directory of this run
//! under `target/tally/run-PID/`. A [`Server`] that is dropped is killed by its process id, so no
//! way out of xtask (an error, a panic, Ctrl-C) leaves one behind; of a SIGKILL of xtask itself
//! [`launch`] takes care. Servers are their own process groups: Ctrl-C in the terminal reaches xtask
//! alone, which then decides in which order they end.
//!
//! What the programs are and how they fit together is said in `deployment.rs`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::launch;
use crate::paths::{root, target_dir};

/// How much of a log an error shows: the lines that explain an exit are the last ones.
const LOG_TAIL_LINES: usize = 15;
/// How long a server may take to stop on SIGTERM before it is killed. A graceful stop finishes
/// open calls and one sync; ten seconds is far more than either takes.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How often readiness is asked for. It bounds how exactly a restart can be timed.
const READY_POLL: Duration = Duration::from_millis(5);

/// A program could not be built, started, or did not become ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// Cargo failed.
    #[error("`cargo build --release` of the programs failed with {0}; its messages are above")]
    Build(ExitStatus),
    /// The file system or the operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The process ended by itself.
    #[error("{name} ended with {status} while it was expected to serve; end of {}:\n{tail}", log.display())]
    Exited {
        /// The server's name in this run.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// The process runs but does not answer.
    #[error("{name} was not ready after {waited_ms} ms; end of {}:\n{tail}", log.display())]
    NotReady {
        /// The server's name in this run.
        name: String,
        /// How long xtask waited, in milliseconds.
        waited_ms: u128,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
}

impl ProcessError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Where the measuring verbs write their results: `target/tally/`.
pub(crate) fn results_dir() -> Result<PathBuf, ProcessError> {
    let path = target_dir().join("tally");
    fs::create_dir_all(&path).map_err(ProcessError::io(format!("creating {}", path.display())))?;
    path.canonicalize()
        .map_err(ProcessError::io(format!("resolving {}", path.display())))
}

/// The three programs, built.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The counter service.
    pub(crate) tallyd: PathBuf,
    /// What it is compared with.
    pub(crate) baseline: PathBuf,
    /// The command and load generator.
    pub(crate) tally: PathBuf,
}

/// Builds the programs with the release profile; cargo's own output is shown.
pub(crate) async fn build() -> Result<Programs, ProcessError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let status = Command::new(cargo)
        .args(["build", "--release"])
        .args([
            "-p",
            "tally-server",
            "-p",
            "tally-baseline",
            "-p",
            "tally-client",
        ])
        .current_dir(root())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(ProcessError::io("running cargo"))?;
    if !status.success() {
        return Err(ProcessError::Build(status));
    }
    let release = target_dir().join("release");
    Ok(Programs {
        tallyd: release.join("tallyd"),
        baseline: release.join("tally-baseline"),
        tally: release.join("tally"),
    })
}

/// The directory of this run. It is removed when the run has succeeded and kept for a look when
/// it has not.
#[derive(Debug)]
pub(crate) struct RunDir(PathBuf);

impl RunDir {
    /// Creates `target/tally/run-PID/`.
    pub(crate) fn create() -> Result<Self, ProcessError> {
        let path = results_dir()?.join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(ProcessError::io(format!("creating {}", path.display())))?;
        Ok(Self(path))
    }

    /// Creates a directory in it, empty even if an earlier part of the run used the name.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf, ProcessError> {
        let path = self.0.join(name);
        if path.exists() {
            fs::remove_dir_all(&path)
                .map_err(ProcessError::io(format!("emptying {}", path.display())))?;
        }
        fs::create_dir_all(&path)
            .map_err(ProcessError::io(format!("creating {}", path.display())))?;
        Ok(path)
    }

    /// Removes the directory: nothing in it is needed any more.
    pub(crate) fn remove(self) -> Result<(), ProcessError> {
        fs::remove_dir_all(&self.0)
            .map_err(ProcessError::io(format!("removing {}", self.0.display())))
    }
}

/// Ends at Ctrl-C or SIGTERM, either of which ends a verb. Both are caught from this call on, not
/// only once the future is polled.
pub(crate) fn interrupted() -> Result<impl Future<Output = ()>, ProcessError> {
    let catch = |kind| signal(kind).map_err(ProcessError::io("waiting for a signal"));
    let mut pressed = catch(SignalKind::interrupt())?;
    let mut terminated = catch(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _pressed = pressed.recv() => {}
            _terminated = terminated.recv() => {}
        }
    })
}

/// What to start. Starting it again with the same specification is a restart: same ports, same
/// data.
#[derive(Clone, Debug)]
pub(crate) struct ServerSpec {
    /// Its name in messages.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// The file that gets its standard output and standard error.
    pub(crate) log: PathBuf,
}

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    spec: ServerSpec,
    child: Child,
}

impl Server {
    /// Starts the process; it may not serve yet.
    pub(crate) fn start(spec: ServerSpec) -> Result<Self, ProcessError> {
        let child = spawn(&spec)?;
        Ok(Self { spec, child })
    }

    /// Kills the process as `kill -9` would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), ProcessError> {
        self.child
            .kill()
            .await
            .map_err(ProcessError::io(format!("killing {}", self.spec.name)))
    }

    /// Starts a killed server again.
    pub(crate) fn restart(&mut self) -> Result<(), ProcessError> {
        self.child = spawn(&self.spec)?;
        Ok(())
    }

    /// Asks the process to stop with SIGTERM, and kills it if it does not.
    pub(crate) async fn stop(&mut self) -> Result<(), ProcessError> {
        let name = &self.spec.name;
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, Signal::TERM)
            .map_err(|errno| ProcessError::io(format!("stopping {name}"))(errno.into()))?;
        match timeout(STOP_GRACE, self.child.wait()).await {
            Ok(_status) => Ok(()),
            Err(_elapsed) => self.kill().await,
        }
    }

    /// Waits until `probe` says yes; gives up at `patience`, or when the process ends.
    pub(crate) async fn wait_until_ready<F: Future<Output = bool>>(
        &mut self,
        patience: Duration,
        probe: impl Fn() -> F,
    ) -> Result<(), ProcessError> {
        let start = Instant::now();
        loop {
            self.check_running()?;
            if probe().await {
                return Ok(());
            }
            if start.elapsed() > patience {
                return Err(ProcessError::NotReady {
                    name: self.spec.name.clone(),
                    waited_ms: start.elapsed().as_millis(),
                    log: self.spec.log.clone(),
                    tail: log_tail(&self.spec.log),
                });
            }
            sleep(READY_POLL).await;
        }
    }

    /// Fails when the process has ended by itself.
    pub(crate) fn check_running(&mut self) -> Result<(), ProcessError> {
        let name = &self.spec.name;
        let status = self
            .child
            .try_wait()
            .map_err(ProcessError::io(format!("looking after {name}")))?;
        status.map_or(Ok(()), |status| {
            Err(ProcessError::Exited {
                name: name.clone(),
                status,
                log: self.spec.log.clone(),
                tail: log_tail(&self.spec.log),
            })
        })
    }
}

fn spawn(spec: &ServerSpec) -> Result<Child, ProcessError> {
    let open = |path: &Path| -> io::Result<(File, File)> {
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        Ok((log.try_clone()?, log))
    };
    let (out, err) =
        open(&spec.log).map_err(ProcessError::io(format!("opening {}", spec.log.display())))?;
    Command::from(launch::command(&spec.program))
        .args(&spec.arguments)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(ProcessError::io(format!(
            "starting {}",
            spec.program.display()
        )))
}

fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| format!("(no log: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &Path, script: &str) -> ServerSpec {
        ServerSpec {
            name: "shell".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            log: dir.join("shell.log"),
        }
    }

    fn runs(pid: u32) -> bool {
        // After the name in parentheses comes the state; a zombie is dead, only not yet reaped.
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_dropped_server_is_killed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(shell(dir.path(), "sleep 60")).expect("sh starts");
        let pid = server.child.id().expect("it runs");
        assert!(runs(pid));
        drop(server);
        for _ in 0..200 {
            if !runs(pid) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("process {pid} outlived its guard");
    }

    #[tokio::test]
    async fn a_server_that_ends_early_is_reported_with_its_log() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server =
            Server::start(shell(dir.path(), "echo the reason >&2; exit 3")).expect("sh starts");
        let error = server
            .wait_until_ready(Duration::from_secs(10), || async { false })
            .await
            .expect_err("it never becomes ready");
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = Server::start(shell(dir.path(), "sleep 60")).expect("sh starts");
        let error = server
            .wait_until_ready(Duration::from_millis(20), || async { false })
            .await
            .expect_err("it never becomes ready");
        assert!(matches!(error, ProcessError::NotReady { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_killed_server_can_be_started_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = Server::start(shell(dir.path(), "echo up; sleep 60")).expect("sh starts");
        server.kill().await.expect("it can be killed");
        assert!(server.check_running().is_err());
        server.restart().expect("sh starts");
        server.check_running().expect("it runs again");
    }
}
