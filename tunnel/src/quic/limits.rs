//! Every limit of the QUIC transport, with the reason of its number.

use std::time::Duration;

use quinn::{MtuDiscoveryConfig, TransportConfig, VarInt};

use super::congestion::CongestionControl;

/// What one stream may hold that its reader has not taken: 1 MiB. One stream then moves 200 Mbit/s
/// at 40 ms of round trip, and a caller that stops reading costs the relay no more than this.
pub const STREAM_WINDOW: u32 = 1 << 20;

/// What all streams of a session may hold together: 256 stream windows. A stalled stream keeps at
/// most one of them, so 255 callers of one tunnel can stop reading and the others keep their speed (the
/// relay keeps no more than half as many, the others make way);
/// it is also the most memory that one tunnel can ever take from a relay or an agent for bytes
/// nobody reads. (QUIC's own default is no bound at all.)
pub const SESSION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// Bytes taken from writers that the peer has not acknowledged, over all streams: 32 MiB. That is a
/// gigabit at 250 ms, and thirty bulk streams can fill their windows before a small one has to wait
/// for an acknowledgement.
pub const SEND_WINDOW: u64 = 32 << 20;

/// Streams an agent lets its relay open at first. Credit is memory: 8 cost a tunnel 31 KiB at the
/// relay, 100 cost 38 KiB, and large figures more than a megabyte.
pub const INITIAL_STREAM_CREDIT: u32 = 8;

/// Streams an agent ever lets its relay open at a time: 5,000 HTTP/1.1 watches, each a stream, three
/// times over, which hold some 500 MiB at the exit. More callers than that belong on a second slot or
/// replica.
pub const MAX_STREAM_CREDIT: u32 = 16_384;

/// Streams a relay lets an agent open: the control stream. An agent has nothing to open towards
/// other clusters.
pub const CONTROL_STREAMS: u32 = 1;

/// How often an agent speaks when it has nothing to say. Only agents do while they are heard: a relay with ten thousand
/// idle tunnels would wake for each of them.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// Silence after which a relay asks, too: agents within 400 ms of round trip have spoken by then, so it never comes to it while all is
/// well. Without it the silence of a dead agent would count anew from whatever a caller says first, seconds later (RFC 9000 §10.1).
pub const RELAY_ASKS_AFTER: Duration = Duration::from_millis(3500);

/// Silence after which the peer counts as dead: three keepalives may be lost. It counts from the first packet of the silence that wants an
/// answer, which both send by themselves; so a dead peer is noticed within 13 s.
pub const IDLE_TIMEOUT_MS: u32 = 9_500;

/// Buffer that is asked of the kernel for the UDP socket, each way: 4 MiB. A thousand agents that
/// return at once send their first flights within milliseconds; in the kernel's default of 208 KiB
/// most are lost and the storm takes seconds.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// Out-of-order bytes of a TLS handshake that are kept: QUIC's usual 16 KiB hold any sane chain.
const CRYPTO_BUFFER: usize = 16 << 10;

/// Connection attempts that may wait for the accept loop. A thousand agents fit four times over;
/// what exceeds it is refused and backs off.
pub(super) const WAITING_ATTEMPTS: usize = 4096;

/// Bytes kept of one attempt that waits: a first flight with post-quantum key share and its
/// retransmissions.
pub(super) const ATTEMPT_BUFFER: u64 = 16 << 10;

/// Bytes kept of all attempts that wait.
pub(super) const ATTEMPTS_BUFFER: u64 = 16 << 20;

/// Handshakes in flight above which a source must first prove its address with a Retry. Below,
/// nobody pays the extra round trip; a storm of honest agents pays it once.
pub(super) const RETRY_ABOVE: usize = 64;

/// Handshakes in flight above which attempts are refused: each costs a signature check, and two
/// thousand are seconds of one core.
pub(super) const HANDSHAKES_IN_FLIGHT: usize = 2048;

/// How long the answer to a Retry may take: three times QUIC's initial round-trip guess is a second.
pub(super) const RETRY_LIFETIME: Duration = Duration::from_secs(15);

