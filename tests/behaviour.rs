//! Black-box tests of the program `gangplank`: one file a behaviour, named as the behaviour.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected has failed, and says where"
)]

mod agents_open_nothing_towards_the_relay;
mod api_server_errors_pass_unchanged;
mod audit_lines_are_as_documented;
mod audit_queue_that_is_full;
mod audit_trail_goes_where_it_should;
mod audit_trails_join;
mod audit_webhook_gets_every_event;
mod bad_configuration_is_told_with_its_place;
mod bodies_and_their_headers_pass_unchanged;
mod broken_configuration_never_listens;
mod bytes_before_the_switch_wait;
mod callers_address_is_the_sockets;
mod callers_credentials_never_pass;
mod callers_host_chooses_nothing;
mod client_hello_arrives_in_any_cut;
mod connections_leave_nothing_behind;
mod cp_carries_fifty_megabytes;
mod dev_opens_a_way;
mod early_answer_reaches_a_caller_that_still_sends;
mod ends_and_breaks_pass_the_tunnel;
mod example_files_start;
mod exec_and_attach_work_as_at_the_api_server;
mod exit_certificate_for_another_cluster_is_told;
mod exit_without_rights_says_so;
mod expired_own_certificates_are_told;
mod expiry_is_exact;
mod half_written_trust_keeps_the_last_good;
mod handshakes_of_tomorrow_pass_the_relay;
mod hostile_http2_costs_its_sender_alone;
mod impersonation_by_callers_is_refused;
mod impostor_api_server_receives_nothing;
mod intermediates_lead_to_the_anchor;
mod killed_parts_come_back;
mod kubectl_works_as_at_the_api_server;
mod large_bodies_pass_in_bounded_memory;
mod layers_point_down;
mod metrics_name_what_matters;
mod names_lead_to_one_cluster_or_nowhere;
mod no_certificate_is_refused;
mod offline_and_unknown_clusters_are_told;
mod one_organisation_does_not_take_all;
mod own_errors_are_a_status_and_a_warning;
mod payload_beside_the_switch_arrives_once;
mod pki_verbs_make_what_they_say;
mod port_forward_carries_connections;
mod prefix_changed_is_never_used_again;
mod provider_added_takes_effect_live;
mod provider_removed_ends_connections;
mod proxy_headers_of_callers_never_pass;
mod readiness_says_why;
mod redirects_are_relayed_not_followed;
mod refusals_are_as_documented;
mod relay_is_blind;
mod repeated_headers_keep_count_and_order;
mod request_trailers_never_pass;
mod requests_are_each_their_own_user;
mod requests_beyond_the_limits_are_refused;
mod revoked_certificates_end;
mod rights_in_the_manual_are_enough;
mod roles_end_cleanly;
mod strangers_at_the_entrance_are_sent_away;
mod strangers_use_nothing_up;
mod support;
mod target_passes_byte_for_byte;
mod token_file_missing_is_an_error_and_nothing_upstream;
mod token_rotates;
mod unasked_switch_is_a_bad_gateway;
mod unread_watches_stop_nobody;
mod untrusted_authority_is_refused;
mod upgrade_requests_carry_no_foreign_identity;
mod upgraded_streams_are_whole;
mod upstream_http2_pool_goes_past_the_stream_limit;
mod username_is_prefix_and_common_name;
mod vanished_callers_leave_nothing_behind;
mod watch_without_events_answers_at_once;
