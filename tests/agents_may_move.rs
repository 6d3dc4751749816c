//! An agent whose router forgets its port, or whose host gets another address, keeps its tunnel, and what runs in it goes
//! on.

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::support::afar::Afar;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::ok;
use crate::support::{hosts, wait};

/// Case E26: twice, since the second one leaves a path that was itself moved to.
#[test]
fn their_router_forgets_their_port() {
    if hosts::can_be_made("agents_may_move::their_router_forgets_their_port") {
        assert_watch_goes_on(|afar, last_byte| afar.inland.rebind(last_byte));
    }
}

/// Case E26, as a laptop has it that changes networks.
#[test]
fn their_address_changes() {
    if hosts::can_be_made("agents_may_move::their_address_changes") {
        assert_watch_goes_on(|afar, last_byte| {
            let moved = afar.inland.move_first(last_byte);
            moved.expect("another address");
        });
    }
}

/// A watch gets its events before, between and after two moves; and so do new requests, which the relay sends.
fn assert_watch_goes_on(moves: impl Fn(&Afar, u8) + Sync) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let (events, told) = mpsc::channel::<Bytes>(1);
    let told = Mutex::new(Some(told));
    let afar = Afar::lay(move |request| {
        let watched = request.uri().path() == "/watch";
        let told = watched.then(|| told.lock().take());
        Box::pin(async move {
            let Some(Some(told)) = told else {
                return ok("{}");
            };
            let frames = stream::unfold(told, |mut told| async {
                let event = told.recv().await?;
                Some((Ok(Frame::data(event)), told))
            });
            http::Response::new(StreamBody::new(frames).boxed())
        })
    });
    afar.call(async || {
        let papers = Some(&afar.papers);
        let mut connection = Connection::open(&afar.site, papers, Protocol::Two).await;
        let answer = connection.get("/watch").await.expect("an answer");
        let mut watch = answer.into_body();
        for (last_byte, event) in [(70, "before"), (71, "between"), (0, "after")] {
            events.send(event.into()).await.expect("it is watched");
            assert_eq!(next(&mut watch).await, event);
            let mut another = Connection::open(&afar.site, papers, Protocol::One).await;
            let (status, _) = another.fetch("/new").await.expect("an answer");
            assert_eq!(status, 200, "{event}");
            if last_byte > 0 {
                moves(&afar, last_byte);
            }
        }
    });
}

async fn next(watch: &mut Incoming) -> String {
    let frame = wait::within("an event", watch.frame()).await;
    let frame = frame.expect("it goes on").expect("without an error");
    let event = frame.into_data().expect("an event");
    String::from_utf8_lossy(&event).into_owned()
}
