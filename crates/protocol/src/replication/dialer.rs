//! When a peer is dialled again: at once at first, then after waits that double.

use core::time::Duration;

use crate::Time;

/// The bounds of a [`Dialer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialLimits {
    /// The first wait after a stream ended.
    pub back_off_min: Duration,
    /// The longest wait: a peer that comes back is found within seconds.
    pub back_off_max: Duration,
    /// A stream that held so long failed by accident and not by configuration: the next wait is
    /// the first again.
    pub healthy_after: Duration,
    /// A peer that does not answer is given up after so long.
    pub connect_timeout: Duration,
}

impl Default for DialLimits {
    fn default() -> Self {
        Self {
            back_off_min: Duration::from_millis(50),
            back_off_max: Duration::from_secs(2),
            healthy_after: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// The waits between the streams from one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialer {
    limits: DialLimits,
    back_off: Duration,
    dialled_at: Time,
}

impl Dialer {
    /// For a peer that is dialled for the first time now.
    #[must_use]
    pub fn new(limits: DialLimits, now: Time) -> Self {
        Self {
            limits,
            back_off: limits.back_off_min,
            dialled_at: now,
        }
    }

    /// The peer is dialled.
    pub fn dialled(&mut self, now: Time) {
        self.dialled_at = now;
    }

    /// The stream has ended, or never began: when to dial again. `jitter` is a random number below
    /// 2^16, so that nodes do not dial in step: it takes up to half of the wait away.
    pub fn ended(&mut self, now: Time, jitter: u16) -> Time {
        if now.since(self.dialled_at) >= self.limits.healthy_after {
            self.back_off = self.limits.back_off_min;
        }
        let wait = self.back_off;
        self.back_off = (wait * 2).min(self.limits.back_off_max);
        let half_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX) / 2;
        let less = Duration::from_micros((half_us * u64::from(jitter)) >> 16);
        now.after(wait.saturating_sub(less))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_start_anew_after_a_healthy_stream() {
        let mut now = Time::default();
        let mut dialer = Dialer::new(DialLimits::default(), now);
        let mut waits_ms = alloc::vec::Vec::new();
        // For longer than a healthy stream holds: each dial counts by itself.
        for _ in 0..11 {
            let next = dialer.ended(now, 0);
            waits_ms.push(next.since(now).as_millis());
            now = next;
            dialer.dialled(now);
        }
        assert_eq!(waits_ms[..6], [50, 100, 200, 400, 800, 1_600]);
        assert_eq!(waits_ms[6..], [2_000; 5]);
        now = now.after(DialLimits::default().healthy_after);
        assert_eq!(dialer.ended(now, 0).since(now), Duration::from_millis(50));
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let now = Time::from_us(7);
        for (jitter, wait_us) in [(0, 50_000), (1 << 15, 37_500), (u16::MAX, 25_001)] {
            let next = Dialer::new(DialLimits::default(), now).ended(now, jitter);
            assert_eq!(next.since(now), Duration::from_micros(wait_us));
        }
    }
}
