//! Plain text in a place that reads markdown
//! (<https://support.discord.com/hc/en-us/articles/210298617>).

use std::borrow::Cow;

use conductor_sdk::{Format, LengthUnit, text};

/// `body` as Discord's markdown.
pub(crate) fn markdown(body: &str, format: Format) -> Cow<'_, str> {
    match format {
        Format::Plain => Cow::Owned(escape(body)),
        Format::Markdown => Cow::Borrowed(body),
    }
}

/// The longest beginning of `body`, with an ellipsis, whose markdown is at most `length_max`
/// characters long. Cut before it is escaped: a cut behind a backslash would escape what follows.
pub(crate) fn markdown_cut(body: &str, format: Format, length_max: u32) -> String {
    let length_max = usize::try_from(length_max).unwrap_or(usize::MAX - 1);
    let cut = |length: usize| {
        let beginning = text::truncate(body, length, LengthUnit::Characters);
        markdown(&beginning, format).into_owned()
    };
    // Escaping only adds, so that no more than `length_max` characters can fit.
    let (mut fits, mut too_long) = (0, length_max + 1);
    while too_long - fits > 1 {
        let middle = fits.midpoint(too_long);
        if text::length(&cut(middle), LengthUnit::Characters) <= length_max {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    cut(fits)
}

/// Escapes what Discord would read as markup. A web address stays as it is: a backslash would
/// become a part of it, and inside an address nothing is markup.
pub(crate) fn escape(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len() + 16);
    for (number, line) in plain.split('\n').enumerate() {
        if number > 0 {
            escaped.push('\n');
        }
        // At the beginning of a line these make a heading, a quotation, a list and small print.
        if line.trim_start().starts_with(['#', '>', '-', '+']) {
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
        assert_eq!(escape(r"C:\dir"), r"C:\\dir");
    }

    #[test]
    fn a_web_address_stays_usable() {
        let text = "see https://example.com/a_b_c?x=*&y=~ now_";
        assert_eq!(escape(text), r"see https://example.com/a_b_c?x=*&y=~ now\_");
    }

    #[test]
    fn a_cut_fills_the_limit_and_never_ends_in_a_lone_backslash() {
        let body = "a_b".repeat(100);
        for length_max in 1..200_usize {
            let cut = markdown_cut(&body, Format::Plain, u32::try_from(length_max).unwrap());
            assert!(cut.chars().count() <= length_max, "{length_max}: {cut}");
            assert!(cut.chars().count() + 2 > length_max, "{length_max}: {cut}");
            assert!(cut.ends_with('…'), "{cut}");
        }
        assert_eq!(markdown_cut("short", Format::Plain, 10), "short");
    }
}
