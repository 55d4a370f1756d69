//! Configuration: flags, environment and a TOML file, by one definition.
//!
//! Every setting is a field of [`Config`]. It can be given as a flag (`--pace-ms 10`), as an
//! environment variable (`TALLY_PACE_MS=10`) or as a key of the file that `--config` names
//! (`pace-ms = 10`); where several are given, this order decides. A file's values become the
//! flags' defaults, so they are parsed, bounded and reported like flags.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::OsStr;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use commit_log::{CLUSTER_NAME_BYTES_MAX, is_cluster_name};

use protocol::SHARD_COUNT_MAX;

/// One Tally node: counts, keeps what it counted, and merges with its peers.
#[derive(Clone, Debug, Parser)]
#[command(name = "tallyd", version)]
pub struct Config {
    /// A TOML file with the settings below, named as the flags without the dashes in front
    #[arg(long, env = "TALLY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The data directory; created when it does not exist. One process at a time
    #[arg(long, env = "TALLY_DATA", value_name = "DIR")]
    pub data: PathBuf,

    /// The address to listen on, for clients and peers. Loopback unless you say otherwise: there
    /// is no encryption and no authentication yet
    #[arg(
        long,
        env = "TALLY_LISTEN",
        default_value = "127.0.0.1:7071",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// The cluster's name, 1 to 64 bytes: nodes of other clusters are refused
    #[arg(long, env = "TALLY_CLUSTER", default_value = "tally", value_parser = parse_cluster)]
    pub cluster: String,

    /// Shards of the cluster, 1 to 256: fixed when its first node is created, the same on all
    #[arg(long, env = "TALLY_SHARDS", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARD_COUNT_MAX)))]
    pub shards: u32,

    /// A peer to merge with; repeat for each. Name all other nodes on every node
    #[arg(
        long,
        env = "TALLY_PEER",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub peer: Vec<String>,

    /// The shortest time between two sendings to a peer, 0 to 60000 ms
    #[arg(long, env = "TALLY_PACE_MS", default_value_t = 10, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub pace_ms: u64,

    /// Counters that clients may make on this node. A counter takes about 200 bytes of memory and
    /// its name; what peers have counted is always taken
    #[arg(long, env = "TALLY_COUNTERS_MAX", default_value_t = 10_000_000, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub counters_max: u64,

    /// Threads that serve the network, 1 to 256; one a core unless given
    #[arg(long, env = "TALLY_WORKER_THREADS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub worker_threads: Option<u16>,

    /// How logs are written to standard error. What is logged: `RUST_LOG`, `info` unless set
    #[arg(long, env = "TALLY_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Writes each step of the node to this file, after what is there, for the checker of traces
    /// (specs/README.md). For tests: it has no bound, and costs time
    #[arg(long, env = "TALLY_TRACE", value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// An object a line for machines.
    Json,
}

impl Config {
    /// Reads the configuration from flags, the environment, and the file that they name.
    ///
    /// # Errors
    ///
    /// Names the setting, the value and what is possible. Asking for help or the version is an
    /// "error" too, as clap has it.
    pub fn read(flags: impl IntoIterator<Item = OsString> + Clone) -> Result<Self, clap::Error> {
        let command = match config_file(flags.clone()) {
            Some(path) => with_defaults_from(Self::command(), &path)?,
            None => Self::command(),
        };
        Self::from_arg_matches(&command.try_get_matches_from(flags)?)
    }
}

/// The file that the flags or the environment name. The flags are parsed for good later, with the
/// file's values as defaults; here nothing else may be missing or wrong.
fn config_file(flags: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let only_config = Command::new("tallyd")
        .ignore_errors(true)
        .disable_help_flag(true)
        .arg(
            clap::Arg::new("config")
                .long("config")
                .env("TALLY_CONFIG")
                .value_parser(clap::value_parser!(PathBuf)),
        );
    let matches = only_config.try_get_matches_from(flags).ok()?;
    matches.get_one::<PathBuf>("config").cloned()
}

fn with_defaults_from(
    mut command: Command,
    path: &std::path::Path,
) -> Result<Command, clap::Error> {
    let refuse = |message: fmt::Arguments| {
        let message = format!("{}: {message}\n", path.display());
        clap::Error::raw(ErrorKind::InvalidValue, message)
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(format_args!("cannot be read: {error}")))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| refuse(format_args!("{error}")))?;
    for (key, value) in &table {
        let known = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(key));
        let Some(id) = known
            .map(|arg| arg.get_id().clone())
            .filter(|id| *id != "config")
        else {
            let keys = command.get_arguments().filter_map(clap::Arg::get_long);
            let keys = keys
                .filter(|&key| key != "config")
                .collect::<Vec<_>>()
                .join(", ");
            return Err(refuse(format_args!(
                "unknown key {key:?}; there are {keys}"
            )));
        };
        let values = flag_values(value).ok_or_else(|| {
            refuse(format_args!(
                "{key} = {value} is no string, number or list of these"
            ))
        })?;
        command = command.mut_arg(id, |arg| {
            arg.required(false)
                .default_values(values.into_iter().map(OsStr::from))
        });
    }
    Ok(command)
}

/// A TOML value as flag values.
fn flag_values(value: &toml::Value) -> Option<Vec<String>> {
    if let Some(list) = value.as_array() {
        return list.iter().map(flag_value).collect();
    }
    flag_value(value).map(|value| vec![value])
}

fn flag_value(value: &toml::Value) -> Option<String> {
    let integer = || value.as_integer().map(|number| number.to_string());
    value.as_str().map(str::to_owned).or_else(integer)
}

fn parse_cluster(name: &str) -> Result<String, String> {
    if is_cluster_name(name) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "choose 1 to {CLUSTER_NAME_BYTES_MAX} bytes without control characters, quotes or backslashes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: Option<&str>, flags: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut all: Vec<OsString> = vec!["tallyd".into()];
        if let Some(text) = file {
            let path = folder.path().join("tally.toml");
            std::fs::write(&path, text).expect("a file");
            all.extend(["--config".into(), path.into()]);
        }
        all.extend(flags.iter().map(OsString::from));
        Config::read(all).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Config::command().debug_assert();
    }

    #[test]
    fn a_file_gives_what_flags_do_not() {
        let file = "data = \"/tmp/a\"\npace-ms = 20\nshards = 4\npeer = [\"a:1\", \"b:2\"]";
        let config = read(Some(file), &["--shards", "8"]).expect("valid");
        assert_eq!((config.pace_ms, config.shards), (20, 8));
        assert_eq!(config.peer, ["a:1", "b:2"]);
        assert_eq!(config.data, PathBuf::from("/tmp/a"));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_known_ones() {
        let error = read(Some("data = \"/tmp/a\"\nshard = 4"), &[]).expect_err("unknown");
        assert!(
            error.contains("unknown key \"shard\"") && error.contains("shards"),
            "{error}"
        );
    }

    #[test]
    fn a_value_out_of_bounds_is_named_with_its_bound() {
        for error in [
            read(Some("data = \"/tmp/a\"\nshards = 0"), &[]).expect_err("too few"),
            read(None, &["--data", "/tmp/a", "--shards", "0"]).expect_err("too few"),
        ] {
            assert!(error.contains("0 is not in 1..=256"), "{error}");
        }
    }

    #[test]
    fn the_data_directory_has_no_default() {
        let error = read(None, &[]).expect_err("missing");
        assert!(error.contains("--data"), "{error}");
    }
}
