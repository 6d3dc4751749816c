//! An API server's end of an exec: it sends back what it gets.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::fake_api_server::{AnswerBody, whole};

/// Switches to SPDY/3.1, and echoes from then on.
pub(crate) fn switch(mut request: Request<Incoming>) -> Response<AnswerBody> {
    let switching = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = switching.await else {
            return;
        };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        // How it ends is the test's affair.
        drop(tokio::io::copy(&mut read, &mut write).await);
    });
    let switch = Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1");
    switch.body(whole("")).expect("a response")
}
