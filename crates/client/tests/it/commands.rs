//! The `tally` command as scripts see it: output and exit codes.

use std::process::Output;

use tokio::process::Command;
use tonic::{Code, Status};

use crate::fake::{Fake, Fault, refused_with};

async fn tally(fake: &Fake, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tally"))
        .env("TALLY_NODE", fake.node())
        .args(arguments)
        .output()
        .await
        .expect("the program starts")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("output is UTF-8")
}

#[tokio::test]
async fn people_get_grouped_digits_and_programs_plain_ones() {
    let fake = Fake::start().await;
    tally(&fake, &["add", "likes", "1234567"]).await;
    let people = tally(&fake, &["get", "likes"]).await;
    assert_eq!(stdout(&people), "likes         1,234,567\n");
    let programs = tally(&fake, &["--json", "get", "likes", "none"]).await;
    let expected = "{\"clamped\":false,\"counter\":\"likes\",\"value\":1234567}\n\
                    {\"clamped\":false,\"counter\":\"none\",\"value\":0}\n";
    assert_eq!(stdout(&programs), expected);
}

#[tokio::test]
async fn an_add_prints_the_token_that_a_read_takes() {
    let fake = Fake::start().await;
    let added = tally(&fake, &["add", "likes", "-3", "--json"]).await;
    let expected = "{\"amount\":-3,\"counter\":\"likes\",\"token\":\"0102\"}\n";
    assert_eq!(stdout(&added), expected);
    assert!(
        tally(&fake, &["get", "likes", "--after", "0102"])
            .await
            .status
            .success()
    );
}

#[tokio::test]
async fn lists_and_watches_print_a_line_for_each_counter_or_change() {
    let fake = Fake::start().await;
    for name in ["a", "b", "c"] {
        fake.state().values.insert(name.to_owned(), 1);
    }
    let list = tally(&fake, &["list"]).await;
    assert_eq!(stdout(&list).lines().count(), 3);
    let watch = tally(&fake, &["watch", "a", "--limit", "2", "--json"]).await;
    assert_eq!(stdout(&watch).lines().count(), 2);
}

#[tokio::test]
async fn the_exit_code_says_what_became_of_an_add() {
    let fake = Fake::start().await;
    let faults = [
        (Fault::DoAndFail(Status::unavailable("connection reset")), 3),
        (
            Fault::Refuse(refused_with(Code::OutOfRange, "VALUE_OUT_OF_RANGE")),
            4,
        ),
        (
            Fault::Refuse(refused_with(Code::InvalidArgument, "COUNTER_NAME_INVALID")),
            2,
        ),
        (
            Fault::Refuse(refused_with(Code::ResourceExhausted, "COUNTERS_EXHAUSTED")),
            1,
        ),
    ];
    for (fault, code) in faults {
        let shown = format!("{fault:?}");
        fake.state().faults.push_back(fault);
        let output = tally(&fake, &["add", "likes"]).await;
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert!(!output.stderr.is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn a_node_without_an_answer_has_its_line_in_the_status() {
    let fake = Fake::start().await; // has no ClusterService
    let output = tally(&fake, &["status"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("no answer"), "{}", stdout(&output));
}

#[tokio::test]
async fn an_export_that_fails_leaves_the_file_as_it_was() {
    let fake = Fake::start().await; // has no ClusterService
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("likes.csv");
    std::fs::write(&file, "before").expect("a file");
    let path = file.to_str().expect("a path of ours");
    let export = tally(&fake, &["export", "--out", path]).await;
    assert_eq!(export.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "before");
    let left = std::fs::read_dir(place.path()).expect("a directory");
    assert_eq!(left.count(), 1, "no temporary file is left");
    let nothing = tally(&fake, &["export"]).await;
    assert_eq!((nothing.status.code(), stdout(&nothing)), (Some(1), ""));
}

#[tokio::test]
async fn an_audit_that_compares_nothing_says_why_and_fails() {
    let fake = Fake::start().await; // has no ClusterService
    let audit = tally(&fake, &["audit"]).await;
    assert_eq!(audit.status.code(), Some(1));
    let text = stdout(&audit);
    assert!(
        text.contains("NOT COMPARED") && text.contains(&fake.node()),
        "{text}"
    );
    let every = tally(&fake, &["audit", "--every", "25h"]).await;
    assert_eq!(every.status.code(), Some(2));
}
