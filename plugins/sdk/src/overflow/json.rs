//! Text in a JSON document whose size is limited as a whole.

use std::ops::Range;

use super::Content;
use crate::text::ELLIPSIS;

/// Plain text, counted in the bytes that it takes as a JSON string, without its quotes: for
/// providers that limit the size of the whole document. What is left for the text is their limit
/// less the document's size with an empty text.
#[derive(Clone, Copy, Debug)]
pub struct JsonText<'a>(pub &'a str);

impl Content for JsonText<'_> {
    type Part = String;

    fn source(&self) -> &str {
        self.0
    }

    fn part(&self, range: Range<usize>, cut: bool) -> String {
        let mut text = self.0.get(range).unwrap_or_default().to_owned();
        if cut {
            text.push(ELLIPSIS);
        }
        text
    }

    fn length(&self, part: &String) -> usize {
        const QUOTES: usize = 2;
        // A string always has a JSON form.
        serde_json::to_string(part).map_or(usize::MAX, |json| json.len() - QUOTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Overflow;

    #[test]
    fn what_json_escapes_counts_as_it_is_written() {
        // A line break and a quotation mark take two bytes each, a bell six, an é two.
        let text = JsonText("\n\"\u{7}é");
        assert_eq!(text.length(&text.part(0..5, false)), 12);
        assert_eq!(Overflow::Reject.apply(&text, 12).unwrap(), ["\n\"\u{7}é"]);
        assert!(Overflow::Reject.apply(&text, 11).is_err());

        let long = "\"".repeat(100);
        let cut = Overflow::Truncate.apply(&JsonText(&long), 20).unwrap();
        // Eight at two bytes each, and three for the ellipsis.
        assert_eq!(cut, ["\"".repeat(8) + "…"]);
    }
}
