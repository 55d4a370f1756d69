//! What sessions cost in memory: `cargo bench -p benches --bench memory`. It ends with an error when
//! one of the bounds that the documentation names is passed.
//!
//! Sixteen shards of one home, measured as the growth of this process.

use std::process::ExitCode;

use crdt_core::{CounterIndex, Replica, ReplicaId, RequestId, SessionId, StartId, Sum};

const SHARDS: usize = 16;

/// Sessions in use, and later closed, at a time.
const SESSIONS: u64 = 20_000;

/// Requests of each that are not answered.
const IN_FLIGHT: u64 = 64;

/// Sessions that come and go.
const PASSING: u64 = 1_000_000;

const START: StartId = StartId::new(7);

struct Home {
    shards: Vec<Replica>,
}

impl Home {
    fn new() -> Self {
        let shard = |_| {
            let mut replica = Replica::new(ReplicaId::new(1), START);
            replica.counter(&"likes".parse().expect("a name"));
            replica.know(ReplicaId::new(2));
            replica
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
        }
    }

    fn session(count: u64) -> SessionId {
        SessionId {
            home: ReplicaId::new(1),
            start: START,
            count,
        }
    }

    fn take(&mut self, count: u64, number: u64, answered_below: u64) {
        let session = Self::session(count);
        let place = usize::try_from(number % SHARDS as u64).expect("a shard");
        let adds = [(CounterIndex::new(0), Sum::of(1))];
        let request = RequestId { session, number };
        self.shards[place].take_request(request, answered_below, &adds);
    }

    fn close(&mut self, count: u64, all_is_answered: bool) {
        for shard in &mut self.shards {
            shard.close_session(Self::session(count), all_is_answered);
        }
    }

    fn commit(&mut self) {
        for shard in &mut self.shards {
            if shard.commit().is_some() {
                shard.synced();
            }
        }
    }
}

/// What this process has in memory, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let resident = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kilobytes = resident.and_then(|it| it.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|it| it.parse::<u64>().ok())
        .expect("kilobytes")
        << 10
}

/// What something adds to this process.
fn growth(what: impl FnOnce()) -> u64 {
    let before = resident_bytes();
    what();
    resident_bytes().saturating_sub(before)
}

fn main() -> ExitCode {
    let mut home = Home::new();
    let mut pass = |counts: std::ops::Range<u64>| {
        for count in counts {
            home.take(count, 1 + count % SHARDS as u64, 1);
            home.close(count, true);
            if count % 1_000 == 0 {
                home.commit();
            }
        }
        home.commit();
    };
    // What the process keeps for later use is no part of the growth.
    pass(0..PASSING / 10);
    let passing = growth(|| pass(PASSING / 10..PASSING / 10 + PASSING));

    let mut home = Home::new();
    let in_use = growth(|| {
        for count in 0..SESSIONS {
            for number in 0..IN_FLIGHT {
                home.take(count, 1_000 + number, 1_000);
            }
            if count % 100 == 0 {
                home.commit();
            }
        }
        home.commit();
    });
    let in_use = in_use / SESSIONS;

    let mut home = Home::new();
    let closed = growth(|| {
        for count in 0..SESSIONS {
            home.close(count, false);
            if count % 100 == 0 {
                home.commit();
            }
        }
        home.commit();
    });
    let closed = closed / SESSIONS / SHARDS as u64;

    let figures = [
        ("a session in use, 64 in flight", in_use, 2_048),
        (
            "a closed session that is not forgotten, a shard",
            closed,
            64,
        ),
        ("1,000,000 sessions that came and went", passing, 1 << 20),
    ];
    let mut is_within = true;
    for (what, bytes, bound) in figures {
        let verdict = if bytes <= bound { "within" } else { "PAST" };
        println!("{what}: {bytes} bytes, {verdict} the bound of {bound}");
        is_within &= bytes <= bound;
    }
    if is_within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
