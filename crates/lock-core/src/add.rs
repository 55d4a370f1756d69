//! The nouns that all protocols share: who counts, what is added, and the number itself.
//!
//! Newtypes without behaviour, but for the one addition of this crate ([`Value::plus`]). Fencing
//! tokens are in [`register`](crate::register), which checks them; times are in
//! [`lease`](crate::lease), which alone needs them.

use core::num::NonZeroI64;

/// One who counts: unique among all that talk to one server at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContenderId(pub u64);

/// The driver's own name for an add, given back with its [`Outcome`](crate::Outcome). The
/// protocols never look at it; it must be unique within one contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddId(pub u64);

/// How much an add adds: any 64-bit number but 0.
///
/// ```
/// use lock_core::Amount;
/// assert_eq!(Amount::new(-3).map(Amount::get), Some(-3));
/// assert_eq!(Amount::new(0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(NonZeroI64);

impl Amount {
    /// What an add usually adds.
    pub const ONE: Self = match NonZeroI64::new(1) {
        Some(one) => Self(one),
        None => panic!("1 is not 0"),
    };

    /// The amount, or nothing for 0.
    #[must_use]
    pub fn new(amount: i64) -> Option<Self> {
        NonZeroI64::new(amount).map(Self)
    }

    /// As a plain number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0.get()
    }
}

/// One add that somebody is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Add {
    /// The driver's name for it.
    pub id: AddId,
    /// How much it adds.
    pub amount: Amount,
}

/// The counter's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub i64);

impl Value {
    /// The value after an add, or nothing where 64 bits do not hold it.
    ///
    /// ```
    /// use lock_core::{Amount, Value};
    /// assert_eq!(Value(10).plus(Amount::ONE), Some(Value(11)));
    /// assert_eq!(Value(i64::MAX).plus(Amount::ONE), None);
    /// ```
    #[must_use]
    pub fn plus(self, amount: Amount) -> Option<Self> {
        self.0.checked_add(amount.get()).map(Self)
    }
}
