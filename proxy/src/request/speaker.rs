//! In whose name a request goes on: the caller's own, or that of someone whom they may be taken for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gangplank_pki::WithCauses;
use http::{HeaderMap, HeaderValue};

use super::admit;
use crate::audit::Entry;
use crate::authenticate::Admitted;
use crate::connection::Connection;
use crate::headers::Impersonation;
use crate::nested::{Grant, ReviewFault, Reviews, Wish};
use crate::respond::Problem;
use crate::upstream::OnBehalf;

/// Someone in whose name a request may go on.
pub(super) enum Speaker {
    Caller(Arc<Admitted>),
    Nested(Box<Nested>),
}

/// A caller who acts as someone else.
pub(super) struct Nested {
    caller: Arc<Admitted>,
    grant: Grant,
    impersonation: Impersonation,
}

impl Speaker {
    pub(super) fn on_behalf(&self) -> OnBehalf<'_> {
        match self {
            Self::Caller(caller) => OnBehalf::caller(&caller.identity),
            Self::Nested(nested) => OnBehalf::nested(&nested.caller.identity, &nested.grant),
        }
    }

    /// The user.
    pub(super) fn user(&self) -> HeaderValue {
        self.impersonation().user().clone()
    }

    pub(super) fn impersonation(&self) -> &Impersonation {
        match self {
            Self::Caller(caller) => &caller.impersonation,
            Self::Nested(nested) => &nested.impersonation,
        }
    }
}

/// Who speaks in a request with these headers.
pub(super) async fn of(
    connection: &Connection,
    admitted: Arc<Admitted>,
    headers: &HeaderMap,
    entry: &mut Entry,
) -> Result<Speaker, Problem> {
    let Some(wish) = Wish::of(headers) else {
        return Ok(Speaker::Caller(admitted));
    };
    if let Ok(wish) = &wish {
        entry.asks_to_be(wish);
    }
    let Some(reviews) = &connection.exit.reviews else {
        // Whoever makes the headers refuses it.
        return Ok(Speaker::Caller(admitted));
    };
    let wish = wish.map_err(|fault| Problem::of_wish(&fault))?;
    // On the heap: few requests come here, and all would have room for it.
    let nested = Box::pin(granted(connection, reviews, &admitted, wish)).await?;
    Ok(Speaker::Nested(Box::new(nested)))
}

async fn granted(
    connection: &Connection,
    reviews: &Reviews,
    admitted: &Admitted,
    wish: Wish,
) -> Result<Nested, Problem> {
    let upstream = &connection.exit.upstream;
    let reviewed = tokio::select! {
        biased;
        () = connection.revoked.cancelled() => return Err(Problem::trust_changed()),
        reviewed = reviews.grant(upstream, &admitted.identity, wish) => reviewed,
    };
    let grant = reviewed.map_err(|fault| {
        note(connection, &fault);
        Problem::of_review(&fault)
    })?;
    let impersonation = Impersonation::of_grant(&grant);
    let impersonation = impersonation.map_err(|fault| Problem::of_headers(&fault))?;
    Ok(Nested {
        // Reviews take time, in which the caller's own right may have ended.
        caller: admit(connection)?,
        grant,
        impersonation,
    })
}

/// What only the exit's operator can mend is an error, but not one for each request.
fn note(connection: &Connection, fault: &ReviewFault) {
    let told = &connection.exit.reviews_refused_told;
    if matches!(fault, ReviewFault::NotAsked) && !told.swap(true, Ordering::Relaxed) {
        tracing::error!(
            class = "ReviewRefused",
            "the API server takes no reviews from this exit's account: grant it `create` on \
             `subjectaccessreviews`, or set `nestedImpersonation: Refuse`",
        );
        return;
    }
    tracing::debug!(
        conn.id = %connection.who.caller.connection_text(),
        error = %WithCauses(fault),
        "a caller is not taken for someone else",
    );
}
