//! The list of survivors that are known, and whether it says what was found.
//!
//! A survivor is named as cargo-mutants prints it, without line and column, which move with every
//! edit. Two changes of a file can have the same name then; each that survives has its entry.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use serde::Deserialize;

use super::engine::{Fate, Mutant, Tried};
use crate::paths::root;

/// Where the list is, seen from the root.
pub(super) const LIST: &str = "specs/mutants.toml";

/// The list could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// The file is not there, or cannot be read.
    #[error("reading {LIST}: {0}")]
    Read(#[from] io::Error),
    /// It is not what it should be.
    #[error("{LIST}: {0}")]
    Parse(#[from] toml::de::Error),
    /// An entry gives no reason.
    #[error("{LIST}: {0:?} has no reason; say why no test can find this change, or write one")]
    NoReason(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    survivor: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    reason: String,
}

/// The names on the list.
pub(super) fn read() -> Result<Vec<String>, ListError> {
    parse(&fs::read_to_string(root().join(LIST))?)
}

fn parse(text: &str) -> Result<Vec<String>, ListError> {
    let entries = toml::from_str::<List>(text)?.survivor;
    if let Some(entry) = entries.iter().find(|it| it.reason.trim().is_empty()) {
        return Err(ListError::NoReason(entry.name.clone()));
    }
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

/// Where the list and the survivors differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Survivors without an entry.
    pub(super) unlisted: Vec<String>,
    /// Entries without a survivor.
    pub(super) stale: Vec<String>,
}

/// Changes of one name.
#[derive(Default)]
struct Namesakes {
    exist: usize,
    tried: usize,
    missed: usize,
    listed: usize,
}

impl Judgement {
    /// Compares. An entry is only called stale when all changes of its name were tried, or when
    /// there are fewer of them than entries.
    pub(super) fn of(all: &[Mutant], tried: &[Tried], listed: &[String]) -> Self {
        let mut names: BTreeMap<String, Namesakes> = BTreeMap::new();
        for mutant in all {
            names.entry(mutant.bare_name()).or_default().exist += 1;
        }
        for it in tried {
            let namesakes = names.entry(it.mutant.bare_name()).or_default();
            namesakes.tried += 1;
            namesakes.missed += usize::from(it.fate == Fate::Missed);
        }
        for name in listed {
            names.entry(name.clone()).or_default().listed += 1;
        }
        let mut judgement = Self::default();
        for (name, it) in names {
            let can_survive = it.missed + it.exist.saturating_sub(it.tried);
            let unlisted = it.missed.saturating_sub(it.listed);
            let stale = it.listed.saturating_sub(can_survive);
            let times = |count| std::iter::repeat_n(name.clone(), count);
            judgement.unlisted.extend(times(unlisted));
            judgement.stale.extend(times(stale));
        }
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str) -> Mutant {
        Mutant {
            name: name.to_owned(),
            package: "p".to_owned(),
        }
    }

    fn judge(all: &[&str], tried: &[(&str, Fate)], listed: &[&str]) -> (Vec<String>, Vec<String>) {
        let all: Vec<_> = all.iter().map(|name| mutant(name)).collect();
        let tried: Vec<_> = tried
            .iter()
            .map(|&(name, fate)| Tried {
                mutant: mutant(name),
                fate,
            })
            .collect();
        let listed: Vec<_> = listed.iter().map(|&name| name.to_owned()).collect();
        let judgement = Judgement::of(&all, &tried, &listed);
        (judgement.unlisted, judgement.stale)
    }

    #[test]
    fn a_survivor_has_to_be_on_the_list_wherever_it_stands() {
        let tried = [("a.rs:1:2: x", Fate::Missed), ("a.rs:3:4: y", Fate::Caught)];
        let all = ["a.rs:1:2: x", "a.rs:3:4: y"];
        assert_eq!(
            judge(&all, &tried, &[]),
            (vec!["a.rs: x".to_owned()], vec![])
        );
        assert_eq!(judge(&all, &tried, &["a.rs: x"]), (vec![], vec![]));
    }

    #[test]
    fn each_of_two_survivors_of_one_name_has_its_entry() {
        let all = ["a.rs:1:2: x", "a.rs:3:4: x"];
        let both = all.map(|name| (name, Fate::Missed));
        let one = ["a.rs: x"];
        assert_eq!(
            judge(&all, &both, &one),
            (vec!["a.rs: x".to_owned()], vec![])
        );
        assert_eq!(judge(&all, &both, &["a.rs: x"; 2]), (vec![], vec![]));
        let half = [both[0], (all[1], Fate::Caught)];
        assert_eq!(judge(&all, &half, &["a.rs: x"; 2]).1, one);
    }

    #[test]
    fn an_entry_is_stale_when_its_change_is_caught_or_no_more() {
        let all = ["a.rs:1:2: x"];
        for fate in [Fate::Caught, Fate::Timeout, Fate::Unviable] {
            assert_eq!(judge(&all, &[(all[0], fate)], &["a.rs: x"]).1, ["a.rs: x"]);
        }
        assert_eq!(judge(&[], &[], &["a.rs: x"]).1, ["a.rs: x"]);
    }

    #[test]
    fn an_entry_is_not_stale_when_its_change_was_not_tried() {
        let all = ["a.rs:1:2: x", "a.rs:3:4: x"];
        assert_eq!(judge(&all, &[], &["a.rs: x"]), (vec![], vec![]));
        let tried = [(all[0], Fate::Caught)];
        assert_eq!(judge(&all, &tried, &["a.rs: x"]), (vec![], vec![]));
    }

    #[test]
    fn an_entry_needs_a_reason() {
        let list = |reason| format!("[[survivor]]\nname = \"a.rs: x\"\nreason = \"{reason}\"\n");
        assert_eq!(
            parse(&list("equal values")).expect("it is well-formed"),
            ["a.rs: x"]
        );
        assert_eq!(parse("").expect("none is fine"), [""; 0]);
        assert!(
            parse(&list(" "))
                .expect_err("no reason")
                .to_string()
                .contains("a.rs: x")
        );
    }
}
