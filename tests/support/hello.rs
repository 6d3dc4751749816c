//! ClientHellos: a real client's, and ones made by hand for names and lengths that no library would send.

use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;

/// TLS' number of a handshake record.
pub(crate) const HANDSHAKE_RECORD: u8 = 22;

/// The beginning of a record that is a ClientHello of 512 bytes.
pub(crate) const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;

/// What a client of today sends first: two kilobytes, post-quantum key share included.
pub(crate) fn of_a_real_client(name: &str) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("it fits in memory");
    hello
}

/// A small hello that asks for a name, whatever bytes that is.
pub(crate) fn asking_for(name: &[u8]) -> Vec<u8> {
    asking_for_all(&[name])
}

/// A hello whose one server name extension has several names.
pub(crate) fn asking_for_all(names: &[&[u8]]) -> Vec<u8> {
    with_extensions(&[(SERVER_NAME, name_list(names))])
}

/// A hello with exactly these extensions, in one record.
pub(crate) fn with_extensions(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &vector(data)].concat())
        .collect();
    in_records(
        &message(&[&body_before_extensions()[..], &vector(&list)].concat()),
        1 << 14,
    )
}

/// The content of a server name extension.
pub(crate) fn name_list(names: &[&[u8]]) -> Vec<u8> {
    const HOST_NAME: u8 = 0;
    let entries: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[HOST_NAME][..], &vector(name)].concat())
        .collect();
    vector(&entries)
}

/// A ClientHello message around a body, in no record yet.
pub(crate) fn message(body: &[u8]) -> Vec<u8> {
    claiming(body.len(), body)
}

/// A ClientHello message that claims to be so long, and goes as far as `body`.
pub(crate) fn claiming(length: usize, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("a length").to_be_bytes();
    [&[CLIENT_HELLO], &length[1..], body].concat()
}

/// A message cut into handshake records of so many bytes.
pub(crate) fn in_records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|part| [&[HANDSHAKE_RECORD, 3, 1][..], &vector(part)].concat())
        .collect()
}

fn body_before_extensions() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0]); // session id
    body.extend([0, 2, 0x13, 0x01]); // cipher suites
    body.extend([1, 0]); // compression
    body
}

fn vector(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("it fits");
    [&length.to_be_bytes()[..], data].concat()
}
