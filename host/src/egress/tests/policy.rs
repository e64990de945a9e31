//! What may be reached.

use super::kit::{Door, LONG, Provider, Script, egress, get, post};
use crate::egress::FetchError;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn an_allowed_origin_is_reached() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().open_alone();
    let request = post(&provider.url("/x?y=1#z"), "text/plain", "hello");
    let response = door.fetch(request, LONG).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"ok"[..]));
    let seen = provider.seen().remove(0);
    assert!(seen.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("\r\ncontent-length: 5\r\n") && seen.ends_with("\r\n\r\nhello"),
        "{seen}"
    );
    let count = door.count();
    assert_eq!((count.requests, count.denied), (1, 0));
    assert!(count.bytes_out > 5 && count.bytes_in > 2, "{count:?}");
}
