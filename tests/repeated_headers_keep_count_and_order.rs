//! Header lines that come more than once arrive as often and in the same order, in both directions.

use http::Request;

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::RawApiServer;
use crate::support::wire::{self, Wire};

/// Case B16 on a plain request: `Accept` up, `Warning` and `Set-Cookie` down.
#[tokio::test(flavor = "multi_thread")]
async fn on_plain_requests() {
    let organisation = Organisation::new("acme");
    let raw = RawApiServer::start().await;
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let mut wire = Wire::open(&site, &organisation.caller("a")).await;
        wire.say(
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json;v=2\r\nX-Other: 1\r\nAccept: application/json\r\n\
             Accept: application/yaml\r\nX-Other: 2\r\n\r\n",
        )
        .await;
        let mut asked = raw.asked().await;
        let accepted = [
            "application/json;v=2",
            "application/json",
            "application/yaml",
        ];
        assert_eq!(
            wire::values(&asked.head, "accept"),
            accepted,
            "{way:?}: {}",
            asked.head
        );
        assert_eq!(wire::values(&asked.head, "x-other"), ["1", "2"]);
        asked
            .wire
            .say(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nWarning: 299 - \"first\"\r\nSet-Cookie: b=2\r\n\
                 Warning: 299 - \"second\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n",
            )
            .await;
        let head = wire.head().await;
        assert_eq!(
            wire::values(&head, "warning"),
            ["299 - \"first\"", "299 - \"second\""],
            "{head}"
        );
        assert_eq!(
            wire::values(&head, "set-cookie"),
            ["b=2", "a=1", "b=2"],
            "{head}"
        );
    }
}

/// Case B28: over HTTP/2 a cookie may come in pieces; HTTP/1.1 knows one line of it.
#[tokio::test(flavor = "multi_thread")]
async fn but_a_cookie_in_pieces_is_one() {
    let organisation = Organisation::new("acme");
    let raw = RawApiServer::start().await;
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let papers = organisation.caller("a");
        let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
        let request = Request::get("/")
            .header("cookie", "a=1")
            .header("accept", "*/*")
            .header("cookie", "b=2");
        let request = request.body(caller::body("")).expect("a request");
        let answering = async {
            let mut asked = raw.asked().await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            asked.wire.say(answer).await;
            asked.head
        };
        let (answer, head) = tokio::join!(connection.send(request), answering);
        assert_eq!(answer.expect("an answer").status(), 200, "{way:?}");
        assert_eq!(wire::values(&head, "cookie"), ["a=1; b=2"], "{way:?}");
    }
}

/// Case B16 on an upgrade: kubectl offers five stream protocols in five lines, in the order of its preference.
#[tokio::test(flavor = "multi_thread")]
async fn on_upgrades() {
    let organisation = Organisation::new("acme");
    let raw = RawApiServer::start().await;
    let offered = [
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v3.channel.k8s.io",
        "v2.channel.k8s.io",
        "channel.k8s.io",
    ];
    let lines: String = offered
        .iter()
        .map(|offer| format!("X-Stream-Protocol-Version: {offer}\r\n"))
        .collect();
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        let mut wire = Wire::open(&site, &organisation.caller("a")).await;
        wire.say(format!(
            "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n{lines}\r\n"
        ))
        .await;
        let mut asked = raw.asked().await;
        assert_eq!(
            wire::values(&asked.head, "x-stream-protocol-version"),
            offered,
            "{way:?}: {}",
            asked.head
        );
        asked
            .wire
            .say(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                 X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
            )
            .await;
        let head = wire.head().await;
        assert_eq!(wire::status(&head), 101);
        assert_eq!(
            wire::values(&head, "x-stream-protocol-version"),
            ["v4.channel.k8s.io"]
        );
        assert_eq!(wire::values(&head, "upgrade"), ["SPDY/3.1"]);
    }
}
