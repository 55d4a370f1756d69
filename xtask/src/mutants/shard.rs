//! Equal parts of a list of changes.

use std::fmt;
use std::str::FromStr;

/// One of several equal parts, counted from 0. By default all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    number: u32,
    count: u32,
}

/// It is no part.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no K/N with K below N, such as 0/3")]
pub(crate) struct ShardError(String);

impl Shard {
    /// One of several equal parts of this one.
    pub(super) fn part(self, number: u32, count: u32) -> Self {
        Self {
            number: self.number * count + number,
            count: self.count * count,
        }
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            number: 0,
            count: 1,
        }
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parse = || {
            let (number, count) = text.split_once('/')?;
            let (number, count) = (number.parse().ok()?, count.parse().ok()?);
            // The parts of parts are counted too.
            (number < count && count <= 1_000_000).then_some(Self { number, count })
        };
        parse().ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_part_are_beside_each_other() {
        let third: Shard = "1/3".parse().expect("a part");
        let halves = [third.part(0, 2), third.part(1, 2)];
        assert_eq!(halves.map(|it| it.to_string()), ["2/6", "3/6"]);
        assert_eq!(Shard::default().part(1, 2).to_string(), "1/2");
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "3", "3/3", "-1/3", "0/0", "a/b", "0/1000001"] {
            let error = text.parse::<Shard>().expect_err("no part");
            assert!(error.to_string().contains("0/3"), "{error}");
        }
    }
}
