//! A double of a mail server, for what real ones do not do on demand: to say no at a chosen moment,
//! to be slow, to hang up, and to be somebody in the middle. The host's own tests use it too.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A message that came whole, and its envelope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mail {
    /// All of the line "MAIL".
    pub(crate) from: String,
    /// All lines "RCPT".
    pub(crate) to: Vec<String>,
    /// Without the doubled dots and without the end.
    pub(crate) message: String,
    /// Whether it came under TLS.
    pub(crate) encrypted: bool,
}

/// What the double does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with this text, which has no end of its last line.
    Say(String),
    /// Waits, then answers.
    SayAfter(Duration, String),
    /// Closes the connection.
    HangUp,
    /// Says nothing more.
    #[allow(dead_code, reason = "the host's own tests need it, the black-box suite does not")]
    Silence,
}

impl From<&str> for Act {
    fn from(text: &str) -> Self {
        Self::Say(text.to_owned())
    }
}

/// How TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protection {
    Implicit,
    Starttls,
    /// Only offers it not, as somebody in the middle does.
    Stripped,
    /// Sends a reply in plaintext right behind the one to STARTTLS.
    Injected,
}

/// What is answered: by the first word of a line, and besides "greeting", "." (the message's end) and
/// "answer" (a line of AUTH LOGIN). What is planned is used up first.
#[derive(Debug, Default)]
struct Script {
    planned: HashMap<String, VecDeque<Act>>,
    always: HashMap<String, Act>,
    /// Lines of the reply to EHLO, without codes.
    offers: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    lines: Mutex<Vec<String>>,
    mails: Mutex<Vec<Mail>>,
    connections: Mutex<usize>,
}

/// The double. Its name is "localhost", with a certificate of its own.
#[derive(Debug)]
pub(crate) struct MailServer {
    pub(crate) port: u16,
    pub(crate) certificate_pem: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl MailServer {
    /// Starts one on a port of its own, that takes every message of every user.
    pub(crate) async fn start(protection: Protection) -> Self {
        let certified = rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        shared.script.lock().unwrap().offers =
            ["SIZE 100000", "8BITMIME", "AUTH PLAIN LOGIN XOAUTH2"].map(String::from).to_vec();
        let mut tasks = JoinSet::new();
        let served = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *served.connections.lock().unwrap() += 1;
                let conversation = Conversation {
                    shared: Arc::clone(&served),
                    acceptor: acceptor.clone(),
                    protection,
                };
                connections.spawn(async move {
                    // The other side may hang up at any moment.
                    let _over = conversation.run(Box::new(stream)).await;
                });
            }
        });
        Self { port, certificate_pem: certified.cert.pem(), shared, _tasks: tasks }
    }

    /// The next answers to this word that are not planned yet.
    pub(crate) fn then(&self, word: &str, act: impl Into<Act>) -> &Self {
        let mut script = self.shared.script.lock().unwrap();
        script.planned.entry(word.to_owned()).or_default().push_back(act.into());
        drop(script);
        self
    }

    /// The answer to this word when none is planned.
    pub(crate) fn always(&self, word: &str, act: impl Into<Act>) -> &Self {
        self.shared.script.lock().unwrap().always.insert(word.to_owned(), act.into());
        self
    }

    /// What it offers in its reply to EHLO, besides STARTTLS.
    #[allow(dead_code, reason = "the host's own tests need it, the black-box suite does not")]
    pub(crate) fn offers(&self, lines: &[&str]) -> &Self {
        let lines = lines.iter().map(ToString::to_string).collect();
        self.shared.script.lock().unwrap().offers = lines;
        self
    }

    /// Every line that it was sent, of messages only the end.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().unwrap().clone()
    }

    /// Every message that came whole, whatever was answered.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

struct Conversation {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    protection: Protection,
}

