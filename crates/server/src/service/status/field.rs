//! Paths of fields, by which a refusal says what of a request is to blame.

use std::fmt;

/// A field of a request, by its path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Field {
    name: &'static str,
    index: Option<usize>,
    /// Of the item at the index.
    inner: &'static str,
}

impl Field {
    /// A field of the request itself.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            index: None,
            inner: "",
        }
    }

    /// An entry of a repeated field.
    pub(crate) const fn entry(name: &'static str, index: usize) -> Self {
        Self {
            name,
            index: Some(index),
            inner: "",
        }
    }

    /// Which entry it is, or is of.
    pub(super) const fn index(&self) -> Option<usize> {
        self.index
    }

    /// A field of an entry.
    pub(crate) const fn of_entry(name: &'static str, index: usize, inner: &'static str) -> Self {
        Self {
            name,
            index: Some(index),
            inner,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        if !self.inner.is_empty() {
            write!(f, ".{}", self.inner)?;
        }
        Ok(())
    }
}
