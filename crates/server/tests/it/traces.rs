//! A trace of real processes is replayed; altered by hand, it is refused at the line that cannot
//! be.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crdt_core::ReplicaId;
use model_checker::validation::{Summary, ValidationError, numbered, validate};
use tokio::time::sleep;
use trace::{Content, Line, Outcome, Step};

use super::cluster::Cluster;
use super::load::Load;

/// How long the load runs before and after the kill.
const LOADED: Duration = Duration::from_millis(300);

/// An altered trace, and the line at which it must be refused, from 0.
type Altered = (Vec<Line>, usize);

#[tokio::test]
async fn a_trace_of_real_processes_is_valid_and_an_altered_one_is_refused_at_its_line() {
    let mut cluster = Cluster::start().await;
    let load = Load::start(&cluster.nodes);
    sleep(LOADED).await;
    cluster.nodes[0].kill();
    cluster.nodes[0].serve().await;
    sleep(LOADED).await;
    load.finish().await.check(&cluster.converged().await);
    let (replayed, traces) = cluster.stopped_with_valid_traces().await;
    let Summary {
        starts,
        takes,
        rounds,
        received,
        ..
    } = replayed;
    assert_eq!(starts, 4);
    assert!(takes > 20 && rounds > 20 && received > 20, "{replayed:?}");

    let lines = read(&traces[0]);
    for (what, alter) in ALTERATIONS {
        let (altered, at) = alter(&lines).unwrap_or_else(|| panic!("no line for: {what}"));
        fs::write(&traces[0], numbered(&altered)).expect("a file");
        let error = validate(&traces).expect_err(what);
        let ValidationError::Refused { line, ref path, .. } = error else {
            panic!("{what}: {error}");
        };
        assert_eq!((path, line), (&traces[0], at as u64 + 1), "{what}: {error}");
        println!("{what}: {error}");
    }
    fs::write(&traces[0], numbered(&lines)).expect("a file");
    validate(&traces).expect("it is the trace again");
}

/// What an alteration makes of the lines, if it finds one to alter.
type Alter = fn(&[Line]) -> Option<Altered>;

/// Each changes what one line says, or where it stands.
const ALTERATIONS: [(&str, Alter); 9] = [
    ("a promised mark is another", |lines| {
        change(lines, |step| {
            let Step::Take { mark, .. } = step else {
                return false;
            };
            mark.version = mark.version.next();
            true
        })
    }),
    ("a lane moves by two versions in one commit", |lines| {
        change(lines, |step| {
            let Step::Commit { group, .. } = step else {
                return false;
            };
            let Some(written) = group.first_mut() else {
                return false;
            };
            written.to.version = written.to.version.next();
            true
        })
    }),
    ("a line is left out", |lines| {
        // The commit of the next shard comes in its place.
        let at = position(lines, |step| matches!(step, Step::Commit { .. }))?;
        let mut altered = lines.to_vec();
        altered.remove(at);
        Some((altered, at))
    }),
    ("a take has another content", take_of_other_content),
    ("a send before its sync", send_before_sync),
    ("an interval was known", |lines| {
        change(lines, |step| {
            let Step::Receive { outcome, .. } = step else {
                return false;
            };
            let was_taken = matches!(outcome, Outcome::Taken(_));
            *outcome = Outcome::Known;
            was_taken
        })
    }),
    ("an interval arrives that nobody has sent", |lines| {
        change(lines, |step| {
            let Step::Receive { to, .. } = step else {
                return false;
            };
            to.version = to.version.next();
            true
        })
    }),
    (
        "a recovery that lost a synced group",
        recovery_without_synced,
    ),
    (
        "somebody goes on before the round is complete",
        awaited_too_early,
    ),
];

/// Changes the last line of the first process that `alter` changes; it is refused there.
fn change(lines: &[Line], alter: impl Fn(&mut Step) -> bool) -> Option<Altered> {
    let mut altered = lines.to_vec();
    let at = position(lines, |step| alter(&mut step.clone()))?;
    alter(&mut altered[at].step).then_some((altered, at))
}

