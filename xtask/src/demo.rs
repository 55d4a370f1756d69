//! `cargo xtask demo`: three Tally nodes on this machine, and what to try with them.
//!
//! The nodes run until Ctrl-C (or for `--seconds`), and their data goes with them.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use crate::client::url;
use crate::deployment::{Deployment, DeploymentError, Geography};
use crate::processes::{ProcessError, RunDir, build, interrupted};
use crate::wan::RoundTrip;

/// Three data centres, as in the story that the project tells.
const SITES: usize = 3;

/// Start three nodes to play with.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The round trip between any two nodes, in milliseconds.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    rtt_ms: u64,
    /// Stop by itself after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

/// The demo could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[error("demo: {0}")]
pub(crate) struct DemoError(#[from] DeploymentError);

impl From<ProcessError> for DemoError {
    fn from(error: ProcessError) -> Self {
        Self(error.into())
    }
}

/// Starts the nodes, tells what to try, and waits.
pub(crate) async fn run(args: Args) -> Result<(), DemoError> {
    let mut interrupted = pin!(interrupted()?);
    let programs = build().await?;
    let run_dir = RunDir::create()?;
    let starting = Deployment::tally(Geography {
        programs: &programs,
        run_dir: &run_dir,
        sites: SITES,
        round_trip: RoundTrip::from_ms(args.rtt_ms),
    });
    let deployment = tokio::select! {
        deployment = starting => deployment?,
        () = &mut interrupted => return Ok(()),
    };
    println!("{}", tour(&programs.tally, &deployment.addresses(), &args));
    tokio::select! {
        () = &mut interrupted => {}
        () = until(args.seconds) => {}
    }
    println!("Stopping the nodes.");
    deployment.stop().await?;
    Ok(run_dir.remove()?)
}

async fn until(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn tour(tally: &Path, nodes: &[SocketAddr], args: &Args) -> String {
    let tally = tally.canonicalize().unwrap_or_else(|_error| tally.into());
    let tally = tally.display();
    let urls: Vec<String> = nodes.iter().copied().map(url).collect();
    let all = urls.join(",");
    let [first, second, third] = [&urls[0], &urls[1], &urls[2]];
    let end = match args.seconds {
        Some(seconds) => format!("They stop after {seconds} s, or on Ctrl-C."),
        None => "Ctrl-C stops them.".into(),
    };
    format!(
        "\nThree nodes are running, {} ms round trip apart:\n\n  {first}\n  {second}\n  {third}\n\n\
         In another terminal:\n\n\
         # Watch a counter on the third node ...\n\
         {tally} --node {third} watch post-1\n\
         # ... while you add to it on the others.\n\
         {tally} --node {first} add post-1\n\
         {tally} --node {second} add post-1 41\n\
         {tally} --node {third} get post-1\n\
         # A load on all three, then the same totals on each of them.\n\
         {tally} load --node {all} --mode ingest --counters 10 --batch 1000 --in-flight 8 \
         --seconds 5 --counts likes.json\n\
         {tally} --node {second} list\n\
         # What a node knows of itself and the others.\n\
         {tally} --node {first} status\n\n{end}\n",
        args.rtt_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tour_names_every_node() {
        let nodes: Vec<SocketAddr> = (1..=3)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect();
        let text = tour(
            Path::new("tally"),
            &nodes,
            &Args {
                rtt_ms: 50,
                seconds: Some(7),
            },
        );
        for node in nodes {
            assert!(text.contains(&url(node)), "{text}");
        }
        assert!(text.contains("50 ms") && text.contains("7 s"), "{text}");
    }
}
