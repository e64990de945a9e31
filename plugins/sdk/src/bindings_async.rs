//! What wit-bindgen makes of the second flavour of the interface; what both share is in
//! `bindings`. Not part of the SDK's own interface.
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
    inline: "
        package conductor:sdk-async;
        world async-flavour {
            import conductor:channel/operations@0.1.0;
            import conductor:channel/http-async@0.1.0;
            import conductor:channel/websocket@0.1.0;
            export conductor:channel/channel-async@0.1.0;
        }
    ",
    world: "conductor:sdk-async/async-flavour",
    additional_derives: [PartialEq, Eq],
    with: {
        "conductor:channel/channel-types@0.1.0": crate::bindings::conductor::channel::channel_types,
        "conductor:channel/http@0.1.0": crate::bindings::conductor::channel::http,
    },
    generate_all,
    pub_export_macro: true,
    export_macro_name: "__export_channel_async",
    default_bindings_module: "conductor_sdk::bindings_async",
});
