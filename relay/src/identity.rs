//! Who the relay is to agents, and which agents it believes: all follow their files, and the register of
//! enrolment what was revoked.

use std::future::{Future as _, pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use aws_lc_rs::hmac;
use gangplank_config::reload::Report;
use gangplank_config::role::relay::TunnelEntrance;
use gangplank_config::{Anchors, Fault, KeyPair, Reloaded, Reloader};
use gangplank_enrolment::{Known, Revoked};
use gangplank_pki::clock::Clock;
use gangplank_pki::peer::{Accounts, AgentVerifier, VerifierFault};
use gangplank_tunnel::quic::{RelaySecret, RelayTls};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The reader halves of the relay's certificate and of the agents' authorities.
#[derive(Debug, Clone)]
pub(crate) struct TunnelIdentity {
    key_pair: Reloaded<KeyPair>,
    authorities: Reloaded<Anchors>,
    /// Those of accounts, and which they may name.
    of_accounts: Vec<(Reloaded<Anchors>, Accounts)>,
    revoked: watch::Receiver<Arc<Revoked>>,
    clock: Arc<dyn Clock>,
}

/// The writer halves.
#[derive(Debug)]
pub(crate) struct IdentityReloaders {
    key_pair: Reloader<KeyPair>,
    authorities: Vec<Reloader<Anchors>>,
}

impl IdentityReloaders {
    /// Follows the files until `shutdown`.
    pub(crate) fn spawn(self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        tasks.spawn(self.key_pair.run(shutdown.clone()));
        for authorities in self.authorities {
            tasks.spawn(authorities.run(shutdown.clone()));
        }
    }
}

impl TunnelIdentity {
    /// Reads both files for the first time. What is revoked is what is `known`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or does not hold what it should.
    pub(crate) fn read(
        entrance: &TunnelEntrance,
        known: &Known,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, IdentityReloaders), Fault> {
        let (key_pair, key_pair_reloader) = entrance.key_pair.watch()?;
        let (authorities, authorities_reloader) = entrance.agent_authorities.watch()?;
        let (mut of_accounts, mut followed) = (Vec::new(), vec![authorities_reloader]);
        for account in &entrance.account_authorities {
            let (authorities, reloader) = account.authorities.watch()?;
            let accounts = Accounts::Listed(Arc::new(account.accounts.clone()));
            of_accounts.push((authorities, accounts));
            followed.push(reloader);
        }
        let reloaders = IdentityReloaders {
            key_pair: key_pair_reloader,
            authorities: followed,
        };
        Ok((
            Self {
                key_pair,
                authorities,
                of_accounts,
                revoked: known.revoked(),
                clock,
            },
            reloaders,
        ))
    }

    /// The same, where a test revokes.
    #[cfg(test)]
    pub(crate) fn with_revoked(mut self, revoked: watch::Receiver<Arc<Revoked>>) -> Self {
        self.revoked = revoked;
        self
    }

    /// Who judges agents, by the newest good state of the authorities.
    ///
    /// # Errors
    ///
    /// When there is no authority to judge agents by.
    pub(crate) fn verifier(&self) -> Result<AgentVerifier, VerifierFault> {
        let authorities = self.authorities.current().certificates();
        let mut verifier = AgentVerifier::new(&authorities, Arc::clone(&self.clock))?;
        for (authorities, accounts) in &self.of_accounts {
            let certificates = authorities.current().certificates();
            verifier = verifier.with_authorities(&certificates, accounts)?;
        }
        Ok(verifier.with_revoked(Arc::clone(&self.revoked.borrow())))
    }

    /// Whether an agent of this chain is accepted now.
    ///
    /// # Errors
    ///
    /// When it is not. An identity by which nobody can be judged refuses nobody who was let in before.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'static>]) -> Result<(), rustls::Error> {
        let (Ok(verifier), Some((leaf, rest))) = (self.verifier(), chain.split_first()) else {
            return Ok(());
        };
        let judged = verifier.verify_client_cert(leaf, rest, self.clock.now());
        judged.map(|_accepted| ())
    }

    /// The relay's own chain and key, by the newest good state of the files.
    pub(crate) fn key_pair(&self) -> Arc<KeyPair> {
        self.key_pair.current()
    }

    /// The authorities of agents, by the newest good state of their files: those of all accounts first.
    pub(crate) fn authorities(&self) -> Vec<Arc<Anchors>> {
        let of_accounts = self.of_accounts.iter().map(|(held, _)| held);
        let all = std::iter::once(&self.authorities).chain(of_accounts);
        all.map(Reloaded::current).collect()
    }

    /// What the transport needs, from the newest good state of the files.
    ///
    /// # Errors
    ///
    /// When there is no authority to judge agents by.
    pub(crate) fn tls(&self) -> Result<RelayTls, VerifierFault> {
        let key_pair = self.key_pair.current();
        Ok(RelayTls {
            chain: key_pair.chain().to_vec(),
            key: key_pair.private_key(),
            agents: Arc::new(self.verifier()?),
        })
    }

    /// The secret that must outlive the process, so that the agents of a relay that was killed learn at
    /// their next keepalive that their sessions are gone. It is derived from the relay's private key,
    /// the one secret that a relay is given anyway; the derivation cannot be turned around, and a new
    /// key only means that agents of the old one notice a restart by silence.
    pub(crate) fn transport_secret(&self) -> RelaySecret {
        let private_key = self.key_pair.current().private_key();
        let key = hmac::Key::new(hmac::HMAC_SHA256, private_key.secret_der());
        let derived = hmac::sign(&key, b"gangplank relay transport secret");
        let mut secret = [0; 32];
        for (to, from) in secret.iter_mut().zip(derived.as_ref()) {
            *to = *from;
        }
        RelaySecret::new(secret)
    }

    /// Resolves when the states are no longer those of `seen`; what is newest then is `seen` from here on.
    /// Nothing that changes between two calls is missed.
    pub(crate) async fn replaced(&self, seen: &mut Generations) {
        let (mut keys, mut authorities) = (self.key_pair.reports(), self.authorities.reports());
        let of_accounts = self.of_accounts.iter();
        let mut of_accounts: Vec<_> = of_accounts.map(|(held, _)| held.reports()).collect();
        let mut revoked = self.revoked.clone();
        while self.generations() == *seen {
            tokio::select! {
                () = changed(&mut keys) => {}
                () = changed(&mut authorities) => {}
                () = any_changed(&mut of_accounts) => {}
                () = changed(&mut revoked) => {}
            }
        }
        *seen = self.generations();
    }

    /// The clock that certificates are judged by.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Which states are the newest good ones.
    pub(crate) fn generations(&self) -> Generations {
        Generations {
            key_pair: self.key_pair.generation(),
            authorities: self.authorities.generation(),
            of_accounts: self
                .of_accounts
                .iter()
                .map(|(held, _)| held.generation())
                .collect(),
            revoked: Arc::clone(&self.revoked.borrow()),
        }
    }
}

