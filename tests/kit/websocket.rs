//! The other end of a websocket: echoes every text, and remembers it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// The double. Dropped, it cuts its connections.
#[derive(Debug)]
pub(crate) struct Echo {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    opened: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Echo {
    /// Starts one on `port`, or on one of its own when that is 0.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let opened: Arc<AtomicUsize> = Arc::default();
        let (log, count) = (Arc::clone(&heard), Arc::clone(&opened));
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, Arc::clone(&log)));
            }
        });
        Self { port, heard, opened, server }
    }

    /// Its port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The texts that came.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Connections so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<String>>>) {
    if shake_hands(&mut stream).await.is_none() {
        return;
    }
    while let Some((opcode, payload)) = frame(&mut stream).await {
        if opcode != TEXT {
            return;
        }
        heard.lock().unwrap().push(String::from_utf8(payload.clone()).unwrap());
        if write(&mut stream, TEXT, &payload).await.is_none() {
            return;
        }
    }
}

/// Opcodes (RFC 6455, section 5.2).
pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;

/// Takes a client's handshake (RFC 6455, section 4). None: it is gone.
pub(super) async fn shake_hands(stream: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .unwrap()
        .1;
    let accept = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, accept.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        STANDARD.encode(hash)
    );
    stream.write_all(answer.as_bytes()).await.ok()
}

/// Sends a frame of a server. None: the client is gone.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    opcode: u8,
    payload: &[u8],
) -> Option<()> {
    let length = u16::try_from(payload.len()).unwrap();
    let head = match length {
        0..126 => vec![0x80 | opcode, u8::try_from(length).unwrap()],
        _ => [&[0x80 | opcode, 126], length.to_be_bytes().as_slice()].concat(),
    };
    stream.write_all(&[head.as_slice(), payload].concat()).await.ok()
}

/// The next frame of a client, which is masked. None: it is gone.
pub(super) async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let opcode = stream.read_u8().await.ok()? & 0x0f;
    let length = stream.read_u8().await.ok()?;
    assert_eq!(length & 0x80, 0x80, "a client masks");
    let length = match length & 0x7f {
        126 => stream.read_u16().await.ok()?,
        127 => panic!("this double is for short messages"),
        length => length.into(),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await.ok()?;
    let mut payload = vec![0; usize::from(length)];
    stream.read_exact(&mut payload).await.ok()?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Some((opcode, payload))
}
