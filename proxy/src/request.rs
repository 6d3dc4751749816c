//! The life of a request, step by step.

mod account;
mod speaker;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;

use gangplank_pki::WithCauses;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use crate::audit::{Entry, Kind};
use crate::authenticate::{Admitted, Verdict};
use crate::body::{AnswerBody, Boundary, Relay, RequestBody, UpstreamBody};
use crate::connection::Connection;
use crate::headers;
use crate::metrics::ReasonLabels;
use crate::respond::{Problem, options_of_everything};
use crate::shares::{RequestPlace, Standing};
use crate::upgrade::{Protocol, Splice, confirm};
use crate::upstream::{Expected, UpgradeAnswer, UpstreamError};

use self::speaker::Speaker;

/// Answers one request of a connection; whatever happens, there is an answer.
pub(crate) async fn answer(
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let unanswered = connection.unanswered();
    // Who is refused anyway does nothing that must be recorded, and waits for nobody.
    if connection.is_of_a_member() && !connection.exit.audit.has_room().await {
        unanswered.answered();
        return Ok(refuse_unrecorded(&connection, &request));
    }
    let upgrade = Protocol::asked_for(&request).map(|it| (it, hyper::upgrade::on(&mut request)));
    let (parts, body) = request.into_parts();
    let entry = begin_entry(&connection, &parts, upgrade.is_some());
    let (version, method) = (parts.version, parts.method.clone());
    let asked = Asked {
        connection: &connection,
        parts,
        entry,
    };
    let result = match upgrade {
        // What runs until the answer's head is there is large, and hyper keeps room for this future for as
        // long as the connection or stream lives: on the heap that room is given back with the head.
        Some((protocol, on_upgrade)) => Box::pin(asked.switch(protocol, on_upgrade, &body)).await,
        None => Box::pin(asked.forward(body)).await,
    };
    unanswered.answered();
    Ok(match result {
        Ok(response) => response,
        Err((problem, mut entry)) => {
            if problem.closes() {
                connection.close();
            }
            entry.declined(problem.class());
            entry.answered(problem.status());
            let mut response = without_body_for_head(problem.into_response(version), &method);
            response.body_mut().keep(entry);
            response
        }
    })
}

/// hyper leaves a body out for HEAD on HTTP/1.1 only.
fn without_body_for_head(
    mut response: Response<AnswerBody>,
    method: &Method,
) -> Response<AnswerBody> {
    if method == Method::HEAD {
        *response.body_mut() = AnswerBody::ours("");
    }
    response
}

/// What cannot be recorded is not done, where the operator wants it so; nor is this recorded.
fn refuse_unrecorded<B>(connection: &Connection, request: &Request<B>) -> Response<AnswerBody> {
    let problem = Problem::unrecorded();
    let metrics = &connection.exit.metrics;
    metrics.answered(request.method(), problem.status());
    connection.who.underway.one_over();
    without_body_for_head(problem.into_response(request.version()), request.method())
}

fn begin_entry(connection: &Connection, parts: &Parts, upgrades: bool) -> Entry {
    let who = Arc::clone(&connection.who);
    Entry::begin(who, Arc::clone(&connection.exit.metrics), upgrades, parts)
}

/// A request that has not been answered.
struct Asked<'a> {
    connection: &'a Connection,
    parts: Parts,
    entry: Entry,
}

type Answer = Result<Response<AnswerBody>, (Problem, Entry)>;

