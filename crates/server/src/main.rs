//! `tallyd`: one Tally node. See `tally_server` for everything.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use tally_server::config::{Config, LogFormat};
use tally_server::{server, shutdown};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os().collect::<Vec<_>>()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    start_logs(config.log_format);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.worker_threads {
        runtime.worker_threads(threads.into());
    }
    let ended = runtime
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let stop = shutdown::signals().map_err(|error| error.to_string())?;
                server::run(config, stop)
                    .await
                    .map_err(|error| error.to_string())
            })
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            // Without waiting for connections: what was acknowledged is durable.
            std::process::exit(1);
        }
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
