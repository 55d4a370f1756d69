//! `tally export`: all counters of a node, with what it knew when they were read.
//!
//! Each shard is exported as it was at one instant of the node, together with its digest: for each
//! lane the version held and the start that wrote it, and how old its newest interval was. So each
//! number can be traced to what was known: whoever has the same digest has the same values.
//!
//! Whole or nothing: everything is written into a temporary file first. That is renamed to what
//! was asked for, or copied to standard output, once all shards were read.

use std::{
    fs::File,
    io::{self, BufWriter, Seek as _, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::json;
use tally_client::{CounterValue, ExportedLane, ExportedShard};
use tempfile::NamedTempFile;

use crate::{Common, output::CommandError};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values (RFC 4180), with a head.
    Csv,
    /// A JSON object a line.
    Json,
}

/// Exports all counters of the first `--node`. There are two kinds of rows: `lane` rows say, of each
/// shard, how far each replica's adds were known (name: the replica), `counter` rows have the
/// values that follow from these.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How rows are written.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// The file to write, which is replaced once all is there; standard output by default.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const HEAD: &str = "kind,shard,name,value,clamped,version,start,age_ms";

pub(crate) async fn run(
    common: &Common,
    Arguments { format, out }: Arguments,
) -> Result<(), CommandError> {
    let target = match &out {
        Some(path) => Target::beside(path)?,
        None => Target::stdout()?,
    };
    let client = common.client()?;
    let (node, status) = client.status().await.swap_remove(0);
    let shard_count = status?.shard_count;
    let written = |error| CommandError::Io {
        what: format!("the export of {node}"),
        error,
    };
    let mut file = BufWriter::new(target.file().map_err(written)?);
    if format == Format::Csv {
        writeln!(file, "{HEAD}").map_err(written)?;
    }
    for shard in 0..shard_count {
        let shard = client.export_shard(shard).await?;
        write_shard(&mut file, format, &shard).map_err(written)?;
    }
    let file = file.into_inner().map_err(|error| written(error.into()))?;
    target.finish(file).map_err(|error| CommandError::Io {
        what: out.map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        ),
        error,
    })
}

/// Where the rows go until all are there.
enum Target<'a> {
    File(NamedTempFile, &'a Path),
    Stdout(File),
}

impl<'a> Target<'a> {
    /// In the same directory, so that it can be renamed.
    fn beside(path: &'a Path) -> Result<Self, CommandError> {
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
        let file = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")));
        let file = file.map_err(|error| CommandError::Io {
            what: format!("a file beside {}", path.display()),
            error,
        })?;
        Ok(Self::File(file, path))
    }

    fn stdout() -> Result<Self, CommandError> {
        let file = tempfile::tempfile().map_err(|error| CommandError::Io {
            what: "a temporary file".to_owned(),
            error,
        })?;
        Ok(Self::Stdout(file))
    }

    fn file(&self) -> io::Result<File> {
        match self {
            Self::File(file, _) => file.as_file().try_clone(),
            Self::Stdout(file) => file.try_clone(),
        }
    }

    fn finish(self, mut written: File) -> io::Result<()> {
        match self {
            Self::File(file, path) => {
                written.sync_all()?;
                file.persist(path)?;
            }
            Self::Stdout(_) => {
                written.rewind()?;
                let mut stdout = io::stdout().lock();
                io::copy(&mut written, &mut stdout)?;
                stdout.flush()?;
            }
        }
        Ok(())
    }
}

fn write_shard(file: &mut impl Write, format: Format, it: &ExportedShard) -> io::Result<()> {
    let shard = it.shard;
    for lane in &it.lanes {
        let ExportedLane {
            lane,
            version,
            start,
            age_ms,
        } = lane;
        match format {
            Format::Csv => {
                let age_ms = age_ms.map_or_else(String::new, |it| it.to_string());
                writeln!(
                    file,
                    "lane,{shard},{lane},,,{version},{start:016x},{age_ms}"
                )?;
            }
            Format::Json => {
                let row = json!({
                    "kind": "lane", "shard": shard, "name": lane, "version": version,
                    "start": format!("{start:016x}"), "age_ms": age_ms,
                });
                writeln!(file, "{row}")?;
            }
        }
    }
    for counter in &it.counters {
        let CounterValue {
            counter,
            value,
            clamped,
        } = counter;
        match format {
            Format::Csv => {
                writeln!(
                    file,
                    "counter,{shard},{},{value},{clamped},,,",
                    quoted(counter)
                )?;
            }
            Format::Json => {
                let row = json!({
                    "kind": "counter", "shard": shard, "name": counter, "value": value,
                    "clamped": clamped,
                });
                writeln!(file, "{row}")?;
            }
        }
    }
    Ok(())
}

/// A field of a row, in quotes where it needs them.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> ExportedShard {
        let counter = |name: &str, value, clamped| CounterValue {
            counter: name.to_owned(),
            value,
            clamped,
        };
        let lane = |lane: &str, age_ms| ExportedLane {
            lane: lane.to_owned(),
            version: 7,
            start: 0xfee,
            age_ms,
        };
        ExportedShard {
            shard: 3,
            counters: vec![counter("a,\"b\"", -5, false), counter("c", i64::MAX, true)],
            lanes: vec![lane("0a", Some(12)), lane("0b", None)],
        }
    }

    fn written(format: Format) -> String {
        let mut rows = Vec::new();
        write_shard(&mut rows, format, &shard()).expect("memory takes all");
        String::from_utf8(rows).expect("text")
    }

    #[test]
    fn a_row_has_as_many_fields_as_the_head_and_odd_names_are_quoted() {
        let expected = "lane,3,0a,,,7,0000000000000fee,12\n\
                        lane,3,0b,,,7,0000000000000fee,\n\
                        counter,3,\"a,\"\"b\"\"\",-5,false,,,\n\
                        counter,3,c,9223372036854775807,true,,,\n";
        assert_eq!(written(Format::Csv), expected);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let rows = written(Format::Json);
        let rows: Vec<serde_json::Value> = rows
            .lines()
            .map(|row| serde_json::from_str(row).expect("JSON"))
            .collect();
        assert_eq!(
            (&rows[0]["age_ms"], &rows[1]["age_ms"]),
            (&json!(12), &json!(null))
        );
        assert_eq!(rows[2]["name"], "a,\"b\"");
    }
}
