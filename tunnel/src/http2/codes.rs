//! Our codes as error codes of HTTP/2, beside those that HTTP/2 has itself (RFC 9113 §7).

use h2::Reason;

use crate::session::Closed;
use crate::wire::{AbortCode, CloseCode, Message};

/// Above it our codes lie, far from what anyone else has assigned.
const OURS: u32 = 0x4750_0000;

/// Codes of sessions lie above those of streams.
const SESSIONS: u32 = 0x8000;

/// A stream's code on the wire. What this version does not know is said as `Dropped`: it comes from a peer
/// and only goes back to one.
pub(super) fn of_stream(code: AbortCode) -> Reason {
    match code {
        AbortCode::NotReading => Reason::NO_ERROR,
        AbortCode::Other(number) if number >= SESSIONS => of_stream(AbortCode::Dropped),
        code => (OURS | code.number()).into(),
    }
}

/// What a stream's error code means. HTTP/2 itself says `NO_ERROR` and `CANCEL` for a stream of which this
/// direction is complete and the other not wanted.
pub(super) fn stream_code(reason: Reason) -> AbortCode {
    match (reason, within_ours(reason)) {
        (Reason::NO_ERROR | Reason::CANCEL, _) => AbortCode::NotReading,
        (_, Some(number)) if number < SESSIONS => AbortCode::from_number(number),
        _ => AbortCode::ProtocolViolation,
    }
}

/// A session's code on the wire: the error code of its control stream.
pub(super) fn of_session(code: CloseCode) -> Reason {
    (OURS | SESSIONS | (code.number() & (SESSIONS - 1))).into()
}

/// What the error code of a control stream says of the session, if it does.
pub(super) fn session_code(reason: Reason) -> Option<CloseCode> {
    let number = within_ours(reason)?.checked_sub(SESSIONS)?;
    Some(CloseCode::from_number(number))
}

/// The end that such a code tells of. Words of the peer do not fit beside an error code.
pub(super) fn closed_by_peer(code: CloseCode) -> Closed {
    Closed::ByPeer {
        code,
        message: Message::fitting("no further words over TCP"),
    }
}

fn within_ours(reason: Reason) -> Option<u32> {
    let number = u32::from(reason);
    (number & 0xffff_0000 == OURS).then_some(number & 0xffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_code_of_ours_comes_back(number in 0..SESSIONS) {
            let stream = AbortCode::from_number(number);
            prop_assert_eq!(stream_code(of_stream(stream)), stream);
            let session = CloseCode::from_number(number);
            prop_assert_eq!(session_code(of_session(session)), Some(session));
            prop_assert_eq!(session_code(of_stream(stream)), None);
        }

        #[test]
        fn any_number_of_a_peer_means_something(number: u32) {
            let reason = Reason::from(number);
            let as_session = session_code(reason);
            prop_assert!(as_session.is_none() || stream_code(reason) == AbortCode::ProtocolViolation);
        }
    }

    #[test]
    fn codes_of_http2_itself_are_told_apart() {
        assert_eq!(stream_code(Reason::CANCEL), AbortCode::NotReading);
        assert_eq!(stream_code(Reason::NO_ERROR), AbortCode::NotReading);
        assert_eq!(
            stream_code(Reason::FLOW_CONTROL_ERROR),
            AbortCode::ProtocolViolation
        );
        assert_eq!(
            stream_code(of_stream(AbortCode::Other(u32::MAX))),
            AbortCode::Dropped
        );
    }
}
