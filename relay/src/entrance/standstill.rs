//! Callers on board who take nothing of what has come for them. Each holds a window of their tunnel, which all of its
//! callers share, so they are bounded for each tunnel, and with the quay's rule: when there are too many, the one that
//! has stood still the longest leaves. Without that, a few hundred of them would stop everybody else of the tunnel.
//!
//! Nobody else is meant: no time counts, and who takes a byte now and then counts from there.

use gangplank_tunnel::BoxFuture;

use crate::entrance::quay::{Quay, Room, Source};

/// Most callers of a tunnel who stand still: half of those whose windows its session holds
/// ([`SESSION_WINDOW`](gangplank_tunnel::quic::limits::SESSION_WINDOW)). The other half is for those who read.
const MOST_STANDING: usize = 128;

/// Most of one source: a program whose hundred watches nobody reads stays, and so do 16 others beside it.
const MOST_OF_ONE_SOURCE: usize = 112;

/// Those of one tunnel.
#[derive(Debug)]
pub(crate) struct Standstill(Quay);

impl Default for Standstill {
    fn default() -> Self {
        Self(Quay::with_room(Room {
            everyone: MOST_STANDING,
            one_source: MOST_OF_ONE_SOURCE,
        }))
    }
}

impl Standstill {
    /// A caller of that source stands still as long as this lives; resolves when it has to make way.
    pub(crate) fn begin(&self, source: Source) -> BoxFuture<'static, ()> {
        let standing = self.0.clone();
        Box::pin(async move {
            let place = standing.arrive(source);
            place.sent_away().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn must_make_way(standing: &mut BoxFuture<'static, ()>) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        standing.as_mut().poll(&mut nobody).is_ready()
    }

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[test]
    fn too_many_of_one_source_cost_it_its_own() {
        let standstill = Standstill::default();
        let mut other = standstill.begin(source(9));
        assert!(!must_make_way(&mut other));
        let mut first = standstill.begin(source(1));
        assert!(!must_make_way(&mut first));
        let mut later = Vec::new();
        for _ in 0..MOST_OF_ONE_SOURCE {
            let mut next = standstill.begin(source(1));
            assert!(!must_make_way(&mut next));
            later.push(next);
        }
        assert!(must_make_way(&mut first), "it has stood the longest");
        assert!(!later.iter_mut().any(must_make_way));
        assert!(!must_make_way(&mut other));
    }

    #[test]
    fn who_is_not_waited_for_holds_no_place() {
        let standstill = Standstill::default();
        for _ in 0..2 * MOST_STANDING {
            drop(standstill.begin(source(1)));
        }
        let mut first = standstill.begin(source(1));
        assert!(!must_make_way(&mut first));
        for _ in 0..2 * MOST_STANDING {
            assert!(!must_make_way(&mut standstill.begin(source(2))));
        }
        assert!(!must_make_way(&mut first), "they have gone on");
    }
}
