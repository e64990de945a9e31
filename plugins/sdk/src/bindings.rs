//! What wit-bindgen makes of the interface. Not part of the SDK's own interface: use what the crate
//! root re-exports.
#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::restriction,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "../../wit/channel-0.1.0",
    world: "plugin",
    additional_derives: [PartialEq, Eq],
    pub_export_macro: true,
    export_macro_name: "__export_component",
    default_bindings_module: "conductor_sdk::bindings",
});
