//! Serial numbers of certificates, the same whoever wrote them down.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest serial number, in bytes (RFC 5280 §4.1.2.2).
const LONGEST: usize = 20;

/// A certificate's serial number: not negative, at most 20 bytes.
///
/// Written in lower-case hexadecimal, an even number of digits, at least two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; LONGEST]);

impl Serial {
    /// The content of a DER integer; `None` when it is negative, longer than 20 bytes, or has more
    /// zeros before it than DER wants.
    pub(crate) fn from_integer(content: &[u8]) -> Option<Self> {
        let magnitude = match content {
            [] => return None,
            [0] => content,
            [0, next, ..] if *next < 0x80 => return None,
            [0, magnitude @ ..] => magnitude,
            [first, ..] if *first >= 0x80 => return None,
            magnitude => magnitude,
        };
        Self::from_magnitude(magnitude)
    }

    /// From its bytes without a sign.
    pub(crate) fn from_magnitude(magnitude: &[u8]) -> Option<Self> {
        let padding = LONGEST.checked_sub(magnitude.len())?;
        let mut bytes = [0; LONGEST];
        for (to, from) in bytes.iter_mut().skip(padding).zip(magnitude) {
            *to = *from;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        self.0
            .iter()
            .skip(zeros.min(LONGEST - 1))
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = SerialFault;

    /// Reads hexadecimal digits of either case; colons between bytes, as openssl prints them, are
    /// tolerated.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or(SerialFault::NotHexadecimal)?;
        if digits.is_empty() {
            return Err(SerialFault::Empty);
        }
        let significant = digits.iter().skip_while(|digit| **digit == 0);
        let significant: Vec<u8> = significant.copied().collect();
        let magnitude: Vec<u8> = significant
            .rchunks(2)
            .rev()
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        Self::from_magnitude(&magnitude).ok_or(SerialFault::TooLong)
    }
}

/// What is wrong with a written serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SerialFault {
    /// No digit at all.
    #[error("a serial number has at least one digit")]
    Empty,
    /// Something other than a hexadecimal digit.
    #[error("a serial number is written in hexadecimal digits")]
    NotHexadecimal,
    /// More than 20 bytes.
    #[error("a serial number has 20 bytes at most")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_read_as_der_wants_them() {
        for (content, text) in [
            (&[0][..], "00"),
            (&[1], "01"),
            (&[0x12, 0x34], "1234"),
            (&[0, 0x80], "80"),
            (&[0x7f; 20], &"7f".repeat(20)),
        ] {
            assert_eq!(Serial::from_integer(content).unwrap().to_string(), text);
        }
        let twenty_one = [&[0][..], &[0xff; 20]].concat();
        assert!(Serial::from_integer(&twenty_one).is_some(), "a sign byte");
        for refused in [&[][..], &[0x80], &[0, 0x7f], &[0, 0], &[0x7f; 21]] {
            assert_eq!(Serial::from_integer(refused), None, "{refused:x?}");
        }
    }

    #[test]
    fn what_people_copy_is_understood() {
        let serial = Serial::from_integer(&[0x0a, 0x1b, 0x2c]).unwrap();
        for written in ["0a1b2c", "A1B2C", "0A:1B:2C", "00000a1b2c"] {
            assert_eq!(written.parse(), Ok(serial), "{written}");
        }
        assert_eq!("0".parse::<Serial>().unwrap().to_string(), "00");
        for (written, fault) in [
            ("", SerialFault::Empty),
            (":", SerialFault::Empty),
            ("0x1f", SerialFault::NotHexadecimal),
            ("-1", SerialFault::NotHexadecimal),
            (&"f".repeat(41), SerialFault::TooLong),
        ] {
            assert_eq!(written.parse::<Serial>(), Err(fault), "{written}");
        }
    }

    proptest! {
        #[test]
        fn a_serial_reads_what_it_writes(bytes in prop::collection::vec(any::<u8>(), 1..=20)) {
            let serial = Serial::from_magnitude(&bytes).unwrap();
            prop_assert_eq!(serial.to_string().parse(), Ok(serial));
        }
    }
}
