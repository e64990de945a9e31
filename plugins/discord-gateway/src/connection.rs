//! The connection: connects, does what the rules say, and connects again.

use std::{pin::pin, rc::Rc, time::Duration};

use conductor_discord_api::{BOT_TOKEN, bot_request, outcome};
use conductor_sdk::{
    Problem, SendError, error, info, json, secrets,
    serde_json::{self, Value},
    state, task, time,
    websocket::{self, Frame, Socket},
};

use crate::{
    DiscordGateway,
    gateway::{Action, Event, HELLO_PATIENCE, Session},
};

/// Where a session is kept for the next instance.
pub(crate) const SESSION: &str = "session";
/// Closes the connection and not the session: with 1000 and 1001 Discord ends both
/// (<https://docs.discord.com/developers/events/gateway#initiating-a-disconnect>).
const CLOSE_CODE: u16 = 4_000;
/// Session starts that are left to the operator's other programs. At the end of them Discord takes
/// the token away.
const STARTS_RESERVED: u64 = 5;

impl DiscordGateway {
    /// Holds the connection. Ends never: where connecting again is of no use, it waits for somebody
    /// to change the configuration, which ends the instance.
    pub(crate) async fn hold_on(&self) -> Problem {
        if self.is_new.replace(false) {
            self.gateway.borrow_mut().session =
                state::get_json(SESSION).and_then(|kept| Session::of_json(&kept));
        }
        loop {
            let pause = match self.connect().await {
                Ok(socket) => self.hold(socket).await,
                Err(pause) => pause,
            };
            let health = self.gateway.borrow().health(time::now());
            let detail = health.detail.unwrap_or_default();
            if self.gateway.borrow().is_misconfigured() {
                error!("{detail}; it will not be tried again before the configuration changes");
                return std::future::pending().await;
            }
            info!("{detail}; the next connection in {} ms", pause.as_millis());
            task::sleep(pause).await;
        }
    }

    /// Closes the connection, if there is one.
    pub(crate) fn hang_up(&self) {
        if let Some(socket) = self.socket.take() {
            socket.close(CLOSE_CODE, "");
        }
    }

    /// A connection, or how long to wait for the next try.
    async fn connect(&self) -> Result<Socket, Duration> {
        let resumed = self.gateway.borrow().session.as_ref().map(|session| session.url.clone());
        let place = match resumed {
            Some(url) => url,
            None => self.ask_for_place().await?,
        };
        let place = self.options.gateway_url.as_deref().unwrap_or(&place).trim_end_matches('/');
        let connected = websocket::connect(&format!("{place}/?v=10&encoding=json"), &[]).await;
        connected.map_err(|error| {
            let mut gateway = self.gateway.borrow_mut();
            if let websocket::Error::Denied(_) | websocket::Error::Invalid(_) = error {
                // Elsewhere it may be granted.
                gateway.session = None;
            }
            let pause = gateway.lost(&error.detail(), Duration::ZERO, time::now());
            drop(gateway);
            self.remember();
            pause
        })
    }

    /// Where a new session begins, if there may be one
    /// (<https://docs.discord.com/developers/events/gateway#get-gateway-bot>).
    async fn ask_for_place(&self) -> Result<String, Duration> {
        let lost = |why: &str, pause| self.gateway.borrow_mut().lost(why, pause, time::now());
        let asked = async {
            let request = bot_request(&self.options.api_base, "GET", "gateway/bot")?;
            let response = request.fetch_async().await.map_err(|error| error.repeatable())?;
            if response.is_success() { Ok(response) } else { Err(outcome(&response)) }
        };
        let answer: Value = match asked.await {
            Ok(response) => response.json().unwrap_or_default(),
            Err(SendError::Misconfigured(problem)) => {
                self.gateway.borrow_mut().refuse_token(&problem.detail, time::now());
                return Err(Duration::ZERO);
            }
            Err(SendError::Retry(retry)) => {
                let pause = Duration::from_millis(retry.after_ms.unwrap_or_default().into());
                return Err(lost(&retry.problem.detail, pause));
            }
            Err(error) => return Err(lost(&error.problem().detail, Duration::ZERO)),
        };
        let limit = |name: &str| {
            answer.pointer(&format!("/session_start_limit/{name}")).and_then(Value::as_u64)
        };
        let starts = (limit("remaining"), limit("reset_after"));
        match (answer.get("url").and_then(Value::as_str), starts) {
            (Some(url), (Some(remaining), _)) if remaining > STARTS_RESERVED => Ok(url.to_owned()),
            (Some(_), (Some(_), Some(reset_after_ms))) => {
                let pause = Duration::from_millis(reset_after_ms);
                let seconds = pause.as_secs();
                let why = format!("the bot's session starts are used up for the next {seconds} s");
                Err(lost(&why, pause))
            }
            _ => Err(lost("Discord's answer to GET /gateway/bot lacks fields", Duration::ZERO)),
        }
    }

    /// One connection, to its end. How long to wait for the next.
    async fn hold(&self, socket: Socket) -> Duration {
        let socket = Rc::new(socket);
        self.socket.replace(Some(Rc::clone(&socket)));
        let mut timer = pin!(task::sleep(HELLO_PATIENCE));
        loop {
            let event = match task::race(socket.receive(), timer.as_mut()).await {
                task::First::Left(Ok(Frame::Text(text))) => match serde_json::from_str(&text) {
                    Ok(payload) => Event::Received(payload),
                    Err(_) => continue,
                },
                task::First::Left(Ok(Frame::Binary(_))) => continue,
                task::First::Left(Err(websocket::Error::Closed(reason))) => {
                    Event::Closed(reason.map(|reason| reason.code))
                }
                task::First::Left(Err(_)) => Event::Closed(None),
                task::First::Right(()) => Event::Due,
            };
            let actions = self.gateway.borrow_mut().hear(event, time::now());
            self.remember();
            for action in actions {
                let payload = match action {
                    Action::Heartbeat(seq) => json!({ "op": 1, "d": seq }),
                    Action::Identify => self.identify(),
                    Action::Resume(Session { id, seq, .. }) => {
                        json!({ "op": 6, "d": { "token": token(), "session_id": id, "seq": seq } })
                    }
                    Action::WakeIn(pause) => {
                        timer.set(task::sleep(pause));
                        continue;
                    }
                    Action::Leave(pause) => {
                        self.hang_up();
                        return pause;
                    }
                };
                // If it does not go out, the next `receive` says that the connection is over.
                let _gone = socket.send(payload.to_string()).await;
            }
        }
    }

    fn identify(&self) -> Value {
        // Type 4 is a status in the bot's own words.
        let activity = |words| json!({ "name": "Custom Status", "type": 4, "state": words });
        let activities: Vec<_> = self.options.activity.iter().map(activity).collect();
        let presence = json!({
            "status": self.options.status, "activities": activities, "since": null, "afk": false,
        });
        // Without intents: it sends, and reads nothing of what happens there.
        json!({ "op": 2, "d": {
            "token": token(),
            "intents": 0,
            "properties": { "os": "linux", "browser": "conductor", "device": "conductor" },
            "presence": presence,
        }})
    }

    /// Keeps the session for the next instance.
    fn remember(&self) {
        match &self.gateway.borrow().session {
            // Without it the next instance begins a session of its own.
            Some(session) => drop(state::set_json(SESSION, &session.to_json(), None)),
            None => state::remove(SESSION),
        }
    }
}

/// The token's placeholder: required by the manifest, so it is there.
fn token() -> String {
    secrets::placeholder(BOT_TOKEN).unwrap_or_default()
}
