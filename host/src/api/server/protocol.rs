//! Which HTTP a connection speaks, found out without taking a byte of it.
//!
//! The library that speaks both finds it out by reading, and gives what it has read back in front of
//! the rest. The first read is then a short one, for which the buffer of every connection is made
//! twice as large, and every later read takes the detour. Nearly all callers speak HTTP/1.1 and can
//! be told by their first bytes.

use tokio::net::TcpStream;

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for the first bytes. Whether they are no beginning of HTTP/2's preface; where they may be
/// one, the rest has to be awaited.
pub(super) async fn is_http1(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    let count = stream.peek(&mut first).await?;
    Ok(!first.get(..count).is_some_and(|first| PREFACE.starts_with(first)))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn the_first_bytes_tell_and_stay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (first, expected) in [
            ("GET / HTTP/1.1\r\n", true),
            // The same letter as the preface's first.
            ("POST / HTTP/1.1\r\n", true),
            ("PRI * HTTP/1.1\r\n", true),
            ("P", false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", false),
            // It is closed at once.
            ("", false),
        ] {
            let mut caller = TcpStream::connect(address).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            caller.write_all(first.as_bytes()).await.unwrap();
            caller.shutdown().await.unwrap();
            assert_eq!(is_http1(&stream).await.unwrap(), expected, "{first:?}");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, first);
        }
    }
}
