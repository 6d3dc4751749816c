//! Every bound of nested impersonation, with its reason.

use std::time::Duration;

/// Values of one wish: the user, a uid, groups and extra fields together. Each is a question to the API
/// server; directories that put people into more groups than this are named by role groups in RBAC anyway.
pub(super) const VALUES: usize = 64;

/// Bytes of these values and of the extra fields' keys: twice 64 names as long as a host's would be, 8 KiB of
/// which an audit event has room for.
pub(super) const BYTES: usize = 8 * 1024;

/// How long all reviews of one request may take, waiting for a turn and for a connection included. The API
/// server answers one in a few milliseconds, and a caller must have its answer within 10 s when it does not.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// Requests of an exit whose reviews are under way; each has one at the API server at a time. A tenth of the
/// requests that kube-apiserver serves at once by default (600).
pub(super) const TURNS: usize = 64;

/// Of these, of one username: who asks for a thousand different users at once waits in their own line.
pub(super) const TURNS_OF_CALLER: usize = 4;

/// Of these, of the callers of one provider: half, so that however many of them ask at once there are turns
/// for everybody else.
pub(super) const TURNS_OF_PROVIDER: usize = TURNS / 2;

/// Lines of callers, and as many of providers, that are kept although nobody stands in them.
pub(super) const LINES: usize = 256;

/// How long a "yes" is good for: what a controller that acts as many users saves is nearly all reviews, and a
/// right that was taken back ends soon enough for a person who watches. kube-apiserver keeps what an
/// authorizing webhook allowed for five minutes.
pub(super) const ALLOWED_FOR: Duration = Duration::from_secs(10);

/// How long a "no" is: for kubectl's five attempts at its first call, which are over within this time. Who was
/// just given the right need not wait.
pub(super) const DENIED_FOR: Duration = Duration::from_secs(2);

/// Verdicts that are kept, about 200 bytes each and 1 KiB at most with a reason.
pub(super) const VERDICTS: usize = 4096;

/// How much of the API server's reason is passed on: what RBAC says of a few broken bindings.
pub(super) const REASON: usize = 512;

/// The longest answer to a review. It repeats the question, whose values may become six times as long in JSON,
/// and adds a reason.
pub(super) const ANSWER: usize = 128 * 1024;