impl Asked<'_> {
    /// A plain request: checked, given its caller's name, sent on, its answer relayed.
    async fn forward(self, body: Incoming) -> Answer {
        let Self {
            connection,
            parts,
            mut entry,
        } = self;
        let step = async {
            let admitted = admit(connection)?;
            let mut place = count_in(connection)?;
            let Some(target) = target(&parts)? else {
                return Ok(None);
            };
            let speaker = speaker::of(connection, admitted, &parts.headers, &mut entry).await?;
            let body = RequestBody::new(body, parts.version, connection.revoked.clone())
                .counted(|| entry.counter_of_received());
            let again = || outgoing(&parts, target.clone(), &speaker, &entry, None).ok();
            let request = outgoing(&parts, target.clone(), &speaker, &entry, None)?;
            let is_plain_read = entry.kind() == Kind::Short
                && !entry.is_handed_on()
                && matches!(parts.method, Method::GET | Method::HEAD);
            let expected = if is_plain_read && place.may_read_alone() {
                Expected::Soon
            } else {
                Expected::Long
            };
            let upstream = &connection.exit.upstream;
            let request = request.map(|()| body);
            let sent = pin!(upstream.send(speaker.on_behalf(), request, expected, &again));
            let response = unless_revoked(connection, sent).await?;
            let spoke = account::may_be_refused(&response).then(|| speaker.user());
            Ok(Some((response, spoke, place)))
        };
        match step.await {
            Ok(Some((response, _, _))) if response.status().is_informational() => {
                Err((Problem::switched_wrongly(), entry))
            }
            Ok(Some((response, Some(user), place))) if !entry.is_handed_on() => {
                account::relay(connection, response, entry, (user, place)).await
            }
            Ok(Some((response, _, place))) => Ok(relay(connection, response, entry, place)),
            Ok(None) => {
                let mut response = options_of_everything();
                entry.answered(response.status());
                response.body_mut().keep(entry);
                Ok(response)
            }
            Err(problem) => Err((problem, entry)),
        }
    }

    /// A request to go on in another protocol: the same checks and headers, and the two connections
    /// are joined only when the API server agreed to exactly this protocol.
    async fn switch(self, protocol: Protocol, on_upgrade: OnUpgrade, body: &Incoming) -> Answer {
        let Self {
            connection,
            parts,
            mut entry,
        } = self;
        let step = async {
            let admitted = admit(connection)?;
            let asking = count_in(connection)?;
            let place = asking.upgrade();
            let place = place.ok_or_else(Problem::too_many_upgrades)?;
            let Some(target) = target(&parts)? else {
                return Err(Problem::not_a_path());
            };
            if !body.is_end_stream() {
                return Err(Problem::upgrade_with_body());
            }
            let speaker = speaker::of(connection, admitted, &parts.headers, &mut entry).await?;
            let request = outgoing(&parts, target, &speaker, &entry, Some(protocol))?;
            let upstream = &connection.exit.upstream;
            let sent = pin!(upstream.upgrade(speaker.on_behalf(), request));
            let answer = unless_revoked(connection, sent).await?;
            Ok((answer, asking, place))
        };
        match step.await {
            Ok((UpgradeAnswer::Switched { response, io }, _, place)) => {
                let Some(response) = confirm(response, protocol) else {
                    return Err((Problem::switched_wrongly(), entry));
                };
                entry.answered(response.status());
                connection.go_on_as(Splice::new(on_upgrade, io, entry, place));
                Ok(response)
            }
            Ok((UpgradeAnswer::Refused(response), ..)) if response.status().is_informational() => {
                Err((Problem::switched_wrongly(), entry))
            }
            Ok((UpgradeAnswer::Refused(response), asking, _)) => {
                // The caller may have begun to speak the other protocol already: what follows the
                // refused request is not another one.
                let mut response = relay(connection, response, entry, asking);
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
                Ok(response)
            }
            // As above: what the caller sent ahead must not be read as its next request.
            Err(problem) => Err((problem.closing(), entry)),
        }
    }
}

/// Whether the connection's caller may ask anything, now.
fn admit(connection: &Connection) -> Result<Arc<Admitted>, Problem> {
    match connection.papers.verdict() {
        Verdict::Admitted(admitted) if !connection.revoked.is_cancelled() => Ok(admitted),
        Verdict::Admitted(_) | Verdict::Changed => Err(Problem::trust_changed()),
        Verdict::Refused(refusal) => Err(Problem::unauthorized(&refusal)),
        Verdict::Unwritable => Err(Problem::of_headers(&headers::HeaderFault::Identity)),
    }
}

