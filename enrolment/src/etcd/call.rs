//! One call of gRPC's (its "PROTOCOL-HTTP2"): messages behind five bytes each, and a status at the end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use gangplank_tunnel::wire::Message as Sentence;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame};
use prost::Message;

/// Whether it is compressed, and how long it is.
const PREFIX: usize = 5;

/// The longest message that is read. The longest answer that is asked for is a page of keys with a few hundred
/// bytes each, and etcd itself keeps no value beyond 1.5 MiB.
const LONGEST: usize = 4 * 1024 * 1024;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallFault {
    #[error("it answered with HTTP status {0}")]
    Status(StatusCode),
    #[error("the connection broke off")]
    Broken(#[source] hyper::Error),
    #[error("it answered: {message} (code {code}){}", remedy(.code))]
    Refused {
        /// Both as it says them, cut, and without what could write into a log.
        code: Sentence,
        message: Sentence,
    },
    #[error("its answer is not whole")]
    CutShort,
    #[error("its answer is longer than anything that was asked for")]
    TooLong,
    #[error("its answer is not understood")]
    Malformed,
}

/// What to do about a `grpc-status`, where anything can be done.
fn remedy(code: &str) -> &'static str {
    match code {
        // PERMISSION_DENIED and UNAUTHENTICATED.
        "7" | "16" => {
            "; grant the user that the relay's certificate names `readwrite` on all keys below the prefix"
        }
        // RESOURCE_EXHAUSTED: no space, or too many requests.
        "8" => {
            "; see `etcdctl alarm list`: compact it and defragment its members, or give it more room"
        }
        _ => "",
    }
}

/// What is said: one message, and then nothing, or no end.
#[derive(Debug)]
pub(super) struct Said {
    message: Option<Bytes>,
    stays_open: bool,
}

impl Said {
    /// A question.
    pub(super) fn once(message: &impl Message) -> Self {
        Self {
            message: Some(framed(message)),
            stays_open: false,
        }
    }

    /// The beginning of a stream that goes on until its connection ends.
    pub(super) fn and_stay(message: &impl Message) -> Self {
        Self {
            stays_open: true,
            ..Self::once(message)
        }
    }
}

fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut framed = BytesMut::with_capacity(PREFIX + body.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    framed.put_slice(&body);
    framed.freeze()
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.message.take() {
            Some(message) => Poll::Ready(Some(Ok(Frame::data(message)))),
            // Nobody is to wake it: it has no more to say, and only the connection's end ends it.
            None if self.stays_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && !self.stays_open
    }
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Answers<B> {
    body: B,
    read: BytesMut,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Answers<B> {
    /// The answers of a response, if it has any.
    pub(super) fn of(response: http::Response<B>) -> Result<Self, CallFault> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(CallFault::Status(head.status));
        }
        // A call that failed at once has its status here.
        verdict(&head.headers)?;
        Ok(Self {
            body,
            read: BytesMut::new(),
        })
    }

    /// The next message; none at the end, if that was a good one.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, CallFault> {
        loop {
            if let Some(message) = self.take_message()? {
                let message = M::decode(message).map_err(|_meaningless| CallFault::Malformed)?;
                return Ok(Some(message));
            }
            let Some(frame) = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await else {
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(CallFault::CutShort)
                };
            };
            match frame.map_err(CallFault::Broken)?.into_data() {
                Ok(data) => self.read.extend_from_slice(&data),
                Err(frame) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        verdict(trailers)?;
                    }
                }
            }
        }
    }

    /// A message that has come as a whole.
    fn take_message(&mut self) -> Result<Option<Bytes>, CallFault> {
        let mut ahead = &self.read[..];
        if ahead.len() < PREFIX {
            return Ok(None);
        }
        if ahead.get_u8() != 0 {
            // Nothing compressed was asked for.
            return Err(CallFault::Malformed);
        }
        let length = usize::try_from(ahead.get_u32()).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Err(CallFault::TooLong);
        }
        if ahead.len() < length {
            return Ok(None);
        }
        self.read.advance(PREFIX);
        Ok(Some(self.read.split_to(length).freeze()))
    }
}

