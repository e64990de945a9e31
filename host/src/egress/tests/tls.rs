//! A provider behind TLS.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request, routing::any};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::kit::{Door, LONG, egress, get, post};
use crate::egress::{Egress, FetchError};

struct TlsProvider {
    address: SocketAddr,
    certificate_pem: String,
    _tasks: JoinSet<()>,
}

impl TlsProvider {
    /// Each connection is given to `serve`.
    async fn start<F>(
        alpn: &[&str],
        serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let certified = rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    connections.spawn(serve(stream));
                }
            }
        });
        Self { address, certificate_pem: certified.cert.pem(), _tasks: tasks }
    }

    /// Answers with the version of HTTP that it was asked in.
    async fn telling_the_version(alpn: &[&str]) -> Self {
        Self::start(alpn, |stream| async {
            let handler = |request: Request| async move { format!("{:?}", request.version()) };
            let service = TowerToHyperService::new(Router::new().fallback(any(handler)));
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        })
        .await
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/", self.address.port())
    }

    fn trusting_it(&self) -> Arc<Egress> {
        Egress::new(self.certificate_pem.as_bytes()).unwrap()
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_the_provider_offers_it() {
    for (alpn, expected) in
        [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let provider = TlsProvider::telling_the_version(alpn).await;
        let egress = provider.trusting_it();
        let door = Door::to_loopback().open(&egress);
        let response = door.fetch(get(&provider.url()), LONG).await.unwrap();
        assert_eq!(response.body().as_ref(), expected.as_bytes(), "{alpn:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_unreachable() {
    let provider = TlsProvider::telling_the_version(&["h2"]).await;
    let door = Door::to_loopback().open(&egress());
    let error = door.fetch(get(&provider.url()), LONG).await.unwrap_err();
    let FetchError::Unreachable(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_unreachable() {
    let provider = TlsProvider::telling_the_version(&["h2"]).await;
    let egress = provider.trusting_it();
    let door = Door::to_loopback().open(&egress);
    let error = door.fetch(get(&format!("https://{}/", provider.address)), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn an_http_2_provider_that_says_nothing_gives_no_answer() {
    let provider = TlsProvider::start(&["h2"], |stream| async {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut unanswered = Vec::new();
        while let Some(Ok(request)) = connection.accept().await {
            unanswered.push(request);
        }
    })
    .await;
    let door = Door::to_loopback().open(&provider.trusting_it());
    let error = door.fetch(get(&provider.url()), Duration::from_millis(500)).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
}

#[tokio::test]
async fn a_request_that_http_2_says_was_not_looked_at_is_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let provider = TlsProvider::start(&["h2"], move |stream| {
        let count = Arc::clone(&count);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                if count.fetch_add(1, Ordering::SeqCst) == 0 {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                } else {
                    respond.send_response(http::Response::new(()), true).unwrap();
                }
            }
        }
    })
    .await;
    let door = Door::to_loopback().open(&provider.trusting_it());
    let request = post(&provider.url(), "text/plain", "hello");
    assert_eq!(door.fetch(request, LONG).await.unwrap().status(), 200);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_request_that_http_2_may_have_looked_at_is_not_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let provider = TlsProvider::start(&["h2"], move |stream| {
        let count = Arc::clone(&count);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        }
    })
    .await;
    let door = Door::to_loopback().open(&provider.trusting_it());
    let error = door.fetch(get(&provider.url()), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn extra_roots_that_are_no_certificates_are_an_error() {
    assert!(Egress::new(b"hello").is_err());
}
