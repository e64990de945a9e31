//! What nearly every channel names: `use conductor_sdk::prelude::*;`.

pub use std::time::Duration;

pub use crate::{
    Channel, Context, Failure, Format, HealthReport, LengthUnit, Manifest, Meaning, Message,
    Overflow, Priority, RateScope, Receipt, ReceiptStatus, RetryScope, SendError,
    http::{self, HttpError, Request, Response},
    json,
    options::{ApiBase, BaseUrl},
    overflow::send_parts,
    secrets,
    serde_json::Value,
    with_members, without_nulls,
};
