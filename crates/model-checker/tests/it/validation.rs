//! The checker of traces accepts what the machines do, and refuses every altered line that tells of
//! anything else.
//!
//! Here the traces are those of nodes in memory; `tally-server` has the tests with real processes.

mod cluster;

use std::fs;
use std::path::{Path, PathBuf};

use model_checker::validation::{Summary, ValidationError, numbered, validate};
use proptest::{collection::vec, prelude::*};
use trace::{Content, Line, Outcome, Step};

use cluster::{Action, Cluster, NODES};

fn any_action() -> impl Strategy<Value = Action> {
    let node = || 0..NODES;
    prop_oneof![
        4 => (node(), 0..6u8, any::<i32>())
            .prop_map(|(node, counter, amount)| Action::Add { node, counter, amount }),
        8 => node().prop_map(|node| Action::Commit { node }),
        3 => (node(), node()).prop_map(|(from, to)| Action::Pull { from, to }),
        1 => (node(), any::<u8>()).prop_map(|(node, found)| Action::Kill { node, found }),
        1 => node().prop_map(|node| Action::Restart { node }),
    ]
}

/// Plays the actions; then every node ends in order, so that all that was taken is committed.
fn play(actions: &[Action]) -> (Cluster, Vec<PathBuf>) {
    let mut cluster = Cluster::new();
    for &action in actions {
        cluster.act(action);
    }
    for node in 0..NODES {
        cluster.act(Action::Restart { node });
    }
    let traces = cluster.traces();
    (cluster, traces)
}

fn read(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).expect("a trace");
    let parse = |line| serde_json::from_str(line).expect("a line");
    text.lines().map(parse).collect()
}

/// A run in which everything happens.
fn eventful() -> Vec<Action> {
    let add = |node, counter, amount| Action::Add {
        node,
        counter,
        amount,
    };
    let commit = |node| [Action::Commit { node }; 3];
    let pull = |from, to| Action::Pull { from, to };
    let mut actions = Vec::new();
    for round in 0..4 {
        actions.extend([
            add(0, 0, 5),
            add(0, 1, -3),
            add(1, 2, 7 + round),
            add(0, 0, 1),
        ]);
        actions.extend(commit(0).into_iter().chain(commit(1)));
        actions.extend([pull(0, 1), pull(0, 1), pull(1, 0), pull(1, 2)]);
        actions.extend([0, 1, 2].into_iter().flat_map(commit));
        actions.extend([pull(2, 0), pull(0, 2)]);
    }
    actions.push(add(2, 3, 1));
    actions.extend(commit(2));
    actions.extend([pull(2, 0), pull(2, 1)]);
    // Killed with something appended, with something synced, and with something taken: nobody has
    // seen that, and its line is lost with the process.
    actions.extend([add(0, 0, 9), add(0, 1, 9), Action::Commit { node: 0 }]);
    actions.push(Action::Kill { node: 0, found: 1 });
    actions.extend([
        add(1, 3, 9),
        Action::Commit { node: 1 },
        Action::Commit { node: 1 },
    ]);
    actions.push(Action::Kill { node: 1, found: 0 });
    actions.extend([add(2, 3, 9), Action::Kill { node: 2, found: 0 }, pull(1, 2)]);
    actions.extend(commit(2));
    actions
}

#[test]
fn a_run_in_which_everything_happens_is_valid() {
    let (_cluster, traces) = play(&eventful());
    let summary = validate(&traces).expect("valid");
    let Summary {
        starts,
        takes,
        rounds,
        sent,
        received,
        snapshots,
        ..
    } = summary;
    assert_eq!((starts, takes), (9, 20));
    assert!(rounds > 20 && sent > 20 && received == sent, "{summary:?}");
    assert_eq!(snapshots, 3, "{summary:?}");
}

