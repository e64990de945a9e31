//! The description of the surface (OpenAPI 3.1), made from the types that the handlers answer with and
//! from the catalogue of problems.

mod operations;
pub(super) mod schemas;

use std::sync::LazyLock;

use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use bytes::Bytes;
use utoipa::{
    ToSchema,
    openapi::{
        Components, ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem,
        PathsBuilder, RefOr,
        schema::Schema,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{admin, answer, batch, channels, events, health, purge, replay, views};

/// The name of the security scheme of tenants' keys.
const TENANT_KEY: &str = "tenantKey";
/// The name of the security scheme of the operator's key.
const ADMIN_KEY: &str = "adminKey";

/// The document as JSON, with a line end: what docs/openapi.json must be.
#[must_use]
pub fn openapi_json() -> String {
    // A document of strings, lists and maps: there is nothing that cannot be written.
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// `GET /openapi.json`.
pub(super) async fn serve() -> Response<Body> {
    // Anybody may ask, so it is written once.
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(openapi_json()));
    let mut response = Response::new(Body::from(TEXT.clone()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Conductor")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Sends notifications through a tenant's channels. What is accepted is on disk; every \
             error is a problem document (RFC 9457).",
        ))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let paths = operations::all().fold(PathsBuilder::new(), |paths, (method, path, operation)| {
        paths.path(path, PathItem::new(method, operation))
    });
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(components())).build()
}

fn components() -> Components {
    let bearer = |description: &str| {
        let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        SecurityScheme::Http(http.description(Some(description)).build())
    };
    let mut schemas = Vec::new();
    add::<schemas::NotificationRequest>(&mut schemas);
    add::<schemas::Problem>(&mut schemas);
    add::<answer::Accepted<'_>>(&mut schemas);
    add::<batch::BatchView>(&mut schemas);
    add::<views::NotificationPage>(&mut schemas);
    add::<schemas::NotificationOrParent>(&mut schemas);
    add::<schemas::DeadLettersRequest>(&mut schemas);
    add::<replay::ReplayView>(&mut schemas);
    add::<purge::PurgeView>(&mut schemas);
    add::<events::EventView>(&mut schemas);
    add::<admin::AdminPage>(&mut schemas);
    add::<admin::bindings::BindingsPage>(&mut schemas);
    add::<admin::plugins::PluginsView>(&mut schemas);
    add::<admin::quarantine::QuarantinePage>(&mut schemas);
    add::<admin::quarantine::ReleasedView>(&mut schemas);
    add::<admin::reload::ReloadedView>(&mut schemas);
    add::<views::StateView>(&mut schemas);
    add::<channels::ChannelList>(&mut schemas);
    add::<health::HealthView>(&mut schemas);
    add::<health::ReadyView>(&mut schemas);
    ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(TENANT_KEY, bearer("The tenant's key."))
        .security_scheme(ADMIN_KEY, bearer("The operator's key."))
        .build()
}

/// Adds a type and all that it refers to.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::observe::Route;

    fn document() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    #[test]
    fn every_route_is_described_with_problems() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        for route in Route::ALL.iter().filter(|route| **route != Route::Other) {
            let (method, path) = route.word().split_once(' ').unwrap();
            let operation = &document["paths"][path][method.to_lowercase()];
            let responses = operation["responses"].as_object();
            let responses = responses.unwrap_or_else(|| panic!("{} is missing", route.word()));
            for (status, response) in responses {
                let problem = &response["content"]["application/problem+json"];
                assert_eq!(problem.is_object(), status.as_str() >= "400", "{path} {status}");
            }
            assert!(operation["operationId"].is_string());
        }
    }

    #[test]
    fn the_statuses_of_the_contract_are_described() {
        let document = document();
        let responses = &document["paths"]["/notifications"]["post"]["responses"];
        for status in [
            "200", "202", "400", "401", "403", "404", "408", "409", "413", "415", "422", "424",
            "429", "500", "503",
        ] {
            assert!(responses[status].is_object(), "{status}");
        }
    }

    #[test]
    fn the_described_fields_are_those_that_are_read() {
        let document = document();
        let schema = &document["components"]["schemas"]["NotificationRequest"];
        let described: BTreeSet<&str> =
            schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let read: BTreeSet<&str> = crate::api::notification::KNOWN.iter().copied().collect();
        assert_eq!(described, read);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
