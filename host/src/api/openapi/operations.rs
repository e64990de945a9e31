//! One entry for each route: what it takes and everything it may answer.

use std::collections::BTreeMap;

use utoipa::openapi::{
    ContentBuilder, HttpMethod, Ref, RefOr, Required, Response, ResponseBuilder,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{ArrayBuilder, ObjectBuilder, Schema, Type},
    security::SecurityRequirement,
};

use super::{ADMIN_KEY, TENANT_KEY};
use crate::{
    api::{kinds, problem::Kind},
    limits::BATCH_ITEMS_MAX,
    observe::Route,
};

/// Who may call.
enum Access {
    Tenant,
    Operators,
    Everybody,
    EverybodyAndMoreForOperators,
}

/// What the body is.
enum Takes {
    Nothing,
    One,
    Many,
    /// Another schema.
    Named(&'static str),
}

/// One route.
struct Entry {
    route: Route,
    id: &'static str,
    summary: &'static str,
    access: Access,
    takes: Takes,
    /// Status, what it means, media type, and the schema of the body if it has one of JSON.
    good: &'static [(&'static str, &'static str, &'static str, Option<&'static str>)],
    /// Problems beyond those that every route of its kind has.
    bad: &'static [Kind],
    /// Where, name, meaning.
    parameters: &'static [(ParameterIn, &'static str, &'static str)],
}

const JSON: &str = "application/json";
/// What every listing of notifications takes.
const STATUS: (ParameterIn, &str, &str) =
    (ParameterIn::Query, "status", "queued, sending, retrying, delivered, dead or cancelled.");
const FROM: (ParameterIn, &str, &str) =
    (ParameterIn::Query, "from", "Only accepted at this moment or later (RFC 3339).");
const TO: (ParameterIn, &str, &str) =
    (ParameterIn::Query, "to", "Only accepted before this moment (RFC 3339).");
const CURSOR: (ParameterIn, &str, &str) =
    (ParameterIn::Query, "cursor", "`nextCursor` of the page before.");
const LIMIT: (ParameterIn, &str, &str) =
    (ParameterIn::Query, "limit", "Rows of the page, 1 to 200; otherwise 50.");
const ID: (ParameterIn, &str, &str) = (ParameterIn::Path, "id", "The notification's id (UUIDv7).");

/// What can go wrong with one dead letter.
const BAD_OF_ONE: &[Kind] = &[
    kinds::UNKNOWN_NOTIFICATION,
    kinds::STATE_CONFLICT,
    kinds::RATE_LIMITED,
    kinds::STORE_UNAVAILABLE,
    kinds::OUTCOME_UNKNOWN,
];

/// What can go wrong with a range of them.
const BAD_OF_RANGE: &[Kind] = &[
    kinds::MALFORMED_JSON,
    kinds::INVALID_REQUEST,
    kinds::BODY_TIMEOUT,
    kinds::BODY_TOO_LARGE,
    kinds::UNSUPPORTED_MEDIA_TYPE,
    kinds::RATE_LIMITED,
    kinds::STORE_UNAVAILABLE,
    kinds::OUTCOME_UNKNOWN,
];

const ENTRIES: &[Entry] = &[
    Entry {
        route: Route::Notify,
        id: "notify",
        summary: "Accept a notification durably and wait for its outcome",
        access: Access::Tenant,
        takes: Takes::One,
        good: &[
            (
                "200",
                "Delivered in time; of several channels, by some of them at least (`status`).",
                JSON,
                Some("Accepted"),
            ),
            (
                "202",
                "Accepted, and not finished; Location says where to ask.",
                JSON,
                Some("Accepted"),
            ),
        ],
        bad: &[
            kinds::MALFORMED_JSON,
            kinds::INVALID_REQUEST,
            kinds::MESSAGE_TOO_LONG,
            kinds::UNKNOWN_CHANNEL,
            kinds::BODY_TIMEOUT,
            kinds::IDEMPOTENCY_IN_PROGRESS,
            kinds::STATE_CONFLICT,
            kinds::CANCELLED,
            kinds::BODY_TOO_LARGE,
            kinds::UNSUPPORTED_MEDIA_TYPE,
            kinds::IDEMPOTENCY_KEY_REUSED,
            kinds::REJECTED,
            kinds::EXPIRED,
            kinds::CHANNEL_MISCONFIGURED,
            kinds::DELIVERY_FAILED,
            kinds::RATE_LIMITED,
            kinds::QUEUE_FULL,
            kinds::STORE_UNAVAILABLE,
            kinds::OUTCOME_UNKNOWN,
        ],
        parameters: &[
            (
                ParameterIn::Header,
                "Prefer",
                "`wait=N` (0 to 30 s, otherwise 10) or `respond-async` (RFC 7240).",
            ),
            (
                ParameterIn::Header,
                "Idempotency-Key",
                "At most 255 characters, remembered for 24 hours. A repetition is answered with the \
                 first result and `Idempotency-Replay: true`.",
            ),
        ],
    },
    Entry {
        route: Route::Batch,
        id: "notifyBatch",
        summary: "Accept many notifications in one transaction; a bad one fails alone",
        access: Access::Tenant,
        takes: Takes::Many,
        good: &[("202", "One result for each.", JSON, Some("BatchView"))],
        bad: &[
            kinds::MALFORMED_JSON,
            kinds::INVALID_REQUEST,
            kinds::BODY_TIMEOUT,
            kinds::BODY_TOO_LARGE,
            kinds::UNSUPPORTED_MEDIA_TYPE,
            kinds::STORE_UNAVAILABLE,
            kinds::OUTCOME_UNKNOWN,
        ],
        parameters: &[(
            ParameterIn::Header,
            "Idempotency-Key",
            "At most 255 characters, remembered for 24 hours, for each notification of the batch.",
        )],
    },
    Entry {
        route: Route::List,
        id: "listNotifications",
        summary: "The tenant's notifications, newest first",
        access: Access::Tenant,
        takes: Takes::Nothing,
        good: &[("200", "One page.", JSON, Some("NotificationPage"))],
        bad: &[kinds::INVALID_REQUEST, kinds::STORE_UNAVAILABLE],
        parameters: &[
            STATUS,
            (ParameterIn::Query, "channel", "Only of this channel."),
            FROM,
            TO,
            CURSOR,
            LIMIT,
        ],
    },
    Entry {
        route: Route::Read,
        id: "readNotification",
        summary: "One notification with all its attempts, or one parent with its notifications",
        access: Access::Tenant,
        takes: Takes::Nothing,
        good: &[("200", "As it stands now.", JSON, Some("NotificationOrParent"))],
        bad: &[kinds::UNKNOWN_NOTIFICATION, kinds::STORE_UNAVAILABLE],
        parameters: &[ID],
    },
    Entry {
        route: Route::Cancel,
        id: "cancelNotification",
        summary: "Take back a notification that has not been sent",
        access: Access::Tenant,
        takes: Takes::Nothing,
        good: &[("200", "It is cancelled.", JSON, Some("StateView"))],
        bad: &[
            kinds::UNKNOWN_NOTIFICATION,
            kinds::STATE_CONFLICT,
            kinds::STORE_UNAVAILABLE,
            kinds::OUTCOME_UNKNOWN,
        ],
        parameters: &[ID],
    },
    Entry {
        route: Route::Replay,
        id: "replayNotification",
        summary: "Send a notification again that is over",
        access: Access::Tenant,
        takes: Takes::Nothing,
        good: &[("202", "It is in the queue again.", JSON, Some("StateView"))],
        bad: BAD_OF_ONE,
        parameters: &[ID],
    },
    Entry {
        route: Route::ReplayRange,
        id: "replayDeadLetters",
        summary: "Send a range of dead letters again, newest first, up to 200 at a time",
        access: Access::Tenant,
        takes: Takes::Named("DeadLettersRequest"),
        good: &[("202", "How many, and where to go on.", JSON, Some("ReplayView"))],
        bad: BAD_OF_RANGE,
        parameters: &[],
    },
    Entry {
        route: Route::Purge,
        id: "purgeNotification",
        summary: "Remove a dead letter, or a parent that is over and of which something is dead",
        access: Access::Tenant,
        takes: Takes::Nothing,
        good: &[("200", "It is gone.", JSON, Some("PurgeView"))],
        bad: BAD_OF_ONE,
        parameters: &[ID],
    },
    Entry {
        route: Route::PurgeRange,
        id: "purgeDeadLetters",
        summary: "Remove a range of dead letters, newest first, up to 200 at a time",
        access: Access::Tenant,
        takes: Takes::Named("DeadLettersRequest"),
        good: &[("200", "How many, and where to go on.", JSON, Some("PurgeView"))],
        bad: BAD_OF_RANGE,
        parameters: &[],
    },
    Entry {
        route: Route::Events,
        id: "followEvents",
        summary: "What happens to the tenant's notifications, as server-sent events",
        access: Access::Tenant,
        takes: Takes::Nothing,
        good: &[(
            "200",
            "A stream without an end: `id` is the number of the event, `event` its type, `data` an \
             EventView as JSON.",
            "text/event-stream",
            Some("EventView"),
        )],
        bad: &[kinds::INVALID_REQUEST, kinds::TOO_MANY_STREAMS],
        parameters: &[
            (
                ParameterIn::Header,
                "Last-Event-ID",
                "Go on behind this event. A browser sends it when it comes back.",
            ),
            (
                ParameterIn::Query,
                "after",
                "The same, for a first request; 0 for all that is kept. Without either, the stream \
                 begins now.",
            ),
        ],
    },
    Entry {
        route: Route::AdminAudit,
        id: "auditTrail",
        summary: "The trail of events of the whole host, as JSON lines, oldest first",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "Up to `limit` lines; none at the end.", "application/x-ndjson", None)],
        bad: &[kinds::INVALID_REQUEST, kinds::STORE_UNAVAILABLE],
        parameters: &[
            (ParameterIn::Query, "after", "Only events with a greater `seq`; otherwise all."),
            (ParameterIn::Query, "limit", "Lines, 1 to 1000; otherwise 1000."),
        ],
    },
    Entry {
        route: Route::AdminList,
        id: "listAllNotifications",
        summary: "The notifications of all configured tenants, tenant by tenant",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "One page.", JSON, Some("AdminPage"))],
        bad: &[kinds::INVALID_REQUEST, kinds::STORE_UNAVAILABLE],
        parameters: &[
            STATUS,
            (ParameterIn::Query, "tenant", "Only of the tenant with this id."),
            FROM,
            TO,
            CURSOR,
            LIMIT,
        ],
    },
    Entry {
        route: Route::AdminBindings,
        id: "listBindings",
        summary: "What each channel that was used has used, the greatest first",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "One page.", JSON, Some("BindingsPage"))],
        bad: &[kinds::INVALID_REQUEST],
        parameters: &[
            (
                ParameterIn::Query,
                "sort",
                "By what: cpu, memory, calls, hostCalls, bytesOut, bytesIn, logBytes or instances; \
                 otherwise cpu.",
            ),
            (ParameterIn::Query, "tenant", "Only of the tenant with this id."),
            (ParameterIn::Query, "plugin", "Only of channels with this plugin."),
            (ParameterIn::Query, "cursor", "`nextCursor` of the page before."),
            (ParameterIn::Query, "limit", "Rows of the page, 1 to 200; otherwise 50."),
        ],
    },
    Entry {
        route: Route::AdminPlugins,
        id: "listPlugins",
        summary: "What runs of each plugin, since when, and what became of its files",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "All of them.", JSON, Some("PluginsView"))],
        bad: &[],
        parameters: &[],
    },
    Entry {
        route: Route::AdminQuarantine,
        id: "listQuarantine",
        summary: "The channels in quarantine, those that have been there for longest first",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "All are counted, 200 are told.", JSON, Some("QuarantinePage"))],
        bad: &[],
        parameters: &[],
    },
    Entry {
        route: Route::AdminReleaseAll,
        id: "releaseAll",
        summary: "End all quarantines, or those of one plugin",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "They have ended.", JSON, Some("ReleasedView"))],
        bad: &[kinds::INVALID_REQUEST],
        parameters: &[(ParameterIn::Query, "plugin", "Only of channels with this plugin.")],
    },
    Entry {
        route: Route::AdminRelease,
        id: "release",
        summary: "End the quarantine of a channel: its messages are delivered again",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "It has ended.", JSON, Some("ReleasedView"))],
        bad: &[kinds::NOT_QUARANTINED],
        parameters: &[
            (ParameterIn::Path, "tenant", "The tenant's id."),
            (ParameterIn::Path, "channel", "The channel's name."),
        ],
    },
    Entry {
        route: Route::AdminReload,
        id: "reload",
        summary: "Read the configuration and the plugins again, and wait for what comes of it",
        access: Access::Operators,
        takes: Takes::Nothing,
        good: &[("200", "It is in force, or it was already.", JSON, Some("ReloadedView"))],
        bad: &[kinds::RELOAD_REJECTED],
        parameters: &[],
    },
    Entry {
        route: Route::Channels,
        id: "listChannels",
        summary: "The tenant's channels, and what each takes",
        access: Access::Tenant,
        takes: Takes::Nothing,
        good: &[("200", "All of them.", JSON, Some("ChannelList"))],
        bad: &[],
        parameters: &[],
    },
    Entry {
        route: Route::Health,
        id: "health",
        summary: "How the host is; answers as long as it lives",
        access: Access::EverybodyAndMoreForOperators,
        takes: Takes::Nothing,
        good: &[("200", "It lives; the body says how well.", JSON, Some("HealthView"))],
        bad: &[],
        parameters: &[],
    },
    Entry {
        route: Route::Ready,
        id: "ready",
        summary: "Whether to send requests here",
        access: Access::Everybody,
        takes: Takes::Nothing,
        good: &[("200", "Yes.", JSON, Some("ReadyView"))],
        bad: &[kinds::NOT_READY],
        parameters: &[],
    },
    Entry {
        route: Route::Metrics,
        id: "metrics",
        summary: "The numbers, for Prometheus",
        access: Access::Everybody,
        takes: Takes::Nothing,
        good: &[("200", "A scrape.", "application/openmetrics-text", None)],
        bad: &[],
        parameters: &[],
    },
    Entry {
        route: Route::OpenApi,
        id: "openapi",
        summary: "This document",
        access: Access::Everybody,
        takes: Takes::Nothing,
        good: &[("200", "OpenAPI 3.1.", JSON, None)],
        bad: &[],
        parameters: &[],
    },
];

