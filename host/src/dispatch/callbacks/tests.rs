use http::HeaderValue;

use super::*;
use crate::{config::ChannelSecret, secrets::Secret};

const NOW: UnixMs = UnixMs(1_614_265_330_900);
/// The key of the published test vector.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn letter(keys: &[&str]) -> Letter {
    let egress = Egress::new(&[]).unwrap();
    let grants = Grants::default();
    let secret = |value: &&str| ChannelSecret {
        value: Secret::new((*value).to_owned()),
        source: Arc::from("test"),
    };
    let names = KEYS.iter().map(|name| (*name).to_owned());
    let secrets = names.zip(keys.iter().map(secret)).collect();
    let digest = Digest::of(b"test");
    Letter {
        egress: egress.binding(digest, EgressPolicy::nothing(), &secrets, &grants, 1),
        keys: keys.len(),
        url: String::from("https://receiver.example/hook"),
        id: String::from("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        body: Bytes::from_static(br#"{"test": 2432232314}"#),
    }
}

#[test]
fn the_published_test_vector_is_signed_right() {
    let request = letter(&[KEY]).request(NOW).unwrap();
    let header = |name| request.headers().get(name).unwrap().to_str().unwrap();
    assert_eq!(header("webhook-id"), "msg_p5jXN8AQM9LWM0D4loKWxJek");
    assert_eq!(header("webhook-timestamp"), "1614265330");
    assert_eq!(header("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(header("content-type"), "application/json");
}

#[test]
fn while_a_key_is_changed_both_sign() {
    let new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs=";
    let both = letter(&[new, KEY]).request(NOW).unwrap();
    let signatures = both.headers()["webhook-signature"].to_str().unwrap();
    let [first, second] = signatures.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(second, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_ne!(first, second);
}

fn answered(status: u16, retry_after: Option<&'static str>) -> Outcome {
    let mut headers = HeaderMap::new();
    if let Some(value) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
    }
    read(StatusCode::from_u16(status).unwrap(), &headers, b"no\n room", NOW)
}

#[test]
fn only_2xx_is_taken_and_only_410_wants_no_more() {
    for status in [200, 201, 204] {
        assert!(matches!(answered(status, None), Outcome::Delivered { .. }), "{status}");
    }
    assert!(matches!(answered(410, None), Outcome::Misconfigured(_)));
    for status in [301, 307, 400, 401, 404, 429, 500, 503] {
        let Outcome::Retry { problem, after, scope } = answered(status, None) else {
            panic!("{status}")
        };
        assert_eq!((after, scope), (None, RetryScope::Destination));
        assert_eq!(problem.detail, format!("the receiver answered {status}: no room"));
    }
}

#[test]
fn a_receiver_says_when_to_come_back_in_any_spelling() {
    for (value, seconds) in [
        ("7", 7.0),
        ("1.5", 1.5),
        // Three seconds after the clock.
        ("Thu, 25 Feb 2021 15:02:13 GMT", 2.1),
        ("Thu, 25 Feb 2021 15:00:00 GMT", 0.0),
    ] {
        let Outcome::Retry { after, .. } = answered(429, Some(value)) else { panic!("{value}") };
        assert_eq!(after, Some(Duration::from_secs_f64(seconds)), "{value}");
    }
    for value in ["soon", "-3", "NaN"] {
        let Outcome::Retry { after, .. } = answered(429, Some(value)) else { panic!("{value}") };
        assert_eq!(after, None, "{value}");
    }
}
