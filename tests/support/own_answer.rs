//! An answer of the exit itself: a Kubernetes `Status`, and the same in a `Warning`.

use http::Response;
use hyper::body::Incoming;
use serde_json::Value;

use super::caller;

/// What it says.
#[derive(Debug)]
pub(crate) struct OwnAnswer {
    /// The HTTP status, which the `Status` repeats.
    pub(crate) code: u16,
    /// Kubernetes' reason.
    pub(crate) reason: String,
    /// The class, first word of the warning.
    pub(crate) class: String,
    /// The text for people.
    pub(crate) message: String,
    /// Whether a client may send anything again.
    pub(crate) retry_after: bool,
}

/// Reads one; panics when it is not in the form that Kubernetes clients understand.
pub(crate) async fn read(response: Response<Incoming>) -> OwnAnswer {
    let code = response.status().as_u16();
    let headers = response.headers().clone();
    let text = caller::read(response).await;
    let shown = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(
        headers.get("content-type").expect("a content type"),
        "application/json",
        "{shown}"
    );
    let status: Value =
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(status["kind"], "Status", "{shown}");
    assert_eq!(status["apiVersion"], "v1", "{shown}");
    assert_eq!(status["status"], "Failure", "{shown}");
    assert_eq!(status["code"], code, "{shown}");
    let message = status["message"].as_str().expect("a message").to_owned();
    assert!(!message.is_empty(), "{shown}");
    let warnings: Vec<&str> = headers
        .get_all("warning")
        .iter()
        .map(|line| line.to_str().expect("ASCII"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?} {shown}");
    let said = warnings[0]
        .strip_prefix("299 gangplank \"")
        .expect("code and agent");
    let (class, told) = said.split_once(": ").expect("a class and what to do");
    assert!(
        told.len() > "\"".len(),
        "the warning says what to do: {said}"
    );
    OwnAnswer {
        code,
        reason: status["reason"].as_str().expect("a reason").to_owned(),
        class: class.to_owned(),
        message,
        retry_after: headers.contains_key("retry-after"),
    }
}
