//! A host for tests: a channel's unit tests run on the machine itself, with plain `cargo test`.
//!
//! ```
//! # use conductor_sdk::{Channel, Context, Failure, Message, Receipt, SendError, http};
//! # #[derive(serde::Deserialize, schemars::JsonSchema)]
//! # struct Options { url: String }
//! # #[derive(Debug)]
//! # struct Mine(String);
//! # impl Channel for Mine {
//! #     type Options = Options;
//! #     fn initialize(context: Context<Options>) -> Result<Self, Failure> { Ok(Self(context.options.url)) }
//! #     fn send(&self, message: &Message) -> Result<Receipt, SendError> {
//! #         http::post(&self.0).body(message.body.as_bytes()).fetch()?.error_for_status()?;
//! #         Ok(Receipt::delivered())
//! #     }
//! # }
//! use conductor_sdk::{json, testing::{FakeHost, answer, message, start}};
//!
//! let host = FakeHost::install();
//! host.answer(answer(204));
//! let channel: Mine = start(json!({ "url": "https://chat.example/" })).unwrap();
//! assert!(channel.send(&message("hello")).is_ok());
//! assert_eq!(host.requests()[0].text(), "hello");
//! ```

#[path = "testing/backend.rs"]
pub(crate) mod backend;
#[path = "testing/http.rs"]
mod fake_http;
#[path = "testing/smtp.rs"]
mod fake_smtp;
#[path = "testing/operations.rs"]
pub(crate) mod operations;
#[path = "testing/signing.rs"]
mod signing;

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::{
    AsyncChannel, Channel, Context, Failure, Format, Message, Priority,
    bindings::{conductor::channel::channel_types, described::metadata},
    guest, guest_async,
    http::HttpError,
    log::Level,
    smtp::{Acceptance, SmtpError},
};

pub use fake_http::{Answer, SentRequest, answer};
pub use fake_smtp::{SentMail, accepted, refusal};
pub use operations::{Heard, Said};
pub use signing::RequestedJwt;

/// The fake host of the current thread. A test runs in a thread of its own, so tests do not see
/// each other's.
#[derive(Clone, Copy, Debug)]
pub struct FakeHost(());

impl FakeHost {
    /// Starts anew: no secrets, no answers, no state, nothing recorded.
    #[must_use]
    pub fn install() -> Self {
        backend::reset();
        operations::reset();
        Self(())
    }

    /// Configures a secret. Channels started after this see its name in their context.
    pub fn secret(&self, name: &str, value: &str) -> &Self {
        backend::change(|fake| fake.secrets.insert(name.to_owned(), value.to_owned()));
        self
    }

    /// Grants `reveal`, which a real host denies unless its operator says otherwise.
    pub fn grant_reveal(&self) -> &Self {
        backend::change(|fake| fake.reveal = true);
        self
    }

    /// Stops the clock at `time`.
    pub fn now(&self, time: SystemTime) -> &Self {
        backend::change(|fake| fake.now = Some(time));
        self
    }

    /// The next request gets this answer. Answers are used up in order; a request without one
    /// fails the test.
    pub fn answer(&self, answer: Answer) -> &Self {
        backend::change(|fake| fake.answers.push_back(Ok(answer.into_raw())));
        self
    }

    /// The next request gets no answer, for this reason.
    pub fn fail(&self, error: HttpError) -> &Self {
        backend::change(|fake| fake.answers.push_back(Err(error)));
        self
    }

    /// Who is at the other end of every websocket: told what the channel does, it says what comes
    /// back. Without one, nothing can be connected to.
    pub fn websocket(&self, peer: impl FnMut(Said) -> Vec<Heard> + 'static) -> &Self {
        operations::set_peer(peer);
        self
    }

