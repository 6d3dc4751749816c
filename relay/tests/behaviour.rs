//! The relay from outside: real sockets, real certificates, and an agent made of the tunnel's own API.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on must say so, and may spawn"
)]

#[path = "behaviour/support.rs"]
mod support;

#[path = "behaviour/bytes_arrive_unchanged.rs"]
mod bytes_arrive_unchanged;
#[path = "behaviour/drain_lets_running_streams_finish.rs"]
mod drain_lets_running_streams_finish;
#[path = "behaviour/enrolment_is_for_who_may.rs"]
mod enrolment_is_for_who_may;
#[path = "behaviour/forwarded_callers_keep_their_address.rs"]
mod forwarded_callers_keep_their_address;
#[path = "behaviour/load_is_shared_and_superseded.rs"]
mod load_is_shared_and_superseded;
#[path = "behaviour/only_agents_make_tunnels.rs"]
mod only_agents_make_tunnels;
#[path = "behaviour/refusals_are_plaintext_alerts.rs"]
mod refusals_are_plaintext_alerts;
#[path = "behaviour/silent_callers_keep_nobody_out.rs"]
mod silent_callers_keep_nobody_out;
#[path = "behaviour/tunnels_over_tcp_have_no_other_rights.rs"]
mod tunnels_over_tcp_have_no_other_rights;
