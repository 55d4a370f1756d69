//! How old a value may be, replica by replica.

use std::time::Duration;

use wire::v1;

/// How old what a node has from one replica may be.
///
/// ```no_run
/// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
/// use std::time::Duration;
/// use tally_client::ReadOptions;
///
/// let options = ReadOptions { lane_ages: true, ..ReadOptions::default() };
/// let bill = client.read(["calls/42"], &options).await?;
/// let fresh = |complete: Option<Duration>| complete.is_some_and(|it| it.as_secs() < 2);
/// if bill.lane_ages.iter().all(|age| fresh(age.complete)) {
///     println!("no call of two seconds ago, or before, is missing: {}", bill.values[0].value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAge {
    /// The replica, as 32 hexadecimal digits; `tally status` shows which node it is.
    pub replica_id: String,
    /// The value lacks nothing of this replica but what it has added in so long, in the time that a
    /// message takes between the two nodes, and in the pace at which they send (10 ms unless set):
    /// so long ago the replica itself said that it had sent all that it had. Below about a second
    /// while the two are connected, and zero for the node that answered. None where it has not said
    /// so since the node started: what the node has of it may be of any age.
    pub complete: Option<Duration>,
    /// How long ago the newest of its adds to these counters, or to others that are kept together
    /// with them, became durable on the node that answered. It grows while the replica adds nothing,
    /// so it is no measure of what is missing. Zero for that node itself; none where it has nothing
    /// of the replica.
    pub newest: Option<Duration>,
    /// `newest` is the age of the node's process: the adds were read back from its disk, and are
    /// older.
    pub newest_is_least: bool,
}

impl From<v1::LaneAge> for LaneAge {
    fn from(age: v1::LaneAge) -> Self {
        // An id of another length is told as it came: nothing rests on it here.
        let digits = age.replica_id.iter().map(|byte| format!("{byte:02x}"));
        Self {
            replica_id: digits.collect(),
            newest: age.newest_age_ms.map(Duration::from_millis),
            newest_is_least: age.newest_age_is_least,
            complete: age.complete_age_ms.map(Duration::from_millis),
        }
    }
}
