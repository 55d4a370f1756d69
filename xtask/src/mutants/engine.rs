//! cargo-mutants: how it is run, and what it says.
//!
//! It prints a line for each change. Its output directory holds for each change the difference and
//! the log of the tests.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use serde::Deserialize;

use crate::launch;
use crate::tools::search_path;

/// How long the tests of one change may take, in seconds. The tests of a crate itself take a few
/// seconds, those of its drivers a minute.
const OWN_TESTS_MAX_S: u32 = 60;
const DRIVER_TESTS_MAX_S: u32 = 300;

/// What the programs that are built and run find in their environment.
const ENVIRONMENT: &[(&str, &str)] = &[
    // The same inputs for every change and in every run, and none that another change brought up.
    ("PROPTEST_RNG_SEED", "1"),
    ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true"),
    // Nobody reads the smallest example, the stack or the debugger's tables.
    ("PROPTEST_MAX_SHRINK_ITERS", "0"),
    ("RUST_BACKTRACE", "0"),
    ("CARGO_PROFILE_DEV_DEBUG", "false"),
    // One crate is built again and again, with one function changed.
    ("CARGO_INCREMENTAL", "1"),
];

/// cargo-mutants did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The tests that are to find changes fail without one.
    #[error("`cargo test` ended with {0} on code without a change; mend that first")]
    Unchanged(ExitStatus),
    /// It ended otherwise than after trying all changes.
    #[error("cargo mutants ended with {0}; its reason is above")]
    Ended(ExitStatus),
    /// It wrote something else than this file expects.
    #[error("cannot understand what cargo mutants says: {0}")]
    Output(#[from] serde_json::Error),
}

/// A change.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Mutant {
    /// As cargo-mutants prints it: `FILE:LINE:COLUMN: WHAT`.
    pub(super) name: String,
    /// The crate.
    pub(super) package: String,
}

impl Mutant {
    /// The name without line and column.
    pub(super) fn bare_name(&self) -> String {
        let (place, what) = self.name.split_once(": ").unwrap_or(("", &self.name));
        let file = place.split(':').next().unwrap_or(place);
        format!("{file}: {what}")
    }

    /// The argument that selects this change.
    pub(super) fn selector(&self) -> OsString {
        format!("--re=^{}$", literally(&self.name)).into()
    }
}

/// The argument that selects the changes whose names contain a text.
pub(super) fn containing(text: &str) -> OsString {
    format!("--re={}", literally(text)).into()
}

/// The pattern that matches just this text.
fn literally(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A test failed.
    Caught,
    /// A test did not end.
    Timeout,
    /// All tests passed.
    Missed,
    /// It does not compile.
    Unviable,
}

/// A change that was tried.
#[derive(Debug)]
pub(super) struct Tried {
    /// The change.
    pub(super) mutant: Mutant,
    /// What became of it.
    pub(super) fate: Fate,
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: Summary,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Mutant),
}

#[derive(Deserialize)]
enum Summary {
    Success,
    CaughtMutant,
    MissedMutant,
    Unviable,
    Failure,
    Timeout,
}

/// cargo-mutants, while it runs.
struct Run {
    child: Child,
    /// Passes on what it says.
    printing: JoinHandle<()>,
    outcomes: PathBuf,
}

impl Run {
    /// Waits for the end, and reads what was found.
    fn end(self) -> Result<Vec<Tried>, EngineError> {
        let Self {
            mut child,
            printing,
            outcomes,
        } = self;
        let status = child.wait().map_err(io("waiting for cargo mutants"))?;
        printing.join().expect("printing does not fail");
        // 2: some survived; 3: some tests did not end.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            return Err(EngineError::Ended(status));
        }
        // Where a selection is empty, there is no file.
        if !outcomes.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&outcomes).map_err(io(outcomes.to_string_lossy()))?;
        parse(&text)
    }
}

/// cargo-mutants, on a copy of the tree.
pub(super) struct Engine {
    tree: PathBuf,
    work: PathBuf,
}

impl Engine {
    /// Changes `tree`, and keeps what it builds and writes in `work`.
    pub(super) fn new(tree: PathBuf, work: PathBuf) -> Self {
        Self { tree, work }
    }

