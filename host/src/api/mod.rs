//! The HTTP surface: authentication, validation, acceptance, the wait for the outcome, and the
//! questions people ask afterwards. See docs/openapi.json.
