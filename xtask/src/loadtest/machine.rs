//! The machine and the moment that the figures belong to. What a machine does not tell is left
//! out of the report rather than guessed.

use std::fs;
use std::process::Command;

use super::results::Machine;

/// Cores that all processes of the test share.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What is known about this machine.
pub(super) fn describe() -> Machine {
    Machine {
        processor: field("/proc/cpuinfo", "model name"),
        memory_bytes: memory_bytes(),
        system: output("uname", &["-sr"]),
        commit: output("git", &["describe", "--always", "--dirty"]),
        began: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
    }
}

fn memory_bytes() -> Option<u64> {
    let kib: u64 = field("/proc/meminfo", "MemTotal")?
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kib * 1024)
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
