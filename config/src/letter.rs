//! What two administrators send one another to connect their clusters: an invitation, and the answer to it.
//!
//! A letter is one line, base64url of JSON that begins with what it is. Nothing in it is secret and nothing in it
//! grants anything: it says who somebody is and what was offered. It may have passed through anybody's hands, so that it
//! is read strictly, in the one form that it is written in, and its [`fingerprint`](Letter::fingerprint) covers
//! every byte: who has compared that has compared names, addresses and certificates alike.
//!
//! Not here: which objects are made of it (`gangplank-objects`), and asking a person (the binary).

mod answer;
mod field;
mod invitation;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gangplank_pki::Fingerprint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use answer::Answer;
pub use field::{FieldFault, namespace, object_name, role, server};
pub use invitation::{Invitation, Offer};

use answer::WrittenAnswer;
use invitation::WrittenInvitation;

/// Longest line. Eight certificates of RSA keys with 4096 bits take some 22 KiB of it, and an argument of a
/// command may have 128 KiB (Linux, `MAX_ARG_STRLEN`).
pub const LONGEST: usize = 32 * 1024;

/// What a letter says that it is.
const INVITATION: &str = "invitation/1";
const ANSWER: &str = "answer/1";

/// An invitation, or an answer.
#[derive(Clone, Debug)]
pub enum Letter {
    /// From the cluster that is to be called.
    Invitation(Invitation),
    /// From the cluster that wants to call.
    Answer(Answer),
}

/// What is written.
#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Invitation(WrittenInvitation),
    Answer(WrittenAnswer),
}

impl Letter {
    /// Reads a letter as it was sent; blanks and line ends around it do not count.
    ///
    /// # Errors
    /// When it is not, byte for byte, what this program writes.
    pub fn parse(text: &str) -> Result<Self, LetterFault> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(LetterFault::TooLong { bytes: text.len() });
        }
        let json = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_position_says_nothing| LetterFault::NotWhole)?;
        let value: Value = serde_json::from_slice(&json)
            .map_err(|_position_says_nothing| LetterFault::NotWhole)?;
        let letter = match value.get("gangplank").and_then(Value::as_str) {
            Some(INVITATION) => Self::Invitation(read::<WrittenInvitation>(&json)?.try_into()?),
            Some(ANSWER) => Self::Answer(read::<WrittenAnswer>(&json)?.try_into()?),
            Some(other) => {
                return Err(LetterFault::Unknown {
                    what: other.chars().filter(|c| !c.is_control()).take(40).collect(),
                });
            }
            None => return Err(LetterFault::NotWhole),
        };
        // One letter has one form: what a person compares is then all that there is.
        if letter.text() != text {
            return Err(LetterFault::OtherForm);
        }
        Ok(letter)
    }

    /// The line that is sent.
    pub fn text(&self) -> String {
        let written = match self {
            Self::Invitation(invitation) => Written::Invitation(invitation.into()),
            Self::Answer(answer) => Written::Answer(answer.into()),
        };
        // Structs of texts are always JSON.
        let json = serde_json::to_vec(&written).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    /// What the administrators compare: SHA-256 of the line.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.text().as_bytes())
    }
}

fn read<'j, T: Deserialize<'j>>(json: &'j [u8]) -> Result<T, LetterFault> {
    serde_json::from_slice(json).map_err(|fault| LetterFault::Fields {
        why: fault.to_string().chars().take(200).collect(),
    })
}

/// Why a letter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LetterFault {
    /// More than is ever written.
    #[error("it has {bytes} bytes, more than any invitation or answer; have it sent again")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// Cut off, broken into lines, or something else altogether.
    #[error(
        "it is no invitation and no answer, or not whole; copy the whole line, or have it sent again"
    )]
    NotWhole,
    /// Of another version.
    #[error(
        "it says that it is `{what}`, which this version does not know; use the version that wrote it"
    )]
    Unknown {
        /// What it says.
        what: String,
    },
    /// JSON of other fields.
    #[error("its fields are not those of a letter ({why}); have it made anew")]
    Fields {
        /// What is wrong.
        why: String,
    },
    /// A field cannot be meant.
    #[error(transparent)]
    Field(#[from] FieldFault),
    /// The same meaning in another form.
    #[error("it was rewritten on the way; have the original sent")]
    OtherForm,
}

#[cfg(test)]
mod tests;
