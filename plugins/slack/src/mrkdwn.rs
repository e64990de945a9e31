//! Slack's own markup (<https://docs.slack.dev/messaging/formatting-message-text>).

use conductor_sdk::markdown::{ChatMarks, Dialect, Rich, Style};

/// Text as Slack takes it.
pub(crate) fn render(rich: &Rich) -> String {
    rich.render(&Mrkdwn)
}

struct Mrkdwn;

impl Dialect for Mrkdwn {
    fn marks(&self, style: &Style) -> (String, String) {
        match style {
            Style::Pre(_) => ("```\n".to_owned(), "\n```".to_owned()),
            Style::Link(address) => {
                let mut open = "<".to_owned();
                // A bar would end the address.
                self.escape(&address.replace('|', "%7C"), &mut open);
                (open + "|", ">".to_owned())
            }
            other => ChatMarks.marks(other),
        }
    }

    /// The three characters that Slack asks to escape. With these no mention, `<!channel>` for
    /// example, can be written.
    fn escape(&self, text: &str, out: &mut String) {
        for character in text.chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                other => out.push(other),
            }
        }
    }
}
