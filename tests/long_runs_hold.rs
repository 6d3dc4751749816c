//! What the other tests show in small, at the full length of minutes and of gigabytes: silence, an informer, tokens that
//! rotate, a server that is stopped, large bodies.

mod bodies;
mod informer;
mod rotation;
mod silence;
mod stopped;

/// Cases A62, C3, C31, C39 and D13, all at the same time, because most of it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
#[ignore = "a load of minutes: make soak"]
async fn soak_of_minutes() {
    let mut running = tokio::task::JoinSet::new();
    running.spawn(informer::ten_minutes());
    running.spawn(silence::five_minutes());
    running.spawn(rotation::every_ten_seconds());
    running.spawn(stopped::api_server());
    while let Some(ended) = running.join_next().await {
        ended.expect("it held");
    }
}

/// Cases C8 and D15.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a load of minutes: make soak"]
async fn soak_of_gigabytes() {
    let mut running = tokio::task::JoinSet::new();
    running.spawn(bodies::up_slowly());
    running.spawn(bodies::down_slowly());
    running.spawn(bodies::through_one_forward());
    while let Some(ended) = running.join_next().await {
        ended.expect("it held");
    }
}
