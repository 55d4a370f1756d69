//! Hashes of counters' names: which shard a counter belongs to, and what stands for its name in an
//! audit. Every node of a cluster must say the same, for ever.

use crdt_core::{CounterName, NameHash};
use xxhash_rust::xxh3::xxh3_64;

/// The shard of a counter, from 0: XXH3 of its name's bytes, modulo the number of shards. Stable
/// across versions and machines.
///
/// # Panics
///
/// When there are no shards.
#[must_use]
pub fn shard_of(name: &CounterName, shard_count: u32) -> u32 {
    let shard = xxh3(name) % u64::from(shard_count);
    u32::try_from(shard).expect("less than the number of shards")
}

/// What stands for a counter's name where lanes are compared ([`crdt_core::HashName`]): XXH3 of its
/// bytes. Stable across versions and machines.
#[must_use]
pub fn hash_name(name: &CounterName) -> NameHash {
    NameHash::new(xxh3(name))
}

fn xxh3(name: &CounterName) -> u64 {
    xxh3_64(name.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_a_name_does_not_drift() {
        let shard_of = |name: &str| shard_of(&name.parse().expect("a valid name"), 16);
        assert_eq!(
            ["likes", "views", "post/4711/likes"].map(shard_of),
            [14, 5, 11]
        );
    }

    #[test]
    fn the_hash_of_a_name_does_not_drift() {
        let found = hash_name(&"likes".parse().expect("a valid name"));
        assert_eq!(found, NameHash::new(0xf0e8_bd55_a692_bece), "{found:x?}");
    }
}
