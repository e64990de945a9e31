//! What wit-bindgen makes of the interface, one module for what each flavour exports and one for
//! what both do: an interface's macro can be made once only. Not part of the SDK's own interface:
//! use what the crate root re-exports.
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
        package conductor:sdk-plain;
        world plain {
            import conductor:channel/log@0.1.0;
            import conductor:channel/http@0.1.0;
            import conductor:channel/secrets@0.1.0;
            import conductor:channel/state@0.1.0;
            export conductor:channel/channel@0.1.0;
        }
    ",
    world: "conductor:sdk-plain/plain",
    additional_derives: [PartialEq, Eq],
    generate_all,
    pub_export_macro: true,
    export_macro_name: "__export_channel",
    default_bindings_module: "conductor_sdk::bindings",
});

/// `metadata`, which both flavours export.
pub mod described {
    wit_bindgen::generate!({
        path: "../../wit/channel-0.1.0",
        inline: "
            package conductor:sdk-described;
            world described { export conductor:channel/metadata@0.1.0; }
        ",
        world: "conductor:sdk-described/described",
        additional_derives: [PartialEq, Eq],
        with: {
            "conductor:channel/channel-types@0.1.0": crate::bindings::conductor::channel::channel_types,
        },
        pub_export_macro: true,
        export_macro_name: "__export_metadata",
        default_bindings_module: "conductor_sdk::bindings::described",
    });

    pub use exports::conductor::channel::metadata;
}
