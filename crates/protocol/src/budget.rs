//! A bound on what many connections use together.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

/// So many bytes (or places), for all users together. Cheap to clone: clones share it.
///
/// ```
/// use protocol::Budget;
///
/// let budget = Budget::new(100);
/// let mut lease = budget.lease();
/// assert_eq!(lease.grow(80), Ok(()));
/// assert_eq!(budget.lease().grow(21), Err(100), "the bound");
/// drop(lease);
/// assert_eq!(budget.lease().grow(100), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    used: AtomicU64,
    max: u64,
}

/// What one user has of a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    of: Arc<Shared>,
    held: u64,
}

impl Budget {
    /// A budget of which nothing is used.
    #[must_use]
    pub fn new(max: u64) -> Self {
        let used = AtomicU64::new(0);
        Self(Arc::new(Shared { used, max }))
    }

    /// A user that has nothing yet.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease {
            of: Arc::clone(&self.0),
            held: 0,
        }
    }

    /// What is used now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl Lease {
    /// Takes more.
    ///
    /// # Errors
    ///
    /// The bound, when all users together would pass it. Nothing has changed then.
    pub fn grow(&mut self, by: u64) -> Result<(), u64> {
        let max = self.of.max;
        let within = |used: u64| used.checked_add(by).filter(|&used| used <= max);
        let ordering = Ordering::Relaxed;
        let grown = self.of.used.fetch_update(ordering, ordering, within);
        grown.map_err(|_| max)?;
        self.held += by;
        Ok(())
    }

    /// Gives some back, at most what is held.
    pub fn shrink(&mut self, by: u64) {
        let by = by.min(self.held);
        self.held -= by;
        self.of.used.fetch_sub(by, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink(self.held);
    }
}
