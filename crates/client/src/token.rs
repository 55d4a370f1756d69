//! Tokens: what an add changed, or a read has read, as opaque bytes that a read can wait for.
//!
//! The client never looks inside. Text form is hexadecimal, so that a token can be an argument
//! of a command or a field of JSON.

use std::{error::Error, fmt, str::FromStr};

/// Bytes of a token, at most; set by the protocol.
pub const TOKEN_BYTES_MAX: usize = 32_768;

/// Stands for everything that an add changed, or for at least what a read has read. A read that
/// carries it, on any node of the same cluster, waits until that node knows of all that, of the
/// counters that it reads.
///
/// ```
/// use tally_client::Token;
///
/// let token: Token = "00ff10".parse()?;
/// assert_eq!(token.as_bytes(), [0x00, 0xff, 0x10]);
/// assert_eq!(token.to_string(), "00ff10");
/// # Ok::<(), tally_client::ParseTokenError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Token(Vec<u8>);

impl Token {
    /// Takes bytes that [`Token::as_bytes`] gave, perhaps in another process. Only a node can
    /// say whether they are a token of its cluster.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept or passed on.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Token {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let digits = text.len();
        if !digits.is_multiple_of(2) || digits > 2 * TOKEN_BYTES_MAX {
            return Err(ParseTokenError::Length { digits });
        }
        let nibble = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
                .ok_or(ParseTokenError::Digit)
        };
        text.as_bytes()
            .chunks_exact(2)
            .map(|pair| Ok(nibble(pair[0])? << 4 | nibble(pair[1])?))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseTokenError {
    /// The number of digits is odd or too high.
    Length {
        /// How many there are.
        digits: usize,
    },
    /// A character is not a hexadecimal digit.
    Digit,
}

impl fmt::Display for ParseTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { digits } => write!(
                f,
                "a token has an even number of hexadecimal digits, at most {}, and this has \
                 {digits}; copy it whole",
                2 * TOKEN_BYTES_MAX
            ),
            Self::Digit => write!(
                f,
                "a token has hexadecimal digits only; copy it as `tally add` printed it"
            ),
        }
    }
}

impl Error for ParseTokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_token() {
        let token = Token::from_bytes(vec![0, 1, 0xab, 0xff]);
        assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn half_a_byte_or_another_character_is_refused() {
        assert_eq!(
            "abc".parse::<Token>(),
            Err(ParseTokenError::Length { digits: 3 })
        );
        assert_eq!("zz".parse::<Token>(), Err(ParseTokenError::Digit));
        assert_eq!("é".parse::<Token>(), Err(ParseTokenError::Digit));
    }
}
