//! `tally status`: what each node says of itself, all nodes asked.
//!
//! A node that does not answer has a line too; the command then fails once all were reported.

use serde_json::{Value, json};
use tally_client::NodeStatus;

use crate::{
    Common,
    output::{CommandError, Output, grouped, print_line, table},
};

pub(crate) async fn run(common: &Common, output: Output) -> Result<(), CommandError> {
    let client = common.client()?;
    let answers = client.status().await;
    let silent = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let head = [
        "NODE", "STATE", "CLUSTER", "REPLICA", "UPTIME", "COUNTERS", "LANES", "PEERS",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut details = Vec::new();
    for (node, answer) in &answers {
        match answer {
            _ if output.json => print_line(&object(node, answer.as_ref()).to_string())?,
            Ok(status) => {
                rows.push(row(node, status));
                details.extend(peers(node, status));
            }
            Err(error) => {
                rows.push(vec![node.clone(), "no answer".to_owned()]);
                details.push(format!("{node}: {error}"));
            }
        }
    }
    if !output.json {
        print_line(&table(&rows))?;
        details.iter().try_for_each(|line| print_line(line))?;
    }
    if silent > 0 {
        return Err(CommandError::Partial(format!(
            "{silent} of {} nodes did not answer; check that they run",
            answers.len()
        )));
    }
    Ok(())
}

/// A replica id as people read it: 32 digits, or nothing where it is not known.
fn hexadecimal(id: &[u8]) -> String {
    let id = wire::replica_id_from_bytes(id);
    id.map_or_else(|_| String::new(), |id| id.to_string())
}

fn row(node: &str, status: &NodeStatus) -> Vec<String> {
    let connected = status.peers.iter().filter(|peer| peer.connected).count();
    vec![
        node.to_owned(),
        if status.refusal.is_empty() {
            "takes adds"
        } else {
            "refuses adds"
        }
        .to_owned(),
        status.cluster.clone(),
        hexadecimal(&status.replica_id),
        format!("{} s", grouped(status.uptime_ms / 1_000)),
        grouped(status.counters),
        status.lanes.len().to_string(),
        format!("{connected}/{}", status.peers.len()),
    ]
}

/// What an operator must act on: a refusal, and peers that cannot be reached.
fn peers(node: &str, status: &NodeStatus) -> Vec<String> {
    let refusal =
        (!status.refusal.is_empty()).then(|| format!("{node}: refuses adds: {}", status.refusal));
    let away = status
        .peers
        .iter()
        .filter(|peer| !peer.connected)
        .map(|peer| {
            let cause = if peer.last_error.is_empty() {
                "never reached"
            } else {
                &peer.last_error
            };
            format!("{node}: peer {} is away: {cause}", peer.address)
        });
    refusal.into_iter().chain(away).collect()
}

fn object(node: &str, answer: Result<&NodeStatus, &tally_client::Error>) -> Value {
    let status = match answer {
        Ok(status) => status,
        Err(error) => return json!({ "node": node, "error": error.to_string() }),
    };
    let lanes: Vec<Value> = status
        .lanes
        .iter()
        .map(|lane| {
            json!({
                "replica_id": hexadecimal(&lane.replica_id),
                "version_sum": lane.version_sum,
                // 64 bits, which a JSON number need not hold.
                "digest_hash": format!("{:016x}", lane.digest_hash),
            })
        })
        .collect();
    let peers: Vec<Value> = status
        .peers
        .iter()
        .map(|peer| {
            json!({
                "address": peer.address,
                "replica_id": hexadecimal(&peer.replica_id),
                "connected": peer.connected,
                "last_message_age_ms": peer.last_message_age_ms,
                "intervals_received": peer.intervals_received,
                "last_error": peer.last_error,
            })
        })
        .collect();
    let log = status.log.as_ref().map(|log| {
        json!({
            "segments": log.segments,
            "segment_bytes": log.segment_bytes,
            "snapshot_bytes": log.snapshot_bytes,
            "syncs": log.syncs,
            "last_sync_us": log.last_sync_us,
        })
    });
    json!({
        "node": node,
        "cluster": status.cluster,
        "replica_id": hexadecimal(&status.replica_id),
        "version": status.version,
        "shard_count": status.shard_count,
        "uptime_ms": status.uptime_ms,
        "counters": status.counters,
        "lanes": lanes,
        "peers": peers,
        "log": log,
        "refusal": status.refusal,
    })
}
