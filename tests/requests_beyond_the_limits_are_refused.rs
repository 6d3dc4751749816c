//! A request's headers may be as large as `docs/operate.md` says, and one that goes beyond is refused while others on
//! the same exit are served.

use http::Request;

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::Site;

/// Of HTTP/1.1's limits of 128 KiB and 256 lines, and of HTTP/2's 192 KiB, where each field counts 32 bytes more.
#[tokio::test(flavor = "multi_thread")]
async fn by_size_and_by_number() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::direct(&fake.kubeconfig(), &[&organisation]);
    let papers = organisation.caller("a");
    for (protocol, headers, kib, served) in [
        (Protocol::One, 1, 120, true),
        (Protocol::One, 1, 130, false),
        (Protocol::One, 240, 0, true),
        (Protocol::One, 520, 0, false),
        (Protocol::Two, 1, 185, true),
        (Protocol::Two, 1, 195, false),
        (Protocol::Two, 520, 0, true),
    ] {
        let what = format!("{protocol:?}: {headers} headers of {kib} KiB");
        let mut connection = Connection::open(&site, Some(&papers), protocol).await;
        let mut request = Request::get("/api");
        for number in 0..headers {
            request = request.header(format!("x-{number}"), "a".repeat(kib << 10));
        }
        let answer = connection
            .send(request.body(caller::body("")).expect("a request"))
            .await;
        let status = answer.as_ref().map(|answer| answer.status().as_u16());
        match (served, protocol) {
            (true, _) => assert_eq!(status.ok(), Some(200), "{what}"),
            (false, Protocol::One) => assert_eq!(status.ok(), Some(431), "{what}"),
            (false, Protocol::Two) => {
                assert!(status.is_err() || status.ok() == Some(431), "{what}");
            }
        }
    }
}
