//! One message over a conversation: MAIL, RCPT, DATA, the message, its end.

use smtp_proto::{EXT_8BIT_MIME, EXT_SIZE, EXT_SMTP_UTF8};
use tokio::time::Instant;

use super::{
    Acceptance, Phase, Refusal, Reply, SmtpError,
    checks::Checked,
    client::{Broken, Client},
};

/// What came of it.
pub(super) struct Done {
    pub(super) result: Result<Acceptance, SmtpError>,
    /// Whether the conversation can go on with another message.
    pub(super) in_order: bool,
}

/// "Service not available, closing transmission channel".
const CLOSING: u16 = 421;

impl Done {
    fn rejected(refusal: Refusal) -> Self {
        let closing = refusal.reply.as_ref().is_some_and(|reply| reply.code == CLOSING);
        Self { result: Err(SmtpError::Rejected(refusal)), in_order: !closing }
    }

    fn lost(broken: &Broken) -> Self {
        let text = format!("the mail server was lost before the message's end: {broken}");
        Self { result: Err(SmtpError::Unreachable(text)), in_order: false }
    }
}

/// Hands the message over.
pub(super) async fn run(client: &mut Client, mail: &Checked, deadline: Instant) -> Done {
    match attempt(client, mail, deadline).await {
        Ok(acceptance) => Done { result: Ok(acceptance), in_order: true },
        Err(done) => done,
    }
}

async fn attempt(
    client: &mut Client,
    mail: &Checked,
    deadline: Instant,
) -> Result<Acceptance, Done> {
    let parameters = parameters(client, mail).map_err(Done::rejected)?;
    let line = format!("MAIL FROM:<{}>{parameters}", mail.sender);
    let reply = say(client, &line, deadline).await?;
    if !reply.is_positive() {
        return Err(Done::rejected(Refusal::of(Phase::Sender, None, reply)));
    }
    let refused = recipients(client, mail, deadline).await?;
    let reply = say(client, "DATA", deadline).await?;
    if reply.code != GO_AHEAD {
        return Err(Done::rejected(Refusal::of(Phase::Content, None, reply)));
    }
    let mut ended = false;
    match client.content(&mail.message, deadline, &mut ended).await {
        Ok(reply) if reply.is_positive() => Ok(Acceptance { reply, refused }),
        Ok(reply) => Err(Done::rejected(Refusal::of(Phase::Content, None, reply))),
        Err(broken) if ended => Err(Done {
            result: Err(SmtpError::NoAnswer(format!(
                "the whole message was sent, and then the mail server was lost: {broken}"
            ))),
            in_order: false,
        }),
        Err(broken) => Err(Done::lost(&broken)),
    }
}

/// "Start mail input".
const GO_AHEAD: u16 = 354;

async fn say(client: &mut Client, line: &str, deadline: Instant) -> Result<Reply, Done> {
    client.command(line, deadline).await.map_err(|broken| Done::lost(&broken))
}

/// Names all recipients, and says who was refused.
async fn recipients(
    client: &mut Client,
    mail: &Checked,
    deadline: Instant,
) -> Result<Vec<Refusal>, Done> {
    let mut refused = Vec::new();
    for recipient in &mail.recipients {
        let reply = say(client, &format!("RCPT TO:<{recipient}>"), deadline).await?;
        if reply.code == CLOSING {
            return Err(Done::rejected(Refusal::of(Phase::Recipient, Some(recipient), reply)));
        }
        if !reply.is_positive() {
            refused.push(Refusal::of(Phase::Recipient, Some(recipient), reply));
        }
    }
    let too_many = mail.all_recipients || refused.len() == mail.recipients.len();
    // With one that never will be taken it is of no use to come back for the others.
    let worst = refused.iter().position(|refusal| !refusal.is_temporary()).unwrap_or_default();
    if too_many && worst < refused.len() {
        return Err(Done::rejected(refused.swap_remove(worst)));
    }
    Ok(refused)
}

/// What MAIL says about the message, or why the server's own words rule it out.
fn parameters(client: &Client, mail: &Checked) -> Result<String, Refusal> {
    let offers = &client.offers;
    let mut parameters = String::new();
    if offers.has_capability(EXT_SIZE) {
        let bytes = mail.message.len();
        // 0 is "no fixed limit" (RFC 1870, section 4).
        if offers.size != 0 && bytes > offers.size {
            return Err(Refusal::without_reply(
                Phase::Sender,
                format!(
                    "the message has {bytes} bytes and the mail server takes {} at most",
                    offers.size
                ),
            ));
        }
        parameters.push_str(&format!(" SIZE={bytes}"));
    }
    if mail.eight_bit {
        if !offers.has_capability(EXT_8BIT_MIME) {
            return Err(Refusal::without_reply(
                Phase::Sender,
                String::from(
                    "the message is not ASCII and the mail server takes no other (no 8BITMIME): \
                     encode it",
                ),
            ));
        }
        parameters.push_str(" BODY=8BITMIME");
    }
    if mail.utf8 {
        if !offers.has_capability(EXT_SMTP_UTF8) {
            return Err(Refusal::without_reply(
                Phase::Sender,
                String::from(
                    "an address, or the message's header, is not ASCII and the mail server takes \
                     no other (no SMTPUTF8)",
                ),
            ));
        }
        parameters.push_str(" SMTPUTF8");
    }
    Ok(parameters)
}
