//! Names that change their mind, against a resolver of our own.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::net::TcpListener;

use super::kit::{Door, LONG, OK, Provider, Script, egress, get};
use crate::egress::{BindingEgress, FetchError, resolve::Lookups};

/// Answers with one list after the other, and then with the last again.
struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<usize>,
}

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|address| address.parse().unwrap()).collect();
        let answers = Mutex::new(answers.iter().map(parse).collect());
        Arc::new(Self { answers, asked: Mutex::default() })
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    fn answer(&self) -> io::Result<Vec<SocketAddr>> {
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let answer =
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        Ok(answer.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

/// A door for which only 127.0.0.1 is open, and whose names are looked up there.
fn door(names: &Arc<Names>) -> Arc<BindingEgress> {
    let mut egress = egress();
    let asked = Arc::clone(names);
    let lookups = Lookups::by(Arc::new(move |_: &str| asked.answer()));
    Arc::get_mut(&mut egress).unwrap().pools.lookups = lookups;
    let mut door = Door::to_the_internet();
    door.grants.addresses = vec!["127.0.0.1".parse().unwrap()];
    door.open(&egress)
}

const CLOSING: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_name_is_judged_at_every_connection() {
    let provider = Provider::start(Script::AnswerAndClose(CLOSING)).await;
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"], &["169.254.169.254"], &["127.0.0.1"]]);
    let door = door(&names);
    let url = format!("http://rebind.example:{}/", provider.address.port());
    assert!(door.fetch(get(&url), LONG).await.is_ok());
    for what in ["127.0.0.2 is a loopback address", "metadata service"] {
        let error = door.fetch(get(&url), LONG).await.unwrap_err();
        assert!(matches!(&error, FetchError::Denied(text) if text.contains(what)), "{error:?}");
    }
    assert!(door.fetch(get(&url), LONG).await.is_ok());
    assert_eq!((provider.accepted(), names.asked()), (2, 4), "asked once for each connection");
}

#[tokio::test]
async fn of_several_addresses_only_those_that_were_judged_are_connected_to() {
    // Nobody listens at the allowed address: a host that tried them all would come to the trap.
    let provider = Provider::start(Script::Answer(OK)).await;
    let port = provider.address.port();
    drop(provider);
    let trap = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let names = Names::new(&[&["127.0.0.2", "127.0.0.1", "127.0.0.2"]]);
    let url = format!("http://rebind.example:{port}/");
    let error = door(&names).fetch(get(&url), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(200), trap.accept()).await;
    assert!(nobody.is_err(), "somebody came to the address that is denied");
}

#[tokio::test]
async fn a_connection_that_is_kept_is_not_moved_by_a_name_that_changes() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let door = door(&names);
    let url = format!("http://rebind.example:{}/", provider.address.port());
    for _ in 0..3 {
        assert!(door.fetch(get(&url), LONG).await.is_ok());
    }
    assert_eq!((provider.accepted(), names.asked()), (1, 1));
}
