//! Black-box tests of the program `gangplank`: one file a behaviour, named as the behaviour.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected has failed, and says where"
)]

mod api_server_errors_pass_unchanged;
mod bodies_and_their_headers_pass_unchanged;
mod broken_configuration_never_listens;
mod bytes_before_the_switch_wait;
mod callers_credentials_never_pass;
mod callers_host_chooses_nothing;
mod cp_carries_fifty_megabytes;
mod early_answer_reaches_a_caller_that_still_sends;
mod exec_and_attach_work_as_at_the_api_server;
mod expiry_is_exact;
mod half_written_trust_keeps_the_last_good;
mod impersonation_by_callers_is_refused;
mod impostor_api_server_receives_nothing;
mod intermediates_lead_to_the_anchor;
mod killed_parts_come_back;
mod kubectl_works_as_at_the_api_server;
mod large_bodies_pass_in_bounded_memory;
mod layers_point_down;
mod no_certificate_is_refused;
mod own_errors_are_a_status_and_a_warning;
mod payload_beside_the_switch_arrives_once;
mod port_forward_carries_connections;
mod prefix_changed_is_never_used_again;
mod provider_added_takes_effect_live;
mod provider_removed_ends_connections;
mod proxy_headers_of_callers_never_pass;
mod redirects_are_relayed_not_followed;
mod relay_is_blind;
mod repeated_headers_keep_count_and_order;
mod request_trailers_never_pass;
mod requests_are_each_their_own_user;
mod support;
mod target_passes_byte_for_byte;
mod token_file_missing_is_an_error_and_nothing_upstream;
mod token_rotates;
mod unasked_switch_is_a_bad_gateway;
mod untrusted_authority_is_refused;
mod upgrade_requests_carry_no_foreign_identity;
mod upgraded_streams_are_whole;
mod upstream_http2_pool_goes_past_the_stream_limit;
mod username_is_prefix_and_common_name;
mod watch_without_events_answers_at_once;
