//! Secrets on their way out and back.

use bytes::Bytes;
use http::Request;
use serde_json::json;

use super::kit::{Door, LONG, OK, Provider, Script, get, post};
use crate::egress::FetchError;

const AWKWARD: &str = "s3cr\"t & 100% +/=?#\\ü";
const TOKEN: &str = "tok-5f2a9c7714e0";

#[tokio::test]
async fn a_secret_in_a_header_is_put_in_as_it_is() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().with_secret("token", AWKWARD).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let request = Request::get(provider.url("/"))
        .header("authorization", format!("Bot {placeholder}!"))
        .body(Bytes::new())
        .unwrap();
    door.fetch(request, LONG).await.unwrap();
    let seen = provider.seen().remove(0);
    assert!(seen.contains(&format!("\r\nauthorization: Bot {AWKWARD}!\r\n")), "{seen}");
    assert!(!seen.contains(&placeholder));
}

#[tokio::test]
async fn a_secret_with_a_line_break_cannot_be_in_a_header() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let value = format!("{TOKEN}\r\nx-injected: 1");
    let door = Door::to_loopback().with_secret("token", &value).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let request =
        Request::get(provider.url("/")).header("x-key", placeholder).body(Bytes::new()).unwrap();
    let error = door.fetch(request, LONG).await.unwrap_err();
    assert!(matches!(&error, FetchError::Invalid(text) if text.contains("x-key")), "{error:?}");
    assert!(!format!("{error:?}").contains(TOKEN));
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn a_secret_in_the_url_is_escaped_for_its_place() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().with_secret("token", AWKWARD).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let url = provider.url(&format!("/bot{placeholder}/send?key={placeholder}&other=1"));
    door.fetch(get(&url), LONG).await.unwrap();
    let seen = provider.seen().remove(0);
    let target = seen.split(' ').nth(1).unwrap();
    assert_eq!(
        target,
        "/bots3cr%22t%20&%20100%25%20+/=%3F%23%5C%C3%BC/send\
         ?key=s3cr%22t%20%26%20100%25%20%2B%2F%3D%3F%23%5C%C3%BC&other=1"
    );
}

#[tokio::test]
async fn a_secret_in_a_body_is_escaped_for_its_type() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().with_secret("token", AWKWARD).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let url = provider.url("/");
    let json = json!({"token": placeholder, "text": "a\"b"}).to_string();
    let form = format!("token={placeholder}&text=a%22b");
    for (content_type, body) in [
        ("application/json; charset=utf-8", json.as_str()),
        ("application/vnd.api+json", json.as_str()),
        ("application/x-www-form-urlencoded", form.as_str()),
        ("text/plain", placeholder.as_str()),
    ] {
        door.fetch(post(&url, content_type, body), LONG).await.unwrap();
    }
    let seen = provider.seen();
    let bodies: Vec<&str> =
        seen.iter().map(|seen| seen.split_once("\r\n\r\n").unwrap().1).collect();
    for body in [bodies[0], bodies[1]] {
        let read: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(read, json!({"token": AWKWARD, "text": "a\"b"}));
    }
    let form = reqwest::Url::parse(&format!("http://x/?{}", bodies[2])).unwrap();
    let form: Vec<_> = form.query_pairs().into_owned().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(form, [pair("token", AWKWARD), pair("text", "a\"b")]);
    assert_eq!(bodies[3], AWKWARD);
}

#[tokio::test]
async fn a_basic_authorization_is_put_in_whole() {
    let provider = Provider::start(Script::Answer(OK)).await;
    // RFC 7617, section 2.
    let door = Door::to_loopback().with_secret("password", "open sesame").open_alone();
    let header = door.vault().basic_auth("Aladdin", "password").unwrap();
    let request =
        Request::get(provider.url("/")).header("authorization", header).body(Bytes::new()).unwrap();
    door.fetch(request, LONG).await.unwrap();
    let seen = provider.seen().remove(0);
    assert!(seen.contains("\r\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{seen}");
}

#[tokio::test]
async fn a_secret_does_not_leave_for_an_origin_that_it_is_not_granted_for() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let mut door = Door::to_loopback().with_secret("token", TOKEN);
    door.grants.secrets.insert(String::from("token"), vec!["https://api.example".parse().unwrap()]);
    let door = door.open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let basic = door.vault().basic_auth("me", "token").unwrap();
    let url = provider.url("/");
    for request in [
        get(&provider.url(&format!("/{placeholder}"))),
        get(&provider.url(&format!("/?{placeholder}"))),
        Request::get(&url).header("x", &placeholder).body(Bytes::new()).unwrap(),
        Request::get(&url).header("authorization", &basic).body(Bytes::new()).unwrap(),
        post(&url, "application/json", &format!("\"{placeholder}\"")),
    ] {
        let error = door.fetch(request, LONG).await.unwrap_err();
        let FetchError::SecretDenied(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("\"token\"") && !text.contains(TOKEN), "{text}");
    }
    assert_eq!((provider.accepted(), door.count().denied), (0, 5));
    assert!(door.fetch(get(&url), LONG).await.is_ok(), "without the secret the origin is allowed");
}

