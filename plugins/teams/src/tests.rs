use conductor_sdk::{
    HealthStatus, Priority,
    http::HttpError,
    json,
    serde_json::Value,
    testing::{Answer, FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

const URL: &str = "https://prod-1.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?api-version=1&sv=1.0";

fn workflow_with(mut options: Value) -> (FakeHost, Teams) {
    let host = FakeHost::install();
    host.secret(SIGNATURE, "hush");
    options["url"] = json!(URL);
    (host, start(options).unwrap())
}

fn workflow() -> (FakeHost, Teams) {
    workflow_with(json!({}))
}

fn card_of(message: &Message) -> Value {
    let (host, teams) = workflow();
    host.answer(answer(202));
    teams.send(message).unwrap();
    host.requests()[0].json()["attachments"][0]["content"].clone()
}

fn refused(answer: Answer) -> SendError {
    let (host, teams) = workflow();
    host.answer(answer);
    teams.send(&message("hello")).unwrap_err()
}

#[test]
fn a_workflow_accepts_a_card() {
    let (host, teams) = workflow();
    host.answer(answer(202).header("x-ms-workflow-run-id", "0858"));
    let receipt = teams.send(&message("hello *you*")).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id("0858"));
    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.url, format!("{URL}&sig={}", placeholder(SIGNATURE)));
    assert_eq!(
        request.json(),
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "msteams": { "width": "Full" },
                    "body": [{
                        "type": "Container",
                        "style": "default",
                        "bleed": true,
                        "items": [{
                            "type": "RichTextBlock",
                            "spacing": "None",
                            "inlines": [{ "type": "TextRun", "text": "hello *you*" }],
                        }],
                    }],
                },
            }],
        })
    );
}

#[test]
fn markdown_and_a_title_become_runs() {
    let mut message = message("a **b *c***\n\n[d](https://x.example/) `e`\n# f");
    message.format = Format::Markdown;
    message.title = Some("db".into());
    message.priority = Priority::Urgent;
    let card = card_of(&message);
    assert_eq!(card["body"][0]["style"], "attention");
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let with = |text: &str, name: &str, value: Value| {
        let mut run = run(text);
        run[name] = value;
        run
    };
    let items = &card["body"][0]["items"];
    assert_eq!(items[0]["inlines"], json!([with("db", "weight", json!("Bolder"))]));
    let mut both = with("c", "weight", json!("Bolder"));
    both["italic"] = json!(true);
    assert_eq!(
        items[1]["inlines"],
        json!([run("a "), with("b ", "weight", json!("Bolder")), both])
    );
    let link = json!({ "type": "Action.OpenUrl", "url": "https://x.example/" });
    assert_eq!(
        items[2],
        json!({
            "type": "RichTextBlock",
            "spacing": "Medium",
            "inlines": [
                with("d", "selectAction", link),
                run(" "),
                with("e", "fontType", json!("Monospace")),
            ],
        })
    );
    assert_eq!(items[3]["inlines"][0]["size"], "Large");
}

#[test]
fn the_signature_is_no_option() {
    let host = FakeHost::install();
    host.secret(SIGNATURE, "hush");
    let failure = start::<Teams>(json!({ "url": format!("{URL}&sig=abc") })).err().unwrap();
    assert_eq!(failure.problem.code, "signature_in_option");
    assert!(start::<Teams>(json!({})).is_err());
}

#[test]
fn a_long_message_is_rejected_cut_or_split() {
    let long = "a \"word\"\n".repeat(2_000);
    let (_host, teams) = workflow();
    assert_eq!(teams.send(&message(&long)).unwrap_err().problem().code, "too_long");
    for overflow in ["truncate", "split"] {
        let (host, teams) = workflow_with(json!({ "overflow": overflow }));
        for _ in 0..20 {
            host.answer(answer(202));
        }
        teams.send(&message(&long)).unwrap();
        let requests = host.requests();
        assert!(requests.iter().all(|request| request.body.len() <= PAYLOAD_BYTES_MAX));
        assert_eq!(requests.len() > 1, overflow == "split");
    }
    assert!(workflow_with(json!({})).0.requests().is_empty());
    let (host, teams) = workflow();
    host.answer(answer(202));
    teams.send(&message(&"a".repeat(24 * 1_024))).unwrap();
}

#[test]
fn a_workflow_has_no_targets() {
    let (_host, teams) = workflow();
    let mut message = message("x");
    message.target = Some("general".into());
    assert_eq!(teams.send(&message).unwrap_err().problem().code, "no_targets");
}

fn azure(status: u16, code: &str) -> Answer {
    answer(status).json(&json!({ "error": { "code": code, "message": "no" } }))
}

#[test]
fn a_workflow_that_is_gone_or_wrong_stops_the_channel() {
    for outcome in [
        refused(azure(401, "DirectApiAuthorizationRequired")),
        refused(azure(403, "AuthorizationFailed")),
        refused(azure(404, "WorkflowNotFound")),
        refused(azure(400, "WorkflowTriggerIsNotEnabled")),
        refused(answer(404)),
        refused(answer(410)),
    ] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn what_teams_will_never_take_is_rejected() {
    let outcome = refused(azure(400, "TriggerInputSchemaMismatch"));
    assert!(
        matches!(&outcome, SendError::Rejected(problem)
            if problem.code == "TriggerInputSchemaMismatch"),
        "{outcome:?}"
    );
    assert!(matches!(refused(answer(413)), SendError::Rejected(_)));
    assert!(matches!(refused(answer(400)), SendError::Rejected(_)));
}

#[test]
fn a_passing_trouble_is_retried() {
    let after = |outcome: SendError| match outcome {
        SendError::Retry(retry) => retry.after_ms,
        other => panic!("{other:?}"),
    };
    let limited = azure(429, "WorkflowRunActionsLimitExceeded").header("retry-after", "7");
    assert_eq!(after(refused(limited)), Some(7_000));
    assert_eq!(after(refused(answer(429).header("retry-after", "3"))), Some(3_000));
    assert_eq!(after(refused(azure(500, "InternalServerError"))), None);
    assert_eq!(after(refused(answer(503))), None);
    // Of the connectors before.
    let text = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP \
                error 429 with ContextId x";
    assert_eq!(after(refused(answer(200).body(text))), None);
    let text = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP \
                error 502 with ContextId x";
    assert_eq!(after(refused(answer(200).body(text))), None);
}

#[test]
fn a_request_without_an_answer_may_have_been_delivered() {
    let (host, teams) = workflow();
    host.fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(teams.send(&message("x")), Err(SendError::Unknown(_))));
    assert_eq!(teams.health().status, HealthStatus::Healthy);
    assert_eq!(host.requests().len(), 1);
}

#[test]
fn the_manifest_says_what_the_channel_needs() {
    let manifest = manifest::<Teams>();
    assert_eq!(manifest["name"], "teams");
    assert_eq!(manifest["hosts"], json!(["option:url"]));
}
