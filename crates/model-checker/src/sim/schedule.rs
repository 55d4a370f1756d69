//! A schedule: everything that clients ask and everything that goes wrong, with its times.
//!
//! It is drawn from a seed as a plain list, before anything runs, so that parts of it can be taken
//! out again when a failing schedule is shrunk. What stays random during the run (latencies, which
//! messages are lost, where a write tears) is drawn from the same seed.

use super::queue::SimTime;
use super::random::Random;

/// As many counters as are needed for every shard to have one and some shards two.
pub(crate) const COUNTERS: usize = 6;
/// Counters below this number are only ever incremented.
pub(crate) const COUNTERS_GROWING: usize = 3;
/// This counter gets amounts near the end of 64 bits, so that adds are refused.
pub(crate) const COUNTER_HUGE: usize = 5;
/// The most shards of a node; one that has two already tears groups between shards.
const SHARDS_MAX: u64 = 4;
/// Clients that read what they wrote.
pub(crate) const CLIENTS: usize = 3;

/// The sizes of the schedules to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many nodes, or drawn for each schedule: mostly 3, else 2 to 9.
    pub nodes: Option<usize>,
    /// How many client operations.
    pub ops: usize,
}

impl Bounds {
    /// The fewest nodes that can disagree.
    pub const NODES_MIN: usize = 2;
    /// More data centres than most deployments have.
    pub const NODES_MAX: usize = 9;
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Adds that are answered together; the client keeps the token.
    Add {
        client: usize,
        items: Vec<(usize, i64)>,
    },
    /// Messages with adds, on a stream of their own.
    Ingest { plan: IngestPlan },
    /// A read that takes what there is.
    Read { counter: usize },
    /// A read with the client's token.
    ReadOwn { client: usize },
}

/// The messages of an ingest stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngestPlan {
    /// The adds of each message; one without adds only introduces a name.
    pub(crate) messages: Vec<Vec<(usize, i64)>>,
    /// The message that is wrong.
    pub(crate) bad: Option<usize>,
}

/// A request, when, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) at: SimTime,
    pub(crate) node: usize,
    pub(crate) request: Request,
}

/// Where in the life of a group a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CrashPoint {
    Idle,
    BeforeWrite,
    BeforeSync,
    BeforeAck,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// The process dies at this point of its next group; with the power, so does the page cache.
    Crash { point: CrashPoint, power: bool },
    /// All processes die, and all page caches.
    PowerOutage,
    /// The next sync fails, and its pages are lost or marked as clean.
    SyncFails { marked_clean: bool },
    /// There is next to no room on the disk.
    DiskFull,
    /// The directory is gone.
    DiskLost,
    /// The directory is set back to what it was then.
    DiskRolledBack { to: SimTime },
    /// The directory is replaced by a copy of another node's.
    DiskCopied { from: usize },
    /// The process stands still.
    Pause,
    /// Messages are handled late.
    SlowNode,
    /// Writes and syncs take long.
    SlowDisk,
    /// The clock jumps.
    Clock { forward: bool, by_us: u64 },
    /// The nodes of the mask and the others do not reach each other.
    Split { mask: u64 },
    /// The node reaches nobody, but is reached.
    OneWay,
    /// The node and this one do not reach each other, but all others.
    Partial { with: usize },
    /// The node can dial, and nobody can dial it.
    DialOnly,
    /// The stream from this node breaks.
    StreamReset { from: usize },
    /// Somebody unknown says that it holds more of the node's lane than the node.
    Stranger,
}

/// A fault, when, how long, and at which node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduledFault {
    pub(crate) at: SimTime,
    pub(crate) lasts_us: u64,
    pub(crate) node: usize,
    pub(crate) fault: Fault,
}

/// How well the network works, in messages of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) lost: u64,
    pub(crate) held_back: u64,
    /// Client requests whose request, and whose response, is lost.
    pub(crate) unanswered: u64,
    /// The latency of a message, at most.
    pub(crate) latency_us_max: u64,
}

/// One run's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) shards: usize,
    pub(crate) conditions: Conditions,
    pub(crate) ops: Vec<Op>,
    pub(crate) faults: Vec<ScheduledFault>,
    /// When the faults end.
    pub(crate) ends: SimTime,
}

impl Schedule {
    /// The schedule of a seed.
    pub(crate) fn draw(seed: u64, bounds: Bounds) -> Self {
        let mut random = Random::new(seed);
        let nodes = bounds.nodes.unwrap_or_else(|| draw_nodes(&mut random));
        let shards = usize::try_from(random.between(1, SHARDS_MAX)).expect("a small number");
        let conditions = draw_conditions(&mut random);
        // Some schedules are bursts, which make large groups, and some leave time between adds.
        let gap_us_max = [400, 4_000, 12_000][random.index(3)];
        let mut at = SimTime::default();
        let ops = (0..bounds.ops)
            .map(|_| {
                at = at.after_us(random.below(gap_us_max));
                let request = draw_request(&mut random);
                Op {
                    at,
                    node: random.index(nodes),
                    request,
                }
            })
            .collect();
        let ends = at.after_us(20_000);
        let faults = draw_faults(&mut random, nodes, ends);
        Self {
            seed,
            nodes,
            shards,
            conditions,
            ops,
            faults,
            ends,
        }
    }
}

