//! Requests full of placeholders: a secret goes to the origin that it is granted for, whole and in
//! its place, and nowhere else; no error shows it.

use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use conductor::{
    config::{ChannelSecret, Grants},
    egress::{BindingEgress, Egress, EgressPolicy, HostPattern},
    ids::Digest,
    secrets::Secret,
};
use http::{HeaderName, HeaderValue, Request};

/// Every byte that an escape could get wrong.
const HERE: &str = "h\"'\\/%?&=+ <>{}é-here";
const ELSEWHERE: &str = "elsewhere-only-0123456789";

struct Rig {
    door: Arc<BindingEgress>,
    here: String,
    elsewhere: String,
    basic: String,
}

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let host = |text: &str| HostPattern::from_str(text).expect("a pattern");
    let secret = |value: &str| ChannelSecret {
        value: Secret::new(value.to_owned()),
        source: Arc::from("env X"),
    };
    let secrets = BTreeMap::from([
        (String::from("HERE"), secret(HERE)),
        (String::from("ELSEWHERE"), secret(ELSEWHERE)),
    ]);
    let grants = Grants {
        hosts: vec![host("https://here.example"), host("https://elsewhere.example")],
        secrets: BTreeMap::from([
            (String::from("HERE"), vec![host("https://here.example")]),
            (String::from("ELSEWHERE"), vec![host("https://elsewhere.example")]),
        ]),
        ..Grants::default()
    };
    let asks = [String::from("https://here.example"), String::from("https://elsewhere.example")];
    let policy = EgressPolicy::new(&asks, &Default::default(), &grants).expect("a policy");
    let egress = Egress::new(&[]).expect("a way out");
    let door = egress.binding(Digest::of(b"fuzz"), policy, &secrets, &grants, 1);
    let vault = door.vault();
    Rig {
        here: vault.placeholder("HERE").expect("a placeholder"),
        elsewhere: vault.placeholder("ELSEWHERE").expect("a placeholder"),
        basic: vault.basic_auth("me", "HERE").expect("a placeholder"),
        door,
    }
});

/// One input, in lines: a path with its query, a header's name and value, a content type, and in the
/// rest the body. Whether the request may leave.
pub fn run(input: &[u8]) -> bool {
    let input = String::from_utf8_lossy(input);
    let mut lines = input.splitn(5, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path, name, value, content_type, body) = (line(), line(), line(), line(), line());
    let rig = &*RIG;
    // Control characters stand for what no fuzzer guesses.
    let fill = |text: &str| {
        text.replace('\u{1}', &rig.here)
            .replace('\u{2}', &rig.elsewhere)
            .replace('\u{3}', &rig.basic)
    };
    let Ok(uri) = conductor::egress::parse_url(&format!("https://here.example/{}", fill(path)))
    else {
        return false;
    };
    let body = fill(body);
    let mut request = Request::new(Bytes::from(body));
    *request.uri_mut() = uri;
    if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(&fill(value)))
    {
        request.headers_mut().insert(name, value);
    }
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        request.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    }
    // What the request says by itself is no secret: a search finds the values by what they are compared
    // with.
    let written = all_of(&request);
    if [HERE, ELSEWHERE].iter().any(|secret| input.contains(secret) || contains(&written, secret)) {
        return false;
    }
    let to_here = request.uri().host() == Some("here.example");
    match rig.door.rehearse(request) {
        Ok(sent) => {
            assert!(to_here, "sent to {}", sent.uri());
            let all = all_of(&sent);
            assert!(!contains(&all, ELSEWHERE), "a secret went where it is not granted");
            for left in [&rig.here, &rig.elsewhere, &rig.basic] {
                assert!(!contains(&all, left), "a placeholder was left in");
            }
            assert_eq!(sent.uri().host(), Some("here.example"), "the origin has changed");
            true
        }
        Err(error) => {
            let text = error.to_string();
            for secret in [HERE, ELSEWHERE] {
                assert!(!text.contains(secret), "{text}");
            }
            false
        }
    }
}

/// All that a request says, in parts that do not touch.
fn all_of(request: &Request<Bytes>) -> Vec<u8> {
    let uri = request.uri().to_string();
    let values = request.headers().values().map(HeaderValue::as_bytes);
    let parts: Vec<_> =
        [uri.as_bytes()].into_iter().chain(values).chain([&request.body()[..]]).collect();
    parts.join(&b'\n')
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
