//! Bearer tokens.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Place};
use crate::file;
use crate::material::Material;

/// Longest token taken: projected service account tokens have 1 to 2 KiB, and an API server refuses
/// headers beyond 1 MiB long before that.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// A bearer token: visible ASCII, so that it can stand in a header. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself, for the `Authorization` header and nothing else.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// `written` without surrounding white space; `None` when it cannot be a token.
    pub fn parse(written: &str) -> Option<Self> {
        let token = written.trim();
        let fits = !token.is_empty() && token.len() <= MAX_TOKEN_BYTES;
        (fits && token.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(token.to_owned()))
    }

    /// A token in a file.
    pub(crate) fn material(file: PathBuf) -> Material<Self> {
        Material::of_files(vec![file.clone()], move || Self::read(&file))
    }

    /// The token that a file holds.
    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        let text = file::read_text(path)?;
        Self::parse(&text).ok_or_else(|| {
            Fault::new(
                path,
                Place::WHOLE_FILE,
                "BadToken",
                NOT_A_TOKEN,
                "write the token alone",
            )
        })
    }
}

/// What is wrong when [`Token::parse`] finds none.
pub(crate) const NOT_A_TOKEN: &str =
    "this is not a bearer token, which is one run of visible ASCII characters";

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_visible_word() {
        assert_eq!(Token::parse(" ey.J-_x \n").unwrap().secret(), "ey.J-_x");
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        for written in ["", "\n", "two words", "a\nb", "ä", "a\0b", &long] {
            assert!(Token::parse(written).is_none());
        }
    }

    #[test]
    fn debug_does_not_tell_it() {
        assert_eq!(
            format!("{:?}", Token::parse("hunter2")),
            "Some(Token(redacted))"
        );
    }
}
