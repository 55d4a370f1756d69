//! The transcripts: runs of a few nodes, as scripts with the output that they must have.
//!
//! They are in `testdata/transcripts`, one a file, to learn the protocol from (begin with
//! `life_of_an_add`) and to see at once what a change does to it. A block is some commands (`transcripts/command.rs` has them all), then
//! `---`, then what the nodes did. [`goldenscript`] compares, and writes anew what it is told to:
//!
//! ```sh
//! cargo test -p model-checker --test it transcripts::torn_tail
//! UPDATE_GOLDENFILES=1 cargo test -p model-checker --test it transcripts
//! ```
//!
//! What runs is what is deployed: the machines of `protocol`, the streams of `wire` as bytes, and
//! the log of `commit-log` with its recovery, on a disk in memory. The runner does what they say
//! and decides nothing. After each command the nodes do what is due at once, but for two things
//! that are commands themselves: commits (`step`, `commit`), and the arrival of messages
//! (`deliver`). `run` does these too, and lets time pass.

mod clients;
mod cluster;
mod command;
mod disk;
mod forged;
mod node;
mod output;
mod process;
mod streams;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use cluster::Cluster;
use command::Command;

impl goldenscript::Runner for Cluster {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        _: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        Ok(self.execute(command)?)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/transcripts")
}

/// A test for each transcript, and the list of all.
macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let path = folder().join(concat!(stringify!($name), ".txt"));
                goldenscript::run(&mut Cluster::new(), path).expect("the script can be run");
            }
        )*

        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts![
    batch,
    commit_round,
    copied_directory,
    damage,
    dial_only,
    failed_snapshot,
    failed_sync,
    forked_lane_of_another,
    gap,
    ingest,
    life_of_an_add,
    mesh,
    pieces,
    receiver_crash,
    relay,
    rolled_back,
    same_version,
    silence,
    slow_receiver,
    snapshot_crash,
    stranger,
    token,
    torn_tail,
];

#[test]
fn every_file_is_run() {
    let entries = folder().read_dir().expect("it is there");
    let names = entries.map(|entry| entry.expect("a file").file_name());
    let found: BTreeSet<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();
    let run = ALL.iter().map(|name| format!("{name}.txt"));
    assert_eq!(found, run.collect());
}
