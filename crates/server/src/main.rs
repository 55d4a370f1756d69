//! `tallyd`: one Tally node. See `tally_server` for everything.

use std::io::IsTerminal as _;

use tally_server::config::{Config, LogFormat};
use tally_server::{server, shutdown};
use tracing_subscriber::EnvFilter;

fn main() {
    let config = match Config::read(std::env::args_os().collect::<Vec<_>>()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    start_logs(config.log_format);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.worker_threads {
        runtime.worker_threads(threads.into());
    }
    // It lives until the process ends: dropping it would wait for threads that block.
    let runtime = runtime.enable_all().build();
    let ended = match &runtime {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => Err(error.to_string()),
    };
    let code = match ended {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error}");
            1
        }
    };
    // Nothing is waited for or torn down: what was acknowledged is durable.
    std::process::exit(code)
}

async fn run(config: Config) -> Result<(), String> {
    let (stop, stop_at_once) = shutdown::signals().map_err(|error| error.to_string())?;
    tokio::select! {
        ended = server::run(config, stop) => ended.map_err(|error| error.to_string()),
        () = stop_at_once => Err("asked twice to stop: ended at once".into()),
    }
}

fn start_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}
