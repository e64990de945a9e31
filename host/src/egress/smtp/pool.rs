//! The connections of one channel. They are nobody else's: each is authenticated with one of its
//! secrets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::Semaphore,
    time::{Duration, Instant},
};

use super::{Server, client::Client};
use crate::limits;

/// See the module's text.
pub(in crate::egress) struct Connections {
    /// One for each connection in use.
    pub(super) permits: Semaphore,
    /// No more than there are permits: each of them was in use.
    idle: Mutex<Vec<Connection>>,
}

/// A conversation between two messages, or in one.
pub(super) struct Connection {
    pub(super) client: Client,
    /// To whom, how and as whom.
    pub(super) server: Server,
    since: Instant,
    messages: u32,
    /// Whether the other side waits for a command. Not while a message is under way, so that a call
    /// that is ended in the middle leaves a connection that is closed without a word.
    pub(super) in_order: bool,
}

impl Default for Connections {
    fn default() -> Self {
        Self { permits: Semaphore::new(limits::SMTP_CONNECTIONS_MAX), idle: Mutex::default() }
    }
}

impl Connections {
    /// The connection to `server` that was used last.
    pub(super) fn take(&self, server: &Server) -> Option<Connection> {
        let mut idle = self.lock();
        let at = idle.iter().rposition(|connection| connection.server == *server)?;
        Some(idle.remove(at))
    }

    /// Keeps a connection for the next message, if it is good for one.
    pub(super) fn park(&self, mut connection: Connection) {
        connection.since = Instant::now();
        let used_up = connection.messages >= limits::SMTP_MESSAGES_PER_CONNECTION;
        if !connection.in_order || used_up {
            return;
        }
        let mut idle = self.lock();
        if idle.len() >= limits::SMTP_CONNECTIONS_MAX {
            // Of other servers, or as another user: what was used longest ago goes.
            idle.remove(0);
        }
        idle.push(connection);
    }

    /// Closes what has been idle for `longer_than`.
    pub(in crate::egress) fn close_idle(&self, longer_than: Duration) {
        self.lock().retain(|connection| connection.since.elapsed() < longer_than);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    pub(super) fn new(client: Client, server: Server) -> Self {
        Self { client, server, since: Instant::now(), messages: 0, in_order: true }
    }

    /// Whether the server still answers, and has forgotten the message before. A server closes idle
    /// connections as it likes, and this finds out before anything is sent.
    pub(super) async fn is_alive(&mut self, deadline: Instant) -> bool {
        let too_old = self.since.elapsed() >= limits::EGRESS_IDLE_TIMEOUT;
        if too_old || self.client.has_more_to_read() {
            return false;
        }
        self.in_order = false;
        let reply = self.client.command("RSET", deadline).await;
        self.in_order = reply.is_ok_and(|reply| reply.is_positive());
        self.in_order
    }

    /// A message begins.
    pub(super) fn begin(&mut self) {
        self.messages += 1;
        self.in_order = false;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.in_order {
            self.client.quit();
        }
    }
}
