use std::ops::Range;

use super::*;
use crate::{Format, LengthUnit, Overflow, overflow::Content, testing::message, text::length};

fn rich(source: &str) -> (String, Vec<(String, Style)>) {
    let rich = Rich::markdown(source);
    let spans = rich
        .spans
        .iter()
        .map(|span| (rich.text[span.range.clone()].to_owned(), span.style.clone()))
        .collect();
    (rich.text, spans)
}

fn html(source: &str) -> String {
    Rich::markdown(source).render(&Html)
}

#[test]
fn markup_becomes_spans_of_the_text_that_a_reader_sees() {
    let (text, spans) = rich("a **b *c*** ~~d~~ `e*` [f](https://g.example/) \\*");
    assert_eq!(text, "a b c d e* f *");
    let of = |text: &str, style: Style| (text.to_owned(), style);
    assert_eq!(
        spans,
        [
            of("b c", Style::Bold),
            of("c", Style::Italic),
            of("d", Style::Strike),
            of("e*", Style::Code),
            of("f", Style::Link("https://g.example/".into())),
        ]
    );
}

#[test]
fn blocks_stand_apart_and_lists_are_characters() {
    let (text, spans) =
        rich("# Head\nline\nline\n\n- one\n- two\n  1. x\n  2. y\n\n> said\n\n---\nend\n");
    assert_eq!(text, "Head\n\nline\nline\n\n• one\n• two\n  1. x\n  2. y\n\nsaid\n\n———\n\nend");
    assert_eq!(spans[0], ("Head".to_owned(), Style::Heading(1)));
    assert_eq!(spans[1], ("said".to_owned(), Style::Quote));
    let (text, spans) = rich("x\n```rust,ignore\nlet a;\n\nlet b;\n```\ny");
    assert_eq!(text, "x\n\nlet a;\n\nlet b;\n\ny");
    assert_eq!(spans, [("let a;\n\nlet b;".to_owned(), Style::Pre(Some("rust,ignore".into())))]);
    assert_eq!(rich("- a\n  b\n* c\n\nd").0, "• a\nb\n• c\n\nd");
    assert_eq!(rich("").0, "");
}

#[test]
fn html_in_a_message_stays_text() {
    assert_eq!(rich("<script>x</script>").0, "<script>x</script>");
    assert_eq!(html("a <b>b</b> & \"c\""), "a &lt;b&gt;b&lt;/b&gt; &amp; &quot;c&quot;");
    assert_eq!(html("[a](<javascript:\"x\">)"), "<a href=\"javascript:&quot;x&quot;\">a</a>");
}

#[test]
fn html_has_the_elements_of_the_styles() {
    assert_eq!(
        html("**a *b* c** ~~d~~ `<e>`"),
        "<strong>a <em>b</em> c</strong> <del>d</del> <code>&lt;e&gt;</code>"
    );
    assert_eq!(
        html("## H\ntext\n\n```sh\na\nb\n```\n> q\n\nend"),
        "<h2>H</h2>text<br><br><pre><code class=\"language-sh\">a\nb</code></pre>\
         <blockquote>q</blockquote>end"
    );
}

#[test]
fn a_title_is_bold_and_on_one_line_and_never_markup() {
    let mut message = message("**x**");
    message.title = Some(" db_1 \n is *full* ".to_owned());
    let plain = Rich::of(&message);
    assert_eq!(plain.text, "db_1 is *full*\n**x**");
    assert_eq!(plain.spans.len(), 1);
    message.format = Format::Markdown;
    let rich = Rich::of(&message);
    assert_eq!(rich.render(&Html), "<strong>db_1 is *full*</strong><br><strong>x</strong>");
    let source = Source::of(&message, LengthUnit::Characters);
    assert_eq!(source.source(), "**db\\_1 is \\*full\\***\n**x**");
    message.title = None;
    message.format = Format::Plain;
    assert_eq!(Source::of(&message, LengthUnit::Characters).source(), "\\*\\*x\\*\\*");
}

#[test]
fn the_parts_of_rich_text_are_well_formed_and_fit() {
    fn measure(rich: &Rich) -> usize {
        rich.render(&Html).len()
    }
    for source in crate::overflow::tests::texts(300) {
        let rich = Rich::markdown(&source);
        for span in &rich.spans {
            assert!(rich.text.get(span.range.clone()).is_some(), "{source:?}");
        }
        let Ok(parts) = Overflow::Split.apply(&rich.clone().measured(measure), 120) else {
            continue;
        };
        let text: String = parts.iter().map(|part| part.text.as_str()).collect();
        let dense = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(dense(&text), dense(&rich.text));
        for part in &parts {
            assert!(measure(part) <= 120);
            well_formed(&part.render(&Html));
        }
        let cut = Overflow::Truncate.apply(&rich.measured(measure), 120).unwrap();
        assert!(measure(&cut[0]) <= 120);
        well_formed(&cut[0].render(&Html));
    }
}

