//! What goes wrong before a request can be sent: names, connections, certificates. Nothing was sent,
//! so it is always sent again, and it arrives when the network is mended.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Chaos, plugins, rewritten, server};
use crate::kit::{Folder, TestHost, eventually, replace};

fn has_failed(detail: &Value, code: &str) -> bool {
    let attempts = detail["attempts"].as_array().unwrap();
    let failed = |one: &Value| one["outcome"] == "retry" && one["code"] == code;
    assert!(attempts.iter().all(failed), "{detail}");
    !attempts.is_empty()
}

/// Waits for the first attempts, which cannot reach anybody.
async fn fails(host: &TestHost, id: &str) {
    eventually(format_args!("{id} is tried"), async || {
        has_failed(&host.notification(id).await.json, "unreachable").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_not_found_is_tried_again_and_a_corrected_url_delivers_the_backlog() {
    let provider = Chaos::well("127.0.2.1:0".parse().unwrap()).await;
    let mut folder = Folder::new();
    let wrong = format!("http://no-such-provider.invalid:{}", provider.address().port());
    plugins(&mut folder, &[wrong.clone(), provider.url("")]);
    folder.channels = rewritten(&format!("{wrong}/hook"));
    let host = TestHost::start(folder).await;
    let id = host.hand_over("webhook", "to nobody").await;
    fails(&host, &id).await;
    assert!(provider.arrived().is_empty());
    replace(&host.file("channels.toml"), rewritten(&provider.url("/hook")));
    host.reaches(&id, "delivered").await;
    assert_eq!(provider.arrived().len(), 1);
}

#[tokio::test]
async fn a_connection_that_is_refused_is_tried_again_until_somebody_listens() {
    // An address that is nobody else's, so that the port is still free when it is taken again.
    let reserved = TcpListener::bind("127.0.2.2:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let mut folder = Folder::new();
    plugins(&mut folder, &[format!("http://{address}")]);
    folder.channels = rewritten(&format!("http://{address}/hook"));
    let host = TestHost::start(folder).await;
    let id = host.hand_over("webhook", "anybody there").await;
    fails(&host, &id).await;
    let provider = Chaos::well(address).await;
    host.reaches(&id, "delivered").await;
    assert_eq!(provider.arrived().len(), 1);
}

/// A provider behind TLS whose certificate can be renewed.
struct Secure {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    answered: Arc<AtomicUsize>,
}

/// A certificate for `host` that ends in that year, in both forms.
fn certificate(host: &str, end_year: i32) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2015, 1, 1);
    params.not_after = date_time_ymd(end_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (certificate.pem(), Arc::new(config))
}

impl Secure {
    async fn start(host: &str, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(Mutex::new(config));
        let answered = Arc::new(AtomicUsize::new(0));
        let (current, count) = (Arc::clone(&config), Arc::clone(&answered));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&*current.lock().unwrap()));
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                if server::serve_well(&mut stream).await {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { address, config, answered }
    }
}

#[tokio::test]
async fn an_expired_certificate_gets_no_byte_and_a_renewed_one_gets_the_backlog() {
    const HOST: &str = "127.0.2.3";
    let ((expired_pem, expired), (renewed_pem, renewed)) =
        (certificate(HOST, 2020), certificate(HOST, 2124));
    let provider = Secure::start(HOST, expired).await;
    let mut folder = Folder::new();
    let origin = format!("https://{}", provider.address);
    plugins(&mut folder, std::slice::from_ref(&origin));
    folder.channels = rewritten(&format!("{origin}/hook"));
    // Both are trusted: what is wrong with the first is its time alone.
    std::fs::write(folder.file("roots.pem"), format!("{expired_pem}{renewed_pem}")).unwrap();
    let host = TestHost::start_with(folder, &["--extra-ca-file", "roots.pem"]).await;
    let id = host.hand_over("webhook", "for certain eyes only").await;
    fails(&host, &id).await;
    let detail = host.notification(&id).await.json;
    assert!(detail["error"].as_str().unwrap().contains("expired"), "{detail}");
    assert_eq!(provider.answered.load(Ordering::Relaxed), 0);
    *provider.config.lock().unwrap() = renewed;
    host.reaches(&id, "delivered").await;
    assert_eq!(provider.answered.load(Ordering::Relaxed), 1);
}
