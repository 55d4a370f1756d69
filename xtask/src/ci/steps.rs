//! What is checked, in which order, and how: one entry a step, cheapest first.
//!
//! A new check is one line in [`STEPS`]. A step that is more than a command is a function of this
//! file.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::step::{Action, Outcome, Step, StepError, command, succeed, xtask};
use crate::git::git;
use crate::tools::{BUF, CARGO_DENY, CARGO_MUTANTS, GRPCIO, Z3};

/// How long fetching the advisory database may take: it is a few megabytes, and where there is no
/// network the answer can take minutes to not arrive.
const ADVISORY_FETCH_MAX: Duration = Duration::from_mins(1);

const TIDY: Action = Action::Xtask(&["tidy"]);
const FMT: Action = Action::Run(&["cargo", "fmt", "--all", "--check"]);
#[rustfmt::skip] // As it is typed.
const CLIPPY: Action =
    Action::Run(&["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);

/// All steps.
#[rustfmt::skip] // One line a step.
pub(super) const STEPS: &[Step] = &[
    Step::new("tidy", "the rules of this repository", &[], TIDY).fast(TIDY),
    Step::new("fmt", "formatting", &[], FMT).fast(FMT),
    Step::new("schema", "the style of proto/", &[&BUF], Action::Run(&["buf", "lint", "proto"])),
    Step::new("breaking", "proto/ keeps what it promised", &[&BUF], Action::Run(&["buf", "breaking", "proto", "--against", "proto/promised.binpb"])),
    Step::new("deny", "licences, sources and banned crates", &[&CARGO_DENY], Action::Run(&["cargo", "deny", "--log-level", "error", "check", "bans", "licenses", "sources"])),
    Step::new("advisories", "no dependency is known to be vulnerable", &[&CARGO_DENY], Action::Call("cargo deny check advisories", advisories)),
    Step::new("clippy", "the lints, on everything that compiles, benchmarks too", &[], CLIPPY).fast(CLIPPY),
    Step::new("doc", "the documentation and its links", &[], Action::Run(&["env", "RUSTDOCFLAGS=-D warnings", "cargo", "doc", "--workspace", "--no-deps"])),
    Step::new("test", "tests, and the examples in the documentation", &[], Action::Run(&["cargo", "test", "--workspace"]))
        .fast(Action::Run(&["cargo", "test", "--workspace", "--lib", "--bins"])),
    Step::new("python", "a client in another language counts exactly", &[&GRPCIO], Action::Xtask(&["python"])),
    Step::new("model", "every interleaving of small worlds, and the proofs", &[&Z3], Action::Xtask(&["model"]))
        .full(Action::Xtask(&["model", "--deep"])),
    Step::new("sim", "random schedules with every fault", &[], Action::Xtask(&["sim", "--schedules", "100000"]))
        .full(Action::Xtask(&["sim", "--schedules", "1000000", "--twice"])),
    Step::new("replay", "a seed that is run again gives the same schedule", &[], Action::Xtask(&["sim", "--schedules", "5000", "--seed", "1", "--twice"])),
    Step::new("loadtest", "every approach on real processes, every total compared", &[], Action::Xtask(&["loadtest", "--quick"]))
        .full(Action::Xtask(&["loadtest"])),
    Step::new("chaos", "kill -9 under load loses nothing", &[], Action::Xtask(&["chaos", "--rounds", "10"]))
        .full(Action::Xtask(&["chaos", "--rounds", "100"])),
    Step::new("tails", "the slowest adds, and the stop, are within their bounds", &[], Action::Call("nothing; cargo bench -p benches --bench tails with --full", || Ok(only_full())))
        .full(Action::Run(&["cargo", "bench", "-p", "benches", "--bench", "tails"])),
    Step::new("mutants", "small changes to the code are found by tests", &[&CARGO_MUTANTS], Action::Call("cargo xtask mutants --in-diff MAIN, or --core where nothing differs", mutants))
        .full(Action::Xtask(&["mutants"])),
];

/// What is timed has to be alone on its machine.
fn only_full() -> Outcome {
    Outcome::NotRun("it is a measurement, made with --full".to_owned())
}

/// Changes what differs from the main branch; where nothing does, the replica.
fn mutants() -> Result<Outcome, StepError> {
    let mains = ["origin/main", "main"];
    let fork = mains
        .into_iter()
        .find_map(|main| git(&["merge-base", main, "HEAD"]).ok());
    let differs = |fork: &str| git(&["diff", "--quiet", fork]).is_err();
    match fork.as_deref().map(str::trim) {
        Some(fork) if differs(fork) => xtask(&["mutants", "--in-diff", fork]),
        Some(_) | None => xtask(&["mutants", "--core"]),
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
