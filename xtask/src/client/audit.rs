//! Audits by the `tally` command: what they found, added up.

use std::fmt;
use std::net::SocketAddr;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use super::command::{Client, ClientError, PATIENCE, parse, url};

/// Exit codes with which an audit has told what it found: all equal, not all compared, a
/// difference.
const FOUND: [i32; 3] = [0, 1, 5];

/// What one audit has told.
#[derive(Deserialize)]
pub(crate) struct Audited {
    equal: u64,
    not_compared: Vec<NotCompared>,
    /// As they were told: each is shown as it is.
    differences: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct NotCompared {
    reason: String,
    count: u64,
}

/// What several audits have told.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Audits {
    /// How many they were.
    pub(crate) runs: u64,
    /// Comparisons of a lane on two nodes that found the same.
    pub(crate) equal: u64,
    /// Comparisons that could not be made.
    pub(crate) not_compared: u64,
    /// Why, each reason once.
    pub(crate) reasons: Vec<String>,
    /// Comparisons that found two different things, as the command tells them.
    pub(crate) differences: Vec<String>,
}

impl Audits {
    /// One audit more.
    pub(crate) fn add(&mut self, audited: Audited) {
        self.runs += 1;
        self.equal += audited.equal;
        for NotCompared { reason, count } in audited.not_compared {
            self.not_compared += count;
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
        let differences = audited.differences.iter().map(ToString::to_string);
        self.differences.extend(differences);
    }
}

impl fmt::Display for Audits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            equal,
            not_compared,
            differences,
            ..
        } = self;
        let different = differences.len();
        write!(
            f,
            "{runs} audits, {equal} lanes equal, {different} different, {not_compared} not compared"
        )
    }
}

impl Client {
    /// Audits these nodes once.
    pub(crate) async fn audit(&self, nodes: &[SocketAddr]) -> Result<Audited, ClientError> {
        let nodes: Vec<String> = nodes.iter().map(|&node| url(node)).collect();
        let command = self.shown(&["audit"]);
        let running = Command::new(&self.program)
            .args(["--node", &nodes.join(","), "--json", "audit"])
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .output();
        let ended = timeout(PATIENCE, running).await;
        let output = ended.map_err(|_elapsed| ClientError::Stuck {
            command: command.clone(),
            patience: PATIENCE,
        })?;
        let output = output.map_err(|source| ClientError::Io {
            command: command.clone(),
            source,
        })?;
        let has_told = output.status.code().is_some_and(|it| FOUND.contains(&it));
        if !has_told || output.stdout.is_empty() {
            return Err(ClientError::Failed {
                command,
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        parse(&command, &String::from_utf8_lossy(&output.stdout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_audits_found_is_added_up() {
        let told = r#"{"equal":3,"not_compared":[{"node":"a","reason":"away","count":2}],
                       "differences":[{"lane":"0a"}]}"#;
        let mut audits = Audits::default();
        for _ in 0..2 {
            audits.add(parse("tally audit", told).expect("as the command tells it"));
        }
        assert_eq!((audits.equal, audits.not_compared), (6, 4));
        assert_eq!(
            (&*audits.reasons, audits.differences.len()),
            (&["away".to_owned()][..], 2)
        );
        assert!(audits.to_string().contains("2 different"), "{audits}");
    }
}
