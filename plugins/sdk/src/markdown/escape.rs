//! Plain text in a place that reads Markdown.

/// Escapes what Markdown reads as markup (CommonMark and the extensions that chats have). A web
/// address stays as it is: a backslash would become a part of it, and inside an address nothing is
/// markup.
#[must_use]
pub fn escape(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len() + 16);
    for (number, line) in plain.split('\n').enumerate() {
        if number > 0 {
            escaped.push('\n');
        }
        // At the beginning of a line these make a heading, a quotation, a list and small print.
        if line.trim_start().starts_with(['#', '>', '-', '+', '=']) {
            let indent = line.len() - line.trim_start().len();
            escaped.push_str(line.get(..indent).unwrap_or_default());
            escaped.push('\\');
            escape_words(line.get(indent..).unwrap_or_default(), &mut escaped);
        } else {
            escape_words(line, &mut escaped);
        }
    }
    escaped
}

fn escape_words(line: &str, escaped: &mut String) {
    for word in line.split_inclusive(char::is_whitespace) {
        if word.starts_with("https://") || word.starts_with("http://") {
            escaped.push_str(word);
            continue;
        }
        for character in word.chars() {
            if matches!(character, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '[' | ']') {
                escaped.push('\\');
            }
            escaped.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_cannot_become_markup_or_a_mention() {
        assert_eq!(escape("*a* _b_ ~~c~~ `d` ||e||"), r"\*a\* \_b\_ \~\~c\~\~ \`d\` \|\|e\|\|");
        assert_eq!(escape("<@123> [x](y)"), r"\<@123> \[x\](y)");
        assert_eq!(escape("# a\n  - b\n> c\n1 - 2"), "\\# a\n  \\- b\n\\> c\n1 - 2");
        assert_eq!(escape("title\n==="), "title\n\\===");
        assert_eq!(escape(r"C:\dir"), r"C:\\dir");
    }

    #[test]
    fn a_web_address_stays_usable() {
        let text = "see https://example.com/a_b_c?x=*&y=~ now_";
        assert_eq!(escape(text), r"see https://example.com/a_b_c?x=*&y=~ now\_");
    }
}
