//! Signatures with private keys, tokens that the host signs, and credentials that it keeps.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::kit::{Door, LONG, OK, Provider, Script, egress, get, post};
use crate::{
    clock::{Clock, UnixMs},
    egress::{BindingEgress, FetchError, JwtRequest, KeyEncoding, SecretError, SignatureAlgorithm},
    limits,
    secrets::Secret,
};

/// The keys of RFC 7515, appendices A.2 and A.3, in PKCS#8.
const RSA: &str = include_str!("keys/rsa.pem");
const EC: &str = include_str!("keys/ec.pem");
/// The signing input of both.
const INPUT: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn sign(
    value: &str,
    encoding: KeyEncoding,
    algorithm: SignatureAlgorithm,
    data: &str,
) -> Result<Vec<u8>, SecretError> {
    let door = Door::to_loopback().with_secret("key", value).open_alone();
    door.vault().sign("key", encoding, algorithm, data.as_bytes())
}

/// The uncompressed point of appendix A.3's key: it stands at the end of its file.
fn public_point() -> Vec<u8> {
    let body: String = EC.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    der[der.len() - 65..].to_vec()
}

fn is_signed_by_ec(input: &str, signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_point());
    signature.len() == 64 && key.verify(input.as_bytes(), signature).is_ok()
}

#[test]
fn rs256_passes_the_vector_of_rfc_7515_appendix_a_2() {
    let input = format!("eyJhbGciOiJSUzI1NiJ9.{INPUT}");
    let expected = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc\
                    _lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWz\
                    O75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-\
                    eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIh\
                    WkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    // As it stands in a file, and as it stands in one line of an environment file.
    // Last, inside the whole file that the provider hands out.
    let json = json!({"private_key_id": "1", "private_key": RSA}).to_string();
    for key in [RSA.to_owned(), RSA.replace('\n', "\\n"), RSA.replace('\n', "\r\n"), json] {
        let signature = sign(&key, KeyEncoding::Pem, SignatureAlgorithm::Rs256, &input).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), expected);
    }
}

#[test]
fn es256_makes_what_the_public_key_of_rfc_7515_appendix_a_3_accepts() {
    let input = format!("eyJhbGciOiJFUzI1NiJ9.{INPUT}");
    // The RFC's own signature shows that the check can be believed.
    let published = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP\
                     3-Kg6NU1Q";
    assert!(is_signed_by_ec(&input, &URL_SAFE_NO_PAD.decode(published).unwrap()));
    let signature = sign(EC, KeyEncoding::Pem, SignatureAlgorithm::Es256, &input).unwrap();
    assert!(is_signed_by_ec(&input, &signature));
    assert!(!is_signed_by_ec("something else", &signature));
}

#[test]
fn a_key_that_does_not_fit_says_what_it_is_and_how_to_mend_it_and_nothing_of_itself() {
    use KeyEncoding::{Base64, Pem, Text};
    use SignatureAlgorithm::{Es256, HmacSha256, Rs256};
    let convert = "openssl pkcs8 -topk8 -nocrypt";
    let json = json!({"private_key_id": "4711-0815"}).to_string();
    let cut = EC.replace("-----END PRIVATE KEY-----", "");
    let garbled = EC.replace("jpsQ", "!!!!");
    let short =
        EC.replace("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n", "");
    // Made with `openssl genpkey`, for nothing.
    let ed25519 = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIBy1gxw00YYzrXiagt0BX9RtkAieNNkt8N12hSliqLN/\n\
                   -----END PRIVATE KEY-----\n";
    // Appendix A.3's key without its public half.
    let half = "-----BEGIN PRIVATE KEY-----\n\
                MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCCOmxCecZCYv5gEh98f\n\
                XXfpyylgbr7SJjtfV8IT34T0sg==\n-----END PRIVATE KEY-----\n";
    for (value, encoding, algorithm, expected) in [
        (EC, Pem, Rs256, "an elliptic curve key and RS256 takes an RSA key"),
        (RSA, Pem, Es256, "an RSA key and ES256 takes an elliptic curve key"),
        (EC, Pem, HmacSha256, "shared secret"),
        (EC, Text, Es256, "key encoding pem"),
        (RSA, Base64, Rs256, "key encoding pem"),
        (include_str!("keys/rsa-pkcs1.pem"), Pem, Rs256, "PKCS#1"),
        (include_str!("keys/rsa-pkcs1.pem"), Pem, Rs256, convert),
        (include_str!("keys/ec-sec1.pem"), Pem, Es256, "SEC 1"),
        (include_str!("keys/ec-sec1.pem"), Pem, Es256, convert),
        (include_str!("keys/ec-encrypted.pem"), Pem, Es256, "encrypted with a passphrase"),
        (include_str!("keys/ec-encrypted.pem"), Pem, Es256, convert),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n", Pem, Es256, "needs the private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nMIIB\n", Pem, Es256, "ssh-keygen"),
        (json.as_str(), Pem, Rs256, "pointer = \"/private_key\""),
        ("AIzaSyNotPem", Pem, Rs256, "not PEM"),
        (cut.as_str(), Pem, Es256, "-----END PRIVATE KEY----- is missing"),
        (garbled.as_str(), Pem, Es256, "not base64"),
        (short.as_str(), Pem, Es256, "neither an RSA key nor an elliptic curve key"),
        (ed25519, Pem, Es256, "neither an RSA key nor an elliptic curve key"),
        (half, Pem, Es256, "openssl ec -in OLD.pem"),
    ] {
        let error = sign(value, encoding, algorithm, "x").unwrap_err();
        let SecretError::Unusable(text) = &error else { panic!("{error:?}") };
        assert!(text.contains(expected), "{expected}: {text}");
        let lines = value.lines().filter(|line| !line.starts_with("-----") && line.len() >= 4);
        for line in lines {
            assert!(!text.contains(line), "{text}");
        }
    }
}

