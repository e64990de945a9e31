//! What a message looks like.

use conductor_sdk::Priority;

use super::*;

fn titled(title: &str, body: &str) -> Message {
    let mut message = message(body);
    message.title = Some(title.to_owned());
    message
}

fn content(options: Value, message: &Message) -> String {
    sent(options, message).unwrap()["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_title_is_a_bold_first_line_of_its_own() {
    assert_eq!(content(json!({}), &titled("db_1\nis  full", "x")), "**db\\_1 is full**\nx");
    assert_eq!(content(json!({}), &titled("  ", "x")), "x");
}

#[test]
fn plain_text_is_escaped_and_markdown_is_not() {
    let mut message = message("*a* @everyone");
    assert_eq!(content(json!({}), &message), "\\*a\\* @everyone");
    message.format = Format::Markdown;
    assert_eq!(content(json!({}), &message), "*a* @everyone");
}

#[test]
fn an_embed_has_the_colour_of_the_priority() {
    let mut message = titled("db-1", "disk full");
    message.priority = Priority::Urgent;
    let body = sent(json!({ "title_style": "embed" }), &message).unwrap();
    assert_eq!(
        body["embeds"],
        json!([{ "title": "db-1", "description": "disk full", "color": 0xed_42_45 }])
    );
    assert_eq!(body.get("content"), None);
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
}

#[test]
fn a_message_of_2000_characters_fits_and_one_more_is_rejected() {
    assert_eq!(content(json!({}), &message(&"é".repeat(2_000))).chars().count(), 2_000);
    let error = sent(json!({}), &message(&"é".repeat(2_001))).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));
    // The title takes its part: "**t**\n" has six characters.
    assert!(sent(json!({}), &titled("t", &"é".repeat(1_994))).is_ok());
    assert!(sent(json!({}), &titled("t", &"é".repeat(1_995))).is_err());
    // Escaping too.
    assert!(sent(json!({}), &message(&"_".repeat(1_001))).is_err());
}

#[test]
fn a_message_that_is_too_long_is_cut_where_the_options_say_so() {
    let truncate = || json!({ "overflow": "truncate" });
    let cut = content(truncate(), &message(&"😀".repeat(3_000)));
    assert_eq!(cut.chars().count(), 2_000);
    assert!(cut.ends_with("😀…"));

    let cut = content(truncate(), &titled(&"t".repeat(300), &"_".repeat(3_000)));
    assert!((1_999..=2_000).contains(&cut.chars().count()));
    assert!(cut.ends_with("\\_…"));

    let embed = json!({ "overflow": "truncate", "title_style": "embed" });
    let body = sent(embed, &titled(&"t".repeat(300), &"b".repeat(5_000))).unwrap();
    assert_eq!(body["embeds"][0]["title"].as_str().unwrap().chars().count(), 256);
    assert_eq!(body["embeds"][0]["description"].as_str().unwrap().chars().count(), 4_096);
}

#[test]
fn a_message_that_is_too_long_is_sent_in_parts_where_the_options_say_so() {
    let (host, discord) = bot_with(json!({ "overflow": "split" }));
    host.answer(answer(200).json(&json!({ "id": "1" })))
        .answer(answer(200).json(&json!({ "id": "2" })));
    let receipt = discord.send(&titled("t", &"word ".repeat(500))).unwrap();
    assert_eq!(receipt, Receipt::delivered().detail("parts", 2).provider_id("1"));
    let sent: Vec<_> = host.requests().iter().map(|request| request.json()).collect();
    assert!(sent[0]["content"].as_str().unwrap().starts_with("**t**\nword"));
    assert!(sent[1]["content"].as_str().unwrap().starts_with("word"));
    assert_ne!(sent[0]["nonce"], sent[1]["nonce"]);

    let (host, discord) = bot_with(json!({ "overflow": "split", "title_style": "embed" }));
    host.answer(answer(200)).answer(answer(200));
    discord.send(&titled("t", &"word ".repeat(1_000))).unwrap();
    let embeds: Vec<_> = host.requests().iter().map(|request| request.json()).collect();
    assert_eq!(embeds[0]["embeds"][0]["title"], "t");
    assert_eq!(embeds[1]["embeds"][0].get("title"), None);
}
