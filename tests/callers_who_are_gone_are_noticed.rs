//! Callers who are gone while something is sent to them are found by asking the kernel, and those are left alone who are there, answer
//! the kernel's probes and only take nothing for a while. Here the patience is a second, so that the kernel's pauses between probes
//! are soon longer than it; `soak_who_takes_nothing_for_minutes_stays` has the program's own.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use gangplank_link::{Host, Link};
use gangplank_tcp::{Lookout, Pace};
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::runtime;
use tokio_util::task::TaskTracker;

use crate::support::afar::Afar;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::AnswerBody;
use crate::support::{hosts, wait};

const PACE: Pace = Pace {
    every: Duration::from_millis(100),
    patience: Duration::from_secs(1),
};

/// Between two of the kernel's probes: longer than the patience.
const PAUSE: Duration = Duration::from_secs(2);

/// What a link's second host and the first one have of a connection.
struct Ends {
    link: Link,
    caller: TcpStream,
    accepted: TcpStream,
}

impl Ends {
    fn join(callers: &Host, quay: &Host, (number, listener): (u8, &TcpListener)) -> Self {
        let link = Link::lay(callers, quay, number).expect("a link");
        let port = listener.local_addr().expect("it is bound").port();
        let address = SocketAddr::from((link.second(), port));
        let connect = || TcpStream::connect_timeout(&address, wait::PATIENCE);
        let caller = hosts::at(Some(callers), connect).expect("a connection");
        let (accepted, _) = listener.accept().expect("it is there");
        accepted.set_nonblocking(true).expect("our own socket");
        Self {
            link,
            caller,
            accepted,
        }
    }

    /// Writes until there is no room at the far end, nor here.
    fn fill(&mut self) {
        let piece = [7; 64 << 10];
        wait::until("the far end to have no room", || {
            match self.accepted.write(&piece) {
                Ok(_taken) => None,
                Err(error) => (error.kind() == ErrorKind::WouldBlock).then_some(()),
            }
        });
    }

    fn cut(&self) {
        self.link.change(|conditions| conditions.cut = true);
    }
}

/// How long the kernel waits until it asks again whether there is room, if there is a connection of this host that it asks (proc(5),
/// `net/tcp`).
fn pause_before_a_probe() -> Option<Duration> {
    let table = fs::read_to_string("/proc/thread-self/net/tcp").expect("the kernel tells");
    let timers = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let pauses = timers.filter_map(|timer| timer.strip_prefix("04:"));
    let hundredths = pauses.filter_map(|pause| u64::from_str_radix(pause, 16).ok());
    hundredths
        .map(|hundredths| Duration::from_millis(10 * hundredths))
        .max()
}

#[test]
fn and_who_only_takes_nothing_is_left_alone() {
    if !hosts::can_be_made(
        "callers_who_are_gone_are_noticed::and_who_only_takes_nothing_is_left_alone",
    ) {
        return;
    }
    let [callers, quay] = [(); 2].map(|()| Host::new().expect("a host"));
    let bind = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let listener = hosts::at(Some(&quay), bind);
    let mut full = Ends::join(&callers, &quay, (1, &listener));
    let mut lost = Ends::join(&callers, &quay, (2, &listener));
    let port = listener.local_addr().expect("it is bound");
    let looking_out = async {
        let (lookout, tasks) = (Lookout::paced(PACE), TaskTracker::new());
        let followed = |ends: &Ends| {
            let socket = ends.accepted.try_clone().expect("our own socket");
            let socket = tokio::net::TcpStream::from_std(socket).expect("our own socket");
            lookout.follow(&socket)
        };
        let (mut full_is_gone, lost_is_gone) = (followed(&full), followed(&lost));
        let looking = tasks.spawn(lookout.clone().keep(port));
        full.fill();
        wait::until_async("the kernel to ask but now and then", || async {
            pause_before_a_probe().filter(|pause| *pause >= PAUSE)
        })
        .await;
        lost.cut();
        lost.accepted.write_all(b"?").expect("the kernel takes it");
        tokio::select! {
            biased;
            () = &mut full_is_gone => panic!("who answers each probe is there"),
            () = wait::within("who is gone to be noticed", lost_is_gone) => {}
        }
        full.cut();
        wait::within("who took nothing and is gone too", full_is_gone).await;
        looking.abort();
    };
    hosts::at(Some(&quay), || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(looking_out);
    });
    drop((full.caller, lost.caller));
}

/// So long is nothing taken: four times the program's patience, and twice the longest pause of the kernel's.
const STOPPED: Duration = Duration::from_secs(240);

/// More than all that is on the way holds.
const MUCH: usize = 64 << 20;

/// A watch that always has an event.
fn busy() -> AnswerBody {
    let event = Bytes::from(vec![b' '; 16 << 10]);
    let events = stream::repeat_with(move || Ok(Frame::data(event.clone())));
    StreamBody::new(events).boxed()
}

#[test]
#[ignore = "minutes in which nothing happens: make soak"]
fn soak_who_takes_nothing_for_minutes_stays() {
    if !hosts::can_be_made(
        "callers_who_are_gone_are_noticed::soak_who_takes_nothing_for_minutes_stays",
    ) {
        return;
    }
    let runtime = runtime::Runtime::new().expect("a runtime");
    let afar = {
        let _within = runtime.enter();
        Afar::lay(|_request| Box::pin(async { Response::new(busy()) }))
    };
    afar.call(async || {
        let mut connection = Connection::open(&afar.site, Some(&afar.papers), Protocol::One).await;
        let mut answer = connection.get("/").await.expect("an answer");
        // Nothing is read meanwhile.
        let ended = wait::up_to(STOPPED, || {
            let page = afar.relay().process.metrics();
            page.contains("gangplank_relay_ends_total{").then_some(page)
        });
        assert_eq!(ended, None);
        let mut taken = 0;
        while taken < MUCH {
            let event = wait::within("an event", answer.body_mut().frame()).await;
            let event = event.expect("it has not ended").expect("nor was it cut");
            taken += event.into_data().expect("a piece of an answer").len();
        }
    });
}
