//! The same measurement with other numbers of servers and other round trips, for the lock and for
//! Tally: adding servers and adding distance is what the two differ in.

use indicatif::ProgressBar;

use super::plan::{LoadtestError, Plan};
use super::results::{Row, RowId, Sweeps};
use crate::loadtest::rows::measure;
use crate::wan::RoundTrip;

/// The approaches that are compared.
const ROWS: [RowId; 2] = [RowId::Lock, RowId::CrdtIngest];
/// Servers: from the one that needs nobody to five data centres.
const SERVERS: [usize; 5] = [1, 2, 3, 4, 5];
/// Milliseconds: one machine, one region, two continents and the far side of the globe.
const ROUND_TRIPS_MS: [u64; 5] = [0, 10, 50, 100, 200];

/// How many rows the sweeps measure: for the progress bar.
pub(super) const COUNT: u64 = (ROWS.len() * (SERVERS.len() + ROUND_TRIPS_MS.len())) as u64;

/// Measures both sweeps; every row of them must be exact, like the table's.
pub(super) async fn measure_all(
    plan: &Plan<'_>,
    bar: &ProgressBar,
) -> Result<Sweeps, LoadtestError> {
    let mut servers: Vec<Row> = Vec::new();
    let mut round_trips: Vec<Row> = Vec::new();
    for id in ROWS {
        for sites in SERVERS {
            servers.push(measure(id, plan, sites, plan.round_trip, bar).await?);
            bar.inc(1);
        }
        for ms in ROUND_TRIPS_MS {
            let round_trip = RoundTrip::from_ms(ms);
            round_trips.push(measure(id, plan, plan.sites, round_trip, bar).await?);
            bar.inc(1);
        }
    }
    Ok(Sweeps {
        servers,
        round_trips,
    })
}
