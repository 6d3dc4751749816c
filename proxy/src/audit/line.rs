//! The JSON of an event, written field by field into a buffer that is there already.
//!
//! By hand, because every field's name and order is known, and because a line is written for each
//! request: what is the same for a whole connection or request is rendered once and copied.

use std::io::Write as _;
use std::time::Duration;

/// A line, or a part of one: fields with a comma before each. Fields that have nothing to say are left out.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) &'a mut Vec<u8>);

impl Fields<'_> {
    /// Bytes that someone else wrote, at most `limit` of them, as text that cannot steer a terminal:
    /// everything but printable ASCII as `\xNN`.
    pub(super) fn text(&mut self, name: &str, bytes: &[u8], limit: usize) {
        if bytes.is_empty() {
            return;
        }
        self.name(name);
        self.0.push(b'"');
        printable(self.0, bytes.get(..limit).unwrap_or(bytes));
        self.0.push(b'"');
    }

    /// Texts that someone else wrote, each in pieces, as a list; otherwise as [`text`](Self::text).
    pub(super) fn texts<'t, const PIECES: usize>(
        &mut self,
        name: &str,
        texts: impl Iterator<Item = [&'t str; PIECES]>,
    ) {
        let mut separator = b'[';
        for pieces in texts {
            if separator == b'[' {
                self.name(name);
            }
            self.0.extend_from_slice(&[separator, b'"']);
            for piece in pieces {
                printable(self.0, piece.as_bytes());
            }
            self.0.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            self.0.push(b']');
        }
    }

    /// A word of our own, which needs no escaping.
    pub(super) fn word(&mut self, name: &str, word: &str) {
        if word.is_empty() {
            return;
        }
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b'"');
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        // Writing to a vector cannot fail.
        drop(write!(self.0, "{number}"));
    }

    /// Seconds to the microsecond.
    pub(super) fn seconds(&mut self, name: &str, duration: Duration) {
        self.name(name);
        let (seconds, micros) = (duration.as_secs(), duration.subsec_micros());
        drop(write!(self.0, "{seconds}.{micros:06}"));
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

/// `bytes` as the inside of a JSON string in which only printable ASCII stands.
fn printable(line: &mut Vec<u8>, bytes: &[u8]) {
    // Nearly everything is plain. Looking at all of it without an early end is what a compiler makes wide
    // instructions of.
    if bytes
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
    {
        line.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        match byte {
            b'"' => line.extend_from_slice(b"\\\""),
            byte if is_plain(*byte) => line.push(*byte),
            byte => drop(write!(line, "\\\\x{byte:02x}")),
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8], limit: usize) -> String {
        let mut line = b"{\"a\":0".to_vec();
        Fields(&mut line).text("b", bytes, limit);
        line.push(b'}');
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        line["b"].as_str().unwrap_or("(left out)").to_owned()
    }

    #[test]
    fn control_characters_and_what_is_not_ascii_are_escaped() {
        assert_eq!(
            said(b"a b\x1b[31m\n\\\xc3\xa9", 100),
            "a b\\x1b[31m\\x0a\\x5c\\xc3\\xa9"
        );
        assert_eq!(said(b"\"},{\"user\":\"root", 100), "\"},{\"user\":\"root");
        assert_eq!(said(b"\x7f\0", 100), "\\x7f\\x00");
        assert_eq!(said(b"abcdef", 3), "abc");
        assert_eq!(said(b"", 3), "(left out)");
    }

    #[test]
    fn every_byte_gives_valid_json_in_printable_ascii() {
        for byte in 0..=u8::MAX {
            let mut line = Vec::new();
            printable(&mut line, &[byte, b'a', byte]);
            assert!(
                line.iter().all(|it| matches!(it, b' '..=b'~')),
                "{byte}: {line:?}"
            );
            said(&[byte], 1);
        }
    }

    #[test]
    fn a_list_is_one_whatever_stands_in_it() {
        let listed = |texts: &[[&str; 2]]| {
            let mut line = b"{\"a\":0".to_vec();
            Fields(&mut line).texts("b", texts.iter().copied());
            line.push(b'}');
            serde_json::from_slice::<serde_json::Value>(&line).unwrap()["b"].clone()
        };
        assert_eq!(listed(&[]), serde_json::Value::Null);
        assert_eq!(listed(&[["a", "b"]]), serde_json::json!(["ab"]));
        let odd = [["\",\"", "x"], ["", "\n"]];
        assert_eq!(listed(&odd), serde_json::json!(["\",\"x", "\\x0a"]));
    }

    #[test]
    fn numbers_are_numbers() {
        let mut line = Vec::new();
        let mut fields = Fields(&mut line);
        fields.number("bytes", u64::MAX);
        fields.seconds("seconds", Duration::from_nanos(1_000_042_999));
        fields.word("stage", "ended");
        let expected = ",\"bytes\":18446744073709551615,\"seconds\":1.000042,\"stage\":\"ended\"";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
