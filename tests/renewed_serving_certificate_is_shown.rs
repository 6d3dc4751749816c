//! The exit's certificate is renewed on disk: who connects then sees the new one, who is connected notices nothing, and a
//! pair of which only half is there yet is not used.

use std::fs;
use std::path::Path;

use rustls_pki_types::CertificateDer;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{DOMAIN, Site, WAYS};
use crate::support::{caller, wait};

/// Case A60.
#[tokio::test(flavor = "multi_thread")]
async fn once_both_files_are_there() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let papers = organisation.caller("a");
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let mut open = Vec::new();
        for protocol in PROTOCOLS {
            open.push(Connection::open(&site, Some(&papers), protocol).await);
        }
        let before = shown(&site).await;
        let name = site.entrance.strip_suffix(&format!(".{DOMAIN}"));
        let renewed = site.authority().exit(name.expect("below it"), DOMAIN);
        let renewed_der = renewed.chain().remove(0);
        assert_ne!(before, renewed_der);

        put(site.folder(), "exit.crt", &renewed.certificates);
        wait::until("the half to be noticed", || {
            let log = site.exit.log();
            log.contains("the last good state stays in use")
                .then_some(())
        });
        assert_eq!(shown(&site).await, before, "{way:?}: the last good pair");

        put(site.folder(), "exit.key", &renewed.key);
        wait::until_async("the renewed certificate", || async {
            (shown(&site).await == renewed_der).then_some(())
        })
        .await;
        for connection in &mut open {
            let kept = connection.fetch("/kept").await.expect("it is kept");
            assert_eq!(kept.0, 200, "{way:?}");
        }
    }
}

/// The certificate that a new caller sees.
async fn shown(site: &Site) -> CertificateDer<'static> {
    let stream = caller::board(site, None, &["h2"]).await.expect("TLS");
    let chain = stream.get_ref().1.peer_certificates();
    chain.expect("a chain")[0].clone()
}

fn put(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join("beside"), content).expect("written");
    fs::rename(folder.join("beside"), folder.join(name)).expect("renamed");
}
