//! The proofs under `specs/smt`, put to z3.
//!
//! Each file says before every `(check-sat)` what it asks and which answer it expects:
//! `(echo "obligation: FILE/NAME expect unsat")`. Controls (a rule broken) and vacuity checks (the
//! assumptions can be met) expect `sat`, so that a proof that could not fail is noticed. What
//! counts as a failure is in `specs/README.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// All files take about a second; one that takes this long does not end.
const FILE_SECONDS_MAX: u32 = 60;

/// One question to z3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The file's name.
    pub file: String,
    /// `obligation`, `control` or `vacuity`, and the question's name.
    pub name: String,
    /// The answer that the file expects.
    pub expected: String,
    /// What z3 said; `None` when it was not run.
    pub answer: Option<String>,
}

impl Question {
    /// Whether z3 answered as expected.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answer.as_ref() == Some(&self.expected)
    }
}

/// What became of the proofs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proofs {
    /// Every question of every file.
    pub questions: Vec<Question>,
    /// Whether there is a z3 to put them to.
    pub has_z3: bool,
    /// Files that failed as a whole, and why.
    pub failures: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Why the proofs cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}; run this from the root of the repository", path.display())]
pub struct ProofsError {
    path: PathBuf,
    source: io::Error,
}

/// Puts every file of a directory to z3.
///
/// # Errors
///
/// When the directory or one of its files cannot be read.
pub fn run(directory: &Path) -> Result<Proofs, ProofsError> {
    let begun = Instant::now();
    let error = |path: &Path| {
        let path = path.to_owned();
        |source| ProofsError { path, source }
    };
    let mut files = Vec::new();
    for entry in directory.read_dir().map_err(error(directory))? {
        let path = entry.map_err(error(directory))?.path();
        if path.extension().is_some_and(|it| it == "smt2") {
            files.push(path);
        }
    }
    files.sort();
    let mut proofs = Proofs {
        questions: Vec::new(),
        has_z3: Command::new("z3").arg("--version").output().is_ok(),
        failures: Vec::new(),
        took: Duration::ZERO,
    };
    if files.is_empty() {
        proofs
            .failures
            .push(format!("{} holds no proof", directory.display()));
    }
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(error(&path))?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut asked = questions(&name, &text);
        if asked.is_empty() {
            proofs.failures.push(format!("{name} asks nothing"));
        }
        if proofs.has_z3 {
            let answered = ask_z3(&path);
            proofs
                .failures
                .extend(take_answers(&name, &mut asked, answered).err());
        }
        proofs.questions.extend(asked);
    }
    proofs.took = begun.elapsed();
    Ok(proofs)
}

/// The questions of one file, by its echo lines.
fn questions(file: &str, text: &str) -> Vec<Question> {
    let echoed = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(echo \"")?.strip_suffix("\")"));
    echoed
        .filter_map(|line| line.split_once(" expect "))
        .map(|(name, expected)| Question {
            file: file.to_owned(),
            name: name.to_owned(),
            expected: expected.to_owned(),
            answer: None,
        })
        .collect()
}

fn ask_z3(path: &Path) -> Result<String, String> {
    let limit = format!("-T:{FILE_SECONDS_MAX}");
    let output = Command::new("z3")
        .arg(limit)
        .arg(path)
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("z3 ended with {}: {}", output.status, text.trim()))
    }
}

/// Puts z3's lines to the questions: the question as echoed, then its answer.
fn take_answers(
    file: &str,
    asked: &mut [Question],
    output: Result<String, String>,
) -> Result<(), String> {
    let output = output.map_err(|problem| format!("{file}: {problem}"))?;
    let mut lines = output.lines();
    for question in asked {
        let echo = format!("{} expect {}", question.name, question.expected);
        match lines.next() {
            Some(line) if line == echo => {}
            other => {
                return Err(format!(
                    "{file}: expected the line {echo:?}, found {other:?}"
                ));
            }
        }
        question.answer = lines.next().map(str::to_owned);
    }
    match lines.next() {
        None => Ok(()),
        Some(line) => Err(format!("{file}: {line:?} answers no question")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "(echo \"obligation: f/a expect unsat\")\n(check-sat)\n\
                        (echo \"control: f/b expect sat\")\n(check-sat)\n";

    fn judge(output: &str) -> (Vec<bool>, Result<(), String>) {
        let mut asked = questions("f.smt2", FILE);
        let outcome = take_answers("f.smt2", &mut asked, Ok(output.to_owned()));
        (asked.iter().map(Question::is_answered).collect(), outcome)
    }

    #[test]
    fn the_expected_answers_pass() {
        let output = "obligation: f/a expect unsat\nunsat\ncontrol: f/b expect sat\nsat\n";
        assert_eq!(judge(output), (vec![true, true], Ok(())));
    }

    #[test]
    fn another_answer_fails_its_question() {
        let output = "obligation: f/a expect unsat\nunknown\ncontrol: f/b expect sat\nunsat\n";
        assert_eq!(judge(output).0, [false, false]);
    }

    #[test]
    fn an_error_fails_the_file() {
        let output = "(error \"line 3\")\nobligation: f/a expect unsat\nunsat\n";
        assert!(judge(output).1.is_err());
    }
}
