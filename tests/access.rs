//! Who may call, from where, how often in vain, and how slowly.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpSocket};

use crate::kit::{Answer, Folder, KEY_A, KEY_ADMIN, KEY_B, TENANT_B, TestHost, eventually};

/// Another source than the tests' own 127.0.0.1.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

fn hello() -> Value {
    json!({"channel": "log", "message": "hello"})
}

fn client_from(address: Ipv4Addr) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().local_address(IpAddr::V4(address));
    client.build().unwrap()
}

async fn send_from(host: &TestHost, address: Ipv4Addr, key: &str) -> reqwest::Response {
    let url = format!("{}/notifications", host.base());
    let call = client_from(address).post(url).bearer_auth(key);
    let call = call.header("content-type", "application/json").body(hello().to_string());
    call.send().await.unwrap()
}

async fn refused(host: &TestHost, reason: &str) -> f64 {
    host.metric(&format!("conductor_requests_refused_total{{reason=\"{reason}\"}}")).await
}

/// Waits for an event of this kind, and gives it.
async fn event(host: &TestHost, kind: &str) -> Value {
    eventually(format_args!("an event {kind}"), async || {
        let trail = host.call("GET", "/admin/audit").key(KEY_ADMIN).send().await.text;
        let mut events = trail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.find(|event| event["kind"] == kind)
    })
    .await
}

#[tokio::test]
async fn a_key_at_the_name_of_another_tenant_is_refused_and_on_record() {
    let mut folder = Folder::new();
    folder.tenants.push_str("domains = [\"b.example\"]\n");
    let host = TestHost::start(folder).await;
    let answer = host.notify(&hello()).header("host", "b.example").send().await;
    answer.assert_problem(403, "wrong-context");
    assert_eq!(refused(&host, "wrong-context").await, 1.0);
    let event = event(&host, "security.context-mismatch").await;
    assert_ne!(event["tenant"], TENANT_B, "it is the affair of whose key was used: {event}");
    assert!(event["tenant"].is_string(), "{event}");
    assert!(event["detail"].as_str().unwrap().contains("127.0.0.1"), "{event}");
}

#[tokio::test]
async fn a_port_can_belong_to_one_tenant() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut folder = Folder::new();
    folder.tenants.push_str(&format!("ports = [{port}]\n"));
    let listen = format!("127.0.0.1:{port}");
    let host = TestHost::start_with(folder, &["--listen", &listen]).await;
    host.notify(&hello()).send().await.assert_problem(403, "wrong-context");
    let call = host.call("POST", "/notifications").key(KEY_B).json(&hello());
    assert_eq!(call.send().await.status, 200);
    event(&host, "security.context-mismatch").await;
}

#[tokio::test]
async fn a_tenant_takes_calls_only_from_its_sources() {
    let mut folder = Folder::new();
    folder.tenants.push_str("[tenant.access]\nsources = [\"127.0.0.77/32\", \"10.0.0.0/8\"]\n");
    let host = TestHost::start(folder).await;
    let call = || host.call("POST", "/notifications").key(KEY_B).json(&hello());
    call().send().await.assert_problem(403, "source-denied");
    let forged = call().header("x-forwarded-for", "127.0.0.77").header("forwarded", "for=10.0.0.1");
    forged.send().await.assert_problem(403, "source-denied");
    assert_eq!(send_from(&host, ELSEWHERE, KEY_B).await.status(), 200);
    assert_eq!(host.send("log", "x").await.status, 200, "tenant A has no such list");
    assert_eq!(refused(&host, "source-denied").await, 2.0);
    let event = event(&host, "security").await;
    assert_eq!(event["tenant"], TENANT_B, "{event}");
    assert!(event["detail"].as_str().unwrap().starts_with("source-denied"), "{event}");
}

