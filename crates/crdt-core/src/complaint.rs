//! For unit tests of assertions: what a check complains of. A check that never panics holds of
//! everything, so each one is shown something that it must refuse.

use alloc::string::String;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

/// The message with which `check` panics; `None` when it does not.
pub(crate) fn complaint(check: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(check)).err()?;
    let literal = || panic.downcast_ref::<&str>().map(|&text| text.into());
    panic.downcast_ref::<String>().cloned().or_else(literal)
}