/// What `grpc-status` says, if it is there.
fn verdict(headers: &HeaderMap) -> Result<(), CallFault> {
    let text = |name| {
        let value = headers.get(name)?;
        let text = String::from_utf8_lossy(value.as_bytes());
        Some(Sentence::fitting(&text))
    };
    match text("grpc-status") {
        None => Ok(()),
        Some(code) if &*code == "0" => Ok(()),
        Some(code) => Err(CallFault::Refused {
            code,
            message: text("grpc-message").unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use std::collections::VecDeque;

    use super::*;
    use crate::etcd::wire::RangeRequest;

    /// An answer in these pieces.
    struct Pieces(VecDeque<Frame<Bytes>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    fn answered(
        pieces: impl IntoIterator<Item = Vec<u8>>,
        status: Option<&str>,
    ) -> Answers<Pieces> {
        let mut frames: VecDeque<_> = pieces
            .into_iter()
            .map(|piece| Frame::data(Bytes::from(piece)))
            .collect();
        if let Some(status) = status {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            trailers.insert("grpc-message", "no leader".parse().unwrap());
            frames.push_back(Frame::trailers(trailers));
        }
        Answers::of(http::Response::new(Pieces(frames))).unwrap()
    }

    async fn said(message: &RangeRequest) -> Vec<u8> {
        let said = Said::once(message).collect().await.unwrap();
        said.to_bytes().to_vec()
    }

    #[tokio::test]
    async fn messages_are_whole_however_they_are_cut() {
        let (one, two) = (RangeRequest::of("a"), RangeRequest::of("bc"));
        let bytes = [said(&one).await, said(&two).await].concat();
        assert_eq!(bytes.get(..5), Some(&[0, 0, 0, 0, 3][..]));
        for size in 1..=bytes.len() {
            let pieces = bytes.chunks(size).map(<[u8]>::to_vec);
            let mut answers = answered(pieces, Some("0"));
            assert_eq!(answers.next().await.unwrap(), Some(one.clone()));
            assert_eq!(answers.next().await.unwrap(), Some(two.clone()));
            assert_eq!(answers.next::<RangeRequest>().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        let whole = said(&RangeRequest::of("abc")).await;
        let cut = whole[..whole.len() - 1].to_vec();
        let compressed = [&[1], &whole[1..]].concat();
        let endless = vec![0, 0xff, 0xff, 0xff, 0xff, 0];
        let meaningless = vec![0, 0, 0, 0, 1, 0x0f];
        for (bytes, status, words) in [
            (cut, Some("0"), "its answer is not whole"),
            (compressed, Some("0"), "its answer is not understood"),
            (
                endless,
                None,
                "its answer is longer than anything that was asked for",
            ),
            (meaningless, None, "its answer is not understood"),
            (Vec::new(), Some("14"), "it answered: no leader (code 14)"),
        ] {
            let fault = answered([bytes], status).next::<RangeRequest>().await;
            assert_eq!(fault.unwrap_err().to_string(), words);
        }
    }

    /// It goes into the log and before people.
    #[test]
    fn what_it_says_is_cut_and_writes_nothing_into_a_terminal() {
        let mut refused = http::Response::new(Pieces(VecDeque::new()));
        let said = |bytes: &[u8]| http::HeaderValue::from_bytes(&bytes.repeat(300)).unwrap();
        let headers = refused.headers_mut();
        headers.insert("grpc-status", said(b"7"));
        // A tab, and the first half of an escape sequence in one character (C1).
        headers.insert("grpc-message", said(b"\t\xc2\x9b"));
        let told = Answers::of(refused).err().unwrap().to_string();
        assert!(told.len() < 600, "{told}");
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }

    #[test]
    fn a_call_may_fail_at_once() {
        let body = || Pieces(VecDeque::new());
        let mut refused = http::Response::new(body());
        let headers = refused.headers_mut();
        headers.insert("grpc-status", "7".parse().unwrap());
        headers.insert("grpc-message", "permission denied".parse().unwrap());
        let fault = Answers::of(refused).err().unwrap();
        assert!(
            fault
                .to_string()
                .contains("permission denied (code 7); grant"),
            "{fault}"
        );
        let mut elsewhere = http::Response::new(body());
        *elsewhere.status_mut() = StatusCode::NOT_FOUND;
        let fault = Answers::of(elsewhere).err().unwrap();
        assert!(fault.to_string().contains("404"), "{fault}");
    }
}