/// The conversation is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Conversation {
    async fn run(&self, stream: Box<dyn Duplex>) -> Result<(), Over> {
        let mut encrypted = self.protection == Protection::Implicit;
        let stream: Box<dyn Duplex> =
            if encrypted { Box::new(self.acceptor.accept(stream).await?) } else { stream };
        let mut stream = BufReader::new(stream);
        self.act(&mut stream, "greeting", "220 localhost ESMTP").await?;
        let mut mail = Mail::default();
        loop {
            let line = read_line(&mut stream).await?;
            self.shared.lines.lock().unwrap().push(line.clone());
            let word = line.split(' ').next().unwrap().to_ascii_uppercase();
            match word.as_str() {
                "EHLO" => {
                    let offer = !encrypted
                        && matches!(self.protection, Protection::Starttls | Protection::Injected);
                    let reply = self.hello(offer);
                    self.act(&mut stream, "EHLO", &reply).await?;
                }
                "STARTTLS" => {
                    let injected = self.protection == Protection::Injected;
                    let reply = if injected { "220 go\r\n250 AUTH PLAIN" } else { "220 go" };
                    self.act(&mut stream, "STARTTLS", reply).await?;
                    let tls = self.acceptor.accept(stream.into_inner()).await?;
                    stream = BufReader::new(Box::new(tls));
                    encrypted = true;
                }
                "AUTH" if line == "AUTH LOGIN" => {
                    for question in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                        self.act(&mut stream, "question", question).await?;
                        let answer = read_line(&mut stream).await?;
                        self.shared.lines.lock().unwrap().push(answer);
                    }
                    self.act(&mut stream, "AUTH", "235 2.7.0 welcome").await?;
                }
                "AUTH" => {
                    self.act(&mut stream, "AUTH", "235 2.7.0 welcome").await?;
                }
                "" => {
                    self.act(&mut stream, "answer", "535 5.7.8 no").await?;
                }
                "MAIL" => {
                    mail = Mail { from: line, encrypted, ..Mail::default() };
                    self.act(&mut stream, "MAIL", "250 2.1.0 ok").await?;
                }
                "RCPT" => {
                    mail.to.push(line);
                    self.act(&mut stream, "RCPT", "250 2.1.5 ok").await?;
                }
                "DATA" => {
                    if !self.act(&mut stream, "DATA", "354 go ahead").await? {
                        continue;
                    }
                    mail.message = read_message(&mut stream).await?;
                    self.shared.lines.lock().unwrap().push(String::from("."));
                    self.shared.mails.lock().unwrap().push(mail.clone());
                    self.act(&mut stream, ".", "250 2.0.0 queued as 4711").await?;
                }
                "RSET" => {
                    self.act(&mut stream, "RSET", "250 2.0.0 ok").await?;
                }
                "QUIT" => {
                    self.act(&mut stream, "QUIT", "221 2.0.0 bye").await?;
                    return Ok(());
                }
                _ => {
                    self.act(&mut stream, "?", "502 5.5.2 what?").await?;
                }
            }
        }
    }

    fn hello(&self, offers_tls: bool) -> String {
        let mut lines = vec![String::from("localhost")];
        lines.extend(self.shared.script.lock().unwrap().offers.iter().cloned());
        if offers_tls {
            lines.push(String::from("STARTTLS"));
        }
        let last = lines.pop().unwrap();
        let first: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        format!("{first}250 {last}")
    }

    /// Whether the answer was a yes.
    async fn act(
        &self,
        stream: &mut BufReader<Box<dyn Duplex>>,
        word: &str,
        usual: &str,
    ) -> Result<bool, Over> {
        let act = {
            let mut script = self.shared.script.lock().unwrap();
            let planned = script.planned.get_mut(word).and_then(VecDeque::pop_front);
            planned.or_else(|| script.always.get(word).cloned()).unwrap_or_else(|| usual.into())
        };
        let text = match act {
            Act::Say(text) => text,
            Act::SayAfter(wait, text) => {
                tokio::time::sleep(wait).await;
                text
            }
            Act::HangUp => return Err(Over),
            Act::Silence => {
                std::future::pending::<()>().await;
                return Err(Over);
            }
        };
        let closes = text.starts_with("421");
        stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        stream.flush().await?;
        if closes { Err(Over) } else { Ok(text.starts_with(['2', '3'])) }
    }
}

async fn read_line(stream: &mut BufReader<Box<dyn Duplex>>) -> Result<String, Over> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(Over);
    }
    Ok(line.trim_end_matches("\r\n").to_owned())
}

async fn read_message(stream: &mut BufReader<Box<dyn Duplex>>) -> Result<String, Over> {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(Over);
        }
        if line == ".\r\n" {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
