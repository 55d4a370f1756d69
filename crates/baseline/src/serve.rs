//! `tally-baseline serve`: one of the servers that share a counter, by the strategy of its name.
//!
//! Clients call `tally.v1.CounterService` here ([`service`]). Their adds go through a bounded
//! channel to one task ([`link`]), which owns the contenders ([`contention`]) and the stream to
//! the register. Reads go to the register, past all of that.

mod contention;
mod fault;
mod link;
mod machine;
mod service;

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use clap::ValueEnum;
use clap::error::ErrorKind;
use lock_core::lock::ValueTravels;
use tokio::sync::mpsc;
use wire::baseline_v1::register_service_client::RegisterServiceClient;
use wire::v1::counter_service_server::CounterServiceServer;

use self::contention::Contention;
use self::service::Counters;
use crate::Failure;
use crate::transport::{self, MESSAGE_BYTES_MAX};

/// Adds on their way to the link's task, which takes them as they come.
const ADDS_ARRIVING_MAX: usize = 1_024;

/// One of the servers that share the register's counters.
///
/// SERVING (grpc.health.v1) while it is connected to the register. Durability: that of the
/// register, memory by default. All servers of a register must use the same strategy, and the
/// locking ones the same kind of lock: a strategy protects nobody from another one.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where clients find this server.
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Where this server finds the register.
    #[arg(long, value_name = "HOST:PORT")]
    register: String,
    /// How this server counts.
    #[arg(long)]
    strategy: StrategyName,
    /// With lock-batch: the most adds to one counter in one hold of its lock [default: 100].
    #[arg(long, value_name = "K")]
    batch: Option<NonZeroUsize>,
}

/// The strategies, as named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StrategyName {
    /// Read, add, write, without a lock; adds run side by side. Loses updates.
    Naive,
    /// A lock whose grant and release carry the value: one round trip an add, one add at a time.
    Lock,
    /// A lock with acquire, read and write as round trips of their own: three round trips an add.
    LockSeparate,
    /// As lock, but all adds that wait (up to --batch) share one hold.
    LockBatch,
    /// "counter = counter + amount", sent to the register; adds run side by side.
    Database,
}

/// How this server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Naive,
    Database,
    Lock {
        travels: ValueTravels,
        batch_max: NonZeroUsize,
    },
}

impl Options {
    /// Parses the strategy and its batch; a batch that would be ignored is refused.
    fn strategy(&self) -> Result<Strategy, clap::Error> {
        const BATCH: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");
        const ONE: NonZeroUsize = NonZeroUsize::MIN;
        if self.batch.is_some() && self.strategy != StrategyName::LockBatch {
            let message = "--batch is of use with --strategy lock-batch only; leave it out\n";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        Ok(match self.strategy {
            StrategyName::Naive => Strategy::Naive,
            StrategyName::Database => Strategy::Database,
            StrategyName::Lock => Strategy::Lock {
                travels: ValueTravels::WithTheLock,
                batch_max: ONE,
            },
            StrategyName::LockSeparate => Strategy::Lock {
                travels: ValueTravels::Separately,
                batch_max: ONE,
            },
            StrategyName::LockBatch => {
                let batch_max = self.batch.unwrap_or(BATCH);
                Strategy::Lock {
                    travels: ValueTravels::WithTheLock,
                    batch_max,
                }
            }
        })
    }
}

/// Runs the server until it is asked to stop.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let strategy = options.strategy().unwrap_or_else(|error| error.exit());
    let channel = transport::endpoint(&options.register)?.connect_lazy();
    let register = RegisterServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let incoming = transport::listen(options.listen).await?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    let (adds, arriving) = mpsc::channel(ADDS_ARRIVING_MAX);
    let contention = Contention::new(strategy);
    let link = tokio::spawn(link::run(register.clone(), contention, arriving, health));

    let counters = CounterServiceServer::new(Counters::new(register, adds))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let router = transport::server()
        .add_service(health_service)
        .add_service(counters);
    let served = transport::serve(router, incoming, async || {}).await;
    link.abort();
    Ok(served?)
}
