//! Signatures made in the host: the key does not enter the plugin, and neither does its parsed form.

use std::sync::OnceLock;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use memchr::memmem;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use zeroize::Zeroizing;

use super::SecretError;
use crate::secrets::Secret;

/// Base64 as secrets are handed out: with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a secret's text is turned into key bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyEncoding {
    /// Its UTF-8 bytes.
    Text,
    /// Base64.
    Base64,
    /// Base64 behind the prefix `whsec_` (Standard Webhooks 1.0.0).
    Whsec,
    /// A private key in PKCS#8, as PEM (RFC 7468, section 10). What stands around it is not looked
    /// at, so that it may also be a whole JSON file with the key in one of its members.
    Pem,
}

/// How to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureAlgorithm {
    /// HMAC with SHA-256 (RFC 2104): 32 bytes.
    HmacSha256,
    /// ECDSA on P-256 with SHA-256, as r and s of 32 bytes each (RFC 7518, section 3.4).
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3): as long as the key's modulus.
    Rs256,
}

impl SignatureAlgorithm {
    /// What a JSON Web Signature calls it (RFC 7518, section 3.1).
    pub(super) const fn jose_name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "HS256",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// A secret as a key. A private key is read once: checking an RSA key costs more than a signature
/// with it.
pub(super) struct SigningKey {
    private: OnceLock<Result<PrivateKey, String>>,
}

enum PrivateKey {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    pub(super) const fn new() -> Self {
        Self { private: OnceLock::new() }
    }

    /// Signs `data` with `secret`, whose key this is.
    ///
    /// # Errors
    /// [`SecretError::Unusable`] when the secret's text is no such key; says how to mend it.
    pub(super) fn sign(
        &self,
        secret: &Secret,
        encoding: KeyEncoding,
        algorithm: SignatureAlgorithm,
        data: &[u8],
    ) -> Result<Vec<u8>, SecretError> {
        match (algorithm, encoding) {
            (SignatureAlgorithm::HmacSha256, KeyEncoding::Pem) => Err(unusable(
                "HMAC signs with a shared secret and not with a private key: the plugin must ask \
                 for the key encoding text, base64 or whsec",
            )),
            (SignatureAlgorithm::HmacSha256, _) => {
                let key = shared_key(secret.expose(), encoding)?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
                Ok(hmac::sign(&key, data).as_ref().to_vec())
            }
            (SignatureAlgorithm::Es256 | SignatureAlgorithm::Rs256, KeyEncoding::Pem) => {
                let read = || private_key(secret.expose());
                let key = self.private.get_or_init(read).as_ref();
                key.map_err(|why| unusable(why))?.sign(algorithm, data)
            }
            (SignatureAlgorithm::Es256 | SignatureAlgorithm::Rs256, _) => Err(unusable(
                "ES256 and RS256 sign with a private key in PEM: the plugin must ask for the key \
                 encoding pem",
            )),
        }
    }
}

impl PrivateKey {
    fn sign(&self, algorithm: SignatureAlgorithm, data: &[u8]) -> Result<Vec<u8>, SecretError> {
        let random = SystemRandom::new();
        let failed = |_| unusable("the machine has no randomness");
        match (self, algorithm) {
            (Self::P256(pair), SignatureAlgorithm::Es256) => {
                Ok(pair.sign(&random, data).map_err(failed)?.as_ref().to_vec())
            }
            (Self::Rsa(pair), SignatureAlgorithm::Rs256) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, data, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            (Self::P256(_), _) => Err(unusable(
                "it is an elliptic curve key and RS256 takes an RSA key: put the provider's RSA \
                 key there",
            )),
            (Self::Rsa(_), _) => Err(unusable(
                "it is an RSA key and ES256 takes an elliptic curve key on P-256: put the \
                 provider's P-256 key there",
            )),
        }
    }
}

fn unusable(why: impl Into<String>) -> SecretError {
    SecretError::Unusable(why.into())
}

/// The bytes of a shared secret.
fn shared_key(text: &str, encoding: KeyEncoding) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let encoded = match encoding {
        KeyEncoding::Text | KeyEncoding::Pem => None,
        KeyEncoding::Base64 => Some(text.trim()),
        KeyEncoding::Whsec => {
            let key = text.trim().strip_prefix("whsec_");
            Some(key.ok_or_else(|| unusable("it does not begin with \"whsec_\""))?)
        }
    };
    let key = match encoded {
        None => Zeroizing::new(text.as_bytes().to_vec()),
        // Not the decoder's error: it shows the byte that it stumbled over.
        Some(encoded) => Zeroizing::new(
            LENIENT.decode(encoded).map_err(|_| unusable("it is not base64 (RFC 4648)"))?,
        ),
    };
    if key.is_empty() { Err(unusable("it is an empty key")) } else { Ok(key) }
}

