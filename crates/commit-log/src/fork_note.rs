//! The `forked` file: the evidence that a lane has two histories.
//!
//! ```text
//! # A lane of this directory has two histories. Keep the directory for inspection; never edit it.
//! lane = "c0ffee00c0ffee00c0ffee00c0ffee00"
//! held_version = 12
//! held_start = "00c0ffee00c0ffee"
//! seen_version = 14
//! seen_start = "c0ffee00c0ffee00"
//! crc32c = "01234567"
//! ```
//!
//! What it is made of is in `text`. What a node does that finds one is for the node to say.

use crate::text::{TextError, bits, ensure_equal, number, with_checksum};

const COMMENT: &str = "# A lane of this directory has two histories. Keep the directory for \
                       inspection; never edit it.";

/// A lane that has two histories, and the marks that show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkNote {
    /// The bits of the replica id whose lane it is.
    pub lane: u128,
    /// A point of the lane as known here.
    pub held: ForkMark,
    /// What another replica holds.
    pub seen: ForkMark,
}

/// A point of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkMark {
    /// The version of the lane.
    pub version: u64,
    /// The process start that wrote it.
    pub start: u64,
}

impl ForkNote {
    pub(crate) fn render(&self) -> String {
        let Self { lane, held, seen } = self;
        with_checksum(&format!(
            "{COMMENT}\nlane = \"{lane:032x}\"\n\
             held_version = {}\nheld_start = \"{:016x}\"\n\
             seen_version = {}\nseen_start = \"{:016x}\"\n",
            held.version, held.start, seen.version, seen.start
        ))
    }

    /// Reads what [`render`](Self::render) wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, TextError> {
        let mark = |version: &str, start: &str| -> Result<ForkMark, TextError> {
            let version = number(text, version)?;
            let start = bits(text, start)?;
            // One that does not fit is not what was rendered.
            let start = u64::try_from(start).unwrap_or(u64::MAX);
            Ok(ForkMark { version, start })
        };
        let note = Self {
            lane: bits(text, "lane")?,
            held: mark("held_version", "held_start")?,
            seen: mark("seen_version", "seen_start")?,
        };
        ensure_equal(text, &note.render())?;
        Ok(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: ForkNote = ForkNote {
        lane: 7,
        held: ForkMark {
            version: 12,
            start: u64::MAX,
        },
        seen: ForkMark {
            version: u64::MAX,
            start: 0,
        },
    };

    #[test]
    fn a_note_is_read_back() {
        assert_eq!(ForkNote::parse(&NOTE.render()), Ok(NOTE));
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let text = NOTE.render();
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // What is no text is refused by whoever reads the file.
            if let Ok(flipped) = String::from_utf8(flipped) {
                assert!(ForkNote::parse(&flipped).is_err(), "bit {bit}");
            }
        }
    }
}
