//! The relay seen from outside: for readiness and status, without any power over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gangplank_config::{Anchors, KeyPair};
use gangplank_enrolment::{Contact, Known};
use gangplank_pki::TunnelName;
use gangplank_tunnel::{Account, Ledger, Session, Traffic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::enrolment_papers::{EnrolmentPapers, PapersOnFile};
use crate::entrance::{Forwarders, MismatchCrowd, MismatchView, Quay};
use crate::identity::TunnelIdentity;
use crate::registry::Registry;

/// One registered tunnel at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelView {
    /// The name that the agent's certificate proved.
    pub name: TunnelName,
    /// The agent process, by its own account.
    pub instance: u128,
    /// Which of its connections to this relay.
    pub slot: u16,
    /// Rises with every dial of that connection.
    pub epoch: u64,
    /// What carries it, such as `quic`.
    pub transport: &'static str,
    /// Where the agent is now.
    pub remote: SocketAddr,
    /// Since it was registered.
    pub age: Duration,
    /// Round-trip time, the transport's estimate.
    pub rtt: Duration,
    /// Callers on board, and those who are boarding.
    pub open_streams: usize,
    /// Callers' bytes in both directions, of connections that have ended.
    pub bytes: u64,
    /// What went over the network.
    pub traffic: Traffic,
}

/// A look at a running relay. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RelayView {
    registry: Registry<Arc<dyn Session>>,
    ledger: Ledger<TunnelName>,
    quay: Quay,
    forwarders: Forwarders,
    papers: PapersOnFile,
    identity: TunnelIdentity,
    contact: watch::Receiver<Contact>,
    accepting: Arc<AtomicBool>,
    draining: CancellationToken,
}

impl RelayView {
    pub(crate) fn new(
        (registry, ledger): (Registry<Arc<dyn Session>>, Ledger<TunnelName>),
        (quay, forwarders): (Quay, Forwarders),
        (identity, known, papers): (&TunnelIdentity, &Known, PapersOnFile),
        draining: CancellationToken,
    ) -> Self {
        Self {
            registry,
            ledger,
            quay,
            forwarders,
            papers,
            identity: identity.clone(),
            contact: known.contact(),
            accepting: Arc::default(),
            draining,
        }
    }

    pub(crate) fn now_accepting(&self) {
        self.accepting.store(true, Ordering::Relaxed);
    }

    /// The registered tunnels, by name, instance and slot.
    pub fn tunnels(&self) -> Vec<TunnelView> {
        let mut tunnels: Vec<_> = self
            .registry
            .tunnels()
            .iter()
            .map(|tunnel| TunnelView {
                name: tunnel.name().clone(),
                instance: tunnel.slot().instance,
                slot: tunnel.slot().slot,
                epoch: tunnel.slot().epoch,
                transport: tunnel.session().transport(),
                remote: tunnel.session().remote_address(),
                age: tunnel.since().elapsed(),
                rtt: tunnel.session().round_trip_time(),
                open_streams: tunnel.open_streams(),
                bytes: tunnel.carried_bytes(),
                traffic: tunnel.session().traffic(),
            })
            .collect();
        tunnels.sort_by(|a, b| (&a.name, a.instance, a.slot).cmp(&(&b.name, b.instance, b.slot)));
        tunnels
    }

    /// What is known of each cluster that has, or had, a tunnel since the relay started, by name.
    pub fn clusters(&self) -> Vec<Account<TunnelName>> {
        self.ledger.accounts()
    }

    /// How many tunnels are registered.
    pub fn count(&self) -> usize {
        self.registry.count()
    }

    /// Callers that have connected and are not yet on board.
    pub fn waiting_callers(&self) -> usize {
        self.quay.waiting()
    }

    /// The certificate that is in force, which is not that of its file when somebody has broken the file.
    pub fn key_pair(&self) -> Arc<KeyPair> {
        self.identity.key_pair()
    }

    /// The authorities of agents that are in force, those of all accounts first.
    pub fn authorities(&self) -> Vec<Arc<Anchors>> {
        self.identity.authorities()
    }

    /// Load balancers that do otherwise than `proxyProtocolFrom` says, so that their callers were refused of late.
    pub fn mismatches(&self) -> Vec<MismatchView> {
        self.forwarders.mismatches()
    }

    /// How many addresses there are beside those, refused as seldom as they or less.
    pub fn mismatch_crowds(&self) -> Vec<MismatchCrowd> {
        self.forwarders.mismatch_crowds()
    }

    /// The certificates behind enrolment, as their files had them a moment ago.
    pub fn enrolment_papers(&self) -> Arc<EnrolmentPapers> {
        self.papers.papers()
    }

    /// Whether the relay is on its way out.
    pub fn draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Whether callers are taken: running, and not draining. Not whether any tunnel is there: with none the
    /// relay's answers are still the right ones.
    pub fn ready(&self) -> bool {
        self.accepting.load(Ordering::Relaxed) && !self.draining()
    }

    /// For how long the register has not been followed, and why.
    pub fn register_lost(&self) -> Option<(Duration, Arc<str>)> {
        match &*self.contact.borrow() {
            Contact::Held => None,
            Contact::Lost { since, why } => Some((since.elapsed(), Arc::clone(why))),
        }
    }
}
