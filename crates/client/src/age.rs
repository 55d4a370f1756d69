//! How old a value may be, replica by replica.

use std::time::Duration;

use wire::v1;

/// How old what a node has from one replica may be: what that replica has added since may be missing
/// from the value. See [`missing_at_most`](LaneAge::missing_at_most) for what to make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAge {
    /// The replica, as 32 hexadecimal digits; `tally status` shows which node it is.
    pub replica_id: String,
    /// How long ago the newest of its adds to these counters, or to others that are kept together
    /// with them, became durable on the node that answered. It grows while the replica adds nothing.
    /// Zero for that node itself; none where it has nothing of the replica.
    pub newest: Option<Duration>,
    /// `newest` is the age of the node's process: the adds were read back from its disk, and are
    /// older.
    pub newest_is_least: bool,
    /// How long ago the replica itself has told that node that it had sent all that it had: below
    /// about a second while the two are connected. None where it has not since the node started.
    pub complete: Option<Duration>,
}

impl LaneAge {
    /// The value lacks nothing of this replica but what it has added in so long at most, and in the
    /// time that a message takes between the two nodes, with the pace at which they send (10 ms
    /// unless set). None where that is not known.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tally_client::LaneAge;
    ///
    /// let idle = LaneAge {
    ///     replica_id: "0".repeat(32),
    ///     newest: Some(Duration::from_secs(3_600)),
    ///     newest_is_least: false,
    ///     complete: Some(Duration::from_millis(300)),
    /// };
    /// assert_eq!(idle.missing_at_most(), Some(Duration::from_millis(300)));
    /// let cut_off = LaneAge { complete: None, ..idle };
    /// assert_eq!(cut_off.missing_at_most(), Some(Duration::from_secs(3_600)));
    /// let just_started = LaneAge { newest_is_least: true, ..cut_off };
    /// assert_eq!(just_started.missing_at_most(), None);
    /// ```
    #[must_use]
    pub fn missing_at_most(&self) -> Option<Duration> {
        let newest = self.newest.filter(|_| !self.newest_is_least);
        newest.into_iter().chain(self.complete).min()
    }
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
