//! Nested impersonation: callers who ask to be taken for someone else, as `kubectl --as` does.
//!
//! A `Wish` is what they ask for, a `Claim` one value of it with the right that it takes. `Reviews`
//! has the API server say whether the caller, under the name that their certificate has here, holds each
//! of these rights, by the rules of kube-apiserver's own impersonation filter. Only that makes a [`Grant`],
//! and without one nothing but the caller's own name goes upstream. Who they are stays with the request, in
//! an extra field that is ours alone (`wish::ORIGINAL_USER`).
//!
//! Not here: who the caller is, and how headers are written (`headers`). An exit that refuses all of this,
//! which is the default, has no `Reviews`.

mod answer;
mod claim;
mod grant;
mod limits;
mod reviews;
mod verdicts;
mod wish;

pub use self::grant::Grant;
pub(crate) use self::reviews::{ReviewFault, Reviews};
pub(crate) use self::wish::{Wish, WishFault};