#[test]
fn half_a_line_ends_a_process_and_nothing_else() {
    let (_cluster, traces) = play(&eventful());
    let text = fs::read_to_string(&traces[0]).expect("a trace");
    let start = text.rmatch_indices("{\"n\":0,").next().expect("a start").0;
    let whole = text.lines().count();
    let torn = format!("{}{}\n{}", &text[..start], "{\"n\":99,\"st", &text[start..]);
    fs::write(&traces[0], torn).expect("a file");
    validate(&traces).expect("valid");
    let cut = &text[..text.len() - 5];
    fs::write(&traces[0], cut).expect("a file");
    let summary = validate(&traces).expect("valid");
    assert_eq!(summary.starts, 9, "{whole} lines");
    fs::write(
        &traces[0],
        format!("{{\"n\":99,\"st\n{}", &text[start + 1..]),
    )
    .expect("a file");
    assert_eq!(refused_at(validate(&traces)), 1);
}

#[test]
fn a_missing_number_is_missed() {
    let (_cluster, traces) = play(&eventful());
    let text = fs::read_to_string(&traces[1]).expect("a trace");
    let without: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(at, _)| *at != 9)
        .map(|it| it.1)
        .collect();
    fs::write(&traces[1], without.join("\n")).expect("a file");
    assert_eq!(refused_at(validate(&traces)), 10);
}

