use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// What a real client sends first.
pub(crate) fn client_hello(name: &'static str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(name).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// A hello made by hand, with exactly these extensions.
fn hello_with(extensions: Option<&[(u16, Vec<u8>)]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0]); // session id
    body.extend([0, 2, 0x13, 0x01]); // cipher suites
    body.extend([1, 0]); // compression
    if let Some(extensions) = extensions {
        let mut list = Vec::new();
        for (kind, data) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend(vector(data));
        }
        body.extend(vector(&list));
    }
    records(&message(&body), LONGEST_RECORD)
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[CLIENT_HELLO], &length[1..], body].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|part| [&[HANDSHAKE_RECORD, 3, 1], &vector(part)[..]].concat())
        .collect()
}

fn vector(data: &[u8]) -> Vec<u8> {
    [&u16::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
}

fn name_list(names: &[&[u8]]) -> Vec<u8> {
    let entries: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[HOST_NAME], &vector(name)[..]].concat())
        .collect();
    vector(&entries)
}

/// Feeds the pieces one after the other, as reads would.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(String, Vec<u8>), HelloFault> {
    let mut reader = HelloReader::default();
    let mut found = None;
    for piece in pieces {
        let mut piece = piece;
        while !piece.is_empty() {
            let mut buffer = reader.buffer();
            let fits = buffer.remaining_mut().min(piece.len());
            assert!(fits > 0, "a full reader must have said so");
            buffer.put_slice(&piece[..fits]);
            piece = &piece[fits..];
            if found.is_none() {
                found = reader.advance()?;
            }
        }
    }
    found
        .map(|name| (name, reader.into_raw()))
        .ok_or(HelloFault::Malformed)
}

fn read_whole(hello: &[u8]) -> Result<String, HelloFault> {
    feed([hello]).map(|(name, _)| name)
}

#[test]
fn hello_cut_in_two_at_every_offset_is_read_and_kept_whole() {
    let hello = client_hello("a.b.tunnels.example");
    for cut in 0..=hello.len() {
        let (head, tail) = hello.split_at(cut);
        let (name, raw) = feed([head, tail]).unwrap();
        assert_eq!(name, "a.b.tunnels.example", "cut at {cut}");
        assert!(raw == hello, "cut at {cut}");
    }
}

#[test]
fn hello_byte_by_byte_is_found_at_its_last_byte_and_no_sooner() {
    let hello = client_hello("a.b.tunnels.example");
    let mut reader = HelloReader::default();
    for (index, byte) in hello.iter().enumerate() {
        reader.buffer().put_u8(*byte);
        let found = reader.advance().unwrap();
        assert_eq!(found.is_some(), index + 1 == hello.len());
    }
}

#[test]
fn hello_in_records_of_any_size_is_read() {
    let hello = client_hello("a.b.tunnels.example");
    let message = &hello[RECORD_HEADER..];
    for size in [1, 2, 3, 4, 5, 6, 7, 63, 64, 500, message.len()] {
        let cut = records(message, size);
        let (name, raw) = feed(cut.chunks(11)).unwrap();
        assert_eq!(name, "a.b.tunnels.example", "records of {size}");
        assert!(raw == cut, "records of {size}");
    }
}

#[test]
fn strangers_are_known_by_their_first_bytes() {
    for stranger in [
        &[0x80, 0x2e, 1, 0, 2][..], // SSLv2
        &[HANDSHAKE_RECORD, 2, 0],  // no version of TLS
        &[21, 3, 3, 0, 2, 2, 0],    // an alert
        &[23, 3, 3, 0, 2, 2, 0],    // application data
    ] {
        assert_eq!(
            read_whole(stranger),
            Err(HelloFault::NotTls),
            "{stranger:?}"
        );
    }
    for header in [&b"PROXY TCP4 192.0.2.1 "[..], b"\r\n\r\n\0\r\nQUIT\n"] {
        assert_eq!(
            read_whole(header),
            Err(HelloFault::ProxyHeader(ForwardFault::Unlisted)),
            "{header:?}"
        );
    }
}

#[test]
fn plain_http_is_known_however_it_is_cut() {
    let request = b"GET / HTTP/1.1\r\n";
    for size in 1..request.len() {
        let read = feed(request.chunks(size));
        assert_eq!(read, Err(HelloFault::PlainHttp), "pieces of {size}");
    }
}

#[test]
fn claims_beyond_the_bounds_are_refused_when_they_are_made() {
    let huge = [HANDSHAKE_RECORD, 3, 1, 1, 0, CLIENT_HELLO, 1, 0, 1];
    assert_eq!(read_whole(&huge), Err(HelloFault::TooLong(65537)));
    let long = [HANDSHAKE_RECORD, 3, 1, 0x40, 1];
    assert_eq!(
        read_whole(&long),
        Err(HelloFault::RecordLength(LONGEST_RECORD + 1))
    );
    let empty = [HANDSHAKE_RECORD, 3, 1, 0, 0];
    assert_eq!(read_whole(&empty), Err(HelloFault::RecordLength(0)));
}

#[test]
fn longest_hello_in_records_of_one_byte_hits_the_bound_of_raw_bytes() {
    let message = message(&vec![0; LONGEST_MESSAGE]);
    assert_eq!(
        feed(records(&message, 1).chunks(999)),
        Err(HelloFault::TooManyBytes)
    );
}

