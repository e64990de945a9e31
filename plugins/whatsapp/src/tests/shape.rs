//! What becomes of title, markdown, length and templates.

use conductor_sdk::Priority;

use super::*;

/// The bodies that a channel with these options sends for this message.
fn sent(options: &Value, message: &Message, parts: usize) -> Result<Vec<Value>, SendError> {
    let (host, whatsapp) = whatsapp(options);
    for number in 0..parts {
        host.answer(
            answer(200).json(&json!({ "messages": [{ "id": format!("wamid.{number}") }] })),
        );
    }
    let receipt = whatsapp.send(message)?;
    assert_eq!(receipt.status, ReceiptStatus::Accepted);
    assert_eq!(receipt.provider_id.as_deref(), Some("wamid.0"));
    let requests = host.requests();
    assert_eq!(requests.len(), parts);
    Ok(requests.iter().map(|request| request.json()).collect())
}

fn text(message: &Message) -> String {
    sent(&json!({}), message, 1).unwrap()[0]["text"]["body"].as_str().unwrap().to_owned()
}

#[test]
fn the_title_is_a_bold_line_and_markdown_becomes_whatsapps_own_marks() {
    let mut message = message("**full** _now_ ~~old~~ `df` [graph](https://a.example/)");
    message.title = Some("db-1".into());
    message.format = Format::Markdown;
    assert_eq!(text(&message), "*db-1*\n*full* _now_ ~old~ `df` graph (https://a.example/)");

    message.title = None;
    message.body = "# Disk\n\n> line\n> two\n\n<https://a.example/>\n\n```\nls -l\n```".into();
    let written = text(&message);
    for expected in ["*Disk*", "> line\n> two", "https://a.example/", "```ls -l```"] {
        assert!(written.contains(expected), "{expected}: {written}");
    }
    assert!(!written.contains("(https"), "{written}");
}

#[test]
fn plain_text_stays_as_it_is() {
    assert_eq!(text(&message("2 * 3 _ <b> **x**")), "2 * 3 _ <b> **x**");
}

#[test]
fn a_long_text_is_rejected_cut_or_sent_in_parts_as_the_option_says() {
    let long = message(&"é".repeat(4_097));
    let error = sent(&json!({}), &long, 0).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));
    assert_eq!(text(&message(&"é".repeat(4_096))).chars().count(), 4_096);

    let body = |value: &Value| value["text"]["body"].as_str().unwrap().to_owned();
    let cut = sent(&json!({ "overflow": "truncate" }), &long, 1).unwrap();
    assert_eq!(body(&cut[0]).chars().count(), 4_096);
    assert!(body(&cut[0]).ends_with('…'));

    let parts = sent(&json!({ "overflow": "split" }), &long, 2).unwrap();
    assert_eq!(body(&parts[0]) + &body(&parts[1]), long.body);
    assert_eq!(parts[1]["to"], "+16505551234");
}

#[test]
fn a_channel_with_a_template_fills_in_the_notification() {
    let options = json!({ "template": {
        "name": "alert", "language": "en_US", "parameters": ["title", "message", "priority"],
    } });
    let mut message = message("98 %\n\tof    /var");
    message.priority = Priority::High;
    let bodies = sent(&options, &message, 1).unwrap();
    assert_eq!(
        bodies[0],
        json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "+16505551234",
            "type": "template",
            "template": {
                "name": "alert",
                "language": { "code": "en_US" },
                "components": [{ "type": "body", "parameters": [
                    { "type": "text", "text": "-" },
                    { "type": "text", "text": "98 % of /var" },
                    { "type": "text", "text": "high" },
                ] }],
            },
        })
    );
}

#[test]
fn a_notification_may_name_a_template_itself() {
    let with = |template: Value| {
        let mut message = message("ignored");
        message.data = json!({ "whatsapp": { "template": template } }).to_string();
        sent(&json!({}), &message, 1).unwrap()[0]["template"].clone()
    };
    assert_eq!(
        with(json!({ "name": "hello_world", "language": "en_US" })),
        json!({ "name": "hello_world", "language": { "code": "en_US" } })
    );
    let parameters = with(json!({ "name": "a", "language": "de", "parameters": ["db-1"] }));
    assert_eq!(
        parameters["components"],
        json!([{ "type": "body", "parameters": [{ "type": "text", "text": "db-1" }] }])
    );
    let button = json!([{ "type": "button", "sub_type": "url", "index": "0",
        "parameters": [{ "type": "text", "text": "7" }] }]);
    let own = with(json!({ "name": "a", "language": "de", "components": button }));
    assert_eq!(own["components"], button);
}

#[test]
fn a_parameter_that_is_too_long_is_rejected_or_cut() {
    let template = json!({ "name": "alert", "language": "en", "parameters": ["message"] });
    let long = message(&"é".repeat(1_025));
    let error = sent(&json!({ "template": template }), &long, 0).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));
    for overflow in ["truncate", "split"] {
        let options = json!({ "template": template, "overflow": overflow });
        let bodies = sent(&options, &long, 1).unwrap();
        let text = &bodies[0]["template"]["components"][0]["parameters"][0]["text"];
        assert_eq!(text.as_str().unwrap().chars().count(), 1_024);
    }
}

#[test]
fn a_typing_mistake_in_data_is_told() {
    let mut message = message("x");
    message.data = json!({ "whatsapp": { "templat": {} } }).to_string();
    let error = sent(&json!({}), &message, 0).unwrap_err();
    assert!(error.problem().detail.contains("templat"), "{error:?}");
}