/// Every operation, with its method and path.
pub(super) fn all() -> impl Iterator<Item = (HttpMethod, &'static str, Operation)> {
    ENTRIES.iter().map(|entry| {
        let (method, path) = entry.route.word().split_once(' ').unwrap_or_default();
        let method = match method {
            "POST" => HttpMethod::Post,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        (method, path, operation(entry))
    })
}

fn operation(entry: &Entry) -> Operation {
    let mut operation =
        OperationBuilder::new().operation_id(Some(entry.id)).summary(Some(entry.summary));
    for (place, name, meaning) in entry.parameters {
        operation = operation.parameter(parameter(place, name, meaning));
    }
    for (status, meaning, media_type, schema) in entry.good {
        operation = operation.response(*status, good(meaning, media_type, *schema));
    }
    for (status, kinds) in problems(entry) {
        operation = operation.response(status.to_string(), problem(&kinds));
    }
    let one = || Ref::from_schema_name("NotificationRequest");
    let schema: Option<RefOr<Schema>> = match entry.takes {
        Takes::Nothing => None,
        Takes::One => Some(one().into()),
        Takes::Named(name) => Some(Ref::from_schema_name(name).into()),
        Takes::Many => Some(
            ArrayBuilder::new()
                .items(one())
                .min_items(Some(1))
                .max_items(Some(BATCH_ITEMS_MAX))
                .into(),
        ),
    };
    if let Some(schema) = schema {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let security = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    match entry.access {
        Access::Tenant => operation.security(security(TENANT_KEY)),
        Access::Operators => operation.security(security(ADMIN_KEY)),
        Access::Everybody => operation,
        Access::EverybodyAndMoreForOperators => {
            operation.security(SecurityRequirement::default()).security(security(ADMIN_KEY))
        }
    }
    .build()
}

fn parameter(place: &ParameterIn, name: &str, meaning: &str) -> Parameter {
    let is_path = matches!(place, ParameterIn::Path);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place.clone())
        .description(Some(meaning))
        .required(if is_path { Required::True } else { Required::False })
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn good(meaning: &str, media_type: &str, schema: Option<&str>) -> Response {
    let content = match schema {
        Some(name) => ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build(),
        None => ContentBuilder::new().build(),
    };
    ResponseBuilder::new().description(meaning).content(media_type, content).build()
}

/// The problems of a route by status, with those that every route of its kind has.
fn problems(entry: &Entry) -> BTreeMap<u16, Vec<Kind>> {
    let of_tenants = [
        kinds::NO_KEY,
        kinds::WRONG_KEY,
        kinds::WRONG_CONTEXT,
        kinds::SOURCE_DENIED,
        kinds::TOO_MANY_FAILURES,
        kinds::STOPPING,
    ];
    let of_access = match entry.access {
        Access::Tenant => &of_tenants[..],
        Access::Operators => {
            &[kinds::NO_KEY, kinds::WRONG_KEY, kinds::TOO_MANY_FAILURES, kinds::STOPPING]
        }
        Access::Everybody => &[],
        Access::EverybodyAndMoreForOperators => &[kinds::TOO_MANY_FAILURES],
    };
    let mut by_status = BTreeMap::<u16, Vec<Kind>>::new();
    for kind in of_access.iter().chain(entry.bad).chain(&[kinds::HEAD_TOO_LARGE, kinds::INTERNAL]) {
        by_status.entry(kind.status.as_u16()).or_default().push(*kind);
    }
    by_status
}

fn problem(kinds: &[Kind]) -> Response {
    let lines: Vec<String> =
        kinds.iter().map(|kind| format!("{} (`/problems/{}`)", kind.title, kind.slug)).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new()
        .description(format!("{}.", lines.join("; ")))
        .content("application/problem+json", content)
        .build()
}