    /// All changes of a selection.
    pub(super) fn list(&self, selection: &[OsString]) -> Result<Vec<Mutant>, EngineError> {
        let output = self
            .mutants()
            .args(["--list", "--json"])
            .args(selection)
            .output()
            .map_err(io("starting cargo mutants"))?;
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            return Err(EngineError::Ended(output.status));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Tries each change of a selection with the tests of its own crate. They pass without a change.
    /// Each engine does its share.
    pub(super) fn run(engines: &[Self], selection: &[OsString]) -> Result<Vec<Tried>, EngineError> {
        let mut runs = Vec::new();
        for (number, engine) in engines.iter().enumerate() {
            let mut command = engine.mutants();
            command
                .args(selection)
                .arg(format!("--shard={number}/{}", engines.len()))
                .arg(format!("--timeout={OWN_TESTS_MAX_S}"));
            runs.push(engine.begin(command)?);
        }
        let mut tried = Vec::new();
        for run in runs {
            tried.extend(run.end()?);
        }
        Ok(tried)
    }

    /// Tries each change of a selection with the tests of these crates. They pass without a change.
    pub(super) fn run_with(
        &self,
        selection: &[OsString],
        packages: &[&str],
    ) -> Result<Vec<Tried>, EngineError> {
        // Tests of the specifications do not run our code.
        let of_tests = ["--", "--skip=tla::"];
        // cargo-mutants itself tries no tests without a change but those of the changed crate.
        let status = self
            .cargo("test")
            .args(
                packages
                    .iter()
                    .map(|package| format!("--package={package}")),
            )
            .args(of_tests)
            .status()
            .map_err(io("starting cargo test"))?;
        if !status.success() {
            return Err(EngineError::Unchanged(status));
        }
        let mut command = self.mutants();
        command
            .args(selection)
            .arg("--baseline=skip")
            .arg(format!("--test-package={}", packages.join(",")))
            .arg(format!("--timeout={DRIVER_TESTS_MAX_S}"))
            .arg("--")
            .args(of_tests);
        self.begin(command)?.end()
    }

    /// Starts to try changes.
    fn begin(&self, mut command: Command) -> Result<Run, EngineError> {
        let outcomes = self.work.join("mutants.out/outcomes.json");
        if outcomes.exists() {
            fs::remove_file(&outcomes).map_err(io(outcomes.to_string_lossy()))?;
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io("starting cargo mutants"))?;
        let lines = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        // Two write at a time; each line stays one.
        let printing =
            thread::spawn(|| lines.map_while(Result::ok).for_each(|it| println!("{it}")));
        Ok(Run {
            child,
            printing,
            outcomes,
        })
    }

    fn mutants(&self) -> Command {
        let mut command = self.cargo("mutants");
        command
            .args(["--no-config", "--in-place", "--caught", "--unviable"])
            .arg("--output")
            .arg(&self.work);
        command
    }

    fn cargo(&self, verb: &str) -> Command {
        let mut command = launch::command("cargo");
        command
            .arg(verb)
            .current_dir(&self.tree)
            .env("PATH", search_path())
            .env("CARGO_TARGET_DIR", self.work.join("build"))
            .envs(ENVIRONMENT.iter().copied());
        command
    }
}

/// The changes of `outcomes.json`.
fn parse(text: &str) -> Result<Vec<Tried>, EngineError> {
    let outcomes = serde_json::from_str::<Outcomes>(text)?.outcomes;
    let tried = outcomes.into_iter().filter_map(|outcome| {
        let Scenario::Mutant(mutant) = outcome.scenario else {
            return None;
        };
        let fate = match outcome.summary {
            Summary::CaughtMutant => Fate::Caught,
            Summary::Timeout => Fate::Timeout,
            Summary::Unviable => Fate::Unviable,
            // Of changes cargo-mutants says neither of the other two; what is not known to be
            // caught counts as missed.
            Summary::MissedMutant | Summary::Success | Summary::Failure => Fate::Missed,
        };
        Some(Tried { mutant, fate })
    });
    Ok(tried.collect())
}

fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> EngineError {
    let what = what.into();
    move |source| EngineError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "crates/a/src/b.rs:62:9: replace A::b -> Option<(C, D)> with None";

    #[test]
    fn a_bare_name_has_no_line_and_column() {
        let mutant = Mutant {
            name: NAME.to_owned(),
            package: "a".to_owned(),
        };
        let bare = "crates/a/src/b.rs: replace A::b -> Option<(C, D)> with None";
        assert_eq!(mutant.bare_name(), bare);
        let selector = mutant.selector().into_string().expect("it is text");
        assert!(selector.ends_with(r"b\.rs:62:9: replace A::b \-> Option<\(C, D\)> with None$"));
    }

    #[test]
    fn the_baseline_is_no_change() {
        let text = r#"{"total_mutants": 1, "outcomes": [
            {"scenario": "Baseline", "summary": "Success"},
            {"scenario": {"Mutant": {"name": "x", "package": "p", "genre": "FnValue"}},
             "summary": "MissedMutant", "phase_results": []}]}"#;
        let tried = parse(text).expect("it is well-formed");
        assert_eq!(tried.len(), 1);
        assert_eq!(tried[0].fate, Fate::Missed);
        parse("{}").expect_err("no outcomes");
    }
}
