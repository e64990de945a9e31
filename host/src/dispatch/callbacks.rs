//! The postman: posts callbacks, the one kind of delivery that the host makes without a guest.
//!
//! A callback is a notification in the tenant's lane `@callbacks`. It is leased, retried, held back
//! and recorded as all others are; only what a plugin would do is done here. It leaves through
//! `egress`, so the address policy holds for it as for everybody, and it is signed as Standard
//! Webhooks 1.0.0 says (<https://github.com/standard-webhooks/standard-webhooks>).

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};

use super::delivery::{Completed, End, Starter, give};
use crate::{
    bounded::Bounded,
    clock::{Clock, UnixMs},
    config::{Callback, Channel, Grants, Object, Origin, RetryPolicy},
    egress::{
        BindingEgress, Egress, EgressPolicy, FetchError, HostPattern, KeyEncoding,
        SignatureAlgorithm,
    },
    envelope::Envelope,
    generation::Generation,
    ids::{ChannelName, Digest, PluginName, TenantId},
    limits,
    sandbox::{Contact, Outcome, Problem, Report, RetryScope, Usage},
    store::Lane,
    tasks::Tasks,
};

const USER_AGENT: &str = concat!("Conductor/", env!("CARGO_PKG_VERSION"));
/// The names of the keys in a vault: the newest signs first.
const KEYS: [&str; 2] = ["NEW", "OLD"];

/// Posts callbacks.
pub(super) struct Postman {
    egress: Arc<Egress>,
    tasks: Tasks,
    clock: Clock,
    /// The lane's channel, which no configuration has.
    channel: Channel,
    digest: Digest,
    digest_text: Arc<str>,
    /// The ways out that are in use, so that their connections are.
    doors: Mutex<Bounded<DoorKey, Door>>,
}

/// The tenant, the origin, and the `url` of the entry.
type DoorKey = (TenantId, HostPattern, Option<Arc<str>>);

/// The way out to one origin, under one entry of the configuration.
struct Door {
    /// As it was when the door was made: another secret is another door.
    callback: Arc<Callback>,
    egress: Arc<BindingEgress>,
}

/// One callback to post.
struct Letter {
    egress: Arc<BindingEgress>,
    keys: usize,
    url: String,
    /// The same on every attempt: by this the receiver drops duplicates.
    id: String,
    body: Bytes,
}

impl Postman {
    pub(super) fn new(egress: Arc<Egress>, tasks: Tasks, clock: Clock) -> Arc<Self> {
        let channel = Channel {
            name: ChannelName::callbacks(),
            plugin: PluginName::callbacks(),
            options: Arc::default(),
            secrets: BTreeMap::new(),
            fallback: Vec::new(),
            retry: RetryPolicy::default(),
            throttle: None,
            origin: Origin { file: Arc::from(crate::config::TENANTS_FILE), line: 0 },
        };
        let digest = Digest::of(ChannelName::callbacks().as_str().as_bytes());
        Arc::new(Self {
            egress,
            tasks,
            clock,
            channel,
            digest,
            digest_text: Arc::from(digest.to_string()),
            doors: Mutex::new(Bounded::new(limits::CALLBACK_DOORS_MAX)),
        })
    }

    /// A lane's channel: the configured one, or the host's own.
    pub(super) fn channel_of<'a>(
        &'a self,
        generation: &'a Generation,
        lane: &Lane,
    ) -> Option<&'a Channel> {
        if lane.channel.is_callbacks() {
            return Some(&self.channel);
        }
        generation.channel(lane.tenant, &lane.channel).map(|channel| &**channel)
    }

    /// Begins to post. As [`super::delivery::begin`].
    pub(super) fn begin(
        self: &Arc<Self>,
        starter: &Starter,
        generation: &Arc<Generation>,
        mut base: Completed,
        envelope: Envelope,
    ) -> Option<Duration> {
        base.deduplicates = true;
        let letter = match self.letter(generation, &base, &envelope) {
            Ok(letter) => letter,
            Err((code, detail)) => {
                base.end = End::Hopeless { word: "rejected", code, detail };
                give(&starter.completed, base);
                return None;
            }
        };
        if !starter.admit(generation, &self.channel, &envelope, &mut base) {
            give(&starter.completed, base);
            return None;
        }
        base.running = Some(starter.dispatch.observer.begun(&self.channel.plugin));
        let (postman, completed) = (Arc::clone(self), starter.completed.clone());
        self.tasks.spawn("callback", async move {
            let began = Instant::now();
            let (outcome, contact) = letter.post(&postman.clock).await;
            let usage = Usage { contact, ..Usage::default() };
            let report = Report {
                outcome,
                usage,
                took: began.elapsed(),
                digest: Arc::clone(&postman.digest_text),
                // No guest ran: there is nothing that could fail as one does.
                successes: 0,
                quarantined_for: None,
            };
            base.end = End::Called(report);
            give(&completed, base);
        });
        None
    }

    fn letter(
        &self,
        generation: &Generation,
        base: &Completed,
        envelope: &Envelope,
    ) -> Result<Letter, (&'static str, String)> {
        let leased = &base.leased;
        let tenant = generation.config.tenants.get(&leased.lane.tenant);
        let to = envelope
            .callback
            .as_ref()
            .ok_or_else(|| ("unreadable", String::from("it does not say where it goes")))?;
        let callback = tenant.and_then(|tenant| tenant.callback_for(&to.url, to.requested));
        let callback = callback.ok_or_else(|| {
            let detail = "tenants.toml has no [[tenant.callback]] for this address any more";
            ("not_configured", String::from(detail))
        })?;
        let denied = |detail: String| ("denied", detail);
        let origin = HostPattern::origin_of(&to.url).map_err(|error| denied(error.to_string()))?;
        if callback.addresses.is_empty() && !to.url.starts_with("https://") {
            let detail = "a callback goes to https:// only, unless `addresses` of its \
                          [[tenant.callback]] names the address";
            return Err(denied(String::from(detail)));
        }
        Ok(Letter {
            egress: self.door(leased.lane.tenant, callback, origin).map_err(denied)?,
            keys: callback.secrets.len(),
            url: to.url.clone(),
            id: format!("msg_{}_{}", leased.id, leased.generation),
            body: Bytes::from(envelope.message.clone()),
        })
    }

    fn door(
        &self,
        tenant: TenantId,
        callback: &Arc<Callback>,
        origin: HostPattern,
    ) -> Result<Arc<BindingEgress>, String> {
        let key = (tenant, origin, callback.url.clone());
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = doors.get_mut(&key)
            && door.callback == *callback
        {
            return Ok(Arc::clone(&door.egress));
        }
        let grants = Grants {
            hosts: vec![key.1.clone()],
            addresses: callback.addresses.clone(),
            ..Grants::default()
        };
        let policy = EgressPolicy::new(&[key.1.to_string()], &Object::new(), &grants)?;
        let names = KEYS.iter().map(|name| (*name).to_owned());
        let secrets: BTreeMap<_, _> = names.zip(callback.secrets.iter().cloned()).collect();
        let at_once = limits::CALLBACKS_AT_ONCE;
        let egress = self.egress.binding(self.digest, policy, &secrets, &grants, at_once);
        let door = Door { callback: Arc::clone(callback), egress: Arc::clone(&egress) };
        doors.remove(&key);
        doors.get_or_insert(&key, || door);
        Ok(egress)
    }
}

