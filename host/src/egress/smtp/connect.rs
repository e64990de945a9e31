//! From a server's name to a conversation: the address policy, the connection, TLS, EHLO, AUTH.

use std::{net::SocketAddr, sync::Arc};

use rustls::pki_types::ServerName;
use smtp_proto::EXT_START_TLS;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    Origin, Phase, Refusal, Reply, SmtpError, Tls,
    auth::Identity,
    client::{Broken, Client, Duplex},
};
use crate::{
    egress::{client::Pool, resolve::ResolveError},
    limits,
};

/// What a connection is made with.
pub(super) struct Plan<'a> {
    pub(super) pool: &'a Pool,
    pub(super) to: &'a Origin,
    pub(super) tls: Tls,
    pub(super) identity: Option<&'a Identity>,
    pub(super) deadline: Instant,
}

impl Plan<'_> {
    /// A conversation that has come as far as MAIL.
    ///
    /// # Errors
    /// [`SmtpError`]; nothing has been handed over.
    pub(super) async fn connect(&self) -> Result<Client, SmtpError> {
        let by = self.deadline.min(Instant::now() + limits::CONNECT_TIMEOUT);
        let tcp = self.tcp(by).await?;
        let name = hello_name(&tcp);
        let mut client = match self.tls {
            Tls::Implicit => Client::new(self.encrypt(Box::new(tcp), by).await?),
            Tls::Starttls | Tls::Plaintext => Client::new(Box::new(tcp)),
        };
        let result = self.converse(&mut client, &name).await;
        if result.is_err() {
            // Whatever it was, the server need not wait for more.
            client.quit();
        }
        result.map(|()| client)
    }

    async fn converse(&self, client: &mut Client, name: &str) -> Result<(), SmtpError> {
        let greeting = client.greeting(self.deadline).await;
        self.expect(greeting)?;
        self.hello(client, name).await?;
        if self.tls == Tls::Starttls {
            self.start_tls(client).await?;
            // What was offered without TLS may be anybody's offer (RFC 3207, section 4.2).
            self.hello(client, name).await?;
        }
        match self.identity {
            Some(identity) => {
                let lost = |broken| self.lost(&broken);
                identity.authenticate(client, self.deadline, lost).await
            }
            None => Ok(()),
        }
    }

    /// Connects to the first address that answers, of those that are allowed.
    async fn tcp(&self, by: Instant) -> Result<TcpStream, SmtpError> {
        let addresses = self.addresses(by).await?;
        let mut why = String::from("no address of it answered in time");
        for (tried, address) in addresses.iter().enumerate() {
            // One that does not answer leaves time for the others.
            let left = by.saturating_duration_since(Instant::now());
            let rest = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            match timeout_at(Instant::now() + left / rest, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Commands are short, and each waits for its reply. Without this they wait twice.
                    if let Err(error) = tcp.set_nodelay(true) {
                        tracing::debug!(%error, "no TCP_NODELAY for a mail server");
                    }
                    return Ok(tcp);
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => {}
            }
        }
        Err(SmtpError::Unreachable(format!("no connection to {}: {why}", self.to)))
    }

    async fn addresses(&self, by: Instant) -> Result<Vec<SocketAddr>, SmtpError> {
        let host = self.to.bare_host();
        if let Ok(address) = host.parse() {
            self.pool
                .guard
                .check(address)
                .map_err(|denied| SmtpError::Denied(format!("{} is denied: {denied}", self.to)))?;
            return Ok(vec![SocketAddr::new(address, self.to.port)]);
        }
        let lookup = self.pool.resolver.clone().lookup(host.to_owned());
        let found = timeout_at(by, lookup).await.unwrap_or(Err(ResolveError::TimedOut));
        match found {
            Ok(addresses) => {
                Ok(addresses.map(|address| SocketAddr::new(address.ip(), self.to.port)).collect())
            }
            Err(denied @ ResolveError::Denied { .. }) => Err(SmtpError::Denied(denied.to_string())),
            Err(error) => {
                Err(SmtpError::Unreachable(format!("no connection to {}: {error}", self.to)))
            }
        }
    }

    async fn encrypt(
        &self,
        stream: Box<dyn Duplex>,
        by: Instant,
    ) -> Result<Box<dyn Duplex>, SmtpError> {
        let host = self.to.bare_host().to_owned();
        let name = ServerName::try_from(host).map_err(|_| {
            SmtpError::TlsFailed(format!("no certificate can be for the name of {}", self.to))
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.pool.mail_tls));
        match timeout_at(by, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(SmtpError::TlsFailed(format!(
                "no TLS with {}: {error}{}",
                self.to,
                if is_no_tls(&error) { " (is the port one with STARTTLS?)" } else { "" }
            ))),
            Err(_) => Err(SmtpError::Unreachable(format!("no TLS with {} in time", self.to))),
        }
    }

    async fn start_tls(&self, client: &mut Client) -> Result<(), SmtpError> {
        if !client.offers.has_capability(EXT_START_TLS) {
            return Err(SmtpError::TlsFailed(format!(
                "{} does not offer STARTTLS, and nothing is sent without TLS (is the port one with \
                 implicit TLS, or is somebody between?)",
                self.to
            )));
        }
        let reply = client.command("STARTTLS", self.deadline).await;
        let reply = reply.map_err(|broken| self.lost(&broken))?;
        if !reply.is_positive() {
            return Err(SmtpError::TlsFailed(format!(
                "{} offers STARTTLS and refuses it: {} {}",
                self.to, reply.code, reply.text
            )));
        }
        // Whatever stands behind this reply was sent before there was TLS, by whomever (CVE-2011-0411).
        if client.has_more_to_read() {
            return Err(SmtpError::TlsFailed(format!(
                "{} sent plaintext behind its answer to STARTTLS: somebody may be between",
                self.to
            )));
        }
        let by = self.deadline.min(Instant::now() + limits::CONNECT_TIMEOUT);
        let plaintext = client.take_stream();
        *client = Client::new(self.encrypt(plaintext, by).await?);
        Ok(())
    }

    async fn hello(&self, client: &mut Client, name: &str) -> Result<(), SmtpError> {
        let reply = client.ehlo(name, self.deadline).await;
        self.expect(reply)
    }

    fn expect(&self, reply: Result<Reply, Broken>) -> Result<(), SmtpError> {
        let reply = reply.map_err(|broken| self.lost(&broken))?;
        if reply.is_positive() {
            return Ok(());
        }
        Err(SmtpError::Rejected(Refusal::of(Phase::Connection, None, reply)))
    }

    fn lost(&self, broken: &Broken) -> SmtpError {
        SmtpError::Unreachable(format!("no conversation with {}: {broken}", self.to))
    }
}

/// Whether what came instead of TLS was something else.
fn is_no_tls(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidMessage(_)))
}

/// The client's own name: its address, which is what one without a name says (RFC 5321, section
/// 4.1.3).
fn hello_name(tcp: &TcpStream) -> String {
    match tcp.local_addr().map(|address| address.ip().to_canonical()) {
        Ok(std::net::IpAddr::V4(address)) => format!("[{address}]"),
        Ok(std::net::IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Err(_) => String::from("localhost"),
    }
}
