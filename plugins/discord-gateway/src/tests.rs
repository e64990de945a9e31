mod rules;
mod run;

use conductor_sdk::{json, serde_json::Value};
