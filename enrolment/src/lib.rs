//! How clusters come to their tunnel's certificate, at the relay's side.
//!
//! An administrator makes a token for one cluster's name; an agent that has it gets a certificate for exactly
//! that name, once, and renews it while it is good; a name can be revoked. The [`Register`] keeps what must
//! not be forgotten, the [`Office`] decides by it. Both serve the relay while it runs and the command line
//! beside it. Nothing here is asked when a caller comes: the relay has in memory what it needs ([`Known`]).
//! One relay has its register in a file ([`EmbeddedRegister`]), several have theirs in etcd ([`EtcdRegister`]).
//!
//! Not here: TLS and sockets (`gangplank-relay`), the agent's side (`gangplank-agent`), and what both say
//! (`gangplank_tunnel::wire::enrolment`).

mod embedded;
mod etcd;
mod known;
mod office;
mod proof;
mod register;

pub use embedded::EmbeddedRegister;
pub use etcd::EtcdRegister;
pub use known::{Contact, Known, Names, Revoked, Snapshot};
pub use office::{NewToken, Office, TokenError};
pub use register::{
    CertificateRecord, Register, RegisterFault, Revocation, Succession, TokenId, TokenRecord,
};