/// Counts a request of someone who was let in, if they have not used up their share.
fn count_in(connection: &Connection) -> Result<RequestPlace, Problem> {
    if connection.is_flooding() {
        return Err(Problem::too_many_taken_back());
    }
    match &connection.standing {
        Standing::Member { place, .. } => {
            place.share().request().map_err(Problem::too_many_requests)
        }
        Standing::Surplus { limit, .. } => Err(Problem::too_many_connections(*limit)),
        // Whoever was not let in was refused before this step.
        Standing::Stranger { .. } => Err(Problem::trust_changed()),
    }
}

/// Path and query, byte for byte, of a request whose end everyone sees at the same place; `None` for `OPTIONS *`, which is not for the API server.
fn target(parts: &Parts) -> Result<Option<Uri>, Problem> {
    if parts.method == Method::CONNECT {
        return Err(Problem::no_tunnels());
    }
    if !has_one_host(parts) {
        return Err(Problem::not_one_host());
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some_and(|it| !chunked(it)) || codings.next().is_some() {
        return Err(Problem::coded_twice());
    }
    let Some(target) = parts.uri.path_and_query() else {
        return Err(Problem::not_a_path());
    };
    if parts.method == Method::OPTIONS && target == "*" {
        return Ok(None);
    }
    if !target.as_str().starts_with('/') {
        return Err(Problem::not_a_path());
    }
    Ok(Some(Uri::from(target.clone())))
}

/// Whether an HTTP/1 request names its host as it must (RFC 9112 §3.2). What it names does not matter here, but
/// what is between us and the caller may have chosen by another of two lines than someone else would.
fn has_one_host(parts: &Parts) -> bool {
    let lines = parts.headers.get_all(HOST).iter().count();
    match parts.version {
        Version::HTTP_11 => lines == 1,
        Version::HTTP_10 | Version::HTTP_09 => lines <= 1,
        _ => true,
    }
}

/// What goes upstream, but for the credential and the host, which the upstream client sets.
fn outgoing(
    parts: &Parts,
    target: Uri,
    speaker: &Speaker,
    entry: &Entry,
    protocol: Option<Protocol>,
) -> Result<Request<()>, Problem> {
    let headers = headers::upstream(
        &parts.headers,
        speaker.impersonation(),
        entry.request_id(),
        protocol,
    )
    .map_err(|fault| Problem::of_headers(&fault))?;
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Waits for the API server's answer as long as the caller has the right to it. What is pinned by its owner is
/// in the request's memory once: an async fn keeps what it was given by value beside what it does with it.
async fn unless_revoked<T>(
    connection: &Connection,
    sent: Pin<&mut impl Future<Output = Result<T, UpstreamError>>>,
) -> Result<T, Problem> {
    tokio::select! {
        biased;
        () = connection.revoked.cancelled() => Err(Problem::trust_changed()),
        answer = sent => answer.map_err(|error| {
            let labels = ReasonLabels { reason: error.reason() };
            connection.exit.metrics.upstream_faults.get_or_create(&labels).inc();
            tracing::debug!(
                conn.id = %connection.who.caller.connection_text(),
                reason = error.reason(),
                error = %WithCauses(&error),
                "no answer from the API server",
            );
            Problem::of_upstream(&error)
        }),
    }
}

/// The API server's answer as it is, without what was about its connection to us.
fn relay(
    connection: &Connection,
    response: Response<UpstreamBody>,
    mut entry: Entry,
    place: RequestPlace,
) -> Response<AnswerBody> {
    let (mut parts, body) = response.into_parts();
    headers::strip_response(&mut parts.headers);
    parts.version = Version::default();
    entry.answered(parts.status);
    let drained =
        watch_boundary(&parts, &entry).map(|boundary| (connection.drain.clone(), boundary));
    let relay = Relay::new(body, connection.revoked.clone(), drained, (entry, place));
    Response::from_parts(parts, AnswerBody::relayed(relay))
}

/// For a watch, where it can be ended cleanly.
fn watch_boundary(parts: &http::response::Parts, entry: &Entry) -> Option<Boundary> {
    if entry.kind() != Kind::Watch || !parts.status.is_success() {
        return None;
    }
    if parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    let content_type = parts.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Boundary::of_content_type(content_type)
}
