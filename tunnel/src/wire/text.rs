//! Text of a peer: bounded, and safe to print.

use std::fmt;
use std::ops::Deref;

use super::WireFault;

/// UTF-8 of at most `MAX` bytes without control characters, so that it can neither fill memory nor
/// write into a terminal or a log.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text<const MAX: usize>(Box<str>);

/// Program and version of an agent, as it calls itself: 64 bytes hold a name and a version.
pub type SoftwareName = Text<64>;
/// The domain below which a relay's entrances lie: 253 bytes are DNS's own bound (RFC 1035 §3.1).
pub type EntranceDomain = Text<253>;
/// The server name of a caller's ClientHello, with DNS's bound.
pub type ServerName = Text<253>;
/// A sentence for a person: 256 bytes are two lines of a terminal.
pub type Message = Text<256>;

impl<const MAX: usize> Text<MAX> {
    /// Takes what a peer sent.
    ///
    /// # Errors
    ///
    /// When it is too long, not UTF-8, or holds control characters.
    pub fn parse(bytes: &[u8], what: &'static str) -> Result<Self, WireFault> {
        if bytes.len() > MAX {
            return Err(WireFault::TooLong {
                what,
                length: bytes.len(),
                limit: MAX,
            });
        }
        std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.chars().any(char::is_control))
            .map(|text| Self(text.into()))
            .ok_or(WireFault::Meaningless { what })
    }

    /// Takes our own words: control characters become blanks, what does not fit is cut off.
    pub fn fitting(text: &str) -> Self {
        let mut fitted = String::with_capacity(text.len().min(MAX));
        for character in text.chars() {
            let printable = if character.is_control() {
                ' '
            } else {
                character
            };
            if fitted.len() + printable.len_utf8() > MAX {
                break;
            }
            fitted.push(printable);
        }
        Self(fitted.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_write_into_a_terminal() {
        for bytes in [
            &b"a\x1b[31m"[..],
            b"two\nlines",
            b"\x00",
            b"\xff\xfe",
            "\u{9b}".as_bytes(),
        ] {
            assert_eq!(
                SoftwareName::parse(bytes, "software"),
                Err(WireFault::Meaningless { what: "software" })
            );
        }
    }

    #[test]
    fn bound_is_in_bytes() {
        assert!(SoftwareName::parse("é".repeat(32).as_bytes(), "software").is_ok());
        assert!(SoftwareName::parse("é".repeat(33).as_bytes(), "software").is_err());
        assert_eq!(SoftwareName::fitting(&"é".repeat(33)).len(), 64);
        assert_eq!(
            SoftwareName::fitting(&format!("a{}", "é".repeat(40))).len(),
            63
        );
    }

    #[test]
    fn own_words_are_made_printable() {
        assert_eq!(Message::fitting("a\r\nb").as_str(), "a  b");
    }
}
