//! A connection against the fake host's websocket.

use std::{cell::RefCell, rc::Rc};

use super::*;
use crate::{
    HealthStatus, RunEnd, task,
    testing::{FakeHost, Heard, Said, block_on},
};

/// The other end: what it answers to each text on each connection, and all that it was told.
fn peer(
    host: &FakeHost,
    mut answers: impl FnMut(usize, &str) -> Vec<Heard> + 'static,
) -> Rc<RefCell<Vec<Said>>> {
    let said = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&said);
    let mut connections = 0;
    host.websocket(move |what| {
        log.borrow_mut().push(what.clone());
        match what {
            Said::Connects(_) => {
                connections += 1;
                vec![Heard::Text("hello".into())]
            }
            Said::Text(text) => answers(connections, &text),
            Said::Closes(_) => Vec::new(),
        }
    });
    said
}

fn text(text: &str) -> Vec<Heard> {
    vec![Heard::Text(text.into())]
}

fn friendly(text_of_ours: &str) -> Vec<Heard> {
    match text_of_ours {
        "begin" => text("begun"),
        "go on s" => text("ready"),
        _ => text("pong"),
    }
}

async fn connect(session: Option<Session>) -> Result<websocket::Socket, End> {
    let url = session.map_or(String::from("wss://a.example"), |session| session.url);
    Ok(websocket::connect(&url, &[]).await?)
}

/// Lets it live for so many seconds.
fn live(connection: &Connection<Words>, seconds: u64) {
    let run = connection.run(connect);
    let ended = block_on(task::timeout(Duration::from_secs(seconds), run));
    assert_eq!(ended, None, "it does not end");
}

fn connects(said: &Rc<RefCell<Vec<Said>>>) -> Vec<String> {
    let said = said.borrow();
    let urls = said.iter().filter_map(|what| match what {
        Said::Connects(url) => Some(url.clone()),
        _ => None,
    });
    urls.collect()
}

#[test]
fn it_begins_beats_and_leaves_its_session_to_the_next_instance() {
    let host = FakeHost::install();
    let said = peer(&host, |_, text| friendly(text));
    let first = Connection::new(Words);
    live(&first, 130);
    assert_eq!(first.health().status, HealthStatus::Healthy);
    let is_beat = |what: &&Said| matches!(what, Said::Text(text) if text.starts_with("ping"));
    let beats = said.borrow().iter().filter(is_beat).count();
    assert!((3..=4).contains(&beats), "{said:?}");
    first.hang_up();
    assert_eq!(said.borrow().last(), Some(&Said::Closes(3_000)));
    let kept: Value = state::get_json(SESSION).unwrap();
    assert_eq!((&kept["id"], &kept["url"]), (&json!("s"), &json!("wss://b.example")));

    live(&Connection::new(Words), 1);
    assert_eq!(connects(&said), ["wss://a.example", "wss://b.example"]);
    assert!(said.borrow().contains(&Said::Text("go on s".into())), "{said:?}");
}

#[test]
fn a_connection_that_falls_silent_is_left_and_the_session_goes_on_in_another() {
    let host = FakeHost::install();
    let said = peer(&host, |connection, text| match (connection, text) {
        (1, "begin") => friendly(text),
        (1, _) => Vec::new(),
        _ => friendly(text),
    });
    let connection = Connection::new(Words);
    live(&connection, 120);
    assert_eq!(connects(&said), ["wss://a.example", "wss://b.example"]);
    assert_eq!(connection.health().status, HealthStatus::Healthy);
}

#[test]
fn a_greeting_that_does_not_come_is_not_waited_for_longer_than_that() {
    let host = FakeHost::install();
    let connections = Rc::new(RefCell::new(0));
    let count = Rc::clone(&connections);
    host.websocket(move |what| {
        *count.borrow_mut() += u32::from(matches!(what, Said::Connects(_)));
        Vec::new()
    });
    let connection = Connection::new(Words);
    live(&connection, 9);
    assert_eq!(*connections.borrow(), 1);
    let connection = Connection::new(Words);
    live(&connection, 13);
    assert_eq!(*connections.borrow(), 3);
    let detail = connection.health().detail.unwrap();
    assert!(detail.ends_with("the chat says nothing"), "{detail}");
}

#[test]
fn a_session_that_is_over_is_not_kept() {
    let host = FakeHost::install();
    let kept = json!({ "id": "s", "url": "wss://b.example", "seq": 3 });
    state::set_json(SESSION, &kept, None).unwrap();
    let said = peer(&host, |_, text| match text {
        "go on s" => self::text("forget"),
        _ => friendly(text),
    });
    live(&Connection::new(Words), 10);
    assert_eq!(connects(&said), ["wss://b.example", "wss://a.example"]);
    let kept: Value = state::get_json(SESSION).unwrap();
    assert!(kept["seq"].as_u64().unwrap() < 3, "another one: {kept}");
}

#[test]
fn it_ends_where_only_the_operator_can_mend_it() {
    let host = FakeHost::install();
    let said = peer(&host, |_, _| text("never"));
    let connection = Connection::new(Words);
    let end = block_on(connection.run(connect));
    assert_eq!(end, RunEnd::misconfigured("barred", "you are barred"));
    assert_eq!(connection.misconfigured(), Some(Problem::new("barred", "you are barred")));
    assert_eq!(said.borrow().last(), Some(&Said::Closes(3_000)));

    let refused = async |_| Err(End::misconfigured("no_key", "there is no key"));
    let end = block_on(Connection::new(Words).run(refused));
    assert_eq!(end, RunEnd::misconfigured("no_key", "there is no key"));
}

#[test]
fn what_cannot_be_reached_is_tried_again_after_growing_pauses() {
    let host = FakeHost::install();
    let tries = RefCell::new(Vec::new());
    let connect = async |_| {
        tries.borrow_mut().push(host.elapsed());
        Err(End::again("nobody is there"))
    };
    let connection = Connection::new(Words);
    block_on(task::timeout(Duration::from_secs(3_600), connection.run(connect)));
    let tries = tries.into_inner();
    assert!((20..=40).contains(&tries.len()), "{tries:?}");
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= Duration::from_secs(300)));
    let logs = host.logs();
    assert!(logs[0].message.contains("nobody is there; the next connection in "), "{logs:?}");
}
