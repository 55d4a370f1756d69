//! Three nodes that name each other as peers: the smallest cluster that relays.

use std::path::PathBuf;

use model_checker::validation::{Summary, validate};
use tempfile::TempDir;

use super::node::{Node, Values, eventually};

/// Three nodes, which write traces. Declared before the directory, so that they end before it is removed.
pub(crate) struct Cluster {
    /// The nodes.
    pub(crate) nodes: [Node; 3],
    _place: TempDir,
}

impl Cluster {
    /// Starts them, and waits until all serve.
    pub(crate) async fn start() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut nodes = ["a", "b", "c"].map(|name| Node::new(place.path(), name));
        let addresses = nodes.each_ref().map(|node| node.address.clone());
        nodes = nodes.map(|node| {
            let others = addresses.iter().filter(|&address| *address != node.address);
            let others: Vec<_> = others.map(String::as_str).collect();
            let trace = node.trace_path();
            let trace = trace.to_str().expect("a path of ours");
            node.with_peers(&others).with(&["--trace", trace])
        });
        for node in &mut nodes {
            node.start();
        }
        let cluster = Self {
            nodes,
            _place: place,
        };
        cluster.ready().await;
        cluster
    }

    /// Waits until all nodes serve.
    pub(crate) async fn ready(&self) {
        use tonic_health::pb::health_check_response::ServingStatus::Serving;
        for node in &self.nodes {
            eventually("every node serves", async || {
                node.health().await == Some(Serving)
            })
            .await;
        }
    }

    /// Waits until no node lacks what another one has; the values that all of them have then.
    pub(crate) async fn converged(&self) -> Values {
        let [a, b, c] = &self.nodes;
        eventually("the nodes hold the same lanes", async || {
            let lanes = a.status().await.lanes;
            lanes == b.status().await.lanes && lanes == c.status().await.lanes
        })
        .await;
        let values = a.values().await;
        assert_eq!(values, b.values().await, "the same lanes, the same values");
        assert_eq!(values, c.values().await, "the same lanes, the same values");
        values
    }

    /// Stops all nodes in order, and replays what they have written of all that they did.
    ///
    /// # Panics
    ///
    /// When that is not what the machines would have done.
    pub(crate) async fn stopped_with_valid_traces(&mut self) -> (Summary, Vec<PathBuf>) {
        for node in &self.nodes {
            node.terminate();
        }
        for node in &mut self.nodes {
            assert!(node.ended().await.success(), "an orderly end");
        }
        let traces: Vec<_> = self.nodes.iter().map(Node::trace_path).collect();
        let summary = validate(&traces).unwrap_or_else(|error| panic!("{error}"));
        (summary, traces)
    }
}
