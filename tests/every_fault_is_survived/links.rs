//! What befalls the link between cluster and relay.

use std::thread::sleep;
use std::time::Duration;

use gangplank_link::{Conditions, Direction, Protocol, Reordering, Share};

use super::ground::Ground;
use super::story::{Mark, Row};
use crate::support::wait;

/// How long a link is bad.
const BAD: Duration = Duration::from_secs(5);

/// Addresses of the link's network that nobody has.
const ELSEWHERE: [u8; 2] = [70, 71];

/// The largest packet that a black hole lets pass.
const PASSES: usize = 1_250;

pub(super) fn cut_until_noticed() -> Row {
    let ground = Ground::new();
    let (relay, agent) = (&ground.afar.relay().process, &ground.afar.site.exit);
    let (struck, logged) = (Mark::now(), [relay.log().len(), agent.log().len()]);
    ground
        .afar
        .inland
        .change(|conditions| conditions.cut = true);
    Ground::await_logged(relay, logged[0], "tunnel withdrawn");
    Ground::await_logged(agent, logged[1], "tunnel down");
    ground
        .afar
        .inland
        .change(|conditions| conditions.cut = false);
    let mended = Mark::now();
    ground.tell("link cut until both had noticed", struck, mended)
}

pub(super) fn cut_for(seconds: u64) -> Row {
    during(
        &format!("link cut for {seconds} s"),
        Duration::from_secs(seconds),
        |conditions| {
            conditions.cut = true;
        },
    )
}

pub(super) fn loss(percent: u32) -> Row {
    during(
        &format!("{percent} % of the packets lost"),
        BAD,
        |conditions| {
            conditions.loss = Share::percent(percent);
        },
    )
}

pub(super) fn reordering() -> Row {
    during(
        "5 % of the packets overtaken by three others",
        BAD,
        |conditions| {
            conditions.reordering = Some(Reordering {
                share: Share::percent(5),
                overtaken_by: 3,
                at_most: Duration::from_millis(10),
            });
        },
    )
}

pub(super) fn duplication() -> Row {
    during("5 % of the packets come twice", BAD, |conditions| {
        conditions.duplication = Share::percent(5);
    })
}

/// On a tunnel that had already found out that the network takes more.
pub(super) fn black_hole() -> Row {
    let ground = Ground::new();
    wait::until("the tunnel to use large packets", || {
        let tally = ground.afar.inland.tally(Direction::There, Protocol::Udp);
        let large: u64 = tally
            .sizes
            .range(PASSES + 1..)
            .map(|(_, count)| count)
            .sum();
        (large > 100).then_some(())
    });
    let fault = "packets of more than 1,250 bytes vanish";
    during_on(ground, fault, BAD, |conditions| {
        conditions.largest = Some(PASSES);
    })
}

pub(super) fn udp_vanishes() -> Row {
    let ground = Ground::new();
    let agent = &ground.afar.site.exit;
    let (struck, logged) = (Mark::now(), agent.log().len());
    ground
        .afar
        .inland
        .change(|conditions| conditions.refused = vec![Protocol::Udp]);
    Ground::await_logged(agent, logged, "tunnel up");
    let mended = Mark::now();
    ground.tell(
        "UDP vanishes; the tunnel comes back over TCP",
        struck,
        mended,
    )
}

/// A link that is bad for a while, and then as before.
fn during(fault: &str, time: Duration, worsen: impl Fn(&mut Conditions)) -> Row {
    during_on(Ground::new(), fault, time, worsen)
}

fn during_on(ground: Ground, fault: &str, time: Duration, worsen: impl Fn(&mut Conditions)) -> Row {
    let inland = &ground.afar.inland;
    let mut before = Conditions::default();
    inland.change_one_way(Direction::There, |conditions| {
        before = conditions.clone();
    });
    let struck = Mark::now();
    inland.change(worsen);
    sleep(time);
    inland.change(|conditions| *conditions = before.clone());
    let mended = Mark::now();
    let hit = [Direction::There, Direction::Back].map(|direction| {
        let tally = inland.tally(direction, Protocol::Udp);
        tally.cut + tally.lost + tally.overtaken + tally.duplicated + tally.too_large
    });
    assert!(hit.iter().sum::<u64>() > 0, "the tunnel has met it");
    ground.tell(fault, struck, mended)
}

pub(super) fn rebinding() -> Row {
    moved(
        "the agent's router forgets its port, twice",
        |ground, last_byte| {
            ground.afar.inland.rebind(last_byte);
        },
    )
}

pub(super) fn another_address() -> Row {
    moved(
        "the agent's host gets another address, twice",
        |ground, last_byte| {
            let moved = ground.afar.inland.move_first(last_byte);
            moved.expect("another address");
        },
    )
}

/// The second one leaves a path that was itself moved to.
fn moved(fault: &str, moves: impl Fn(&Ground, u8)) -> Row {
    let ground = Ground::new();
    let struck = Mark::now();
    moves(&ground, ELSEWHERE[0]);
    ground.await_service(Mark::now().at);
    let second = Mark::now();
    moves(&ground, ELSEWHERE[1]);
    let mut row = ground.tell(fault, struck, second);
    row.back = format!("{} (the second time)", row.back);
    row
}
