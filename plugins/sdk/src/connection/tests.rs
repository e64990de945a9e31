mod link;
mod run;

use super::*;

/// A provider with a rule for each word.
pub(super) struct Words;

impl Protocol for Words {
    const PEER: &'static str = "the chat";
    const CLOSE_CODE: u16 = 3_000;

    fn hear(&mut self, text: &str, session: &mut Option<Session>) -> Vec<Action> {
        let ready = || Action::Ready(String::from("as beeper"));
        if let Some(session) = session {
            session.seq += 1;
        }
        match text {
            "hello" => vec![
                Action::Send(
                    session.as_ref().map_or("begin".into(), |kept| format!("go on {}", kept.id)),
                ),
                Action::BeatEvery(Duration::from_secs(40)),
            ],
            "begun" => {
                *session = Some(Session { id: "s".into(), url: "wss://b.example".into(), seq: 0 });
                vec![ready()]
            }
            "ready" => vec![ready()],
            "beat" => vec![Action::Beat],
            "pong" => vec![Action::Acknowledged],
            "go" => vec![Action::Leave(End::again("told to go")), Action::Beat],
            "go for 90 s" => {
                vec![Action::Leave(End::again("told to go").after(Duration::from_secs(90)))]
            }
            "forget" => vec![Action::Leave(End::again("who are you?").without_session())],
            "never" => vec![Action::Leave(End::misconfigured("barred", "you are barred"))],
            _ => Vec::new(),
        }
    }

    fn heartbeat(&mut self, session: Option<&Session>) -> String {
        format!("ping {}", session.map_or(0, |session| session.seq))
    }

    fn closed(&mut self, code: Option<u16>, why: String, session: Option<&Session>) -> End {
        match code {
            Some(4_000) if session.is_none() => End::misconfigured("stranger", why),
            Some(4_000) => End::again(why).without_session(),
            _ => End::again(why),
        }
    }
}

#[test]
fn what_comes_of_asking_and_connecting_says_what_follows() {
    let retry = crate::Retry::new("busy", "come back").after(Some(Duration::from_secs(7)));
    let end = End::from(SendError::from(retry));
    assert_eq!(end, End::again("come back").after(Duration::from_secs(7)));
    let end = End::from(SendError::misconfigured("bad_key", "no such key"));
    assert_eq!(end, End::misconfigured("bad_key", "no such key"));
    assert_eq!(End::from(SendError::unknown("lost", "no answer")), End::again("no answer"));

    let denied = websocket::Error::Denied("not granted".into());
    assert_eq!(End::from(denied), End::again("not granted").without_session());
    let cut = websocket::Error::Closed(None);
    assert_eq!(End::from(cut), End::again("the connection was cut"));
}
