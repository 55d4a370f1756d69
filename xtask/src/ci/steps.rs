//! What is checked, in which order, and how: one entry a step, cheapest first.
//!
//! A new check is one line in [`STEPS`]. A step that is more than a command is a function of this
//! file.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::step::{Action, Outcome, Step, StepError, command, succeed};
use crate::tools::{BUF, CARGO_DENY, GRPCIO, Tool, Z3};

/// How long fetching the advisory database may take: it is a few megabytes, and where there is no
/// network the answer can take minutes to not arrive.
const ADVISORY_FETCH_MAX: Duration = Duration::from_mins(1);

/// All steps.
#[rustfmt::skip] // One line a step.
pub(super) const STEPS: &[Step] = &[
    step("tidy", "the rules of this repository", &[], Action::Xtask(&["tidy"])),
    step("fmt", "formatting", &[], Action::Run(&["cargo", "fmt", "--all", "--check"])),
    step("schema", "the style of proto/", &[&BUF], Action::Run(&["buf", "lint", "proto"])),
    step("breaking", "proto/ keeps what it promised", &[&BUF], Action::Run(&["buf", "breaking", "proto", "--against", "proto/promised.binpb"])),
    step("deny", "licences, sources and banned crates", &[&CARGO_DENY], Action::Run(&["cargo", "deny", "--log-level", "error", "check", "bans", "licenses", "sources"])),
    step("advisories", "no dependency is known to be vulnerable", &[&CARGO_DENY], Action::Call("cargo deny check advisories", advisories)),
    step("clippy", "the lints, on everything that compiles, benchmarks too", &[], Action::Run(&["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    step("doc", "the documentation and its links", &[], Action::Run(&["env", "RUSTDOCFLAGS=-D warnings", "cargo", "doc", "--workspace", "--no-deps"])),
    step("test", "tests, and the examples in the documentation", &[], Action::Run(&["cargo", "test", "--workspace"])),
    step("python", "a client in another language counts exactly", &[&GRPCIO], Action::Xtask(&["python"])),
    step("model", "every interleaving of small worlds, and the proofs", &[&Z3], Action::Xtask(&["model"])),
    step("sim", "random schedules with every fault, each seed twice", &[], Action::Xtask(&["sim", "--schedules", "100000", "--twice"])),
    step("loadtest", "every approach on real processes, every total compared", &[], Action::Xtask(&["loadtest", "--quick"])),
    step("chaos", "kill -9 under load loses nothing", &[], Action::Xtask(&["chaos", "--rounds", "10"])),
];

/// One line of the table above.
const fn step(
    name: &'static str,
    checks: &'static str,
    tools: &'static [&'static Tool],
    action: Action,
) -> Step {
    Step {
        name,
        checks,
        tools,
        action,
    }
}

/// Looks up the dependencies in the database of advisories, where it can be reached.
fn advisories() -> Result<Outcome, StepError> {
    let mut fetch = command("cargo");
    fetch
        .args(["deny", "fetch", "db"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let shown = "cargo deny fetch db";
    let start_error = |source| StepError::Start {
        command: shown.to_owned(),
        source,
    };
    let mut child = fetch.spawn().map_err(start_error)?;
    let deadline = Instant::now() + ADVISORY_FETCH_MAX;
    let is_fetched = loop {
        if let Some(status) = child.try_wait().map_err(start_error)? {
            break status.success();
        }
        if Instant::now() > deadline {
            child
                .kill()
                .and_then(|()| child.wait())
                .map_err(start_error)?;
            break false;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if !is_fetched {
        return Ok(Outcome::NotRun(format!(
            "`{shown}` does not reach the database"
        )));
    }
    let mut check = command("cargo");
    check.args([
        "deny",
        "--log-level",
        "error",
        "check",
        "--disable-fetch",
        "advisories",
    ]);
    succeed(&mut check, "cargo deny check advisories")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_different_names() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
