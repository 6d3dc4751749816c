use proptest::prelude::*;

use super::*;

/// A packet with a header of twenty bytes and right checksums.
fn made(protocol: u8, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let body = if protocol == 6 { 20 } else { 8 };
    let length = u16::try_from(20 + body + payload.len()).expect("a small packet");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 7, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.resize(20 + body, 0);
    packet.extend(payload);
    let sum = sum(&packet[..20]);
    write(&mut packet, IP_CHECKSUM, !sum).expect("there is room");
    let at = if protocol == 6 { 36 } else { 26 };
    let sum = body_sum(&packet);
    write(&mut packet, at, !sum).expect("there is room");
    packet
}

/// The sum of the words, without the last complement: 0xffff over what has its checksum in it.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded")
}

/// The same over the pseudo-header and all behind the header.
fn body_sum(packet: &[u8]) -> u16 {
    let mut summed = packet[12..20].to_vec();
    summed.extend([0, packet[PROTOCOL]]);
    let length = u16::try_from(packet.len() - 20).expect("a small packet");
    summed.extend(length.to_be_bytes());
    summed.extend(&packet[20..]);
    sum(&summed)
}

fn anywhere() -> impl Strategy<Value = SocketAddrV4> {
    (any::<u32>(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port))
}

proptest! {
    #[test]
    fn rewritten_ends_keep_the_checksums_right(
        tcp: bool, from in anywhere(), to in anywhere(), new in anywhere(), source: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut packet = made(if tcp { 6 } else { 17 }, from, to, &payload);
        let (end, other) = if source {
            (End::Source, (End::Destination, to))
        } else {
            (End::Destination, (End::Source, from))
        };
        // A checksum that comes out as zero is written as it is: as no checksum.
        prop_assume!(tcp || word(&packet, 26) != Some(0));
        readdress(&mut packet, end, new).expect("it has such an end");
        prop_assert_eq!(address(&packet, end), Some(new));
        prop_assert_eq!(address(&packet, other.0), Some(other.1));
        prop_assert_eq!(sum(&packet[..20]), 0xffff);
        prop_assert_eq!(body_sum(&packet), 0xffff);
        prop_assert!(packet.ends_with(&payload));
    }

    #[test]
    fn whatever_comes_is_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), new in anywhere()) {
        protocol(&bytes);
        let before = bytes.len();
        for end in [End::Source, End::Destination] {
            let had = address(&bytes, end);
            prop_assert!(had.is_some() || readdress(&mut bytes, end, new).is_none());
        }
        prop_assert_eq!(bytes.len(), before);
    }
}

#[test]
fn a_carry_carries_again() {
    // 0xffff + 0xffff + 1: the first carry makes a second.
    let mut packet = [0; 2];
    amend(&mut packet, 0, 0, 1).expect("there is room");
    assert_eq!(word(&packet, 0), Some(!1));
}

#[test]
fn a_checksum_that_is_left_out_stays_left_out() {
    let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let mut packet = made(17, here, here, b"ahoy");
    write(&mut packet, 26, 0).expect("there is room");
    readdress(
        &mut packet,
        End::Source,
        SocketAddrV4::new(Ipv4Addr::BROADCAST, 9),
    )
    .expect("UDP");
    assert_eq!(word(&packet, 26), Some(0));
}

#[test]
fn fragments_and_other_protocols_have_no_ends() {
    let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let mut fragment = made(17, here, here, b"ahoy");
    write(&mut fragment, FRAGMENT, 0x2000).expect("there is room");
    assert_eq!(
        (protocol(&fragment), address(&fragment, End::Source)),
        (Protocol::Udp, None)
    );
    let ping = made(1, here, here, b"ping");
    assert_eq!(
        (protocol(&ping), address(&ping, End::Source)),
        (Protocol::Other, None)
    );
    let mut sixth = made(17, here, here, b"ahoy");
    sixth[0] = 0x65;
    assert_eq!(protocol(&sixth), Protocol::Other);
}
