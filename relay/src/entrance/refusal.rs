//! Why a caller does not get on board, and what it is told.

use gangplank_pki::EntranceFault;

use crate::entrance::alert::Alert;
use crate::entrance::forwarded::ForwardFault;
use crate::entrance::hello::HelloFault;
use crate::entrance::peek::PeekError;

/// Why a caller was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No ClientHello that can be routed.
    #[error(transparent)]
    Peek(#[from] PeekError),
    /// It had to make room for another on the quay.
    #[error("too many callers are waiting and this one waited longest")]
    Crowded,
    /// The server name leads nowhere.
    #[error("the server name is no entrance")]
    NoEntrance(#[source] EntranceFault),
    /// The server name is the relay's own, and without enrolment it serves nothing itself over TCP.
    #[error("the server name is the relay's own, where nothing is served over TCP")]
    OwnName,
    /// No agent has ever proved this name here.
    #[error("no tunnel of this name is known")]
    UnknownTunnel,
    /// There was a tunnel, and there is none now.
    #[error("the tunnel is known but offline")]
    Offline,
    /// Tunnels were there and none took the caller.
    #[error("no tunnel of this name took the caller")]
    NotAnswering,
    /// As many callers as may are boarding every tunnel of this name.
    #[error("too many callers are boarding this tunnel")]
    Overloaded,
}

/// How to part from a refused caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// With an alert that a TLS client can print.
    Alert(Alert),
    /// With an answer in plain HTTP, to a caller that speaks that.
    PlainHttp,
    /// Without a word: it does not speak TLS, or is gone.
    Close,
    /// With a reset, which costs the relay nothing more: overload.
    Reset,
}

impl Refusal {
    /// The word for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Peek(error) => error.reason(),
            Self::Crowded => "Crowded",
            Self::NoEntrance(fault) => fault.reason(),
            Self::OwnName => "OwnName",
            Self::UnknownTunnel => "UnknownTunnel",
            Self::Offline => "Offline",
            Self::NotAnswering => "NotAnswering",
            Self::Overloaded => "Overloaded",
        }
    }

    /// What a load balancer does otherwise than it should, if that is the reason.
    pub(crate) fn forward_fault(&self) -> Option<ForwardFault> {
        match self {
            Self::Peek(
                PeekError::Forwarded(fault) | PeekError::Hello(HelloFault::ProxyHeader(fault)),
            ) => Some(*fault),
            _ => None,
        }
    }

    /// What the caller is told. With `hide_names` a tunnel that is offline looks like one that never
    /// was.
    pub(crate) fn farewell(&self, hide_names: bool) -> Farewell {
        match self {
            Self::Peek(PeekError::Hello(HelloFault::PlainHttp)) => Farewell::PlainHttp,
            Self::Peek(PeekError::Hello(fault)) => {
                fault.alert().map_or(Farewell::Close, Farewell::Alert)
            }
            Self::Peek(_) => Farewell::Close,
            Self::Crowded | Self::Overloaded => Farewell::Reset,
            Self::NoEntrance(_) | Self::OwnName | Self::UnknownTunnel => {
                Farewell::Alert(Alert::UnrecognizedName)
            }
            Self::Offline | Self::NotAnswering if hide_names => {
                Farewell::Alert(Alert::UnrecognizedName)
            }
            Self::Offline | Self::NotAnswering => Farewell::Alert(Alert::InternalError),
        }
    }
}
