//! Every bound of the client's API, in one place. `counter_service.proto` tells clients of them;
//! those of streams and replication are [`IngestLimits`](protocol::IngestLimits) and
//! [`ReplicationLimits`](protocol::ReplicationLimits), those of connections stand in
//! [`server`](crate::server).

use std::time::Duration;

/// Items of a batch: what one lock round over the shards takes well below a millisecond for.
pub(crate) const BATCH_ITEMS_MAX: usize = 10_000;

/// Bytes on a page: clients take messages of 4 MiB unless told otherwise.
pub(crate) const PAGE_BYTES_MAX: usize = 2 << 20;

/// Counters on a page: names of usual length stay within [`PAGE_BYTES_MAX`].
pub(crate) const PAGE_SIZE_MAX: u32 = 10_000;

/// Counters on a page where the request does not say.
pub(crate) const PAGE_SIZE_DEFAULT: u32 = 1_000;

/// How long a read waits for its token where the call has no deadline.
pub(crate) const TOKEN_WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// How long a read waits for its token at most, whatever its deadline.
pub(crate) const TOKEN_WAIT_MAX: Duration = Duration::from_mins(5);

/// How long before a call's deadline its read gives up, so that the reason still arrives: a round
/// trip over the slowest usual link. A tenth of the deadline where that is less.
pub(crate) const TOKEN_WAIT_MARGIN: Duration = Duration::from_millis(250);

/// Fastest pace of a watch ...
pub(crate) const WATCH_INTERVAL_MS_MIN: u32 = 10;
/// ... slowest ...
pub(crate) const WATCH_INTERVAL_MS_MAX: u32 = 60_000;
/// ... and where the request does not say.
pub(crate) const WATCH_INTERVAL_MS_DEFAULT: u32 = 100;

/// When a client may try a node again that is starting.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(200);