#[test]
fn other_things_in_the_place_of_a_hello_are_refused() {
    let server_hello = [HANDSHAKE_RECORD, 3, 3, 0, 4, 2, 0, 0, 0];
    assert_eq!(read_whole(&server_hello), Err(HelloFault::NotAHello));
    let mut interrupted = client_hello("a.b.tunnels.example")[..RECORD_HEADER].to_vec();
    interrupted.truncate(3);
    interrupted.extend([0, 1, CLIENT_HELLO]);
    interrupted.extend([21, 3, 3, 0, 2, 1, 0]);
    assert_eq!(read_whole(&interrupted), Err(HelloFault::NotAHello));
}

#[test]
fn server_name_extension_is_read_strictly() {
    let sni = |data: Vec<u8>| read_whole(&hello_with(Some(&[(0, data)])));
    assert_eq!(
        sni(name_list(&[b"A.b.Example"])),
        Ok("A.b.Example".to_owned())
    );
    assert_eq!(
        sni(name_list(&[b"a.b.example."])),
        Ok("a.b.example.".to_owned())
    );
    assert_eq!(
        sni(name_list(&[b"a", b"b"])),
        Err(HelloFault::SeveralServerNames)
    );
    assert_eq!(sni(name_list(&[])), Err(HelloFault::Malformed));
    assert_eq!(sni(name_list(&[b""])), Err(HelloFault::Malformed));
    assert_eq!(
        sni("\0\x07\0\0\x04m\u{fc}n".as_bytes().to_vec()),
        Err(HelloFault::Malformed)
    );
    assert_eq!(
        sni(name_list(&["mün".as_bytes()])),
        Err(HelloFault::Malformed)
    );
    assert_eq!(
        sni(vec![0, 4, 1, 0, 1, b'a']),
        Err(HelloFault::Malformed),
        "unknown name type"
    );
    assert_eq!(
        sni([name_list(&[b"a"]), vec![0]].concat()),
        Err(HelloFault::Malformed)
    );
    assert_eq!(sni(vec![]), Err(HelloFault::Malformed));
    let twice = hello_with(Some(&[(0, name_list(&[b"a"])), (0, name_list(&[b"b"]))]));
    assert_eq!(read_whole(&twice), Err(HelloFault::SeveralServerNames));
    assert_eq!(
        read_whole(&hello_with(Some(&[]))),
        Err(HelloFault::NoServerName)
    );
    assert_eq!(read_whole(&hello_with(None)), Err(HelloFault::NoServerName));
}

#[test]
fn grease_and_encrypted_client_hello_do_not_hide_the_outer_name() {
    let grease = [
        (0x0a0a, vec![]),
        (0xfe0d, vec![9; 300]), // encrypted_client_hello
        (0, name_list(&[b"a.b.tunnels.example"])),
        (0x3a3a, vec![0]),
    ];
    assert_eq!(
        read_whole(&hello_with(Some(&grease))),
        Ok("a.b.tunnels.example".to_owned())
    );
}

#[test]
fn first_read_of_a_silent_caller_costs_little() {
    let mut reader = HelloReader::default();
    let _room = reader.buffer();
    assert_eq!(reader.raw.capacity(), FIRST_READ);
}

/// rustls sees no whole hello, or one that it does not like.
struct NoVerdict;

/// What rustls would have found.
fn referee(bytes: &[u8]) -> Result<Option<String>, NoVerdict> {
    let mut acceptor = Acceptor::default();
    let mut cursor = Cursor::new(bytes);
    while cursor.position() < u64::try_from(bytes.len()).unwrap() {
        acceptor
            .read_tls(&mut cursor)
            .map_err(|_unread| NoVerdict)?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok(accepted.client_hello().server_name().map(str::to_owned));
            }
            Ok(None) => {}
            Err(_) => return Err(NoVerdict),
        }
    }
    Err(NoVerdict)
}

fn agrees_with_the_referee(bytes: &[u8]) {
    let Ok(theirs) = referee(bytes) else {
        return;
    };
    match (read_whole(bytes), theirs) {
        (Ok(ours), Some(theirs)) => assert_eq!(ours.to_ascii_lowercase(), theirs),
        // rustls hides names that are addresses; routing refuses them later.
        (Ok(ours), None) => assert!(ours.parse::<std::net::IpAddr>().is_ok(), "{ours}"),
        (Err(HelloFault::NoServerName), None) => {}
        // Damage to a length makes a second entry of a name's rest. rustls takes the first; RFC 6066 §3 forbids more.
        (Err(HelloFault::SeveralServerNames), Some(_)) => {}
        (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_neither_panics_nor_exceeds_the_bound(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 0..20),
    ) {
        if let Ok((_, raw)) = feed(pieces.iter().map(Vec::as_slice)) {
            prop_assert!(raw.len() <= MOST_PEEKED);
        }
    }

    #[test]
    fn noise_in_well_formed_records_neither_panics_nor_disagrees(
        body in prop::collection::vec(any::<u8>(), 0..600),
        size in 1_usize..700,
    ) {
        let bytes = records(&message(&body), size);
        agrees_with_the_referee(&bytes);
    }

    #[test]
    fn damaged_hellos_are_read_as_rustls_reads_them_or_not_at_all(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        size in 1_usize..700,
    ) {
        let mut message = client_hello("a.b.tunnels.example")[RECORD_HEADER..].to_vec();
        for (place, value) in damage {
            let place = place.index(message.len());
            message[place] = value;
        }
        let bytes = records(&message, size);
        agrees_with_the_referee(&bytes);
        let (head, tail) = bytes.split_at(cut.index(bytes.len()));
        prop_assert_eq!(feed([head, tail]).map(|(name, _)| name), read_whole(&bytes));
    }
}
