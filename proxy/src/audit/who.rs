//! What is the same for all requests of a connection.

use std::sync::Arc;

use super::Trail;
use super::line::Fields;
use crate::connection::Underway;
use crate::exit::Caller;

/// Whose connection it is, and where its events go.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) caller: Caller,
    /// Username, provider and certificate, if the certificate was accepted.
    pub(crate) accepted: Option<Accepted>,
    /// Its requests that are not over.
    pub(crate) underway: Arc<Underway>,
    pub(super) trail: Trail,
    /// The fields above, as they stand in every line.
    pub(super) fields: Box<[u8]>,
}

/// What is known of an accepted caller.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) username: String,
    pub(crate) provider: String,
    pub(crate) certificate: String,
    pub(crate) serial: String,
}

impl Who {
    pub(crate) fn new(caller: Caller, accepted: Option<Accepted>, trail: Trail) -> Self {
        let fields = if trail.is_off() {
            Box::default()
        } else {
            render(&caller, accepted.as_ref())
        };
        Self {
            caller,
            accepted,
            underway: Arc::default(),
            trail,
            fields,
        }
    }
}

fn render(caller: &Caller, accepted: Option<&Accepted>) -> Box<[u8]> {
    let mut rendered = Vec::with_capacity(512);
    let mut fields = Fields(&mut rendered);
    fields.word("conn.id", &caller.connection_text().to_string());
    fields.word("client.addr", &caller.address.to_string());
    fields.word("client.addr_from", caller.said_by.name());
    let unlimited = usize::MAX;
    let tunnel = caller.tunnel.as_deref().unwrap_or_default();
    fields.text("tunnel", tunnel.as_bytes(), unlimited);
    if let Some(accepted) = accepted {
        fields.text("user", accepted.username.as_bytes(), unlimited);
        fields.text("provider", accepted.provider.as_bytes(), unlimited);
        fields.word("certificate", &accepted.certificate);
        fields.word("serial", &accepted.serial);
    }
    rendered.into_boxed_slice()
}
