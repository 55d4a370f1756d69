//! The process's monotonic clock, as machines are told of it.

use std::time::{Duration, Instant};

use protocol::Time;

/// A clock that begins when the process does.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What time it is.
    ///
    /// # Panics
    ///
    /// After 584,000 years.
    #[must_use]
    pub fn now(&self) -> Time {
        let us = self.0.elapsed().as_micros();
        Time::from_us(u64::try_from(us).expect("a process lives less than 2^64 microseconds"))
    }

    /// How long it has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// When that will be, for a timer.
    #[must_use]
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        (self.0 + Duration::from_micros(time.us())).into()
    }
}