    /// How much time has passed, in leaps from timer to timer.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        operations::elapsed()
    }

    /// All requests that were sent, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<SentRequest> {
        backend::change(|fake| fake.requests.clone())
    }

    /// All tokens that the host was asked to sign, oldest first.
    #[must_use]
    pub fn jwts(&self) -> Vec<RequestedJwt> {
        backend::change(|fake| fake.jwts.clone())
    }

    /// The value of a credential that the channel has handed over, while its time lasts.
    #[must_use]
    pub fn kept(&self, name: &str) -> Option<String> {
        backend::kept(name)
    }

    /// The next message, or check of a mail server, gets this answer; a message without one fails
    /// the test.
    pub fn accept_mail(&self, acceptance: Acceptance) -> &Self {
        backend::change(|fake| fake.mail_answers.push_back(Ok(acceptance)));
        self
    }

    /// The next message, or check of a mail server, is not taken, for this reason.
    pub fn refuse_mail(&self, error: SmtpError) -> &Self {
        backend::change(|fake| fake.mail_answers.push_back(Err(error)));
        self
    }

    /// All messages that were handed to mail servers, and checks of these, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<SentMail> {
        backend::change(|fake| fake.mails.clone())
    }

    /// All lines that were logged, oldest first.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        backend::change(|fake| fake.logs.clone())
    }
}

/// A line that the channel logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How important.
    pub level: Level,
    /// The text.
    pub message: String,
    /// Pairs of name and value.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }
}

/// Initializes a channel with these options, the way the host does, for the tenant "Acme".
///
/// # Errors
/// What `initialize` answers, or `invalid_options` when the options do not parse.
pub fn start<C: Channel>(options: Value) -> Result<C, Failure> {
    C::initialize(context(&options)?)
}

/// [`start`] for the async flavour.
///
/// # Errors
/// As [`start`].
pub fn start_async<C: AsyncChannel>(options: Value) -> Result<C, Failure> {
    C::initialize(context(&options)?)
}

/// Runs a future to its end. Time stands still as long as anything can go on, and then leaps to the
/// next timer.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    operations::block_on(future)
}

fn context<O: serde::de::DeserializeOwned>(options: &Value) -> Result<Context<O>, Failure> {
    Context::parse(channel_types::Context {
        tenant_id: "0190b6c8-7d3a-7000-8000-0000000000aa".to_owned(),
        tenant_name: "Acme".to_owned(),
        channel: "test".to_owned(),
        options: options.to_string(),
        secrets: backend::change(|fake| fake.secrets.keys().cloned().collect()),
    })
}

/// What `describe` answers, as JSON: with the keys of the interface's `manifest`, and the schema
/// parsed.
#[must_use]
pub fn manifest<C: Channel + guest::Package>() -> Value {
    described(&guest::manifest::<C>())
}

/// [`manifest`] for the async flavour.
#[must_use]
pub fn manifest_async<C: AsyncChannel + guest::Package>() -> Value {
    described(&guest_async::manifest::<C>())
}

fn described(raw: &metadata::Manifest) -> Value {
    let secrets: Vec<_> = raw
        .secrets
        .iter()
        .map(|want| {
            crate::json!({ "name": want.name, "summary": want.summary, "required": want.required })
        })
        .collect();
    crate::json!({
        "name": raw.name,
        "version": raw.version,
        "summary": raw.summary,
        "optionsSchema": serde_json::from_str::<Value>(&raw.options_schema).unwrap_or_default(),
        "secrets": secrets,
        "hosts": raw.hosts,
        "bodyMax": raw.body_max.map(|limit| limit.length),
        "formats": raw.formats.len(),
        "attachmentsMax": raw.attachments_max,
    })
}

/// A message with this body and otherwise plain values; change the fields that matter.
#[must_use]
pub fn message(body: &str) -> Message {
    Message {
        id: "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b".to_owned(),
        delivery_key: "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b:0".to_owned(),
        attempt: 1,
        target: None,
        title: None,
        body: body.to_owned(),
        format: Format::Plain,
        priority: Priority::Normal,
        data: "{}".to_owned(),
        attachments: Vec::new(),
        created_at: "2026-11-21T18:00:00.000Z".to_owned(),
        expires_at: None,
        deadline_ms: 10_000,
    }
}

/// What [`secrets::placeholder`](crate::secrets::placeholder) answers here, for comparing.
#[must_use]
pub fn placeholder(name: &str) -> String {
    format!("placeholder-of-{name}")
}

/// What [`Jwt::placeholder`](crate::secrets::Jwt::placeholder) answers here, for comparing.
#[must_use]
pub fn jwt_placeholder(secret: &str) -> String {
    format!("placeholder-of-jwt-{secret}")
}

#[cfg(test)]
#[path = "testing/tests.rs"]
mod tests;
