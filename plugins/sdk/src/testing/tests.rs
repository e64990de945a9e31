use std::time::{Duration, UNIX_EPOCH};

use super::{FakeHost, jwt_placeholder, placeholder};
use crate::{
    secrets::{self, Encoding, Jwt},
    state,
};

#[test]
fn a_secret_is_used_without_being_seen() {
    let host = FakeHost::install();
    host.secret("KEY", "hush");
    assert_eq!(secrets::placeholder("KEY"), Ok(placeholder("KEY")));
    assert!(!secrets::basic_auth("me", "KEY").unwrap().contains("hush"));
    let denied = secrets::reveal("KEY").unwrap_err();
    assert_eq!(
        denied.to_string(),
        "the operator does not grant reading the secret KEY: plugins.toml, [plugin.grants] reveal"
    );
    host.grant_reveal();
    assert_eq!(secrets::reveal("KEY").as_deref(), Ok("hush"));
    let unknown = secrets::placeholder("OTHER").unwrap_err();
    assert_eq!(unknown.to_string(), "this channel has no secret OTHER");
}

#[test]
fn a_signature_passes_the_second_vector_of_rfc_4231() {
    FakeHost::install().secret("KEY", "Jefe").secret("KEY64", "SmVmZQ==");
    let data = b"what do ya want for nothing?";
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(secrets::sign("KEY", Encoding::Text, data).unwrap().to_hex(), expected);
    assert_eq!(secrets::sign("KEY64", Encoding::Base64, data).unwrap().to_hex(), expected);
    assert!(secrets::sign("KEY", Encoding::Whsec, data).is_err());
}

#[test]
fn a_token_is_asked_for_and_not_seen() {
    let host = FakeHost::install();
    host.secret("PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----");
    let token = Jwt::es256("PRIVATE_KEY").header("kid", "ABC").claim("iss", "TEAM");
    assert_eq!(token.placeholder(), Ok(jwt_placeholder("PRIVATE_KEY")));
    let asked = &host.jwts()[0];
    assert_eq!((&asked.header["kid"], &asked.claims["iss"]), (&"ABC".into(), &"TEAM".into()));
    assert_eq!((asked.expires_after_ms, asked.renew_after_ms), (None, 1_800_000));
    let short = token.clone().expires_after(Duration::from_secs(60));
    short.placeholder().unwrap();
    assert_eq!(host.jwts()[1].renew_after_ms, 30_000);
    assert!(token.clone().claim("iat", 7).placeholder().is_err());
    assert!(short.renew_after(Duration::from_secs(60)).placeholder().is_err());
    assert!(Jwt::es256("OTHER").placeholder().is_err());
    assert_eq!(secrets::sign_es256("PRIVATE_KEY", b"x").unwrap().0.len(), 64);
    assert_eq!(secrets::sign_rs256("PRIVATE_KEY", b"x").unwrap().0.len(), 256);
    assert!(secrets::sign("PRIVATE_KEY", Encoding::Pem, b"x").is_err());
}

#[test]
fn a_credential_that_was_handed_over_is_a_secret_for_its_time() {
    let host = FakeHost::install();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    host.secret("KEY", "hush").now(at(100));
    assert_eq!(secrets::kept("ACCESS_TOKEN"), None);
    let text = secrets::keep("ACCESS_TOKEN", "ya29.abc", Duration::from_secs(60)).unwrap();
    assert_eq!(secrets::kept("ACCESS_TOKEN"), Some(text));
    assert_eq!(host.kept("ACCESS_TOKEN").as_deref(), Some("ya29.abc"));
    host.now(at(160));
    assert_eq!(secrets::kept("ACCESS_TOKEN"), None);
    secrets::keep("ACCESS_TOKEN", "ya29.def", Duration::from_secs(60)).unwrap();
    secrets::forget("ACCESS_TOKEN");
    assert_eq!(secrets::kept("ACCESS_TOKEN"), None);
    assert!(secrets::keep("KEY", "x", Duration::from_secs(60)).is_err());
}

#[test]
fn state_is_kept_until_its_time_is_over() {
    let host = FakeHost::install();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    host.now(at(100));
    state::set("token", b"abc", Some(Duration::from_secs(10))).unwrap();
    state::set_json("list", &[1, 2], None).unwrap();
    host.now(at(109));
    assert_eq!(state::get("token").as_deref(), Some(b"abc".as_slice()));
    host.now(at(110));
    assert_eq!(state::get("token"), None);
    assert_eq!(state::get_json("list"), Some(vec![1, 2]));
    assert_eq!(state::get_json::<String>("list"), None);
    state::remove("list");
    assert_eq!(state::get("list"), None);
    assert!(state::set("big", &[0; 70_000], None).is_err());
}

#[test]
#[should_panic(expected = "no answer is scripted for GET https://x.example/")]
fn a_request_that_nothing_answers_fails_the_test() {
    let _host = FakeHost::install();
    let _ = crate::http::get("https://x.example/").fetch();
}