fn es256(claims: &Value) -> JwtRequest {
    JwtRequest {
        encoding: KeyEncoding::Pem,
        algorithm: SignatureAlgorithm::Es256,
        header: json!({"kid": "ABC123DEFG"}).to_string(),
        claims: claims.to_string(),
        expires_after: None,
        renew_after: Duration::from_secs(1_800),
    }
}

/// A door whose clock the test moves.
fn clocked(door: &Door) -> (Arc<BindingEgress>, Clock) {
    let clock = Clock::manual(UnixMs(1_700_000_000_900));
    let mut egress = egress();
    Arc::get_mut(&mut egress).unwrap().clock = clock.clone();
    (door.open(&egress), clock)
}

async fn bearer(provider: &Provider, door: &BindingEgress, placeholder: &str) -> String {
    let before = provider.seen().len();
    let request = Request::get(provider.url("/"))
        .header("authorization", format!("bearer {placeholder}"))
        .body(Bytes::new())
        .unwrap();
    door.fetch(request, LONG).await.unwrap();
    let seen = provider.seen().remove(before);
    let line = seen.lines().find_map(|line| line.strip_prefix("authorization: bearer "));
    line.unwrap().to_owned()
}

fn decoded(token: &str) -> (Value, Value) {
    let mut parts = token.split('.');
    let mut part = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    (part(), part())
}

#[tokio::test]
async fn a_token_is_signed_used_again_and_renewed_behind_one_placeholder() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let (door, clock) = clocked(&Door::to_loopback().with_secret("key", EC));
    let request = es256(&json!({"iss": "DEF123GHIJ"}));
    let placeholder = door.vault().jwt("key", request.clone()).unwrap();
    assert_eq!(door.vault().jwt("key", request).unwrap(), placeholder);
    assert!(placeholder.len() == 36 && !placeholder.contains('.'));

    let first = bearer(&provider, &door, &placeholder).await;
    let (header, claims) = decoded(&first);
    assert_eq!(header, json!({"alg": "ES256", "typ": "JWT", "kid": "ABC123DEFG"}));
    assert_eq!(claims, json!({"iss": "DEF123GHIJ", "iat": 1_700_000_000}));
    let (input, signature) = first.rsplit_once('.').unwrap();
    assert!(is_signed_by_ec(input, &URL_SAFE_NO_PAD.decode(signature).unwrap()));

    clock.advance_ms(1_799_000);
    assert_eq!(bearer(&provider, &door, &placeholder).await, first);
    clock.advance_ms(1_000);
    let second = bearer(&provider, &door, &placeholder).await;
    assert_eq!(decoded(&second).1["iat"], 1_700_001_800);
    // A clock that was set back makes no token from the future.
    clock.advance_ms(-3_600_000);
    assert_eq!(decoded(&bearer(&provider, &door, &placeholder).await).1["iat"], 1_699_998_200);
}