#[test]
fn what_arrives_was_sent_by_somebody() {
    let (_cluster, traces) = play(&eventful());
    let mut lines = read(&traces[0]);
    let sent = lines
        .iter()
        .position(|line| matches!(line.step, Step::Send { .. }));
    lines.remove(sent.expect("it has sent something"));
    fs::write(&traces[0], numbered(&lines)).expect("a file");
    let error = validate(&traces).expect_err("it was received");
    let ValidationError::Refused { path, line, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(path, &traces[1]);
    let received = &read(path)[usize::try_from(*line).expect("small") - 1];
    assert!(
        matches!(received.step, Step::Receive { .. }),
        "{received:?}"
    );
}

#[test]
fn a_trace_without_that_of_a_peer_is_refused() {
    let (_cluster, traces) = play(&eventful());
    let error = validate(&traces[..2]).expect_err("the third has sent something");
    assert!(error.to_string().contains("some node has sent"), "{error}");
    let twice = [&traces[0], &traces[0]];
    let error = validate(&twice).expect_err("one replica, two traces");
    assert!(error.to_string().contains("no other trace"), "{error}");
}

fn refused_at(result: Result<Summary, ValidationError>) -> u64 {
    let error = result.expect_err("refused");
    let ValidationError::Refused { line, .. } = error else {
        panic!("{error}")
    };
    line
}

/// Changes what a line says; `None` where it says nothing that anything depends on.
fn altered(step: &Step, pick: u8) -> Option<Step> {
    let mut step = step.clone();
    let one = Content::new(1 << (pick % 64));
    match &mut step {
        Step::Take {
            round,
            mark,
            content,
            ..
        } => match pick % 3 {
            0 => *round += 1,
            1 => mark.version = mark.version.next(),
            _ => *content += one,
        },
        Step::Receive { outcome, .. } => {
            *outcome = match (&outcome, pick % 2) {
                (Outcome::Taken(_), 0) => Outcome::Known,
                (Outcome::Taken(round), _) => Outcome::Taken(*round + 1),
                (
                    Outcome::Known
                    | Outcome::Gap
                    | Outcome::Needs
                    | Outcome::Fork
                    | Outcome::Malformed,
                    _,
                ) => Outcome::Gap,
            };
        }
        Step::Commit { round, group, .. } => match group.last_mut() {
            Some(written) if pick.is_multiple_of(3) => {
                written.to.version = written.to.version.next();
            }
            Some(written) if pick % 3 == 1 => written.content += one,
            Some(_) | None => *round += 1,
        },
        Step::Held { lanes, .. } => {
            let lane = lanes.last_mut().expect("a group moves a lane");
            lane.content += one;
        }
        Step::Recovered(lane) | Step::Counted(lane) => match pick % 2 {
            0 => lane.content += one,
            _ => lane.mark.version = lane.mark.version.next(),
        },
        Step::Complete { round } | Step::Awaited { round } => *round += 1,
        Step::Send { to, .. } => to.version = to.version.next(),
        Step::Report { mark, .. } | Step::Copied { mark, .. } => {
            mark.start = crdt_core::StartId::new(mark.start.get() + 77);
        }
        Step::Due { effect, .. } => match effect {
            trace::Effect::Append { round } | trace::Effect::Complete { round } => *round += 1,
            trace::Effect::Sync | trace::Effect::Cut => *effect = trace::Effect::Seal,
            trace::Effect::BeginSnapshot { below } => *below += 1,
            trace::Effect::Seal | trace::Effect::End | trace::Effect::Failed => return None,
        },
        Step::Start { format, .. } => *format += 1,
        Step::Appended { bytes } => *bytes = u64::from(*bytes == 0),
        Step::Open { .. }
        | Step::Synced { .. }
        | Step::Cut { .. }
        | Step::SnapshotWritten { .. }
        | Step::SnapshotFailed { .. }
        | Step::Closing => return None,
    }
    Some(step)
}

/// Whether nothing need follow from a line. (What a node was sent may be lost with its process.)
fn is_idle(step: &Step) -> bool {
    let is_end = |effect: &trace::Effect| *effect == trace::Effect::End;
    matches!(
        step,
        Step::Report { .. } | Step::Send { .. } | Step::Awaited { .. } | Step::Counted(_)
    ) || matches!(
        step,
        Step::Receive {
            outcome: Outcome::Known,
            ..
        }
    ) || matches!(step, Step::Due { effect, .. } if is_end(effect))
}

/// Whether a process came to its end after this line without being killed, so that all that it
/// had taken was committed.
fn ends_in_order(lines: &[Line], at: usize) -> bool {
    let mut later = lines[at..].iter().map(|line| &line.step);
    later
        .find(|step| matches!(step, Step::Closing | Step::Start { .. }))
        .is_some_and(|step| matches!(step, Step::Closing))
}

/// A line of a trace, chosen; none where nothing may follow from it.
fn choose(traces: &[PathBuf], file: usize, at: prop::sample::Index) -> Option<(Vec<Line>, usize)> {
    let lines = read(&traces[file]);
    let at = at.index(lines.len());
    ends_in_order(&lines, at).then_some((lines, at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_machines_do_is_valid(actions in vec(any_action(), 1..120)) {
        let (_cluster, traces) = play(&actions);
        let validated = validate(&traces);
        prop_assert!(validated.is_ok(), "{}", validated.unwrap_err());
    }

    #[test]
    fn an_altered_line_is_refused(
        actions in vec(any_action(), 1..80), file in 0..NODES, at: prop::sample::Index, pick: u8,
    ) {
        let (_cluster, traces) = play(&actions);
        let chosen = choose(&traces, file, at);
        let step = chosen.as_ref().and_then(|(lines, at)| altered(&lines[*at].step, pick));
        if let (Some((mut lines, at)), Some(step)) = (chosen, step) {
            lines[at].step = step;
            fs::write(&traces[file], numbered(&lines)).expect("a file");
            prop_assert!(validate(&traces).is_err(), "{:?}", lines[at]);
        }
    }

    #[test]
    fn a_line_that_is_left_out_is_refused(
        actions in vec(any_action(), 1..80), file in 0..NODES, at: prop::sample::Index,
    ) {
        let (_cluster, traces) = play(&actions);
        if let Some((mut lines, at)) = choose(&traces, file, at)
            && !is_idle(&lines[at].step)
        {
            let left_out = lines.remove(at);
            fs::write(&traces[file], numbered(&lines)).expect("a file");
            prop_assert!(validate(&traces).is_err(), "{left_out:?}");
        }
    }
}