fn draw_nodes(random: &mut Random) -> usize {
    if random.chance(950) {
        return 3;
    }
    Bounds::NODES_MIN + random.index(Bounds::NODES_MAX - Bounds::NODES_MIN + 1)
}

fn draw_conditions(random: &mut Random) -> Conditions {
    let latency_us_max = [1_000, 10_000, 60_000][random.index(3)];
    if random.chance(300) {
        return Conditions {
            latency_us_max,
            ..Conditions::default()
        };
    }
    Conditions {
        lost: random.below(40),
        held_back: random.below(60),
        unanswered: random.below(60),
        latency_us_max,
    }
}

fn draw_request(random: &mut Random) -> Request {
    match random.below(20) {
        0..12 => Request::Add {
            client: random.index(CLIENTS),
            items: draw_items(random, 1),
        },
        12..14 => Request::Ingest {
            plan: draw_ingest(random),
        },
        14..18 => Request::Read {
            counter: random.index(COUNTERS),
        },
        _ => Request::ReadOwn {
            client: random.index(CLIENTS),
        },
    }
}

fn draw_items(random: &mut Random, least: u64) -> Vec<(usize, i64)> {
    (0..random.between(least, 3))
        .map(|_| draw_item(random))
        .collect()
}

fn draw_ingest(random: &mut Random) -> IngestPlan {
    let messages: Vec<_> = (0..random.between(1, 4))
        .map(|_| draw_items(random, 0))
        .collect();
    let bad = random.chance(400).then(|| random.index(messages.len()));
    IngestPlan { messages, bad }
}

fn draw_item(random: &mut Random) -> (usize, i64) {
    let counter = random.index(COUNTERS);
    let size = i64::try_from(random.between(1, 50)).expect("a small number");
    let amount = match counter {
        COUNTER_HUGE => size * (i64::MAX / 100),
        _ => size,
    };
    let sign = if counter >= COUNTERS_GROWING && random.chance(400) {
        -1
    } else {
        1
    };
    (counter, sign * amount)
}

fn draw_faults(random: &mut Random, nodes: usize, ends: SimTime) -> Vec<ScheduledFault> {
    (0..random.between(2, 8))
        .map(|_| {
            let at = SimTime::from_us(random.below(ends.us()));
            let node = random.index(nodes);
            // Any node but this one.
            let other = (node + 1 + random.index(nodes - 1)) % nodes;
            let fault = draw_fault(random, at, nodes, other);
            ScheduledFault {
                at,
                lasts_us: random.between(1_000, 150_000),
                node,
                fault,
            }
        })
        .collect()
}

fn draw_fault(random: &mut Random, at: SimTime, nodes: usize, other: usize) -> Fault {
    match random.below(28) {
        0..8 => draw_crash(random),
        8 => Fault::PowerOutage,
        9 => Fault::SyncFails {
            marked_clean: random.chance(500),
        },
        10 => Fault::DiskLost,
        11 => Fault::DiskRolledBack {
            to: SimTime::from_us(random.below(at.us() + 1)),
        },
        12 => Fault::DiskCopied { from: other },
        13..15 => Fault::Pause,
        15 => Fault::SlowNode,
        16 => Fault::SlowDisk,
        17 => Fault::Clock {
            forward: random.chance(500),
            by_us: random.below(2_000_000),
        },
        18..20 => Fault::Split {
            mask: 1 + random.below((1 << nodes) - 2),
        },
        20 => Fault::OneWay,
        21..23 => Fault::Partial { with: other },
        23 => Fault::DiskFull,
        24 => Fault::DialOnly,
        25 => Fault::Stranger,
        _ => Fault::StreamReset { from: other },
    }
}

fn draw_crash(random: &mut Random) -> Fault {
    const POINTS: [CrashPoint; 4] = [
        CrashPoint::Idle,
        CrashPoint::BeforeWrite,
        CrashPoint::BeforeSync,
        CrashPoint::BeforeAck,
    ];
    Fault::Crash {
        point: POINTS[random.index(POINTS.len())],
        power: random.chance(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_one_schedule() {
        let bounds = Bounds {
            nodes: None,
            ops: 100,
        };
        assert_eq!(Schedule::draw(7, bounds), Schedule::draw(7, bounds));
        assert_ne!(Schedule::draw(7, bounds), Schedule::draw(8, bounds));
    }

    #[test]
    fn every_number_of_nodes_is_drawn() {
        let mut seen = [false; Bounds::NODES_MAX + 1];
        for seed in 0..2_000 {
            seen[Schedule::draw(
                seed,
                Bounds {
                    nodes: None,
                    ops: 0,
                },
            )
            .nodes] = true;
        }
        assert!(
            seen[Bounds::NODES_MIN..].iter().all(|&seen| seen),
            "{seen:?}"
        );
    }
}
