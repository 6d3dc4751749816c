//! The UDP socket below an endpoint.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::limits::SOCKET_BUFFER;

/// Why an endpoint does not stand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The socket could not be had.
    #[error("UDP {address} cannot be used; is another program on that port?")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The TLS identity cannot be used.
    #[error("the endpoint's TLS identity cannot be used")]
    Tls(#[from] super::TlsError),
    /// A limit of the endpoint is out of the transport's bounds.
    #[error("a limit of the endpoint is out of bounds")]
    Limits(#[from] quinn::ConfigError),
}

impl BindError {
    /// The error as one word, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "AddressUnusable",
            Self::Tls(error) => error.reason(),
            Self::Limits(_) => "LimitOutOfBounds",
        }
    }
}

/// The buffers that the kernel granted, in bytes of payload and its bookkeeping as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketBuffers {
    /// Receive buffer.
    pub receive: usize,
    /// Send buffer.
    pub send: usize,
}

impl SocketBuffers {
    /// Whether the kernel granted less than was asked for.
    pub const fn fall_short(&self) -> bool {
        self.receive < SOCKET_BUFFER || self.send < SOCKET_BUFFER
    }
}

/// Binds UDP `address` with large buffers; `[::]` takes IPv4 too.
pub(super) fn bind(address: SocketAddr) -> Result<(UdpSocket, SocketBuffers), BindError> {
    open(address).map_err(|cause| BindError::Socket { address, cause })
}

fn open(address: SocketAddr) -> io::Result<(UdpSocket, SocketBuffers)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    let buffers = enlarge_buffers(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok((socket.into(), buffers))
}

fn enlarge_buffers(socket: &Socket) -> io::Result<SocketBuffers> {
    // A kernel that grants less does so silently, on some systems with an error: either way what
    // counts is what is there afterwards.
    for refused in [
        socket.set_recv_buffer_size(SOCKET_BUFFER).err(),
        socket.set_send_buffer_size(SOCKET_BUFFER).err(),
    ]
    .into_iter()
    .flatten()
    {
        tracing::debug!(error = %refused, "the kernel refused a socket buffer");
    }
    // Linux doubles what was asked for, for its own bookkeeping, and reports the double (socket(7)).
    let halved = |bytes: usize| {
        if cfg!(target_os = "linux") {
            bytes / 2
        } else {
            bytes
        }
    };
    Ok(SocketBuffers {
        receive: halved(socket.recv_buffer_size()?),
        send: halved(socket.send_buffer_size()?),
    })
}
