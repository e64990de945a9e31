//! The host's functions, with the signatures that wit-bindgen gives the real ones.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use super::{LogLine, SentRequest};
use crate::bindings::conductor::channel::http::{HttpError, Response};

/// All that a test can set and see.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) reveal: bool,
    pub(super) now: Option<SystemTime>,
    pub(super) answers: VecDeque<Result<Response, HttpError>>,
    pub(super) requests: Vec<SentRequest>,
    pub(super) logs: Vec<LogLine>,
    state: BTreeMap<String, Kept>,
}

/// A value of `state` and when it is forgotten.
#[derive(Debug)]
struct Kept {
    value: Vec<u8>,
    until: Option<SystemTime>,
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

pub(super) fn reset() {
    FAKE.set(Fake::default());
}

pub(super) fn change<T>(action: impl FnOnce(&mut Fake) -> T) -> T {
    FAKE.with_borrow_mut(action)
}

/// Time passes, where it was stopped.
pub(super) fn pass(time: std::time::Duration) {
    change(|fake| fake.now = fake.now.map(|now| now + time));
}

pub(crate) fn now() -> Option<SystemTime> {
    change(|fake| fake.now)
}

pub(crate) mod log {
    use super::{LogLine, change};
    use crate::{bindings::conductor::channel::log::Level as Wit, log::Level};

    pub(crate) fn write(level: Wit, message: &str, fields: &[(String, String)]) {
        let level = match level {
            Wit::Trace => Level::Trace,
            Wit::Debug => Level::Debug,
            Wit::Info => Level::Info,
            Wit::Warn => Level::Warn,
            Wit::Error => Level::Error,
        };
        let line = LogLine { level, message: message.to_owned(), fields: fields.to_vec() };
        change(|fake| fake.logs.push(line));
    }
}

pub(crate) mod http {
    use super::{HttpError, Response, SentRequest, change};
    use crate::bindings::conductor::channel::http::Request;

    #[expect(clippy::panic, reason = "a test that forgot an answer must hear of it")]
    pub(crate) fn fetch(request: &Request) -> Result<Response, HttpError> {
        let answer = change(|fake| {
            fake.requests.push(SentRequest::record(request));
            fake.answers.pop_front()
        });
        answer.unwrap_or_else(|| {
            panic!("no answer is scripted for {} {}", request.method, request.url)
        })
    }
}

pub(crate) mod secrets {
    use super::{super::signing, change};
    use crate::bindings::conductor::channel::secrets::{
        KeyEncoding, SecretError, SignatureAlgorithm,
    };

    fn value(name: &str) -> Result<String, SecretError> {
        change(|fake| fake.secrets.get(name).cloned()).ok_or(SecretError::Unknown)
    }

    pub(crate) fn placeholder(name: &str) -> Result<String, SecretError> {
        value(name).map(|_| super::super::placeholder(name))
    }

    pub(crate) fn basic_auth(username: &str, password: &str) -> Result<String, SecretError> {
        value(password).map(|_| format!("placeholder-of-basic-{username}-{password}"))
    }

    pub(crate) fn sign(
        name: &str,
        encoding: KeyEncoding,
        algorithm: SignatureAlgorithm,
        data: &[u8],
    ) -> Result<Vec<u8>, SecretError> {
        let SignatureAlgorithm::HmacSha256 = algorithm;
        signing::hmac_sha256(&value(name)?, encoding, data)
    }

    pub(crate) fn reveal(name: &str) -> Result<String, SecretError> {
        if change(|fake| fake.reveal) { value(name) } else { Err(SecretError::Denied) }
    }
}

pub(crate) mod state {
    use std::time::Duration;

    use super::{Kept, change};
    use crate::{bindings::conductor::channel::state::StateError, time};

    pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
        let now = time::now();
        change(|fake| {
            fake.state
                .get(key)
                .filter(|kept| kept.until.is_none_or(|until| now < until))
                .map(|kept| kept.value.clone())
        })
    }

    pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u32>) -> Result<(), StateError> {
        const BYTES_MAX: usize = 64 * 1024;
        if key.len() + value.len() > BYTES_MAX {
            return Err(StateError::TooLarge("more than 64 KiB".to_owned()));
        }
        let until = ttl_ms.map(|ttl_ms| time::now() + Duration::from_millis(ttl_ms.into()));
        change(|fake| fake.state.insert(key.to_owned(), Kept { value: value.to_vec(), until }));
        Ok(())
    }

    pub(crate) fn remove(key: &str) {
        change(|fake| fake.state.remove(key));
    }
}