#[tokio::test]
async fn a_token_says_when_it_expires_if_that_is_asked_for() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let (door, _clock) = clocked(&Door::to_loopback().with_secret("key", RSA));
    let request = JwtRequest {
        algorithm: SignatureAlgorithm::Rs256,
        header: String::from("{\"typ\":\"at+jwt\"}"),
        expires_after: Some(Duration::from_secs(3_600)),
        ..es256(&json!({"iss": "a@b.iam.example", "scope": "x"}))
    };
    let placeholder = door.vault().jwt("key", request).unwrap();
    let (header, claims) = decoded(&bearer(&provider, &door, &placeholder).await);
    assert_eq!(header, json!({"alg": "RS256", "typ": "at+jwt"}));
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_700_000_000), &json!(1_700_003_600)));
}

#[test]
fn a_token_that_is_not_described_well_is_refused() {
    let door = Door::to_loopback().with_secret("key", EC).open_alone();
    let fine = es256(&json!({}));
    let part = "x".repeat(limits::JWT_PART_BYTES_MAX);
    for (request, expected) in [
        (JwtRequest { header: String::from("{\"alg\":\"none\"}"), ..fine.clone() }, "\"alg\""),
        (es256(&json!({"iat": 1})), "\"iat\""),
        (es256(&json!({"exp": 1})), "\"exp\""),
        (es256(&json!([1])), "not a JSON object"),
        (JwtRequest { header: String::new(), ..fine.clone() }, "not a JSON object"),
        (es256(&json!({"x": part})), "4096 at most"),
        (
            JwtRequest { renew_after: Duration::from_millis(999), ..fine.clone() },
            "less than a second",
        ),
        (
            JwtRequest { expires_after: Some(Duration::from_secs(1_800)), ..fine.clone() },
            "expire before",
        ),
        (JwtRequest { algorithm: SignatureAlgorithm::Rs256, ..fine.clone() }, "RSA key"),
    ] {
        let error = door.vault().jwt("key", request).unwrap_err();
        assert!(
            matches!(&error, SecretError::Unusable(text) if text.contains(expected)),
            "{error}"
        );
    }
    assert_eq!(door.vault().jwt("absent", fine), Err(SecretError::Unknown));
}

#[tokio::test]
async fn the_token_that_nobody_asked_for_the_longest_makes_room() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().with_secret("key", EC).open_alone();
    let token = |number: usize| door.vault().jwt("key", es256(&json!({"aud": number}))).unwrap();
    let (first, second) = (token(0), token(1));
    for number in 2..limits::JWTS_MAX {
        token(number);
    }
    assert_eq!(token(0), first);
    let newest = token(limits::JWTS_MAX);
    assert!(bearer(&provider, &door, &first).await.contains('.'));
    assert!(bearer(&provider, &door, &newest).await.contains('.'));
    assert_eq!(bearer(&provider, &door, &second).await, second, "it stands for nothing any more");
}

#[tokio::test]
async fn a_token_is_guarded_like_its_key() {
    let provider = Provider::start(Script::Echo).await;
    let mut door = Door::to_loopback().with_secret("key", EC);
    let open = door.open_alone();
    let placeholder = open.vault().jwt("key", es256(&json!({}))).unwrap();
    let answer = open.fetch(post(&provider.url("/"), "text/plain", &placeholder), LONG).await;
    let body = String::from_utf8(answer.unwrap().body().to_vec()).unwrap();
    assert!(body.ends_with(&placeholder), "{body}");
    let seen = provider.seen().remove(0);
    let token = seen.rsplit_once("\r\n\r\n").unwrap().1;
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(open.vault().scrub(&format!("a {token} b {placeholder}")), "a [secret] b [secret]");

    door.grants.secrets.insert(String::from("key"), vec!["https://api.example".parse().unwrap()]);
    let closed = door.open_alone();
    let placeholder = closed.vault().jwt("key", es256(&json!({}))).unwrap();
    let error = closed.fetch(get(&provider.url(&format!("/{placeholder}"))), LONG).await;
    assert!(matches!(error, Err(FetchError::SecretDenied(_))), "{error:?}");
}

