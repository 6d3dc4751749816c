//! Looking a relay up, and trying its addresses.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long the resolver may take: its own usual patience.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// Addresses of one host that are tried in one attempt: a name with more is a load balancer, of
/// which some will do.
const ADDRESSES: usize = 4;

/// How much later than an address the next one is tried (RFC 8305 §5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Why a host has no address to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookUpError {
    /// The name could not be looked up.
    #[error(
        "its name could not be looked up; look at the address that was given, and at this host's DNS"
    )]
    Failed(#[source] io::Error),
    /// The resolver did not answer.
    #[error("the resolver did not answer in time; look at this host's DNS")]
    ResolverSilent,
    /// The name has no address.
    #[error("its name has no address; look at the address that was given")]
    NoAddress,
}

impl LookUpError {
    /// The error as one word, for metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Failed(_) => "LookUpFailed",
            Self::ResolverSilent => "ResolverSilent",
            Self::NoAddress => "NoAddress",
        }
    }
}

/// The addresses of a host that are worth a try, looked up anew.
pub(crate) async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, LookUpError> {
    let found = timeout(LOOKUP_LIMIT, lookup_host((host, port)))
        .await
        .map_err(|_late| LookUpError::ResolverSilent)?
        .map_err(LookUpError::Failed)?;
    let addresses: Vec<_> = found.take(ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(LookUpError::NoAddress);
    }
    Ok(addresses)
}

/// The first attempt that succeeds, or the last failure. The next one begins when the one before has failed,
/// or after a moment: an address whose packets vanish must not hold up the others. Those that are late are
/// given up. `None` without attempts.
pub(crate) async fn first_of<T: Send + 'static, E: Send + 'static>(
    attempts: impl Iterator<Item = impl Future<Output = Result<T, E>> + Send + 'static>,
) -> Option<Result<T, E>> {
    let mut waiting = attempts.fuse().peekable();
    let mut running = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(attempt) = waiting.next() {
            running.spawn(attempt);
        }
        let more = waiting.peek().is_some();
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(Ok(success))) => return Some(Ok(success)),
                Some(Ok(Err(error))) => failure = Some(Err(error)),
                Some(Err(_panicked)) => {}
                None => return failure,
            },
            () = sleep(NEXT_ADDRESS), if more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    type Attempt = Box<dyn Future<Output = Result<u8, &'static str>> + Send + Unpin>;

    fn fails(why: &'static str) -> Attempt {
        Box::new(ready(Err(why)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_whose_packets_vanish_holds_nobody_up() {
        let begun = Instant::now();
        let attempts: [Attempt; 3] = [Box::new(pending()), fails("?"), Box::new(ready(Ok(3)))];
        assert_eq!(first_of(attempts.into_iter()).await, Some(Ok(3)));
        assert_eq!(begun.elapsed(), NEXT_ADDRESS);
    }

    #[tokio::test]
    async fn the_last_failure_is_told() {
        let failed = first_of([fails("first"), fails("last")].into_iter()).await;
        assert_eq!(failed, Some(Err("last")));
        let none: [Attempt; 0] = [];
        assert_eq!(first_of(none.into_iter()).await, None);
    }
}