/// How every other form of a private key becomes the one that is read here.
const CONVERT: &str = "convert it with `openssl pkcs8 -topk8 -nocrypt -in OLD.pem -out NEW.pem`";

/// Reads PKCS#8 in PEM. The error says what was found and how to mend it, and nothing of the text.
fn private_key(text: &str) -> Result<PrivateKey, String> {
    // An environment file has no line breaks in a value: there they are the two characters "\n".
    let text = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"));
    let Some(body) = between(&text, "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")
    else {
        return Err(what_else(&text));
    };
    let encoded: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|char| !char.is_ascii_whitespace()).collect());
    let der = LENIENT.decode(encoded.as_bytes()).map(Zeroizing::new).map_err(|_| {
        String::from("what stands between its PEM lines is not base64: copy the whole file again")
    })?;
    read_pkcs8(&der)
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(begin)?;
    Some(after.split_once(end)?.0)
}

/// What a text is that has no private key in PKCS#8.
fn what_else(text: &str) -> String {
    let has = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    if has("PRIVATE KEY") {
        return String::from(
            "its line -----END PRIVATE KEY----- is missing: copy the whole file again",
        );
    }
    if has("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return format!(
            "it is encrypted with a passphrase, which the host does not have: {CONVERT}"
        );
    }
    if has("RSA PRIVATE KEY") {
        return format!("it is an RSA key in PKCS#1 and not in PKCS#8: {CONVERT}");
    }
    if has("EC PRIVATE KEY") {
        return format!("it is an elliptic curve key in SEC 1 and not in PKCS#8: {CONVERT}");
    }
    if has("OPENSSH PRIVATE KEY") {
        return String::from(
            "it is a key in OpenSSH's own form: convert it in place with `ssh-keygen -p -m PKCS8 \
             -f FILE`",
        );
    }
    if has("PUBLIC KEY") || has("RSA PUBLIC KEY") || has("CERTIFICATE") {
        return String::from(
            "it is a public key or a certificate: signing needs the private key, which begins \
             with -----BEGIN PRIVATE KEY-----",
        );
    }
    if text.trim_start().starts_with('{') {
        return String::from(
            "it is a JSON document without a private key in PEM: if the key stands in another form \
             in one of its members, name that in channels.toml, for example { file = \"service-account.json\", pointer = \"/private_key\" }",
        );
    }
    String::from("it is not PEM: a private key begins with -----BEGIN PRIVATE KEY-----")
}

// Object identifiers in DER, with tag and length.
/// rsaEncryption (RFC 8017, appendix A.1).
const OID_RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// id-ecPublicKey (RFC 5480, section 2.1.1).
const OID_EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
/// secp256r1, which is P-256 (RFC 5480, section 2.1.1.1).
const OID_P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// Where the algorithm stands in PKCS#8: behind the outer length and the version.
const PKCS8_HEAD_BYTES: usize = 40;

fn read_pkcs8(der: &[u8]) -> Result<PrivateKey, String> {
    let head = der.get(..PKCS8_HEAD_BYTES).unwrap_or(der);
    let names = |oid| memmem::find(head, oid).is_some();
    if names(OID_RSA) {
        return RsaKeyPair::from_pkcs8(der).map(PrivateKey::Rsa).map_err(|rejected| {
            format!(
                "it is an RSA key that cannot be used ({rejected}): it must have 2048 to 4096 bits \
                 and be whole"
            )
        });
    }
    if !names(OID_EC) {
        return Err(String::from(
            "it is neither an RSA key nor an elliptic curve key: ES256 takes one on P-256, RS256 \
             an RSA key",
        ));
    }
    if !names(OID_P256) {
        return Err(String::from(
            "its elliptic curve is not P-256 (prime256v1), the only one that ES256 takes: have \
             the provider make one for that",
        ));
    }
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random);
    pair.map(PrivateKey::P256).map_err(|rejected| {
        format!(
            "it is a P-256 key that cannot be used ({rejected}); if its public half is missing, \
             `openssl ec -in OLD.pem | openssl pkcs8 -topk8 -nocrypt -out NEW.pem` adds it"
        )
    })
}
