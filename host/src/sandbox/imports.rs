//! What the host answers when a guest calls its imports (version 0.1.0).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wasmtime::Result;

use super::{
    bindings::v0_1_0::{channel_types, http, log, secrets, state},
    log::Level,
    state::InstanceState,
};
use crate::egress::{self, FetchError, SecretError};

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
            Some(ms) => left.min(Duration::from_millis(ms.into())),
            None => left,
        };
        let answer = match outbound(request) {
            Ok(outbound) => door.fetch(outbound, timeout).await,
            Err(error) => Err(error),
        };
        Ok(answer.map(inbound).map_err(|error| match error {
            FetchError::Invalid(why) => http::HttpError::Invalid(why),
            FetchError::Denied(why) | FetchError::SecretDenied(why) => http::HttpError::Denied(why),
            FetchError::Unreachable(why) => http::HttpError::Unreachable(why),
            FetchError::NoAnswer(why) => http::HttpError::NoAnswer(why),
            FetchError::TooLarge(why) => http::HttpError::TooLarge(why),
        }))
    }
}

fn outbound(request: http::Request) -> std::result::Result<::http::Request<Bytes>, FetchError> {
    let uri = egress::parse_url(&request.url)?;
    let mut builder = ::http::Request::builder().method(request.method.as_str()).uri(uri);
    for (name, value) in &request.headers {
        builder = builder.header(name.as_str(), value.as_str());
    }
    builder
        .body(request.body.map(Bytes::from).unwrap_or_default())
        .map_err(|error| FetchError::Invalid(format!("the request is not valid HTTP: {error}")))
}

fn inbound(response: ::http::Response<Bytes>) -> http::Response {
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

impl InstanceState {
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
        Ok(self.vault().and_then(|vault| vault.placeholder(&name).map_err(refused)))
    }

    fn basic_auth(
        &mut self,
        username: String,
        password_secret: String,
    ) -> Result<std::result::Result<String, secrets::SecretError>> {
        Ok(self
            .vault()
            .and_then(|vault| vault.basic_auth(&username, &password_secret).map_err(refused)))
    }

    fn sign(
        &mut self,
        name: String,
        encoding: secrets::KeyEncoding,
        algorithm: secrets::SignatureAlgorithm,
        data: Vec<u8>,
    ) -> Result<std::result::Result<Vec<u8>, secrets::SecretError>> {
        let encoding = match encoding {
            secrets::KeyEncoding::Text => egress::KeyEncoding::Text,
            secrets::KeyEncoding::Base64 => egress::KeyEncoding::Base64,
            secrets::KeyEncoding::Whsec => egress::KeyEncoding::Whsec,
        };
        let algorithm = match algorithm {
            secrets::SignatureAlgorithm::HmacSha256 => egress::SignatureAlgorithm::HmacSha256,
        };
        Ok(self
            .vault()
            .and_then(|vault| vault.sign(&name, encoding, algorithm, &data).map_err(refused)))
    }

    fn reveal(
        &mut self,
        name: String,
    ) -> Result<std::result::Result<String, secrets::SecretError>> {
        let revealed = self.vault().and_then(|vault| vault.reveal(&name).map_err(refused));
        Ok(revealed.map(|secret| secret.expose().to_owned()))
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
        let ttl = ttl_ms.map(|ms| Duration::from_millis(ms.into()));
        Ok(self.kv.set(key, value, ttl).map_err(state::StateError::TooLarge))
    }

    fn remove(&mut self, key: String) -> Result<()> {
        self.count_host_call();
        self.kv.remove(&key);
        Ok(())
    }
}
