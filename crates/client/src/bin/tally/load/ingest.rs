//! Load through ingest streams: one stream a node, opened again when it breaks.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt as _, rngs::SmallRng};
use tally_client::{Client, Error, Ingest, IngestOptions};
use tokio::time::sleep;

use super::{
    Stop,
    ledger::{Ledger, Sent},
    plan::Plan,
};

/// Pauses between a broken stream and the next: doubled from the first to the last of these.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Messages of the present stream without an acknowledgement, oldest first.
type InFlight = VecDeque<(u64, Sent)>;

pub(crate) async fn run(plan: Arc<Plan>, node: usize, client: Client, mut stop: Stop) -> Ledger {
    let mut ledger = Ledger::new(&plan, node);
    let mut random = plan.random(node);
    let mut pause = PAUSE_MIN;
    let options = IngestOptions {
        in_flight_max: plan.in_flight,
        ..IngestOptions::default()
    };
    loop {
        let requests_before = ledger.requests;
        let done = match client.ingest(&options) {
            Ok(stream) => one_stream(&plan, stream, &mut ledger, &mut random, &mut stop).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => return ledger,
            Err(error) => ledger.failed(&error),
        }
        if ledger.requests > requests_before {
            pause = PAUSE_MIN;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {
                ledger.stopped_sending();
                return ledger;
            }
            () = sleep(pause.mul_f64(random.random_range(0.5..=1.0))) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Uses one stream until it ends, and books what became of every message.
async fn one_stream(
    plan: &Plan,
    mut stream: Ingest,
    ledger: &mut Ledger,
    random: &mut SmallRng,
    stop: &mut Stop,
) -> Result<(), Error> {
    let mut in_flight = InFlight::new();
    let done = drive(plan, &mut stream, &mut in_flight, ledger, random, stop).await;
    // Those still in flight after a failure are refused or indeterminate; the stream knows.
    for (sequence, sent) in in_flight {
        ledger.settle(sent, stream.outcome(sequence), Instant::now());
    }
    done
}

/// Sends until the time is up or no adds are left, and waits for what is then under way.
async fn drive(
    plan: &Plan,
    stream: &mut Ingest,
    in_flight: &mut InFlight,
    ledger: &mut Ledger,
    random: &mut SmallRng,
    stop: &mut Stop,
) -> Result<(), Error> {
    for name in &plan.names {
        stream.register(name)?; // in the order of popularity: the popular ones take one byte
    }
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            ready = stream.ready() => ready?,
        }
        settle_acknowledged(stream, in_flight, ledger);
        let adds = plan.take_adds();
        if adds == 0 {
            break;
        }
        let sent = Sent {
            run: plan.ring.run(adds, random),
            at: Instant::now(),
        };
        match stream.send(plan.ring.adds(sent.run).to_vec()).await {
            Ok(sequence) => in_flight.push_back((sequence, sent)),
            Err(error) => {
                ledger.settle(sent, stream.outcome(stream.sent() + 1), Instant::now());
                return Err(error);
            }
        }
    }
    ledger.stopped_sending();
    // The stream ends at its deadline, and the caller books the rest as indeterminate.
    while let Some(&(oldest, _)) = in_flight.front() {
        stream.wait_until_acknowledged(oldest).await?;
        settle_acknowledged(stream, in_flight, ledger);
    }
    Ok(())
}

fn settle_acknowledged(stream: &Ingest, in_flight: &mut InFlight, ledger: &mut Ledger) {
    let (now, acknowledged) = (Instant::now(), stream.acknowledged());
    while let Some(&(sequence, sent)) = in_flight.front()
        && sequence <= acknowledged
    {
        ledger.settle(sent, stream.outcome(sequence), now);
        in_flight.pop_front();
    }
}
