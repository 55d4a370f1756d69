//! `tally export`: all counters of a node, with what it knew when they were read.
//!
//! Each shard is exported as it was at one instant of the node, together with its digest: for each
//! lane the version held and the start that wrote it; and with how old that may be, as reads tell it
//! (`tally get --ages`). So each number can be traced to what was known: whoever has the same digest
//! has the same values.
//!
//! Whole or nothing: everything is written into a temporary file first. That is renamed to what
//! was asked for, or copied to standard output, once all shards were read.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Seek as _, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tally_client::{CounterValue, ExportedLane, ExportedShard, LaneAge};
use tempfile::NamedTempFile;

use crate::{Common, output::CommandError, reads::milliseconds};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values (RFC 4180), with a head.
    Csv,
    /// A JSON object a line.
    Json,
}

/// Exports all counters of the first `--node`. There are two kinds of rows: `lane` rows say, of each
/// shard, how far each replica's adds were known (name: the replica) and how old that may be,
/// `counter` rows have the values that follow from these. A connected replica of which nothing is
/// held in a shard has a row without a version.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How rows are written.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// The file to write, which is replaced once all is there; standard output by default.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const HEAD: &str = "kind,shard,name,value,clamped,version,start,newest_age_ms,newest_age_is_least,\
                    complete_age_ms";

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
    for lane in lanes(it) {
        let row = match format {
            Format::Csv => lane.csv(it.shard),
            Format::Json => lane.json(it.shard).to_string(),
        };
        writeln!(file, "{row}")?;
    }
    for counter in &it.counters {
        let row = match format {
            Format::Csv => counter_csv(it.shard, counter),
            Format::Json => counter_json(it.shard, counter).to_string(),
        };
        writeln!(file, "{row}")?;
    }
    Ok(())
}

/// What is known of one replica's lane.
#[derive(Default)]
struct LaneRow<'a> {
    name: &'a str,
    held: Option<&'a ExportedLane>,
    age: Option<&'a LaneAge>,
}

/// The lanes that are held, and those of which only an age is known, in the order of their ids.
fn lanes(it: &ExportedShard) -> impl Iterator<Item = LaneRow<'_>> {
    let mut rows: BTreeMap<&str, LaneRow<'_>> = BTreeMap::new();
    for held in &it.lanes {
        rows.entry(&held.lane).or_default().held = Some(held);
    }
    for age in &it.lane_ages {
        rows.entry(&age.replica_id).or_default().age = Some(age);
    }
    rows.into_iter().map(|(name, row)| LaneRow { name, ..row })
}

impl LaneRow<'_> {
    fn csv(&self, shard: u32) -> String {
        let held = self.held.map_or_else(
            || ",".to_owned(),
            |it| format!("{},{:016x}", it.version, it.start),
        );
        let ms =
            |age: Option<Duration>| age.map_or_else(String::new, |it| milliseconds(it).to_string());
        let age = self.age.map_or_else(
            || ",,".to_owned(),
            |it| {
                format!(
                    "{},{},{}",
                    ms(it.newest),
                    it.newest_is_least,
                    ms(it.complete)
                )
            },
        );
        format!("lane,{shard},{},,,{held},{age}", self.name)
    }

    fn json(&self, shard: u32) -> Value {
        json!({
            "kind": "lane", "shard": shard, "name": self.name,
            "version": self.held.map(|it| it.version),
            "start": self.held.map(|it| format!("{:016x}", it.start)),
            "newest_age_ms": self.age.and_then(|it| it.newest).map(milliseconds),
            "newest_age_is_least": self.age.map(|it| it.newest_is_least),
            "complete_age_ms": self.age.and_then(|it| it.complete).map(milliseconds),
        })
    }
}

fn counter_csv(shard: u32, it: &CounterValue) -> String {
    let name = quoted(&it.counter);
    format!("counter,{shard},{name},{},{},,,,,", it.value, it.clamped)
}

fn counter_json(shard: u32, it: &CounterValue) -> Value {
    json!({
        "kind": "counter", "shard": shard, "name": it.counter, "value": it.value,
        "clamped": it.clamped,
    })
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
        let lane = |lane: &str| ExportedLane {
            lane: lane.to_owned(),
            version: 7,
            start: 0xfee,
        };
        let age =
            |replica_id: &str, newest: Option<u64>, newest_is_least, complete: Option<u64>| {
                LaneAge {
                    replica_id: replica_id.to_owned(),
                    newest: newest.map(Duration::from_millis),
                    newest_is_least,
                    complete: complete.map(Duration::from_millis),
                }
            };
        ExportedShard {
            shard: 3,
            counters: vec![counter("a,\"b\"", -5, false), counter("c", i64::MAX, true)],
            lanes: vec![lane("0a"), lane("0c")],
            lane_ages: vec![
                age("0a", Some(12), false, Some(3)),
                age("0b", None, false, Some(4)),
                age("0c", Some(99), true, None),
            ],
        }
    }

    fn written(format: Format) -> String {
        let mut rows = Vec::new();
        write_shard(&mut rows, format, &shard()).expect("memory takes all");
        String::from_utf8(rows).expect("text")
    }

    #[test]
    fn a_row_has_as_many_fields_as_the_head_and_odd_names_are_quoted() {
        let expected = "lane,3,0a,,,7,0000000000000fee,12,false,3\n\
                        lane,3,0b,,,,,,false,4\n\
                        lane,3,0c,,,7,0000000000000fee,99,true,\n\
                        counter,3,\"a,\"\"b\"\"\",-5,false,,,,,\n\
                        counter,3,c,9223372036854775807,true,,,,,\n";
        assert_eq!(written(Format::Csv), expected);
        let fields = |row: &str| row.matches(',').count();
        for row in expected.lines().filter(|row| !row.contains('"')) {
            assert_eq!(fields(row), fields(HEAD), "{row}");
        }
    }

    #[test]
    fn what_is_not_known_is_null() {
        let rows = written(Format::Json);
        let rows: Vec<Value> = rows
            .lines()
            .map(|row| serde_json::from_str(row).expect("JSON"))
            .collect();
        let of = |field: &str| [0, 1, 2].map(|row: usize| rows[row][field].clone());
        assert_eq!(of("version"), [json!(7), json!(null), json!(7)]);
        assert_eq!(of("newest_age_ms"), [json!(12), json!(null), json!(99)]);
        assert_eq!(
            of("newest_age_is_least"),
            [false, false, true].map(Value::from)
        );
        assert_eq!(of("complete_age_ms"), [json!(3), json!(4), json!(null)]);
        assert_eq!(rows[3]["name"], "a,\"b\"");
    }
}