/// Least time between two stateless resets. After a restart ten thousand agents ask within one
/// keepalive interval, 3,334 a second; 5,000 a second leave room and are still no amplifier, since a
/// reset is smaller than what provoked it.
pub(super) const RESET_INTERVAL: Duration = Duration::from_micros(200);

/// Largest UDP payload accepted, and tried where the route has room for it: 6,500. Clouds carry frames of
/// 8,896 and 9,001 bytes, a host to itself 64 KiB, and a datagram's price hardly depends on its length:
/// bodies of 1 MiB cost the whole path a third less CPU than in datagrams of 1,452. More is not to be
/// had: up to ten datagrams go to the kernel in one call, which takes less than 64 KiB. The endpoint's
/// receive buffer grows with this number to 13 MB of address space. Of that at most 2 MiB are ever
/// written, 32 batches of 64 KiB, whatever stands here.
pub(super) const MAX_UDP_PAYLOAD: u16 = 6500;

/// Largest UDP payload that is tried on every route: Ethernet's 1500 bytes less IPv6 and UDP headers.
const ETHERNET_PAYLOAD: u16 = 1452;

/// Headers of IPv6 and UDP.
const IP_UDP_HEADERS: usize = 48;

/// Smallest UDP payload, which every path of QUIC carries (RFC 9000 §14).
const MTU_LOWER_BOUND: u16 = 1200;

/// Largest UDP payload that is tried on a route whose first hop carries packets of `mtu` bytes. A search
/// up to 6,500 on a path of 1,500 loses eighteen probes (they do not count as congestion). On an idle
/// connection that takes seconds, and it starts again every ten minutes; so it is made only where the
/// first hop leaves hope.
pub(super) fn largest_tried(mtu: Option<usize>) -> u16 {
    let payload = mtu.map_or(0, |mtu| mtu.saturating_sub(IP_UDP_HEADERS));
    u16::try_from(payload)
        .unwrap_or(u16::MAX)
        .clamp(ETHERNET_PAYLOAD, MAX_UDP_PAYLOAD)
}

/// What a relay's transport is set to. It stays with Ethernet's datagrams, whatever its routes: the bulk
/// comes from the agents, and ten thousand searches would be the relay's.
pub(super) fn relay_transport(congestion: CongestionControl) -> TransportConfig {
    let mut transport = both_sides(ETHERNET_PAYLOAD, congestion);
    transport
        .max_concurrent_bidi_streams(CONTROL_STREAMS.into())
        .keep_alive_interval(Some(RELAY_ASKS_AFTER));
    transport
}

/// What an agent's transport is set to, on a route that carries packets of `mtu` bytes, if known.
pub(super) fn agent_transport(
    mtu: Option<usize>,
    congestion: CongestionControl,
) -> TransportConfig {
    let mut transport = both_sides(largest_tried(mtu), congestion);
    transport
        .max_concurrent_bidi_streams(INITIAL_STREAM_CREDIT.into())
        .keep_alive_interval(Some(KEEPALIVE_INTERVAL));
    transport
}

fn both_sides(largest_tried: u16, congestion: CongestionControl) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.interval(Duration::from_secs(600)) // RFC 8899 §5.1.1
        .upper_bound(largest_tried)
        .minimum_change(20)
        .black_hole_cooldown(Duration::from_secs(60));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(SESSION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .send_fairness(true) // turns among those of one place; who goes before whom: precedence
        .packet_threshold(3) // RFC 9002 §6.1.1
        .time_threshold(9.0 / 8.0) // RFC 9002 §6.1.2
        .initial_rtt(Duration::from_millis(333)) // RFC 9002 §6.2.2
        .initial_mtu(MTU_LOWER_BOUND)
        .min_mtu(MTU_LOWER_BOUND)
        .mtu_discovery_config(Some(mtu))
        .pad_to_mtu(false)
        .ack_frequency_config(None) // measured: within noise
        .persistent_congestion_threshold(3) // RFC 9002 §7.6.1
        .crypto_buffer_size(CRYPTO_BUFFER)
        .allow_spin(false) // the round-trip time is nobody else's business
        .congestion_controller_factory(congestion.factory())
        .enable_segmentation_offload(true); // without it bulk is three times dearer
    transport
}
