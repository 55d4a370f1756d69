//! Which shard a counter belongs to: every node of a cluster must say the same, for ever.

use crdt_core::CounterName;
use xxhash_rust::xxh3::xxh3_64;

/// The shard of a counter, from 0: XXH3 of its name's bytes, modulo the number of shards. Stable
/// across versions and machines.
///
/// # Panics
///
/// When there are no shards.
#[must_use]
pub fn shard_of(name: &CounterName, shard_count: u32) -> u32 {
    let shard = xxh3_64(name.as_str().as_bytes()) % u64::from(shard_count);
    u32::try_from(shard).expect("less than the number of shards")
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
}
