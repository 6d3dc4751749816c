use std::sync::Arc;
use std::thread;

use super::*;

fn push(queue: &Queue, bytes: usize) -> Pushed {
    queue.push(About::Something, |lines| {
        lines.resize(lines.len() + bytes, b'x');
    })
}

fn taken(queue: &Queue) -> Option<(usize, u64)> {
    let mut batch = Batch::default();
    queue
        .take(&mut batch)
        .then_some((batch.lines.len(), batch.events))
}

#[test]
fn all_that_waits_is_taken_at_once() {
    let queue = Queue::new(WhenFull::Drop);
    assert_eq!(
        (push(&queue, 3), push(&queue, 4)),
        (Pushed::Waits, Pushed::Waits)
    );
    assert_eq!(queue.events(), 2);
    assert_eq!(taken(&queue), Some((7, 2)));
    assert_eq!(queue.events(), 2, "the writer has them in hand");
    queue.close();
    assert_eq!(taken(&queue), None);
    assert_eq!(queue.abandon(), 0);
}

#[test]
fn a_sleeping_writer_is_woken() {
    let queue = Arc::new(Queue::new(WhenFull::Drop));
    let writer = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || (taken(&queue), taken(&queue)))
    };
    while !queue.waiting.lock().asleep {
        thread::yield_now();
    }
    push(&queue, 3);
    while !queue.waiting.lock().asleep {
        thread::yield_now();
    }
    queue.close();
    assert_eq!(writer.join().unwrap(), (Some((3, 1)), None));
}

#[test]
fn a_full_queue_drops_and_says_so_once() {
    let queue = Queue::new(WhenFull::Drop);
    assert_eq!(push(&queue, BOUND - 1), Pushed::Waits);
    assert_eq!(push(&queue, 10), Pushed::Filled);
    assert_eq!(push(&queue, 10), Pushed::Dropped);
    assert_eq!(taken(&queue), Some((BOUND + 9, 2)));
    assert_eq!(push(&queue, 10), Pushed::Waits);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_blocks_requests_and_never_events() {
    let queue = Arc::new(Queue::new(WhenFull::Block));
    assert!(queue.has_room().await);
    assert_eq!(push(&queue, BOUND), Pushed::Filled);
    assert_eq!(push(&queue, 10), Pushed::Waits, "its request ran already");
    assert!(!queue.has_room().await, "nobody makes room");

    let waiting = queue.has_room();
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert_eq!(taken(&queue), Some((BOUND + 10, 2)));
    assert!(waiting.await);
    assert!(queue.has_room().await);
}

#[tokio::test(start_paused = true)]
async fn where_a_full_queue_drops_no_request_waits() {
    let queue = Queue::new(WhenFull::Drop);
    push(&queue, BOUND);
    let started = tokio::time::Instant::now();
    assert!(queue.has_room().await);
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[test]
fn the_end_is_told_to_a_writer_that_rests() {
    let queue = Arc::new(Queue::new(WhenFull::Drop));
    push(&queue, 3);
    let resting = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            let long = Duration::from_secs(3600);
            (queue.rest(long), queue.rest(long))
        })
    };
    queue.close();
    while !resting.is_finished() {
        // Told again and again, because it may not rest yet.
        assert_eq!(queue.abandon(), 1);
        thread::yield_now();
    }
    assert!(!resting.join().unwrap().1);
}

/// However many there are: neither are the events of what was done dropped for them, nor does a request wait.
#[tokio::test(start_paused = true)]
async fn refusals_fill_half_of_the_room_and_no_more() {
    for when_full in [WhenFull::Drop, WhenFull::Block] {
        let queue = Queue::new(when_full);
        let refuse = || {
            queue.push(About::Refusal, |lines| {
                lines.resize(lines.len() + 10_000, b'x');
            })
        };
        let kept = (0..10_000)
            .take_while(|_| refuse() == Pushed::Waits)
            .count();
        assert!(kept * 10_000 < BOUND_OF_REFUSALS + 10_000, "{kept}");
        assert_eq!(refuse(), Pushed::Dropped);
        assert!(queue.has_room().await);
        assert_eq!(push(&queue, BOUND / 4), Pushed::Waits, "{when_full:?}");
        assert_eq!(refuse(), Pushed::Dropped);
        assert!(taken(&queue).is_some());
        assert_eq!(refuse(), Pushed::Waits);
    }
}