#[tokio::test]
async fn who_guesses_keys_is_slowed_and_nobody_else_is() {
    let host = TestHost::start(Folder::new()).await;
    let guess = async |path: &str, number: usize| -> Answer {
        let key = format!("guess-number-{number:04}-0123456789abcdef0123");
        host.call("GET", path).key(&key).send().await
    };
    let mut slowed = 0;
    for number in 0..60 {
        // As a tenant and as the operator: it is one count.
        let path = ["/channels", "/admin/plugins"][number % 2];
        let answer = guess(path, number).await;
        if answer.status == 429 {
            answer.assert_problem(429, "too-many-failures");
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=3).contains(&wait), "{answer:?}");
            assert_eq!(answer.header("connection"), "close", "{answer:?}");
            slowed += 1;
        } else {
            answer.assert_problem(403, "wrong-key");
        }
    }
    assert!((30..=40).contains(&slowed), "{slowed} of 60 were slowed");
    // `/health` tells whether a key is the operator's: it counts there as well.
    guess("/health", 99).await.assert_problem(429, "too-many-failures");
    assert_eq!(host.get("/health").await.status, 200, "without a key it is open");

    // From the same address: whoever has a key. From another: a mistake is only a mistake.
    assert_eq!(host.send("log", "x").await.status, 200);
    assert_eq!(host.call("GET", "/health").key(KEY_ADMIN).send().await.status, 200);
    let answer = host.call("GET", "/admin/plugins").key(KEY_A).send().await;
    answer.assert_problem(403, "wrong-key");
    assert_eq!(send_from(&host, ELSEWHERE, "guessed").await.status(), 403);

    assert!(refused(&host, "too-many-failures").await >= f64::from(slowed));
    let event = event(&host, "security").await;
    assert!(event["detail"].as_str().unwrap().contains("wrong-key"), "{event}");
}

#[tokio::test]
async fn keys_of_the_wrong_kind_are_no_guesses() {
    let host = TestHost::start(Folder::new()).await;
    for _ in 0..30 {
        let answer = host.call("GET", "/admin/plugins").key(KEY_A).send().await;
        answer.assert_problem(403, "wrong-key");
        let answer = host.call("GET", "/channels").key(KEY_ADMIN).send().await;
        answer.assert_problem(403, "wrong-key");
    }
    assert_eq!(refused(&host, "too-many-failures").await, 0.0);
}

/// Lets this process, and the hosts that it starts, have as many descriptors as the system allows.
fn raise_descriptors() {
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now }).unwrap();
}

/// Opens so many connections from [`ELSEWHERE`] that send nothing.
async fn idle(host: &TestHost, count: usize) -> Vec<tokio::net::TcpStream> {
    let to: SocketAddr = host.address().parse().unwrap();
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((ELSEWHERE, 0))).unwrap();
        all.push(socket.connect(to).await.unwrap());
    }
    all
}

#[tokio::test]
async fn thousands_of_idle_connections_do_not_starve_a_good_caller() {
    raise_descriptors();
    let host = TestHost::start(Folder::new()).await;
    let mut all = idle(&host, 3_000).await;
    for (number, stream) in all.iter_mut().enumerate() {
        // Half of them begin a head and never end it. Those beyond the source's bound are closed.
        if number % 2 == 0 {
            drop(stream.write_all(b"POST /notifications HTTP/1.1\r\nHost: x\r\nX-").await);
        }
    }
    for _ in 0..20 {
        let answer = tokio::time::timeout(Duration::from_secs(10), host.send("log", "x")).await;
        assert_eq!(answer.unwrap().status, 200);
    }
    let closed = all
        .iter()
        .filter(|stream| matches!(stream.try_read(&mut [0; 1]), Ok(0)) || reset(stream))
        .count();
    assert!((900..=1_000).contains(&closed), "{closed} of 3,000 are beyond the bound of 2,048");
    drop(all);
    let url = format!("{}/health", host.base());
    eventually("the source may connect again", async || {
        client_from(ELSEWHERE).get(&url).send().await.ok()
    })
    .await;
}

fn reset(stream: &tokio::net::TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
}

/// Sends `text`, then one byte in each `pause`, and gives the answer and how long that took.
fn drip(host: &TestHost, text: &str, pause: Duration) -> (String, Duration) {
    let began = std::time::Instant::now();
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.set_read_timeout(Some(pause)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while began.elapsed() < Duration::from_secs(60) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if stream.write_all(b"x").is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[tokio::test]
async fn who_sends_byte_by_byte_is_cut_off_while_others_are_served() {
    let host = TestHost::start(Folder::new()).await;
    let body = format!(
        "POST /notifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY_A}\r\nContent-Type: \
         application/json\r\nContent-Length: 100000\r\n\r\n{{"
    );
    let pause = Duration::from_millis(500);
    let (slow_head, slow_body) = std::thread::scope(|scope| {
        let head = scope.spawn(|| drip(&host, "GET /channels HTTP/1.1\r\nX-Slow: ", pause));
        let body = scope.spawn(|| drip(&host, &body, pause));
        (head.join().unwrap(), body.join().unwrap())
    });
    let (answer, took) = slow_head;
    assert!(took > Duration::from_secs(25) && took < Duration::from_secs(50), "{took:?} {answer}");
    let (answer, took) = slow_body;
    assert!(took > Duration::from_secs(25) && took < Duration::from_secs(50), "{took:?} {answer}");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-timeout"), "{answer}");
    assert_eq!(host.send("log", "x").await.status, 200);
}
