use serde_json::{Value, json};

use super::{channel::Guest as _, metadata::Guest as _, *};
use crate::{HealthStatus, LengthUnit, Manifest, testing::message};

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    refuse: bool,
}

struct Echo;

impl Channel for Echo {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default().body_max(5, LengthUnit::Bytes).deduplicates_by_key(25)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        if context.options.refuse {
            return Err(Failure::temporary("down", "not now"));
        }
        Ok(Self)
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        Ok(Receipt::accepted().provider_id(&message.body))
    }
}

impl Package for Echo {
    const NAME: &'static str = "conductor-plugin-echo";
    const VERSION: &'static str = "1.2.3";
    const DESCRIPTION: &'static str = "Says it again.";
}

type Plugin = Adapter<Echo>;

fn context(options: &Value) -> channel_types::Context {
    channel_types::Context {
        tenant_id: String::new(),
        tenant_name: String::new(),
        channel: String::new(),
        options: options.to_string(),
        secrets: Vec::new(),
    }
}

#[test]
fn an_instance_works_from_initialize_to_shutdown() {
    let early = Plugin::send(message("hello")).unwrap_err();
    assert!(
        matches!(early, SendError::Misconfigured(problem) if problem.code == "not_initialized")
    );
    assert_eq!(Plugin::health().status, HealthStatus::Unhealthy);

    Plugin::initialize(context(&json!({}))).unwrap();
    let receipt = Plugin::send(message("hello")).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id("hello"));
    assert_eq!(Plugin::health(), HealthReport::healthy());

    Plugin::shutdown();
    assert!(Plugin::send(message("hello")).is_err());
}

#[test]
fn an_initialize_that_fails_leaves_nothing_behind() {
    assert!(Plugin::initialize(context(&json!({ "refuse": true }))).unwrap_err().temporary);
    let wrong = Plugin::initialize(context(&json!({ "refuze": true }))).unwrap_err();
    assert!(!wrong.temporary);
    assert_eq!(wrong.problem.code, "invalid_options");
    assert!(Plugin::send(message("hello")).is_err());
}

#[test]
fn the_manifest_takes_name_and_version_from_the_package() {
    let manifest = Plugin::describe();
    assert_eq!(manifest.name, "echo");
    assert_eq!(manifest.version, "1.2.3");
    assert_eq!(manifest.summary, "Says it again.");
    assert!(matches!(manifest.deduplication, metadata::Deduplication::Key(25)));
    let schema: Value = serde_json::from_str(&manifest.options_schema).unwrap();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["refuse"]["type"], "boolean");
}

#[test]
fn a_panic_line_is_at_most_512_bytes() {
    assert_eq!(panic_line(&"é".repeat(1_000)).len(), 511);
    assert_eq!(panic_line("short"), "short");
}

#[test]
fn just_one_of_several_secrets_decides() {
    let with = |secrets: &[&str]| Context {
        tenant_id: String::new(),
        tenant_name: String::new(),
        channel: String::new(),
        options: (),
        secrets: secrets.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(with(&["B", "C"]).one_secret(&["A", "B"]).unwrap(), "B");
    for secrets in [&[][..], &["A", "B"]] {
        let failure = with(secrets).one_secret(&["A", "B"]).unwrap_err();
        assert_eq!(failure.problem.code, "ambiguous_secrets");
        assert!(!failure.temporary);
    }
}
