//! From a name to addresses that may be connected to. Asked at every connect and never cached here,
//! so that a name which points somewhere else a moment later is judged anew.

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::guard::{AddressDenied, AddressGuard};
use crate::limits;

/// The resolver of one pool of connections.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    guard: Arc<AddressGuard>,
    lookups: Lookups,
}

/// Who knows the addresses of a name; called on a thread that may wait.
type Ask = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Bounds on lookups, for the process and for one pool of it, and who is asked.
#[derive(Clone)]
pub(super) struct Lookups {
    ask: Arc<Ask>,
    process: Arc<Semaphore>,
    pool: Arc<Semaphore>,
}

impl Lookups {
    /// The bounds of the process; [`Lookups::for_pool`] makes those of each pool.
    pub(super) fn new() -> Self {
        // hyper sets the port afterwards.
        Self::by(Arc::new(|name: &str| (name, 0).to_socket_addrs().map(Iterator::collect)))
    }

    /// The same, with somebody else than the system's resolver.
    pub(super) fn by(ask: Arc<Ask>) -> Self {
        Self {
            ask,
            process: Arc::new(Semaphore::new(limits::LOOKUPS_MAX)),
            pool: Arc::new(Semaphore::new(limits::LOOKUPS_PER_POOL)),
        }
    }

    /// The same bounds of the process, and new ones of a pool.
    pub(super) fn for_pool(&self) -> Self {
        Self {
            ask: Arc::clone(&self.ask),
            process: Arc::clone(&self.process),
            pool: Arc::new(Semaphore::new(limits::LOOKUPS_PER_POOL)),
        }
    }
}

/// Why there is no address to connect to.
#[derive(Debug)]
pub(super) enum ResolveError {
    /// The name has addresses and the policy denies all of them.
    Denied { name: String, denied: AddressDenied },
    /// The system's resolver has no answer.
    Failed(io::Error),
    /// The name has no addresses.
    Empty,
    /// It took too long, or too many lookups are waiting already.
    TimedOut,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { name, denied } => {
                write!(formatter, "the name {name} leads nowhere that is allowed: {denied}")
            }
            Self::Failed(error) => write!(formatter, "the name cannot be resolved: {error}"),
            Self::Empty => formatter.write_str("the name has no addresses"),
            Self::TimedOut => formatter.write_str("looking up the name took too long"),
        }
    }
}

impl std::error::Error for ResolveError {}

impl GuardedResolver {
    pub(super) const fn new(guard: Arc<AddressGuard>, lookups: Lookups) -> Self {
        Self { guard, lookups }
    }

    pub(super) async fn lookup(self, name: String) -> Result<Addrs, ResolveError> {
        let found = tokio::time::timeout(limits::LOOKUP_TIMEOUT, self.ask_system(name.clone()))
            .await
            .map_err(|_| ResolveError::TimedOut)??;
        let mut allowed = Vec::with_capacity(found.len());
        let mut first_denied = None;
        for address in found {
            match self.guard.check(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(denied) => first_denied = first_denied.or(Some(denied)),
            }
        }
        match (allowed.is_empty(), first_denied) {
            (false, _) => Ok(Box::new(allowed.into_iter())),
            (true, Some(denied)) => Err(ResolveError::Denied { name, denied }),
            (true, None) => Err(ResolveError::Empty),
        }
    }

    async fn ask_system(&self, name: String) -> Result<Vec<SocketAddr>, ResolveError> {
        let permit = |bound: &Arc<Semaphore>| Arc::clone(bound).acquire_owned();
        let of_pool = permit(&self.lookups.pool).await.map_err(|_| ResolveError::TimedOut)?;
        let of_process = permit(&self.lookups.process).await.map_err(|_| ResolveError::TimedOut)?;
        // The permits move into the thread: it lives until the system's resolver returns, also when
        // nobody waits for it any more.
        let ask = Arc::clone(&self.lookups.ask);
        let lookup = tokio::task::spawn_blocking(move || {
            let _permits = (of_pool, of_process);
            ask(&name)
        });
        match lookup.await {
            Ok(found) => found.map_err(ResolveError::Failed),
            Err(stopped) => Err(ResolveError::Failed(io::Error::other(stopped))),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.clone().lookup(name.as_str().to_owned());
        Box::pin(async move { lookup.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::AddressRange;

    async fn resolve(name: &str, allowed: &[AddressRange]) -> Result<Vec<SocketAddr>, String> {
        let resolver =
            GuardedResolver::new(Arc::new(AddressGuard::new(allowed)), Lookups::new().for_pool());
        match resolver.lookup(name.to_owned()).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_has_no_allowed_address() {
        let denied = resolve("localhost", &[]).await.unwrap_err();
        assert!(denied.contains("localhost") && denied.contains("loopback"), "{denied}");
    }

    #[tokio::test]
    async fn only_the_allowed_addresses_of_a_name_are_kept() {
        let range = "127.0.0.0/8".parse().unwrap();
        let addresses = resolve("localhost", &[range]).await.unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|address| range.contains(address.ip())), "{addresses:?}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_an_error() {
        assert!(resolve("no-such-name.invalid", &[]).await.is_err());
    }
}
