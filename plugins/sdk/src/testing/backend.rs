//! The host's functions, with the signatures that wit-bindgen gives the real ones.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use super::{LogLine, RequestedJwt, SentMail, SentRequest};
use crate::bindings::conductor::channel::{
    http::{HttpError, Response},
    smtp::{Acceptance, SmtpError},
};

/// All that a test can set and see.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) reveal: bool,
    pub(super) now: Option<SystemTime>,
    pub(super) answers: VecDeque<Result<Response, HttpError>>,
    pub(super) requests: Vec<SentRequest>,
    pub(super) mail_answers: VecDeque<Result<Acceptance, SmtpError>>,
    pub(super) mails: Vec<SentMail>,
    pub(super) logs: Vec<LogLine>,
    pub(super) jwts: Vec<RequestedJwt>,
    kept: BTreeMap<String, Kept>,
    state: BTreeMap<String, Kept>,
}

/// A value of `state`, or a kept credential, and when it is forgotten.
#[derive(Debug)]
struct Kept {
    value: Vec<u8>,
    until: Option<SystemTime>,
}

impl Kept {
    fn is_there(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
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

/// The value of a kept credential while its time lasts.
pub(super) fn kept(name: &str) -> Option<String> {
    let now = crate::time::now();
    change(|fake| {
        let kept = fake.kept.get(name).filter(|kept| kept.is_there(now))?;
        Some(String::from_utf8_lossy(&kept.value).into_owned())
    })
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

pub(crate) mod smtp {
    use super::{Acceptance, SentMail, SmtpError, change};
    use crate::bindings::conductor::channel::smtp::{Server, Submission};

    pub(crate) fn submit(submission: &Submission) -> Result<Acceptance, SmtpError> {
        answer(SentMail::of(submission))
    }

    pub(crate) fn check(server: &Server, timeout_ms: Option<u32>) -> Result<(), SmtpError> {
        answer(SentMail::check(server, timeout_ms)).map(drop)
    }

    #[expect(clippy::panic, reason = "a test that forgot an answer must hear of it")]
    fn answer(mail: SentMail) -> Result<Acceptance, SmtpError> {
        let host = mail.host.clone();
        let answer = change(|fake| {
            fake.mails.push(mail);
            fake.mail_answers.pop_front()
        });
        answer.unwrap_or_else(|| panic!("no answer of the mail server {host} is scripted"))
    }
}

pub(crate) mod secrets {
    use std::time::Duration;

    use super::{super::signing, Kept, RequestedJwt, change};
    use crate::{
        bindings::conductor::channel::secrets::{
            JwtRequest, KeyEncoding, SecretError, SignatureAlgorithm,
        },
        time,
    };

    fn value(name: &str) -> Result<String, SecretError> {
        change(|fake| fake.secrets.get(name).cloned()).ok_or(SecretError::Unknown)
    }

    pub(crate) fn placeholder(name: &str) -> Result<String, SecretError> {
        let known = value(name).is_ok() || super::kept(name).is_some();
        if known { Ok(super::super::placeholder(name)) } else { Err(SecretError::Unknown) }
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
        signing::sign(&value(name)?, encoding, algorithm, data)
    }

    pub(crate) fn jwt(name: &str, request: &JwtRequest) -> Result<String, SecretError> {
        signing::sign(&value(name)?, request.encoding, request.algorithm, b"")?;
        let jwt = RequestedJwt::read(name, request)?;
        change(|fake| fake.jwts.push(jwt));
        Ok(super::super::jwt_placeholder(name))
    }

    pub(crate) fn keep(name: &str, value: &str, ttl_ms: u32) -> Result<String, SecretError> {
        if change(|fake| fake.secrets.contains_key(name)) {
            let why = "the operator has configured a secret of that name".to_owned();
            return Err(SecretError::Unusable(why));
        }
        let until = Some(time::now() + Duration::from_millis(ttl_ms.into()));
        change(|fake| fake.kept.insert(name.to_owned(), Kept { value: value.into(), until }));
        Ok(super::super::placeholder(name))
    }

    pub(crate) fn forget(name: &str) {
        change(|fake| fake.kept.remove(name));
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
            fake.state.get(key).filter(|kept| kept.is_there(now)).map(|kept| kept.value.clone())
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
