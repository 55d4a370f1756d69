//! Made-up results for this verb's own tests. They are compiled into tests only and are never
//! shown to anybody.

use super::results::{
    Lag, Machine, Rate, Restart, Results, Row, RowId, Sweeps, Timeline, Timelines,
};

/// A complete run that meets every goal.
pub(super) fn sample_results() -> Results {
    let mut results = Results {
        rtt_ms: 50,
        nodes: 3,
        cores: 2,
        quick: false,
        machine: Machine {
            processor: Some("An <Example> & Sons processor".into()),
            memory_bytes: Some(8 << 30),
            system: Some("Linux 6.1".into()),
            commit: Some("abc1234".into()),
            began: Some("2026-01-01 12:00 UTC".into()),
        },
        rows: rows(),
        restart: Some(Restart {
            counters: 1_000_000,
            seconds: 1.5,
        }),
        lag: Some(Lag {
            pairs: 6,
            samples: 600,
            p50_ms: 37.5,
            p99_ms: 75.0,
            max_ms: 80.0,
        }),
        sweeps: Some(sweeps()),
        timeline: Some(Timelines {
            lock: timeline(20.0, 0.0),
            crdt: timeline(3.2e6, 2.1e6),
        }),
        traces: None,
        checks: Vec::new(),
    };
    results.checks = super::checks::check(&results);
    results
}

fn row(id: RowId, likes_per_s: f64, batch: u32) -> Row {
    Row {
        id,
        likes_per_s,
        requests_per_s: likes_per_s / f64::from(batch),
        batch,
        durability: "made up".into(),
        acknowledged: 1_000,
        indeterminate: 0,
        counted: 1_000,
        lost: 0,
        extra: 0,
        p50_ms: Some(12.34),
        p99_ms: Some(56.7),
        convergence_ms: Some(80.0),
        servers: 3,
        rtt_ms: 50,
        counters: 1,
        in_flight: 2,
        seconds: 10.0,
    }
}

fn rows() -> Vec<Row> {
    let naive = row(RowId::Naive, 1_900.0, 1);
    vec![
        Row {
            lost: 812,
            counted: 188,
            convergence_ms: None,
            ..naive
        },
        row(RowId::Lock, 19.4, 1),
        row(RowId::LockSeparateRoundTrips, 6.5, 1),
        row(RowId::LockBatch, 1_940.0, 100),
        row(RowId::DatabaseIncrement, 3_700.0, 1),
        row(RowId::CrdtUnary, 24_000.0, 1),
        row(RowId::CrdtBatch, 900_000.0, 1_000),
        row(RowId::CrdtIngest, 3_250_000.0, 32_768),
        row(RowId::CrdtUnarySession, 23_000.0, 1),
        row(RowId::CrdtIngestSession, 3_200_000.0, 32_768),
    ]
}

fn sweeps() -> Sweeps {
    let at = |id, likes_per_s, servers, rtt_ms| Row {
        servers,
        rtt_ms,
        ..row(id, likes_per_s, 1)
    };
    let mut sweeps = Sweeps {
        servers: Vec::new(),
        round_trips: Vec::new(),
    };
    for (servers, lock) in [(1, 20.0), (2, 19.8), (3, 19.4), (4, 19.2), (5, 18.8)] {
        sweeps.servers.push(at(RowId::Lock, lock, servers, 50));
        sweeps
            .servers
            .push(at(RowId::CrdtIngest, 3_100_000.0, servers, 50));
    }
    for (rtt_ms, lock) in [(0, 5_000.0), (10, 90.0), (50, 19.4), (100, 9.8), (200, 4.9)] {
        sweeps.round_trips.push(at(RowId::Lock, lock, 3, rtt_ms));
        sweeps
            .round_trips
            .push(at(RowId::CrdtIngest, 3_200_000.0, 3, rtt_ms));
    }
    sweeps
}

fn timeline(before: f64, without: f64) -> Timeline {
    let samples = (1..=120)
        .map(|tenth| {
            let likes_per_s = if (41..=71).contains(&tenth) {
                without
            } else {
                before
            };
            Rate {
                t_ms: f64::from(tenth) * 100.0,
                likes_per_s,
            }
        })
        .collect();
    Timeline {
        killed_ms: 4_000.0,
        restarted_ms: 7_000.0,
        samples,
    }
}
