//! Identifiers on the wire: a replica id is its 16 bytes, most significant first.

use crdt_core::ReplicaId;

use crate::DecodeError;

/// The id as 16 bytes.
#[must_use]
pub fn replica_id_to_bytes(id: ReplicaId) -> Vec<u8> {
    id.get().to_be_bytes().to_vec()
}

/// The id in 16 bytes.
///
/// # Errors
///
/// When there are not 16.
pub fn replica_id_from_bytes(bytes: &[u8]) -> Result<ReplicaId, DecodeError> {
    let bits = bytes
        .try_into()
        .map_err(|_| DecodeError::ReplicaId { found: bytes.len() })?;
    Ok(ReplicaId::new(u128::from_be_bytes(bits)))
}
