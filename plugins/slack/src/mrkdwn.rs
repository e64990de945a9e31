//! Slack's own markup (<https://docs.slack.dev/messaging/formatting-message-text>).

use conductor_sdk::markdown::{Dialect, Rich, Style};

/// Text as Slack takes it.
pub(crate) fn render(rich: &Rich) -> String {
    rich.render(&Mrkdwn)
}

struct Mrkdwn;

impl Dialect for Mrkdwn {
    fn marks(&self, style: &Style) -> (String, String) {
        let (open, close) = match style {
            Style::Bold | Style::Heading(_) => ("*", "*"),
            Style::Italic => ("_", "_"),
            Style::Strike => ("~", "~"),
            Style::Code => ("`", "`"),
            Style::Pre(_) => ("```\n", "\n```"),
            Style::Quote => ("> ", ""),
            Style::Link(address) => {
                let mut open = "<".to_owned();
                // A bar would end the address.
                escape(&address.replace('|', "%7C"), &mut open);
                return (open + "|", ">".to_owned());
            }
        };
        (open.to_owned(), close.to_owned())
    }

    fn text(&self, text: &str, inside: &[&Style], out: &mut String) {
        let quoted = inside.iter().any(|style| matches!(style, Style::Quote));
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                out.push_str(if quoted { "\n> " } else { "\n" });
            }
            escape(line, out);
        }
    }
}

/// The three characters that Slack asks to escape. With these no mention, `<!channel>` for example,
/// can be written.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
}
