//! Small files of text that an operator can read: lines of `key = value`, and a checksum.
//!
//! The last line is the checksum of all bytes before it. Whoever reads such a file renders what it
//! understood, and compares: any other text is refused.

use std::str::FromStr;

const CHECKSUM_KEY: &str = "crc32c";

/// Why a text is not as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TextError {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl TextError {
    pub(crate) fn new(expected: &str, found: &str) -> Self {
        Self {
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }
}

/// The text, with its checksum at the end.
pub(crate) fn with_checksum(text: &str) -> String {
    let checksum = crc32c::crc32c(text.as_bytes());
    format!("{text}{CHECKSUM_KEY} = \"{checksum:08x}\"\n")
}

/// Compares a text with what it should be, going by the values in it.
pub(crate) fn ensure_equal(found: &str, expected: &str) -> Result<(), TextError> {
    if found == expected {
        return Ok(());
    }
    let checksum = |text| quoted(text, CHECKSUM_KEY).unwrap_or("other text");
    let expected = format!("checksum {} of exactly these values", checksum(expected));
    Err(TextError::new(&expected, checksum(found)))
}

/// The value of a key: a decimal number.
pub(crate) fn number<T: FromStr>(text: &str, key: &str) -> Result<T, TextError> {
    let value = value(text, key)?;
    let number = value.parse();
    number.map_err(|_| TextError::new(&format!("a number for `{key}`"), value))
}

/// The value of a key: 16 bytes in hexadecimal digits, between quotes.
pub(crate) fn bits(text: &str, key: &str) -> Result<u128, TextError> {
    let value = quoted(text, key)?;
    let bits = u128::from_str_radix(value, 16);
    bits.map_err(|_| TextError::new(&format!("hexadecimal digits for `{key}`"), value))
}

/// The value of a key, between quotes.
pub(crate) fn quoted<'a>(text: &'a str, key: &str) -> Result<&'a str, TextError> {
    let value = value(text, key)?;
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.ok_or_else(|| TextError::new(&format!("a quoted value for `{key}`"), value))
}

fn value<'a>(text: &'a str, key: &str) -> Result<&'a str, TextError> {
    let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix(" = ");
    let found = text.lines().find_map(value);
    found.ok_or_else(|| TextError::new(&format!("a line `{key} = ...`"), "no such line"))
}