impl Letter {
    async fn post(&self, clock: &Clock) -> (Outcome, Option<Contact>) {
        let request = match self.request(clock.now()) {
            Ok(request) => request,
            Err(detail) => {
                let problem = Problem { code: String::from("unsigned"), detail };
                return (Outcome::Rejected(problem), None);
            }
        };
        let authority = request.uri().authority();
        let host: Option<Arc<str>> = authority.map(|host| Arc::from(host.as_str()));
        let answer = self.egress.fetch(request, limits::CALLBACK_TIMEOUT).await;
        let contact = |failed| host.map(|host| Contact { host, failed });
        match answer {
            Ok(response) => {
                let status = response.status();
                let outcome = read(status, response.headers(), response.body(), clock.now());
                (outcome, contact(status.is_server_error()))
            }
            Err(error) => {
                let failed = matches!(error, FetchError::Unreachable(_) | FetchError::NoAnswer(_));
                (failure(&error), contact(failed).filter(|_| failed))
            }
        }
    }

    fn request(&self, now: UnixMs) -> Result<Request<Bytes>, String> {
        let timestamp = now.0 / 1_000;
        let signed = [format!("{}.{timestamp}.", self.id).as_bytes(), &self.body].concat();
        let mut signatures = Vec::with_capacity(self.keys);
        for name in KEYS.iter().take(self.keys) {
            let (encoding, algorithm) = (KeyEncoding::Whsec, SignatureAlgorithm::HmacSha256);
            let signature = self.egress.vault().sign(name, encoding, algorithm, &signed);
            let signature = signature.map_err(|error| error.to_string())?;
            signatures.push(format!("v1,{}", STANDARD.encode(signature)));
        }
        Request::post(self.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header("webhook-id", self.id.as_str())
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(self.body.clone())
            .map_err(|error| error.to_string())
    }
}

/// What a receiver's answer means (Standard Webhooks 1.0.0, "Delivery and success"): 2xx is taken,
/// 410 wants no more (the endpoint is stopped, as a misconfigured channel is), everything else is a failure, redirects too, which are never followed.
fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Outcome {
    if status.is_success() {
        return Outcome::Delivered { accepted_only: false, provider_id: None, details: Vec::new() };
    }
    let code = format!("http_{}", status.as_u16());
    if status == StatusCode::GONE {
        let detail = String::from("the receiver wants no more callbacks (410)");
        return Outcome::Misconfigured(Problem { code, detail });
    }
    let beginning = body.get(..body.len().min(200)).unwrap_or_default();
    let said = String::from_utf8_lossy(beginning);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let detail = format!("the receiver answered {}: {said}", status.as_u16());
    let after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|value| retry_after(value.trim(), now));
    let scope = RetryScope::Destination;
    Outcome::Retry { problem: Problem { code, detail }, after, scope }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. Fractions of seconds are sent too.
fn retry_after(value: &str, now: UnixMs) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(UnixMs(at.as_millisecond()).since(now))
}

/// What it means that there was no answer. A receiver drops repetitions by `webhook-id`, so nothing
/// speaks against another try.
fn failure(error: &FetchError) -> Outcome {
    let problem = |code: &str| Problem { code: String::from(code), detail: error.to_string() };
    let retry = |code| Outcome::Retry {
        problem: problem(code),
        after: None,
        scope: RetryScope::Destination,
    };
    match error {
        FetchError::Unreachable(_) => retry("unreachable"),
        FetchError::NoAnswer(_) => retry("no_answer"),
        // It has the callback; only its answer was of no use.
        FetchError::TooLarge(_) => retry("answer_too_large"),
        FetchError::Denied(_) | FetchError::SecretDenied(_) => Outcome::Rejected(problem("denied")),
        FetchError::Invalid(_) => Outcome::Rejected(problem("invalid")),
    }
}

impl fmt::Debug for Postman {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Postman").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
