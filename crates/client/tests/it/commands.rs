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
async fn an_add_prints_the_value_that_it_led_to_on_request() {
    let fake = Fake::start().await;
    tally(&fake, &["add", "likes", "1234"]).await;
    let people = tally(&fake, &["add", "likes", "--value"]).await;
    let expected = "added 1 to likes\nlikes             1,235\ntoken 0102\n";
    assert_eq!(stdout(&people), expected);
    let programs = tally(&fake, &["add", "likes", "--value", "--json"]).await;
    let expected = "{\"amount\":1,\"clamped\":false,\"counter\":\"likes\",\"token\":\"0102\",\
                    \"value\":1236}\n";
    assert_eq!(stdout(&programs), expected);
}

#[tokio::test]
async fn reads_print_their_token_and_ages_on_request() {
    let fake = Fake::start().await;
    fake.state().values.insert("likes".to_owned(), 1);
    let ages = format!(
        "{{\"lane_ages\":[{{\"complete_age_ms\":20,\
         \"newest_age_is_least\":false,\"newest_age_ms\":7000,\"replica_id\":\"{}\"}}],\
         \"token\":",
        "ab".repeat(16)
    );
    for command in [
        &["get", "likes"][..],
        &["list"],
        &["watch", "likes", "--limit", "1"],
        &["watch", "--prefix", "l", "--limit", "1"],
    ] {
        let asked = [command, &["--ages", "--token", "--after", "0409", "--json"]].concat();
        let output = tally(&fake, &asked).await;
        let lines: Vec<_> = stdout(&output).lines().collect();
        assert_eq!(lines.len(), 2, "{output:?}");
        assert!(lines[1].starts_with(&ages), "{output:?}");
        assert_eq!(fake.state().tokens.last(), Some(&vec![4, 9]));
    }
    let people = tally(&fake, &["get", "likes", "--ages", "--token"]).await;
    let text = stdout(&people);
    assert!(
        text.contains("COMPLETE UNTIL") && text.contains("7,000 ms ago"),
        "{text}"
    );
    assert!(text.contains("\ntoken 0405\n"), "{text}");
}

#[tokio::test]
async fn a_watch_is_of_counters_or_of_a_prefix() {
    let fake = Fake::start().await;
    for name in ["a", "b", "c"] {
        fake.state().values.insert(name.to_owned(), 1);
    }
    let several = tally(&fake, &["watch", "a", "c", "--limit", "4"]).await;
    let names = stdout(&several).lines().map(|line| &line[..1]);
    assert_eq!(names.collect::<Vec<_>>(), ["a", "c", "a", "c"]);
    let all = tally(&fake, &["watch", "--prefix", "", "--limit", "3", "--json"]).await;
    assert_eq!(stdout(&all).lines().count(), 3);
    for wrong in [&["watch"][..], &["watch", "a", "--prefix", "b"]] {
        assert_eq!(
            tally(&fake, wrong).await.status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn a_lag_is_measured_between_all_pairs_of_nodes() {
    let (one, two) = (Fake::start().await, Fake::start().await);
    let nodes = format!("{},{}", one.node(), two.node());
    let measure = ["lag", "--node", &nodes, "--samples", "5", "--json"];
    let output = tally(&one, &measure).await;
    let figures: serde_json::Value = serde_json::from_str(stdout(&output)).expect("an object");
    assert_eq!(
        (&figures["pairs"], &figures["samples"]),
        (&2.into(), &10.into())
    );
    assert!(
        figures["p99_ms"].as_f64() >= figures["p50_ms"].as_f64(),
        "{figures}"
    );
    assert!(figures["p50_ms"].as_f64() > Some(0.0), "{figures}");
    // Every read carries the token of the add before it.
    assert!(one.state().tokens.iter().all(|token| *token == [1, 2]));
    let alone = tally(&one, &["lag"]).await;
    assert_eq!(alone.status.code(), Some(2));
}

#[tokio::test]
async fn the_exit_code_says_what_became_of_an_add() {
    let fake = Fake::start().await;
    let faults = [
        (Fault::Hang, 3),
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
        let output = tally(&fake, &["add", "likes", "--deadline-ms", "1000"]).await;
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert!(!output.stderr.is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn an_add_whose_answer_was_lost_is_asked_for_again_and_its_session_is_closed() {
    let fake = Fake::start().await;
    let lost = Fault::DoAndFail(Status::unavailable("connection reset"));
    fake.state().faults.push_back(lost);
    let output = tally(&fake, &["add", "likes"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fake.value("likes"), 1);
    assert_eq!(fake.state().closed.len(), 1);
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

#[tokio::test]
async fn what_a_member_gone_means_is_said_before_it_is_done() {
    let fake = Fake::start().await;
    let id = "00000000000000000000000000000abc";
    let said = tally(&fake, &["member", "gone", id]).await;
    assert_eq!(said.status.code(), Some(2));
    let text = String::from_utf8(said.stderr).expect("UTF-8");
    for part in [
        "nothing was done",
        id,
        "never comes back",
        "is lost",
        "--promise",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for wrong in ["abc", "+0000000000000000000000000000abc"] {
        let refused = tally(&fake, &["member", "gone", wrong, "--promise"]).await;
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        let text = String::from_utf8(refused.stderr).expect("UTF-8");
        assert!(text.contains("32 hexadecimal digits"), "{text}");
    }
}
