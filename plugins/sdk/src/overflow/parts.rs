//! Sending a message in parts.

use std::time::Duration;

use crate::{Message, Receipt, ReceiptStatus, SendError, state};

/// How long the host remembers which parts are out: longer than the retries of a notification take.
const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// Sends the parts one after the other and gives the receipt of the first, with the number of all
/// under `parts`: accepted, if that is all that is known of one of them. `send` gets a part and its number from 0 on.
///
/// What is out already is kept in [`state`], so that another attempt at the message goes on with the
/// part that failed. That is a cache: after the host restarts in between, the parts before it are
/// sent again.
///
/// # Errors
/// What `send` answers. Its detail says which part it was and how many are out.
pub fn send_parts<P>(
    message: &Message,
    parts: &[P],
    mut send: impl FnMut(&P, usize) -> Result<Receipt, SendError>,
) -> Result<Receipt, SendError> {
    if let [only] = parts {
        return send(only, 0);
    }
    let mut progress = Progress::of(message);
    for (number, part) in parts.iter().enumerate().skip(progress.sent) {
        let receipt = send(part, number).map_err(|error| of_part(error, number, parts.len()))?;
        progress.note(message, number, parts.len(), receipt);
    }
    Ok(progress.finish(message, parts.len()))
}

/// [`send_parts`] for an [`AsyncChannel`](crate::AsyncChannel).
///
/// # Errors
/// As [`send_parts`].
pub async fn send_parts_async<P>(
    message: &Message,
    parts: &[P],
    mut send: impl AsyncFnMut(&P, usize) -> Result<Receipt, SendError>,
) -> Result<Receipt, SendError> {
    if let [only] = parts {
        return send(only, 0).await;
    }
    let mut progress = Progress::of(message);
    for (number, part) in parts.iter().enumerate().skip(progress.sent) {
        let sent = send(part, number).await;
        let receipt = sent.map_err(|error| of_part(error, number, parts.len()))?;
        progress.note(message, number, parts.len(), receipt);
    }
    Ok(progress.finish(message, parts.len()))
}

/// How far a message is.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Progress {
    sent: usize,
    provider_id: Option<String>,
    is_accepted: bool,
}

impl Progress {
    fn of(message: &Message) -> Self {
        state::get_json(&key(message)).unwrap_or_default()
    }

    /// A part is out.
    fn note(&mut self, message: &Message, number: usize, count: usize, receipt: Receipt) {
        self.sent = number + 1;
        if number == 0 {
            self.provider_id = receipt.provider_id;
        }
        self.is_accepted |= receipt.status == ReceiptStatus::Accepted;
        // Without room the parts are sent again with the next attempt: better twice than never.
        if self.sent < count && state::set_json(&key(message), self, Some(REMEMBERED)).is_err() {
            crate::warn!("no room to remember that {} parts are out", self.sent);
        }
    }

    fn finish(self, message: &Message, count: usize) -> Receipt {
        state::remove(&key(message));
        let receipt = if self.is_accepted { Receipt::accepted() } else { Receipt::delivered() };
        receipt.provider_id_if(self.provider_id).detail("parts", count)
    }
}

fn key(message: &Message) -> String {
    format!("parts:{}", message.delivery_key)
}

fn of_part(mut error: SendError, number: usize, count: usize) -> SendError {
    let detail = match &mut error {
        SendError::Rejected(problem)
        | SendError::Misconfigured(problem)
        | SendError::Unknown(problem) => &mut problem.detail,
        SendError::Retry(retry) => &mut retry.problem.detail,
        SendError::Moved(moved) => &mut moved.problem.detail,
    };
    detail.push_str(&format!(" (part {} of {count}; {number} are out)", number + 1));
    error
}
