//! xtask as a process: what it leaves behind when it ends.
//!
//! The servers here are shell scripts in a build directory of their own, so nothing is compiled
//! and nothing serves. What real servers do, the verbs themselves try.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to start or to end. Both take milliseconds; a busy machine takes
/// more.
const PATIENCE: Duration = Duration::from_secs(20);

/// `cargo xtask demo` with scripts for servers. Dropping it kills whatever still runs.
struct Demo {
    xtask: Child,
    servers: Vec<Pid>,
    _directory: tempfile::TempDir,
}

impl Demo {
    /// Starts it, and waits until its three servers run.
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let release = directory.path().join("release");
        let pids = directory.path().join("pids");
        fs::create_dir(&release).expect("the directory is new");
        let server = format!("echo $$ >> {}; exec sleep 600", pids.display());
        script(&release.join("tallyd"), &server);
        script(&release.join("tally"), "exit 0");
        let xtask = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("demo")
            .env("CARGO", "true")
            .env("CARGO_TARGET_DIR", directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("xtask starts");
        let mut demo = Self {
            xtask,
            servers: Vec::new(),
            _directory: directory,
        };
        wait_until("three servers run", || {
            let pids = fs::read_to_string(&pids).unwrap_or_default();
            demo.servers = pids.lines().filter_map(parse_pid).collect();
            demo.servers.len() == 3
        });
        assert!(demo.servers.iter().all(|&pid| is_running(pid)));
        demo
    }

    /// Sends xtask a signal, and waits until it and its servers are gone.
    fn end(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.xtask), signal).expect("xtask runs");
        self.xtask.wait().expect("it is our child");
        wait_until("the servers have ended", || {
            !self.servers.iter().any(|&pid| is_running(pid))
        });
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // What has already ended cannot be killed, and need not.
        self.xtask.kill().ok();
        for &server in &self.servers {
            kill_process(server, Signal::KILL).ok();
        }
    }
}

#[test]
fn servers_end_when_xtask_is_killed() {
    Demo::start().end(Signal::KILL);
}

#[test]
fn servers_end_when_xtask_is_asked_to_stop() {
    Demo::start().end(Signal::TERM);
}

#[test]
fn nothing_is_started_for_a_parent_that_is_dead() {
    let launched = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["launch", &i32::MAX.to_string(), "echo", "started"])
        .output()
        .expect("xtask starts");
    assert!(!launched.status.success());
    assert_eq!(launched.stdout, b"");
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("the directory is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}

fn parse_pid(line: &str) -> Option<Pid> {
    Pid::from_raw(line.parse().ok()?)
}

fn is_running(pid: Pid) -> bool {
    // After the name in parentheses comes the state; a zombie is dead, only not yet reaped.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        sleep(Duration::from_millis(5));
    }
}