/// Every element that is opened is closed, the inner before the outer.
fn well_formed(html: &str) {
    let mut open = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{html}"),
            None if tag == "br" => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{html}");
}

fn split(source: &str, length_max: usize) -> Vec<String> {
    let source = Source::new(source, LengthUnit::Characters);
    Overflow::Split.apply(&source, length_max).unwrap()
}

#[test]
fn markup_is_not_torn() {
    assert_eq!(split("one **two three** four", 14), ["one", "**two three**", "four"]);
    assert_eq!(
        split("see [the page](https://x.example/) now", 36),
        ["see [the page](https://x.example/)", "now"]
    );
    assert_eq!(split("aaaa `b b b b` cccc", 10), ["aaaa", "`b b b b`", "cccc"]);
    assert_eq!(split(r"aaaaaaa\*bbb", 8), ["aaaaaaa", r"\*bbb"]);
    // Longer than a part: there is no other place.
    assert_eq!(split("**aaaaaaaaaaaa**", 10).len(), 2);
}

#[test]
fn a_fence_is_closed_and_opened_again() {
    let source = "run\n\n```sh\necho one\necho two\necho three\n```\n\nend";
    assert_eq!(
        split(source, 34),
        ["run\n\n```sh\necho one\necho two\n```", "```sh\necho three\n```\n\nend"]
    );
    let cut = Overflow::Truncate.apply(&Source::new(source, LengthUnit::Characters), 34).unwrap();
    assert_eq!(cut, ["run\n\n```sh\necho one\necho two…\n```"]);
}

#[test]
fn the_parts_of_markdown_fit_and_balance_their_fences() {
    for source in crate::overflow::tests::texts(300) {
        let content = Source::new(source.as_str(), LengthUnit::Utf16Units);
        let Ok(parts) = Overflow::Split.apply(&content, 60) else { continue };
        for part in &parts {
            assert!(length(part, LengthUnit::Utf16Units) <= 60, "{part:?}");
        }
        let fences = |text: &str| text.lines().filter(|line| line.starts_with("```")).count();
        if fences(&source) % 2 == 0 && parts.len() > 1 {
            for part in &parts {
                assert_eq!(fences(part) % 2, 0, "{source:?} {parts:?}");
            }
        }
    }
}

#[test]
fn a_range_that_is_none_gives_nothing() {
    let rich = Rich::markdown("é **b**");
    let none: Range<usize> = 1..2;
    assert_eq!(rich.cut(none, false).text, "");
}

#[test]
fn no_text_takes_long_to_read_or_to_cut() {
    const BYTES: usize = 128 * 1_024;
    let started = std::time::Instant::now();
    for piece in
        ["*a ", "**a", "[", "[a](", "`a``", "_a*b~~", "> ", "- ", "```\n", "\\", "*a* ", "a\n\n"]
    {
        let text = piece.repeat(BYTES / piece.len());
        let rich = Rich::markdown(&text).measured(|part| part.render(&Html).len());
        let cut = Overflow::Truncate.apply(&rich, 4_000);
        assert!(cut.is_ok(), "{piece:?}");
        let source = Source::new(text.as_str(), LengthUnit::Characters);
        assert!(Overflow::Truncate.apply(&source, 4_000).is_ok(), "{piece:?}");
        assert!(Overflow::Split.apply(&source, 8_000).is_ok(), "{piece:?}");
    }
    // Quadratic time would be minutes.
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn a_dialect_leaves_to_the_common_marks_what_it_does_not_do_in_another_way() {
    struct Chat;
    impl Dialect for Chat {
        fn marks(&self, style: &Style) -> (String, String) {
            match style {
                Style::Link(url) => (format!("<{url}|"), ">".to_owned()),
                other => ChatMarks.marks(other),
            }
        }
        fn escape(&self, text: &str, out: &mut String) {
            out.push_str(&text.replace('<', "&lt;"));
        }
    }
    let source = "# H\n**b** *i* ~~s~~ `c<` [l](u) [u](u)\n\n> a\n> b\n\n```\nx\n```";
    let rich = Rich::markdown(source);
    let begin = "*H*\n\n*b* _i_ ~s~ ";
    let end = "\n\n> a\n> b\n\n```x```";
    assert_eq!(rich.render(&ChatMarks), format!("{begin}`c<` l (u) u{end}"));
    assert_eq!(rich.render(&Chat), format!("{begin}`c&lt;` <u|l> <u|u>{end}"));
}

#[test]
fn in_a_dialect_a_text_is_cut_first_and_counted_as_it_is_written() {
    let content = Rich::markdown("**one two**").in_dialect(&ChatMarks, LengthUnit::Characters);
    assert_eq!(Overflow::Reject.apply(&content, 9).unwrap(), ["*one two*"]);
    assert_eq!(Overflow::Split.apply(&content, 8).unwrap(), ["*one*", "*two*"]);
}
