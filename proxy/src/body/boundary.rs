//! Where a watch can be cut without cutting an event.

/// Bytes of the length that stands before each event of a protobuf watch (big endian, Kubernetes'
/// `runtime/serializer/protobuf` length-delimited framer).
const LENGTH_BYTES: u8 = 4;

/// How kube-apiserver begins each event of a JSON watch.
const EVENT_BEGINNING: &[u8] = b"{\"type\":\"";

/// Follows a watch's bytes and knows whether the last event is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// JSON: an event a line; strings hold no raw line feed.
    Lines {
        /// How much of [`EVENT_BEGINNING`] the body began with; what begins otherwise is no watch,
        /// whatever was asked for, and is never cut.
        matched: usize,
        /// Whether the last byte seen ended a line.
        whole: bool,
    },
    /// It is something else than it seemed.
    Unknown,
    /// Protobuf: a length and as many bytes.
    Lengths {
        /// Bytes of the length read so far, 0 to 4.
        length_bytes: u8,
        /// What these bytes say so far; with all four, how many bytes of the event are missing.
        missing: u32,
    },
}

impl Boundary {
    /// How the events of an answer with this `Content-Type` are told apart, if they can be.
    pub(crate) fn of_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Lines {
                matched: 0,
                whole: true,
            })
        } else if essence.eq_ignore_ascii_case("application/vnd.kubernetes.protobuf") {
            Some(Self::Lengths {
                length_bytes: 0,
                missing: 0,
            })
        } else {
            None
        }
    }

    /// Takes note of bytes that were passed on.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        match self {
            Self::Lines { matched, whole } => {
                let Some(last) = bytes.last() else { return };
                *whole = *last == b'\n';
                let expected = EVENT_BEGINNING.get(*matched..).unwrap_or_default();
                let here = expected.len().min(bytes.len());
                if expected.get(..here) == bytes.get(..here) {
                    *matched += here;
                } else {
                    *self = Self::Unknown;
                }
            }
            Self::Unknown => {}
            Self::Lengths {
                length_bytes,
                missing,
            } => {
                let mut rest = bytes;
                while let Some((first, tail)) = rest.split_first() {
                    if *length_bytes < LENGTH_BYTES {
                        *missing = (*missing << 8) | u32::from(*first);
                        *length_bytes += 1;
                        rest = tail;
                    } else {
                        let here = usize::try_from(*missing)
                            .unwrap_or(usize::MAX)
                            .min(rest.len());
                        *missing -= u32::try_from(here).unwrap_or(u32::MAX);
                        rest = rest.get(here..).unwrap_or_default();
                    }
                    if *length_bytes == LENGTH_BYTES && *missing == 0 {
                        *length_bytes = 0;
                    }
                }
            }
        }
    }

    /// Whether nothing of an event is outstanding.
    pub(crate) const fn is_whole(self) -> bool {
        match self {
            Self::Lines { whole, .. } => whole,
            Self::Unknown => false,
            Self::Lengths { length_bytes, .. } => length_bytes == 0,
        }
    }
}

/// Whether a watch could be cut behind these pieces; see the crate's root.
pub fn watch_is_whole_after(
    content_type: &str,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> Option<bool> {
    let mut boundary = Boundary::of_content_type(content_type)?;
    pieces.for_each(|piece| boundary.advance(piece));
    Some(boundary.is_whole())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_whole_after_a_line_feed_only() {
        let mut boundary = Boundary::of_content_type("application/json;stream=watch").unwrap();
        assert!(boundary.is_whole());
        boundary.advance(b"{\"type\":\"ADDED\"");
        assert!(!boundary.is_whole());
        boundary.advance(b"}\n");
        assert!(boundary.is_whole());
        boundary.advance(b"");
        assert!(boundary.is_whole());
    }

    #[test]
    fn json_that_is_no_watch_is_never_whole() {
        let mut boundary = Boundary::of_content_type("application/json").unwrap();
        boundary.advance(b"{\"ty");
        boundary.advance(b"pe\":5}\n");
        assert!(!boundary.is_whole());
        let mut boundary = Boundary::of_content_type("application/json").unwrap();
        for byte in b"{\"type\":\"ADDED\"}\n" {
            boundary.advance(&[*byte]);
        }
        assert!(boundary.is_whole());
    }

    #[test]
    fn protobuf_is_whole_when_the_announced_bytes_came_however_they_were_cut() {
        let mut stream = vec![0, 0, 1, 2];
        stream.extend([7; 258]);
        stream.extend([0, 0, 0, 0]);
        stream.extend([0, 0, 0, 1, 9]);
        let whole_at = [262, 266, 271];
        for step in [1, 2, 3, 5, 100] {
            let mut boundary =
                Boundary::of_content_type("application/vnd.kubernetes.protobuf;stream=watch")
                    .unwrap();
            let mut at = 0;
            for piece in stream.chunks(step) {
                boundary.advance(piece);
                at += piece.len();
                assert_eq!(
                    boundary.is_whole(),
                    whole_at.contains(&at),
                    "{at} in steps of {step}"
                );
            }
        }
    }

    #[test]
    fn other_encodings_have_no_known_boundary() {
        assert_eq!(Boundary::of_content_type("application/cbor-seq"), None);
        assert_eq!(Boundary::of_content_type("text/plain"), None);
    }
}