/// Resolves when there is news. A source that can have none any more, since nobody writes it, stays silent, and
/// silences no other: whoever follows the register may have ended, and the files still change.
async fn changed<T: Send + Sync>(source: &mut watch::Receiver<T>) {
    if source.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// Resolves when one of them has news. Never when there are none.
async fn any_changed(reports: &mut [watch::Receiver<Report>]) {
    let mut waiting: Vec<_> = reports
        .iter_mut()
        .map(|report| Box::pin(changed(report)))
        .collect();
    poll_fn(|cx| {
        let mut polled = waiting.iter_mut().map(|news| news.as_mut().poll(cx));
        if polled.any(|news| news.is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Which states are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generations {
    key_pair: u64,
    authorities: u64,
    of_accounts: Vec<u64>,
    revoked: Arc<Revoked>,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use gangplank_config::role;
    use gangplank_pki::clock::SystemClock;
    use gangplank_pki::issue::{CertificateAuthority, Kind, Request};
    use tokio::time::timeout;

    use super::*;

    fn authority() -> CertificateAuthority {
        CertificateAuthority::create("a CA", 10, SystemClock.now()).expect("a CA")
    }

    /// A relay's files.
    fn write_files(folder: &Path) {
        let relays = authority();
        let hosts = vec!["relay.example.com".to_owned()];
        let request = Request {
            kind: Kind::Relay { hosts },
            lifetime: Duration::from_secs(3600),
            now: SystemClock.now(),
        };
        let own = relays.issue(&request).expect("issued");
        for (file, text) in [
            ("relay.crt", own.cert_pem.as_str()),
            ("relay.key", &own.key_pem),
            ("agents-ca.crt", authority().certificate_pem()),
            (
                "relay.yaml",
                "listen: 127.0.0.1:0\ndomain: tunnels.example.com\ntunnel: { serverName: relay.example.com, \
                 certificateFile: relay.crt, keyFile: relay.key, clientCAFile: agents-ca.crt }\n",
            ),
        ] {
            fs::write(folder.join(file), text).expect("written");
        }
    }

    /// What is known of the register ends with who follows it. An authority that is replaced afterwards, or a certificate
    /// that is renewed, must be seen none the less.
    #[tokio::test]
    async fn a_source_that_ended_silences_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        write_files(folder.path());
        let config = role::relay::load(&folder.path().join("relay.yaml")).expect("a good file");
        let (known, clock) = (Known::default(), Arc::new(SystemClock));
        let read = TunnelIdentity::read(&config.tunnel, &known, clock);
        let (identity, reloaders) = read.expect("an identity");
        drop(known);
        let mut seen = identity.generations();
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        reloaders.spawn(&tasks, &shutdown);
        fs::write(
            folder.path().join("agents-ca.crt"),
            authority().certificate_pem(),
        )
        .expect("written");
        let replaced = timeout(Duration::from_secs(60), identity.replaced(&mut seen));
        assert!(replaced.await.is_ok(), "the new authority is never seen");
        shutdown.cancel();
    }

    #[tokio::test]
    async fn of_several_the_one_that_lives_is_heard() {
        let sources = [0, 1, 2].map(|_| watch::Sender::new(Report::default()));
        let mut reports: Vec<_> = sources.iter().map(watch::Sender::subscribe).collect();
        let [first, second, _third] = sources;
        drop(first);
        second.send_replace(Report::default());
        let heard = timeout(Duration::from_secs(60), any_changed(&mut reports));
        assert!(heard.await.is_ok());
    }
}
