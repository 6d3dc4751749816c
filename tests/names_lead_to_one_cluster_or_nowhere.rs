//! The server name alone chooses the cluster, label by label; whatever does not name one leads nowhere.

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
        tokio::io::AsyncWriteExt::write_all(&mut caller, &hello)
            .await
            .expect("it reads");
        let (header, _stream) = exit.caller().await;
        assert_eq!(header.sni.as_str(), told, "{asked}");
    }
}

/// Cases E7 and E12: no name, no host name, an address, a name of elsewhere, a look-alike. Each is told in TLS,
/// none reaches an exit, and the relay lives on.
#[tokio::test(flavor = "multi_thread")]
async fn everything_else() {
    let exit = AgentByHand::start("a.b").await;
    let long_name = format!("{}.tunnels.test", ["abc"; 70].join("."));
    let long_label = format!("{}.b.tunnels.test", "a".repeat(64));
    let nowhere = [
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
        &long_name,
        &long_label,
    ];
    let mut asked: Vec<(Vec<u8>, u8, String)> = nowhere
        .iter()
        .map(|name| {
            (
                hello::asking_for(name.as_bytes()),
                UNRECOGNIZED_NAME,
                (*name).to_owned(),
            )
        })
        .collect();
    let name = b"a.b.tunnels.test";
    let extension = (0, hello::name_list(&[name]));
    for (hello, alert, what) in [
        (
            hello::with_extensions(&[(0x3a3a, vec![])]),
            MISSING_EXTENSION,
            "no name",
        ),
        (hello::asking_for(b""), DECODE_ERROR, "an empty name"),
        (hello::asking_for_all(&[]), DECODE_ERROR, "an empty list"),
        (
            hello::asking_for("\u{e4}.b.tunnels.test".as_bytes()),
            DECODE_ERROR,
            "not ASCII",
        ),
        (hello::asking_for(b"\xff\xfe"), DECODE_ERROR, "not UTF-8"),
        (
            hello::asking_for_all(&[name, name]),
            ILLEGAL_PARAMETER,
            "two names",
        ),
        (
            hello::asking_for_all(&[name, b"x.y.tunnels.test"]),
            ILLEGAL_PARAMETER,
            "two names, one unknown",
        ),
        (
            hello::with_extensions(&[extension.clone(), extension]),
            ILLEGAL_PARAMETER,
            "the extension twice",
        ),
    ] {
        asked.push((hello, alert, what.to_owned()));
    }
    let relay = exit.relay.address;
    let refused = asked
        .into_iter()
        .map(|(hello, description, what)| async move {
            let told = entrance::say(relay, &hello).await.expect("a clean end");
            assert_eq!(told, alert(description), "{what:?}");
        });
    futures_util::future::join_all(refused).await;
    assert!(exit.nobody_came().await, "there is no default route");
    let mut good = entrance::connect(relay).await;
    tokio::io::AsyncWriteExt::write_all(&mut good, &hello::asking_for(name))
        .await
        .expect("it reads");
    assert_eq!(
        exit.caller().await.0.sni.as_str(),
        "a.b.tunnels.test",
        "the relay lives on"
    );
}
