//! The server name alone chooses the cluster, label by label; whatever does not name one leads nowhere.

use tokio::io::AsyncWriteExt as _;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::entrance::{self, UNRECOGNIZED_NAME, alert};
use crate::support::hello;
use crate::support::path::RELAY_NAME;

const DECODE_ERROR: u8 = 50;
const ILLEGAL_PARAMETER: u8 = 47;
const MISSING_EXTENSION: u8 = 109;

/// Case E7: upper case, a final dot, and one label before the entrance make no difference.
#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_an_entrance() {
    let exit = AgentByHand::start("harbour.acme").await;
    for (asked, told) in [
        ("harbour.acme.tunnels.test", "harbour.acme.tunnels.test"),
        ("HARBOUR.Acme.tunnels.TEST", "harbour.acme.tunnels.test"),
        ("harbour.acme.tunnels.test.", "harbour.acme.tunnels.test"),
        (
            "kube-mtls-proxy.harbour.acme.tunnels.test",
            "kube-mtls-proxy.harbour.acme.tunnels.test",
        ),
    ] {
        let hello = hello::asking_for(asked.as_bytes());
        let mut caller = entrance::connect(exit.relay.address).await;
        caller.write_all(&hello).await.expect("it reads");
        let (header, _stream) = exit.caller().await;
        assert_eq!(header.sni.as_str(), told, "{asked}");
    }
}

/// Names that are none, addresses, names of elsewhere, look-alikes of `a.b.tunnels.test`.
const NOWHERE: [&str; 26] = [
    "b.tunnels.test",
    "xa.b.tunnels.test",
    "a.xb.tunnels.test",
    "a.b.xtunnels.test",
    "a.b.tunnels.test.evil",
    "x.y.a.b.tunnels.test",
    "tunnels.test",
    "test",
    "a.b..tunnels.test",
    ".a.b.tunnels.test",
    "a.b.tunnels.test..",
    "*.b.tunnels.test",
    "*",
    ".",
    "a.b.tunnels.test:443",
    "a.b.tunnels.test/",
    "a_.b.tunnels.test",
    "-a.b.tunnels.test",
    " a.b.tunnels.test",
    "a\0.b.tunnels.test",
    "a.b.tunnels.test\0",
    "127.0.0.1",
    "2130706433",
    "::1",
    "[::1]",
    RELAY_NAME,
];

/// Cases E7 and E12: each is told in TLS, none reaches an exit, and the relay lives on.
#[tokio::test(flavor = "multi_thread")]
async fn everything_else() {
    let exit = AgentByHand::start("a.b").await;
    let relay = exit.relay.address;
    let long = [
        format!("{}.tunnels.test", ["abc"; 70].join(".")),
        format!("{}.b.tunnels.test", "a".repeat(64)),
    ];
    let names = NOWHERE
        .iter()
        .copied()
        .chain(long.iter().map(String::as_str));
    let named = names.map(|name| (name, hello::asking_for(name.as_bytes()), UNRECOGNIZED_NAME));
    let refused = named
        .chain(odd_hellos())
        .map(|(what, hello, description)| async move {
            let told = entrance::say(relay, &hello).await.expect("a clean end");
            assert_eq!(told, alert(description), "{what:?}");
        });
    futures_util::future::join_all(refused).await;
    assert!(exit.nobody_came().await, "there is no default route");
    let mut good = entrance::connect(relay).await;
    good.write_all(&hello::asking_for(b"a.b.tunnels.test"))
        .await
        .expect("it reads");
    let (header, _stream) = exit.caller().await;
    assert_eq!(
        header.sni.as_str(),
        "a.b.tunnels.test",
        "the relay lives on"
    );
}

/// Hellos that name nobody, or more than one.
fn odd_hellos() -> Vec<(&'static str, Vec<u8>, u8)> {
    let name = b"a.b.tunnels.test";
    let extension = (0, hello::name_list(&[name]));
    let two = [&name[..], b"x.y.tunnels.test"];
    vec![
        (
            "no name",
            hello::with_extensions(&[(0x3a3a, vec![])]),
            MISSING_EXTENSION,
        ),
        ("an empty name", hello::asking_for(b""), DECODE_ERROR),
        ("an empty list", hello::asking_for_all(&[]), DECODE_ERROR),
        (
            "not ASCII",
            hello::asking_for("\u{e4}.b.tunnels.test".as_bytes()),
            DECODE_ERROR,
        ),
        ("not UTF-8", hello::asking_for(b"\xff\xfe"), DECODE_ERROR),
        (
            "a name twice",
            hello::asking_for_all(&[name, name]),
            ILLEGAL_PARAMETER,
        ),
        (
            "two names, one unknown",
            hello::asking_for_all(&two),
            ILLEGAL_PARAMETER,
        ),
        (
            "the extension twice",
            hello::with_extensions(&[extension.clone(), extension]),
            ILLEGAL_PARAMETER,
        ),
    ]
}
