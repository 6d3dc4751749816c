use std::time::Duration;

use super::*;
use crate::fault::Faults;
use crate::fixture::Workplace;
use crate::role::proxy;
use crate::upstream::InCluster;

/// A furnished folder whose proxy has this `audit` block.
fn with(audit: &str) -> Workplace {
    let place = Workplace::furnished();
    place.write("token", "s3cret\n");
    let block = format!("exit:\n  audit: {audit}\n");
    place.edit("proxy.yaml", "exit:\n", &block);
    place
}

fn load(place: &Workplace) -> Result<proxy::Proxy, Faults> {
    proxy::load(&place.path("proxy.yaml"), &InCluster::absent())
}

fn loaded(audit: &str) -> (Audit, Workplace) {
    let place = with(audit);
    (load(&place).unwrap().exit.audit, place)
}

#[test]
fn standard_error_unless_said_otherwise() {
    let place = Workplace::furnished();
    let audit = load(&place).unwrap().exit.audit;
    assert!(matches!(audit.sink, Sink::Stderr));
    assert_eq!(audit.when_full, WhenFull::Drop);
    let (audit, _) = loaded("{ whenFull: Block }");
    assert!(matches!(audit.sink, Sink::Stderr));
    assert_eq!(audit.when_full, WhenFull::Block);
    assert!(matches!(loaded("{ sink: off }").0.sink, Sink::Off));
    assert!(matches!(loaded("{ sink: stdout }").0.sink, Sink::Stdout));
}

#[test]
fn a_file() {
    let (audit, place) = loaded("{ sink: file, file: { path: audit.log, maxSize: 5Mi, keep: 3 } }");
    let Sink::File(file) = audit.sink else {
        panic!("{:?}", audit.sink);
    };
    let path = place.path("audit.log");
    let (max_size, keep) = (5 << 20, 3);
    assert_eq!(
        file,
        File {
            path,
            max_size,
            keep
        }
    );
    let (audit, _place) = loaded("{ sink: file, file: { path: audit.log } }");
    let Sink::File(file) = audit.sink else {
        panic!("{:?}", audit.sink);
    };
    assert_eq!((file.max_size, file.keep), (100 << 20, 10));
}

#[test]
fn a_webhook() {
    for (written, authority, target) in [
        (
            "https://collector.example.com",
            "collector.example.com:443",
            "/",
        ),
        (
            "https://collector.example.com:8443/",
            "collector.example.com:8443",
            "/",
        ),
        (
            "https://[2001:db8::1]/a/b?c=d",
            "[2001:db8::1]:443",
            "/a/b?c=d",
        ),
        (
            "https://[2001:db8::1]:8443?c=d",
            "[2001:db8::1]:8443",
            "/?c=d",
        ),
    ] {
        let block = format!(
            "{{ sink: webhook, webhook: {{ url: \"{written}\", caFile: exit-ca.crt, tokenFile: token, timeout: 3s }} }}"
        );
        let (audit, _place) = loaded(&block);
        let Sink::Webhook(webhook) = audit.sink else {
            panic!("{:?}", audit.sink);
        };
        assert_eq!(webhook.server.authority, authority);
        assert_eq!(webhook.target, target);
        assert_eq!(
            webhook
                .authorities
                .unwrap()
                .read()
                .unwrap()
                .certificates()
                .len(),
            1
        );
        assert_eq!(webhook.token.unwrap().read().unwrap().secret(), "s3cret");
        assert_eq!(webhook.timeout, Duration::from_secs(3));
    }
    let (audit, _place) =
        loaded("{ sink: webhook, webhook: { url: \"http://127.0.0.1:9880/audit\" } }");
    let Sink::Webhook(webhook) = audit.sink else {
        panic!("{:?}", audit.sink);
    };
    assert_eq!(webhook.server.authority, "127.0.0.1:9880");
    assert!(webhook.authorities.is_none() && webhook.token.is_none());
    assert_eq!(webhook.timeout, Duration::from_secs(10));
}

#[test]
fn what_makes_no_sense_is_told() {
    let mut said = String::new();
    for audit in [
        "stderr",
        "{ sinks: stdout }",
        "{ sink: standard }",
        "{ sink: false }",
        "{ whenFull: block }",
        "{ sink: file }",
        "{ file: { path: audit.log } }",
        "{ sink: file, file: {} }",
        "{ sink: file, file: { path: trust } }",
        "{ sink: file, file: { path: nowhere/audit.log } }",
        "{ sink: file, file: { path: audit.log, maxSize: 100M } }",
        "{ sink: file, file: { path: audit.log, maxSize: 100 } }",
        "{ sink: file, file: { path: audit.log, maxSize: 4Ki, keep: -1 } }",
        "{ sink: file, file: { path: audit.log, keep: \"7\" } }",
        "{ sink: file, file: { path: audit.log, keep: 1001, compress: true } }",
        "{ sink: webhook, webhook: { caFile: exit-ca.crt } }",
        "{ sink: webhook, webhook: { url: \"collector:8443\" } }",
        "{ sink: webhook, webhook: { url: \"https://me:secret@collector\", caFile: exit-ca.crt } }",
        "{ sink: webhook, webhook: { url: \"https://collector/#x\", caFile: exit-ca.crt } }",
        "{ sink: webhook, webhook: { url: \"https://:8443/\", caFile: exit-ca.crt } }",
        "{ sink: webhook, webhook: { url: \"https://collector:0x1/\", caFile: exit-ca.crt } }",
        "{ sink: webhook, webhook: { url: \"https://collector/\" } }",
        "{ sink: webhook, webhook: { url: \"https://collector/\", caFile: exit.key } }",
        "{ sink: webhook, webhook: { url: \"http://collector/\", caFile: exit-ca.crt } }",
        "{ sink: webhook, webhook: { url: \"http://collector/\", tokenFile: token } }",
        "{ sink: webhook, webhook: { url: \"https://collector/\", caFile: exit-ca.crt, tokenFile: none } }",
        "{ sink: webhook, webhook: { url: \"https://collector/\", caFile: exit-ca.crt, timeout: 1h } }",
    ] {
        let place = with(audit);
        let faults = load(&place).expect_err(audit);
        let told = place.told(&faults);
        assert!(!told.contains("secret"), "{told}");
        said += &format!("# audit: {audit}\n{told}\n\n");
    }
    insta::assert_snapshot!(said);
}
