//! A caller that goes away takes its requests along, even when it left bytes behind them that nobody reads.

use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS};
use crate::support::raw_api_server::RawApiServer;
use crate::support::wait;
use crate::support::wire::{self, Wire};

const WATCH: &str = "GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: a\r\n\r\n";

/// The answer of a watch that has no event yet.
const SILENT: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The beginning of a next request, and a whole one.
const BEHIND: [&str; 3] = ["", "G", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"];

/// Before the API server answered, and while a watch is silent: its connection is given up, and no place
/// is kept.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_they_sent_ahead() {
    let (organisation, raw) = (Organisation::new("acme"), RawApiServer::start().await);
    for way in WAYS {
        let site = Site::start(way, &raw.kubeconfig(), &[&organisation]);
        for behind in BEHIND {
            for answered in [false, true] {
                let mut wire = Wire::open(&site, &organisation.caller("a")).await;
                wire.say(format!("{WATCH}{behind}")).await;
                let mut asked = raw.asked().await;
                if answered {
                    asked.wire.say(SILENT).await;
                    assert_eq!(wire::status(&wire.head().await), 200, "{way:?}");
                }
                drop(wire);
                assert_eq!(asked.wire.rest().await, b"", "{way:?} {behind:?}");
            }
        }
        wait::until("every connection to be gone", || {
            (site.exit.metric("gangplank_exit_connections") == Some(0.0)).then_some(())
        });
    }
}
