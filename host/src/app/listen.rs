//! Where to listen, and what to say when somebody else already does.

use std::{fmt, io, net::SocketAddr};

use tokio::net::TcpListener;

/// How many ports are tried when the one asked for is taken.
const PORTS_TRIED: u16 = 100;

/// An address to listen on.
#[derive(Clone, Debug)]
pub struct Listen {
    /// "127.0.0.1:3333", "[::]:80", "localhost:0".
    pub address: String,
    /// Take the next free port when this one is taken.
    pub auto_port: bool,
}

impl Listen {
    /// Listens.
    pub(super) async fn bind(&self) -> Result<TcpListener, String> {
        let asked = self.resolve().await?;
        let mut address = asked;
        for _ in 0..PORTS_TRIED {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    if address.port() != asked.port() {
                        tracing::warn!("port {} is taken; listening on {address}", asked.port());
                    }
                    return Ok(listener);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.auto_port => {
                    let next = address.port().checked_add(1);
                    address.set_port(next.ok_or("no port is free")?);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(format!(
                        "port {} is taken, perhaps by another conductor; stop that one, choose \
                         another port with --listen, or take the next free one with --auto-port",
                        address.port()
                    ));
                }
                Err(error) => return Err(format!("{address} cannot be listened on: {error}")),
            }
        }
        Err(format!("none of the {PORTS_TRIED} ports from {} is free", asked.port()))
    }

    async fn resolve(&self) -> Result<SocketAddr, String> {
        let wrong = |why: &dyn fmt::Display| {
            format!(
                "\"{}\" is no address to listen on ({why}); write for example 127.0.0.1:3333",
                self.address
            )
        };
        let mut found =
            tokio::net::lookup_host(&self.address).await.map_err(|error| wrong(&error))?;
        found.next().ok_or_else(|| wrong(&"it has no address"))
    }
}
