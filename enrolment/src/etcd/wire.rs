//! What is said to etcd and what it answers: of `rpc.proto` and `kv.proto` of its API v3 the messages and fields
//! that are used here, under their names and numbers there. What etcd adds is skipped when it is read.

use prost::{Message, Oneof};

/// Where the calls are.
pub(super) const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const TXN: &str = "/etcdserverpb.KV/Txn";
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// Comparisons: the values of `Compare.CompareResult` and `Compare.CompareTarget`.
const EQUAL: i32 = 0;
const CREATE: i32 = 1;
const MOD: i32 = 2;

/// `Event.EventType`.
pub(super) const DELETE: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseHeader {
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// The revision of the last change of this key.
    #[prost(int64, tag = "3")]
    pub(super) mod_revision: i64,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// The first key behind the range; empty for one key alone.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(super) limit: i64,
    /// As of this revision; 0 for the newest.
    #[prost(int64, tag = "4")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    pub(super) kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    pub(super) more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteRangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestOp {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub(super) request: Option<Request>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Request {
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    #[prost(message, tag = "2")]
    Put(PutRequest),
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeRequest),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseOp {
    /// Of the answers, those to a range: puts and deletions are told by the whole.
    #[prost(message, optional, tag = "1")]
    pub(super) range: Option<RangeResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Compare {
    #[prost(int32, tag = "1")]
    pub(super) result: i32,
    #[prost(int32, tag = "2")]
    pub(super) target: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) key: Vec<u8>,
    #[prost(oneof = "Target", tags = "5, 6")]
    pub(super) value: Option<Target>,
    #[prost(bytes = "vec", tag = "64")]
    pub(super) range_end: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Oneof)]
pub(super) enum Target {
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    #[prost(int64, tag = "6")]
    ModRevision(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(super) success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnResponse {
    #[prost(bool, tag = "2")]
    pub(super) succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub(super) responses: Vec<ResponseOp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) create: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    /// The first revision whose events are wanted.
    #[prost(int64, tag = "3")]
    pub(super) start_revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchResponse {
    #[prost(bool, tag = "3")]
    pub(super) created: bool,
    #[prost(bool, tag = "4")]
    pub(super) canceled: bool,
    #[prost(string, tag = "6")]
    pub(super) cancel_reason: String,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) kv: Option<KeyValue>,
}

impl RangeRequest {
    /// One key.
    pub(super) fn of(key: &str) -> Self {
        Self {
            key: key.into(),
            ..Self::default()
        }
    }
}

impl RequestOp {
    /// The key it is about.
    pub(super) fn key(&self) -> &[u8] {
        match &self.request {
            Some(Request::Range(range)) => &range.key,
            Some(Request::Put(put)) => &put.key,
            Some(Request::DeleteRange(delete)) => &delete.key,
            None => &[],
        }
    }

    pub(super) fn range(key: &str) -> Self {
        Self {
            request: Some(Request::Range(RangeRequest::of(key))),
        }
    }

    pub(super) fn put(key: &str, value: Vec<u8>) -> Self {
        let key = key.into();
        Self {
            request: Some(Request::Put(PutRequest { key, value })),
        }
    }

    pub(super) fn delete(key: &[u8]) -> Self {
        let key = key.to_vec();
        Self {
            request: Some(Request::DeleteRange(DeleteRangeRequest { key })),
        }
    }
}

impl Compare {
    /// The key was not changed since it was read; 0 for one that was not there, and is not.
    pub(super) fn unchanged(key: &str, mod_revision: i64) -> Self {
        Self {
            result: EQUAL,
            target: MOD,
            key: key.into(),
            value: Some(Target::ModRevision(mod_revision)),
            range_end: Vec::new(),
        }
    }

    /// No key begins so.
    pub(super) fn none_below(prefix: &str) -> Self {
        Self {
            result: EQUAL,
            target: CREATE,
            key: prefix.into(),
            value: Some(Target::CreateRevision(0)),
            range_end: end_of(prefix),
        }
    }
}

/// The first key behind those that begin with `prefix`, which is ASCII and so does not end in 0xff.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(message: &impl Message) -> String {
        let bytes = message.encode_to_vec();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Against the numbers in `rpc.proto`: a tag is the field's number times 8, plus 2 for what has a length.
    #[test]
    fn messages_are_written_as_etcd_reads_them() {
        let transaction = TxnRequest {
            compare: vec![Compare::unchanged("a", 7), Compare::none_below("b/")],
            success: vec![
                RequestOp::range("c"),
                RequestOp::put("d", b"e".to_vec()),
                RequestOp::delete(b"f"),
            ],
        };
        let written = [
            "0a07", "1002", "1a0161", "3007", // target MOD, key a, mod_revision 7
            "0a0d", "1001", "1a02622f", "2800", "82040262",
            "30", // CREATE, key b/, 0, up to b0
            "1205", "0a03", "0a0163", // range of c
            "1208", "1206", "0a0164", "120165", // put of d: e
            "1205", "1a03", "0a0166", // deletion of f
        ];
        assert_eq!(hex(&transaction), written.concat());
        let watch = WatchRequest {
            create: Some(WatchCreateRequest {
                key: b"a/".to_vec(),
                range_end: end_of("a/"),
                start_revision: 5,
            }),
        };
        assert_eq!(
            hex(&watch),
            ["0a0a", "0a02612f", "12026130", "1805"].concat()
        );
        let range = RangeRequest {
            limit: 2,
            revision: 3,
            ..RangeRequest::of("k")
        };
        assert_eq!(hex(&range), ["0a016b", "1802", "2003"].concat());
    }

    #[test]
    fn what_etcd_adds_is_skipped() {
        // Header with all its fields (8, 16, 24, 32), one pair with a lease (48), more, count.
        let bytes = [
            0x0a, 8, 8, 1, 16, 2, 24, 9, 32, 3, 0x12, 15, 0x0a, 1, b'k', 16, 4, 24, 5, 32, 1, 0x2a,
            2, b'v', b'w', 48, 6, 24, 1, 32, 7,
        ];
        let read = RangeResponse::decode(&bytes[..]).unwrap();
        assert_eq!(read.header.unwrap().revision, 9);
        let pair = read.kvs.first().unwrap();
        assert_eq!((pair.mod_revision, &pair.value[..]), (5, &b"vw"[..]));
        assert!(read.more);
    }
}