fn keep(
    door: &BindingEgress,
    name: &str,
    value: &str,
    seconds: u64,
) -> Result<String, SecretError> {
    let value = Secret::new(value.to_owned());
    door.vault().keep(name, value, Duration::from_secs(seconds))
}

#[tokio::test]
async fn a_credential_that_was_handed_over_is_a_secret_for_its_time() {
    let provider = Provider::start(Script::Echo).await;
    let (door, clock) = clocked(&Door::to_loopback().with_secret("key", EC));
    let vault = door.vault();
    assert_eq!(vault.placeholder("access"), Err(SecretError::Unknown));
    let placeholder = keep(&door, "access", "ya29.first-token", 60).unwrap();
    assert_eq!(vault.placeholder("access").unwrap(), placeholder);
    assert_eq!(vault.reveal("access").unwrap_err(), SecretError::Unknown);
    let answer = door.fetch(post(&provider.url("/"), "text/plain", &placeholder), LONG).await;
    assert!(provider.seen().remove(0).ends_with("ya29.first-token"));
    assert!(answer.unwrap().body().ends_with(placeholder.as_bytes()), "the echo is concealed");
    assert_eq!(vault.scrub("got ya29.first-token"), "got [secret]");

    // The next value has the same placeholder, and the one before is still taken out of logs.
    assert_eq!(keep(&door, "access", "ya29.second-token", 60).unwrap(), placeholder);
    assert_eq!(vault.scrub("ya29.first-token ya29.second-token"), "[secret] [secret]");

    clock.advance_ms(59_999);
    // A provider that gives out the same one again shows its placeholder.
    assert_eq!(keep(&door, "access", &placeholder, 60).unwrap(), placeholder);
    clock.advance_ms(59_999);
    assert!(vault.placeholder("access").is_ok());
    clock.advance_ms(1);
    assert_eq!(vault.placeholder("access"), Err(SecretError::Unknown));
    // What was asked for in time is still replaced.
    door.fetch(post(&provider.url("/"), "text/plain", &placeholder), LONG).await.unwrap();
    assert!(provider.seen().remove(1).ends_with("ya29.second-token"));

    keep(&door, "access", "ya29.third-token", 60).unwrap();
    vault.forget("access");
    vault.forget("never kept");
    assert_eq!(vault.placeholder("access"), Err(SecretError::Unknown));
}

#[test]
fn what_is_kept_is_bounded_and_is_no_configured_secret() {
    let (door, clock) = clocked(&Door::to_loopback().with_secret("key", EC));
    let own = door.vault().placeholder("key").unwrap();
    let long = "x".repeat(limits::KEPT_SECRET_BYTES_MAX + 1);
    for (name, value) in [
        ("key", "a-value"),
        ("", "a-value"),
        (&long[..65], "a-value"),
        ("a", ""),
        ("a", long.as_str()),
        ("a", own.as_str()),
        ("a", &format!("bearer {own}")),
    ] {
        let error = keep(&door, name, value, 60).unwrap_err();
        assert!(matches!(error, SecretError::Unusable(_)), "{name} {error:?}");
    }
    for number in 0..limits::KEPT_SECRETS_MAX {
        keep(&door, &format!("n{number}"), "a-value", 60 + number as u64).unwrap();
    }
    let full = keep(&door, "one-more", "a-value", 60).unwrap_err();
    assert!(full.to_string().contains("16 credentials already"), "{full}");
    clock.advance_ms(60_000);
    assert!(keep(&door, "one-more", "a-value", 60).is_ok(), "the first one's time is over");
    assert!(keep(&door, "two-more", "a-value", 60).is_err());
}

#[tokio::test]
async fn a_kept_credential_goes_where_the_operator_grants_its_name() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let mut door = Door::to_loopback();
    door.grants
        .secrets
        .insert(String::from("access"), vec!["https://api.example".parse().unwrap()]);
    let door = door.open_alone();
    let placeholder = keep(&door, "access", "ya29.first-token", 60).unwrap();
    let error = door.fetch(get(&provider.url(&format!("/{placeholder}"))), LONG).await;
    assert!(matches!(error, Err(FetchError::SecretDenied(_))), "{error:?}");
    let other = keep(&door, "other", "ya29.other-token", 60).unwrap();
    door.fetch(get(&provider.url(&format!("/{other}"))), LONG).await.unwrap();
    assert!(provider.seen().remove(0).starts_with("GET /ya29.other-token "));
}
