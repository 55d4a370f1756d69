//! The `identity` file: a few lines of text, so that an operator can read whose directory it is.
//!
//! ```text
//! # Whose data this directory holds. Never edit it, never run two copies of it.
//! format = 3
//! cluster = "likes"
//! shards = 16
//! replica = "c0ffee00c0ffee00c0ffee00c0ffee00"
//! crc32c = "01234567"
//! ```
//!
//! What it is made of is in `text`.

use crate::header;
use crate::text::{TextError, bits, ensure_equal, number, quoted, with_checksum};

/// The longest name of a cluster, in bytes: room for a host name and some more.
pub const CLUSTER_NAME_BYTES_MAX: usize = 64;

const COMMENT: &str =
    "# Whose data this directory holds. Never edit it, never run two copies of it.";

/// Whose data a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The number of shards, fixed when the cluster was created.
    pub shard_count: u32,
    /// The bits of the replica id: random, minted when the directory was created.
    pub replica: u128,
}

/// Why a text is no identity.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IdentityError {
    /// It has a format version that this program does not know.
    Version(u32),
    /// It is not as it was written.
    Damaged(TextError),
}

impl From<TextError> for IdentityError {
    fn from(error: TextError) -> Self {
        Self::Damaged(error)
    }
}

impl Identity {
    /// The text of the file, for a directory of a format version.
    pub(crate) fn render(&self, version: u32) -> String {
        let Self {
            cluster,
            shard_count,
            replica,
        } = self;
        with_checksum(&format!(
            "{COMMENT}\nformat = {version}\ncluster = \"{cluster}\"\n\
             shards = {shard_count}\nreplica = \"{replica:032x}\"\n"
        ))
    }

    /// Reads what [`render`](Self::render) wrote, with its version. The version is judged first,
    /// since another version may look different from there on.
    pub(crate) fn parse(text: &str) -> Result<(Self, u32), IdentityError> {
        let version = number(text, "format")?;
        if !header::is_known(version) {
            return Err(IdentityError::Version(version));
        }
        let identity = Self {
            cluster: quoted(text, "cluster")?.to_owned(),
            shard_count: number(text, "shards")?,
            replica: bits(text, "replica")?,
        };
        ensure_equal(text, &identity.render(version))?;
        Ok((identity, version))
    }
}

/// Whether a cluster can be called so: 1 to [`CLUSTER_NAME_BYTES_MAX`] bytes that can stand between
/// the quotes of an identity file, so no control characters, quotes or backslashes.
#[must_use]
pub fn is_cluster_name(name: &str) -> bool {
    (1..=CLUSTER_NAME_BYTES_MAX).contains(&name.len())
        && !name.contains(|c: char| c.is_control() || c == '"' || c == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back() {
        let identity = Identity {
            cluster: "likes = 1".to_owned(),
            shard_count: 16,
            replica: 7,
        };
        for version in [1, 2, 3] {
            let text = identity.render(version);
            assert_eq!(Identity::parse(&text), Ok((identity.clone(), version)));
        }
    }
}