/// Refused at the commit that has the take. (What was taken and not appended is lost with its
/// process, and nothing follows from it.)
fn take_of_other_content(lines: &[Line]) -> Option<Altered> {
    let first = &lines[..second_start(lines)];
    let commit_of = |take: usize| {
        let Step::Take { shard: taken, .. } = first[take].step else {
            return None;
        };
        let commit = first[take..].iter().position(|line| commits(line, taken));
        Some(take + commit?)
    };
    let with_commit = |take| Some((take, commit_of(take)?));
    let (take, commit) = (0..first.len()).rev().find_map(with_commit)?;
    let mut altered = lines.to_vec();
    let Step::Take { content, .. } = &mut altered[take].step else {
        return None;
    };
    *content += Content::new(1);
    Some((altered, commit))
}

/// A wait ends with a round of which nothing has said yet that it is complete.
fn awaited_too_early(lines: &[Line]) -> Option<Altered> {
    let at = position(lines, |step| matches!(step, Step::Awaited { .. }))?;
    let completed = lines[..at].iter().rev().find_map(|line| {
        let Step::Complete { round } = line.step else {
            return None;
        };
        Some(round)
    })?;
    let mut altered = lines.to_vec();
    altered[at].step = Step::Awaited {
        round: completed + 1,
    };
    Some((altered, at))
}

/// A send of the own lane is moved to before the sync of what it sends.
fn send_before_sync(lines: &[Line]) -> Option<Altered> {
    let own = own(lines)?;
    let is_own = |step: &Step| matches!(step, Step::Send { lane, .. } if *lane == own);
    let send = position(lines, is_own)?;
    let &Step::Send {
        shard, lane, to, ..
    } = &lines[send].step
    else {
        return None;
    };
    let commits = |line: &Line| {
        matches!(&line.step, Step::Commit { shard: it, group, .. }
            if *it == shard && group.iter().any(|it| (it.lane, it.to) == (lane, to)))
    };
    let commit = lines[..send].iter().position(commits)?;
    let synced = |line: &Line| matches!(line.step, Step::Synced { .. });
    let synced = commit + lines[commit..send].iter().position(synced)?;
    let mut altered = lines.to_vec();
    let moved = altered.remove(send);
    altered.insert(synced, moved);
    Some((altered, synced))
}

/// The second process finds its own lane as it was before what the first has last synced of it.
/// (What it had only appended may be lost.)
fn recovery_without_synced(lines: &[Line]) -> Option<Altered> {
    let own = own(lines)?;
    let (first, second) = lines.split_at(second_start(lines));
    let synced = |line: &Line| matches!(line.step, Step::Synced { .. });
    let synced = &first[..first.iter().rposition(synced)?];
    let written = |of_shard: u32| {
        let lines = synced.iter().rev();
        let lines = lines.filter(move |line| commits(line, of_shard));
        let groups = lines.filter_map(|line| {
            let Step::Commit { group, .. } = &line.step else {
                return None;
            };
            Some(group)
        });
        groups.flatten().filter(|it| it.lane == own)
    };
    let was_synced_twice = |line: &Line| {
        matches!(&line.step, Step::Recovered(it)
            if it.lane == own && written(it.shard).nth(1).is_some())
    };
    let at = first.len() + second.iter().position(was_synced_twice)?;
    let mut altered = lines.to_vec();
    let Step::Recovered(found) = &mut altered[at].step else {
        return None;
    };
    let before = written(found.shard).nth(1)?;
    (found.mark, found.content) = (before.to, before.content);
    Some((altered, at))
}

// Lines.

/// Whether a line is the commit of this shard.
fn commits(line: &Line, of_shard: u32) -> bool {
    matches!(line.step, Step::Commit { shard, .. } if shard == of_shard)
}

fn own(lines: &[Line]) -> Option<ReplicaId> {
    let Step::Start { replica, .. } = lines.first()?.step else {
        return None;
    };
    Some(replica)
}

/// Where the second process begins.
fn second_start(lines: &[Line]) -> usize {
    let is_start = |line: &Line| matches!(line.step, Step::Start { .. });
    let later = lines[1..].iter().position(is_start);
    1 + later.expect("the node was started twice")
}

/// The last line of the first process that is so.
fn position(lines: &[Line], is_so: impl Fn(&Step) -> bool) -> Option<usize> {
    let lines = &lines[..second_start(lines)];
    // Not among those whose consequences were lost with the process.
    let complete = |line: &Line| matches!(line.step, Step::Complete { .. });
    let complete = lines.iter().rposition(complete)?;
    lines[..complete].iter().rposition(|line| is_so(&line.step))
}

fn read(path: &PathBuf) -> Vec<Line> {
    let text = fs::read_to_string(path).expect("a trace");
    // A process that was killed may have left half a line.
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
