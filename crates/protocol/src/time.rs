//! Time as an argument: machines own no clock, they are told what time it is.

use core::fmt;
use core::time::Duration;

/// A point of the driver's monotonic clock, in microseconds after a beginning of its choice.
///
/// ```
/// use core::time::Duration;
/// use protocol::Time;
///
/// let start = Time::from_us(1_000);
/// assert_eq!(start.after(Duration::from_millis(2)), Time::from_us(3_000));
/// assert_eq!(Time::from_us(3_000).since(start), Duration::from_millis(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// The time so many microseconds after the beginning.
    #[must_use]
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds after the beginning.
    #[must_use]
    pub const fn us(self) -> u64 {
        self.0
    }

    /// The time that lies so much later; the end of time where that would lie beyond it.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_us(duration)))
    }

    /// How long ago `earlier` is; zero where it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} ms", self.0 / 1000, self.0 % 1000)
    }
}

fn whole_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_milliseconds() {
        let time = Time::from_us(12_034_005);
        assert_eq!(time.us(), 12_034_005);
        assert_eq!(alloc::format!("{time}"), "12034.005 ms");
    }

    #[test]
    fn time_has_an_end_and_no_negative_lengths() {
        let end = Time::from_us(u64::MAX);
        assert_eq!(Time::from_us(5).after(Duration::MAX), end);
        assert_eq!(Time::from_us(5).since(end), Duration::ZERO);
    }
}
