//! What Linux says about connections: sock_diag(7), for all of a port in one question. Its answers come from the kernel and are read all
//! the same as if they could be wrong.

#[cfg(target_os = "linux")]
pub(super) use linux::{cookie, unanswered};
#[cfg(not(target_os = "linux"))]
pub(super) use nobody::{cookie, unanswered};

#[cfg(target_os = "linux")]
mod linux;

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
mod nobody {
    use std::io;
    use std::net::SocketAddr;

    use tokio::net::TcpStream;

    use crate::lookout::Cookie;
    use crate::lookout::sounding::Sounding;

    pub(in crate::lookout) fn cookie(_socket: &TcpStream) -> Option<Cookie> {
        None
    }

    pub(in crate::lookout) fn unanswered(_port: SocketAddr) -> io::Result<Vec<Sounding>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
