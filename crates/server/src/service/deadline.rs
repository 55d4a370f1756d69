//! How long a call has, as its metadata says.

use std::time::Duration;

use tonic::metadata::MetadataMap;

use super::limits::{TOKEN_WAIT_DEFAULT, TOKEN_WAIT_MARGIN, TOKEN_WAIT_MAX};

/// How long a read of this call may wait for its token: until a little before the call's deadline,
/// so that the client is told why, and not merely that its time is over.
pub(super) fn token_wait(metadata: &MetadataMap) -> Duration {
    let Some(timeout) = timeout_of(metadata) else {
        return TOKEN_WAIT_DEFAULT;
    };
    let margin = TOKEN_WAIT_MARGIN.min(timeout / 10);
    timeout.saturating_sub(margin).min(TOKEN_WAIT_MAX)
}

/// The `grpc-timeout` of a call: at most eight digits and a unit ("PROTOCOL-HTTP2.md" of gRPC).
fn timeout_of(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_ms(timeout: Option<&str>) -> u128 {
        let mut metadata = MetadataMap::new();
        if let Some(timeout) = timeout {
            metadata.insert("grpc-timeout", timeout.parse().expect("ASCII"));
        }
        token_wait(&metadata).as_millis()
    }

    #[test]
    fn a_read_gives_up_a_little_before_its_deadline() {
        for (timeout, expected_ms) in [
            (None, 10_000),
            (Some("1S"), 900),
            (Some("4000m"), 3_750),
            (Some("100m"), 90),
            (Some("500000u"), 450),
            (Some("100000000n"), 10_000),
            (Some("90000000n"), 81),
            (Some("1M"), 59_750),
            (Some("1H"), 300_000),
            (Some("m"), 10_000),
            (Some("12"), 10_000),
            (Some("-5S"), 10_000),
        ] {
            assert_eq!(wait_ms(timeout), expected_ms, "{timeout:?}");
        }
    }
}
