//! What probes are told, for the node as a whole ("") and for each service.
//!
//! | the node | "", `CounterService` | the others |
//! | --- | --- | --- |
//! | recovers, or stops | not serving | not serving |
//! | serves | serving | serving |
//! | has forked: it takes no adds, and should get no clients | not serving | serving |

use tonic::server::NamedService;
use tonic_health::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::HealthReporter;
use wire::v1::cluster_service_server::ClusterServiceServer;
use wire::v1::counter_service_server::CounterServiceServer;
use wire::v1::replication_service_server::ReplicationServiceServer;

use crate::replicate::serve::ReplicationServer;
use crate::service::cluster::ClusterServer;
use crate::service::counter::CounterServer;

/// For clients.
const FOR_CLIENTS: [&str; 2] = ["", CounterServiceServer::<CounterServer>::NAME];

/// For peers and operators.
const FOR_OTHERS: [&str; 2] = [
    ClusterServiceServer::<ClusterServer>::NAME,
    ReplicationServiceServer::<ReplicationServer>::NAME,
];

/// How the node fares, for those who probe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// It recovers, or stops.
    Away,
    /// It serves.
    Serving,
    /// Its own lane has forked.
    Forked,
}

/// Tells probes how the node fares.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// A node that recovers, and the service that says so.
    pub async fn new() -> (Self, HealthServer<impl HealthService>) {
        let (reporter, service) = tonic_health::server::health_reporter();
        let health = Self(reporter);
        health.tell(Fitness::Away).await;
        (health, service)
    }

    /// The node fares so from now on.
    pub async fn tell(&self, fitness: Fitness) {
        let (for_clients, for_others) = match fitness {
            Fitness::Away => (NotServing, NotServing),
            Fitness::Serving => (Serving, Serving),
            Fitness::Forked => (NotServing, Serving),
        };
        self.set(FOR_CLIENTS, for_clients).await;
        self.set(FOR_OTHERS, for_others).await;
    }

    async fn set(&self, services: [&str; 2], status: ServingStatus) {
        for service in services {
            self.0.set_service_status(service, status).await;
        }
    }

    /// The node stops. Who watches its health is told, and that is the end of the watch.
    pub async fn end(mut self) {
        self.tell(Fitness::Away).await;
        for service in FOR_CLIENTS.into_iter().chain(FOR_OTHERS) {
            self.0.clear_service_status(service).await;
        }
    }
}
