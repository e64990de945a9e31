//! What the host answers when a guest calls its imports (version 0.1.0).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wasmtime::Result;

use super::{
    bindings::v0_1_0::{channel_types, http, log, secrets, state},
    log::Level,
    observer::Refusal,
    state::InstanceState,
};
use crate::{
    egress::{self, FetchError, JwtRequest, KeyEncoding, SecretError, SignatureAlgorithm},
    secrets::Secret,
};

impl channel_types::Host for InstanceState {}

impl log::Host for InstanceState {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> Result<()> {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.line(level, "log", &message, &fields);
        Ok(())
    }
}

impl http::Host for InstanceState {
    async fn fetch(
        &mut self,
        request: http::Request,
    ) -> Result<Result<http::Response, http::HttpError>> {
        let Some(door) = self.door.clone() else {
            return Ok(Err(http::HttpError::Denied(String::from(
                "nothing can be reached from here",
            ))));
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = match request.timeout_ms {
            Some(ms) => left.min(milliseconds(ms)),
            None => left,
        };
        let answer = match outbound(request) {
            Ok(outbound) => door.fetch(outbound, timeout).await,
            Err(error) => {
                door.malformed(&error);
                Err(error)
            }
        };
        Ok(answer.map(inbound).map_err(unanswered))
    }
}

/// Why there is no answer, in the interface's words.
pub(super) fn unanswered(error: FetchError) -> http::HttpError {
    match error {
        FetchError::Invalid(why) => http::HttpError::Invalid(why),
        FetchError::Denied(why) | FetchError::SecretDenied(why) => http::HttpError::Denied(why),
        FetchError::Unreachable(why) => http::HttpError::Unreachable(why),
        FetchError::NoAnswer(why) => http::HttpError::NoAnswer(why),
        FetchError::TooLarge(why) => http::HttpError::TooLarge(why),
    }
}

pub(super) fn outbound(
    request: http::Request,
) -> std::result::Result<::http::Request<Bytes>, FetchError> {
    let uri = egress::parse_url(&request.url)?;
    let mut builder = ::http::Request::builder().method(request.method.as_str()).uri(uri);
    for (name, value) in &request.headers {
        builder = builder.header(name.as_str(), value.as_str());
    }
    builder
        .body(request.body.map(Bytes::from).unwrap_or_default())
        .map_err(|error| FetchError::Invalid(format!("the request is not valid HTTP: {error}")))
}

pub(super) fn inbound(response: ::http::Response<Bytes>) -> http::Response {
    http::Response {
        status: response.status().as_u16(),
        headers: response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: response.into_body().into(),
    }
}

fn refused(error: SecretError) -> secrets::SecretError {
    match error {
        SecretError::Unknown => secrets::SecretError::Unknown,
        SecretError::Denied => secrets::SecretError::Denied,
        SecretError::Unusable(why) => secrets::SecretError::Unusable(why),
    }
}

const fn key_encoding(encoding: secrets::KeyEncoding) -> KeyEncoding {
    match encoding {
        secrets::KeyEncoding::Text => KeyEncoding::Text,
        secrets::KeyEncoding::Base64 => KeyEncoding::Base64,
        secrets::KeyEncoding::Whsec => KeyEncoding::Whsec,
        secrets::KeyEncoding::Pem => KeyEncoding::Pem,
    }
}

const fn signature_algorithm(algorithm: secrets::SignatureAlgorithm) -> SignatureAlgorithm {
    match algorithm {
        secrets::SignatureAlgorithm::HmacSha256 => SignatureAlgorithm::HmacSha256,
        secrets::SignatureAlgorithm::Es256 => SignatureAlgorithm::Es256,
        secrets::SignatureAlgorithm::Rs256 => SignatureAlgorithm::Rs256,
    }
}

fn milliseconds(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

impl InstanceState {
    /// Counts what a guest was refused; while it describes itself there is nobody to count for.
    fn count_refusal(&self, what: Refusal) {
        if let Some(door) = &self.door {
            door.observer.refused(&door.plugin, what);
        }
    }

    /// Counts the refusals among the answers of `secrets`.
    fn counted<T>(
        &self,
        answer: std::result::Result<T, secrets::SecretError>,
    ) -> std::result::Result<T, secrets::SecretError> {
        match &answer {
            Err(secrets::SecretError::Unknown) => self.count_refusal(Refusal::SecretUnknown),
            Err(secrets::SecretError::Denied) => self.count_refusal(Refusal::SecretDenied),
            Err(secrets::SecretError::Unusable(_)) | Ok(_) => {}
        }
        answer
    }

    fn vault(&self) -> std::result::Result<&egress::Vault, secrets::SecretError> {
        self.count_host_call();
        self.door.as_ref().map(|door| door.egress.vault()).ok_or(secrets::SecretError::Unknown)
    }
}

impl secrets::Host for InstanceState {
    fn placeholder(
        &mut self,
        name: String,
    ) -> Result<std::result::Result<String, secrets::SecretError>> {
        Ok(self.counted(self.vault().and_then(|vault| vault.placeholder(&name).map_err(refused))))
    }

    fn basic_auth(
        &mut self,
        username: String,
        password_secret: String,
    ) -> Result<std::result::Result<String, secrets::SecretError>> {
        let basic = |vault: &egress::Vault| vault.basic_auth(&username, &password_secret);
        Ok(self.counted(self.vault().and_then(|vault| basic(vault).map_err(refused))))
    }

    fn sign(
        &mut self,
        name: String,
        encoding: secrets::KeyEncoding,
        algorithm: secrets::SignatureAlgorithm,
        data: Vec<u8>,
    ) -> Result<std::result::Result<Vec<u8>, secrets::SecretError>> {
        let (encoding, algorithm) = (key_encoding(encoding), signature_algorithm(algorithm));
        let sign = |vault: &egress::Vault| vault.sign(&name, encoding, algorithm, &data);
        Ok(self.counted(self.vault().and_then(|vault| sign(vault).map_err(refused))))
    }

    fn jwt(
        &mut self,
        name: String,
        request: secrets::JwtRequest,
    ) -> Result<std::result::Result<String, secrets::SecretError>> {
        let request = JwtRequest {
            encoding: key_encoding(request.encoding),
            algorithm: signature_algorithm(request.algorithm),
            header: request.header,
            claims: request.claims,
            expires_after: request.expires_after_ms.map(milliseconds),
            renew_after: milliseconds(request.renew_after_ms),
        };
        let token = self.vault().and_then(|vault| vault.jwt(&name, request).map_err(refused));
        Ok(self.counted(token))
    }

    fn keep(
        &mut self,
        name: String,
        value: String,
        ttl_ms: u32,
    ) -> Result<std::result::Result<String, secrets::SecretError>> {
        let value = Secret::new(value);
        let ttl = milliseconds(ttl_ms);
        let kept = self.vault().and_then(|vault| vault.keep(&name, value, ttl).map_err(refused));
        Ok(self.counted(kept))
    }

    fn forget(&mut self, name: String) -> Result<()> {
        if let Ok(vault) = self.vault() {
            vault.forget(&name);
        }
        Ok(())
    }

    fn reveal(
        &mut self,
        name: String,
    ) -> Result<std::result::Result<String, secrets::SecretError>> {
        let Some(door) = &self.door else { return Ok(Err(secrets::SecretError::Unknown)) };
        let vault = door.egress.vault();
        let revealed = vault.reveal(&name);
        let granted = revealed.is_ok();
        if vault.is_first_reveal(&name) || matches!(revealed, Err(SecretError::Denied)) {
            door.observer.revealed(&door.lane, &door.plugin, &name, granted);
        }
        let revealed = revealed.map(|secret| secret.expose().to_owned()).map_err(refused);
        Ok(self.counted(revealed))
    }
}

impl state::Host for InstanceState {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        self.count_host_call();
        Ok(self.kv.get(&key))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> Result<std::result::Result<(), state::StateError>> {
        self.count_host_call();
        let kept = self.kv.set(key, value, ttl_ms.map(milliseconds));
        if kept.is_err() {
            self.count_refusal(Refusal::State);
        }
        Ok(kept.map_err(state::StateError::TooLarge))
    }

    fn remove(&mut self, key: String) -> Result<()> {
        self.count_host_call();
        self.kv.remove(&key);
        Ok(())
    }
}
