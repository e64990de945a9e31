use std::time::{Duration, UNIX_EPOCH};

use super::{FakeHost, placeholder};
use crate::{
    secrets::{self, Encoding},
    state,
};

#[test]
fn a_secret_is_used_without_being_seen() {
    let host = FakeHost::install();
    host.secret("KEY", "hush");
    assert_eq!(secrets::placeholder("KEY"), Ok(placeholder("KEY")));
    assert!(!secrets::basic_auth("me", "KEY").unwrap().contains("hush"));
    let denied = secrets::reveal("KEY").unwrap_err();
    assert_eq!(denied.to_string(), "the operator does not grant this use of the secret KEY");
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