#[tokio::test]
async fn a_placeholder_is_worthless_to_another_channel() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let owner = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    let other = Door::to_loopback().with_secret("token", "another-tenants").open_alone();
    let placeholder = owner.vault().placeholder("token").unwrap();
    other.fetch(post(&provider.url("/"), "text/plain", &placeholder), LONG).await.unwrap();
    let seen = provider.seen().remove(0);
    assert!(seen.ends_with(&placeholder), "{seen}");
}

#[tokio::test]
async fn a_placeholder_in_the_host_is_refused() {
    let door = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    for url in [format!("https://{placeholder}.example/"), format!("https://{placeholder}@x/")] {
        let error = door.fetch(get(&url), LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Invalid(_)), "{error:?}");
        assert!(!error.to_string().contains(&placeholder), "{error}");
    }
}

#[tokio::test]
async fn a_secret_that_contains_a_placeholder_is_not_expanded() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let mut door = Door::to_loopback().with_secret("inner", TOKEN);
    let vault_of_first = door.open_alone();
    // No vault can be made whose secret contains its own vault's placeholder, as these are random:
    // what can be shown is that a value is copied as it stands, whatever it looks like.
    let looks_like = vault_of_first.vault().placeholder("inner").unwrap();
    door = door.with_secret("outer", &format!("<{looks_like}>"));
    let door = door.open_alone();
    let [outer, inner] = ["outer", "inner"].map(|name| door.vault().placeholder(name).unwrap());
    let body = format!("{outer}{inner}{outer}");
    door.fetch(post(&provider.url("/"), "text/plain", &body), LONG).await.unwrap();
    let seen = provider.seen().remove(0);
    assert!(seen.ends_with(&format!("<{looks_like}>{TOKEN}<{looks_like}>")), "{seen}");
}

#[tokio::test]
async fn a_placeholder_is_found_behind_what_looks_like_one() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let unknown = format!("csec{}", "0".repeat(32));
    let body = format!("cse{placeholder} csec{placeholder}{unknown}{placeholder} csec");
    door.fetch(post(&provider.url("/"), "text/plain", &body), LONG).await.unwrap();
    let seen = provider.seen().remove(0);
    assert!(seen.ends_with(&format!("cse{TOKEN} csec{TOKEN}{unknown}{TOKEN} csec")), "{seen}");
}

#[tokio::test]
async fn many_placeholders_of_a_long_secret_do_not_grow_without_end() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().with_secret("key", &"k".repeat(100_000)).open_alone();
    let placeholder = door.vault().placeholder("key").unwrap();
    let request = post(&provider.url("/"), "text/plain", &placeholder.repeat(20_000));
    let error = door.fetch(request, LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::Invalid(_)), "{error:?}");
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn no_error_shows_a_secret_or_a_placeholder() {
    let door = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let silent = Provider::start(Script::Close).await;
    for url in [
        format!("http://127.0.0.1:9/{placeholder}?{placeholder}"),
        format!("http://no-such-name.invalid/{placeholder}"),
        format!("ftp://x/{placeholder}"),
        silent.url(&format!("/{placeholder}")),
    ] {
        let error = door.fetch(get(&url), LONG).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(TOKEN) && !text.contains(&placeholder), "{text}");
    }
}

#[tokio::test]
async fn a_provider_that_repeats_the_request_does_not_hand_the_secret_to_the_plugin() {
    let provider = Provider::start(Script::Echo).await;
    let door = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    let url = provider.url(&format!("/{placeholder}?x={placeholder}"));
    let response = door.fetch(post(&url, "text/plain", &placeholder), LONG).await.unwrap();
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(!body.contains(TOKEN), "{body}");
    assert_eq!(body.matches(&placeholder).count(), 3, "{body}");
    assert_eq!(response.headers()["content-length"], body.len().to_string());
    assert!(provider.seen().remove(0).contains(TOKEN));
}
