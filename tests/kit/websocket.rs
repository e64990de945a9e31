//! The other end of a websocket: echoes every text, and remembers it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
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
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
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
    stream.write_all(answer.as_bytes()).await.unwrap();
    while let Some((opcode, payload)) = frame(&mut stream).await {
        const TEXT: u8 = 1;
        if opcode != TEXT {
            return;
        }
        heard.lock().unwrap().push(String::from_utf8(payload.clone()).unwrap());
        let length = u8::try_from(payload.len()).unwrap();
        assert!(length < 126, "this double is for short texts");
        let echo = [&[0x81, length], payload.as_slice()].concat();
        if stream.write_all(&echo).await.is_err() {
            return;
        }
    }
}

/// The next frame of a client, which is short and masked.
async fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).await.ok()?;
    assert_eq!(head[1] & 0x80, 0x80, "a client masks");
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload).await.ok()?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= head[2 + at % 4];
    }
    Some((head[0] & 0x0f, payload))
}
