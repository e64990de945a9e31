//! Asks a component what it is, in a sandbox that can reach nothing.

use std::sync::Arc;

use wasmtime::Store;

use super::{
    bindings::{
        v0_1_0::{self, metadata},
        v0_1_0_async,
    },
    engine::Engine,
    instance::{arm, classify, new_store, run, short},
    kv::Kv,
    log::{LogSink, Speaker},
    meter::Metered,
    outcome::{Fault, FaultKind},
    state::InstanceState,
};
use crate::{
    ids::{Digest, PluginName},
    limits,
};

/// Who is asked.
type Asked<'a> = (&'a Engine, &'a PluginName, Digest);

fn sandbox((engine, name, digest): Asked<'_>) -> Store<InstanceState> {
    let speaker = Speaker {
        tenant: String::new(),
        channel: String::new(),
        plugin: name.to_string(),
        digest: short(digest),
    };
    let log = LogSink::new(Arc::new(speaker), None);
    let state = InstanceState::new(log, Arc::new(Kv::default()), None, limits::MEMORY_BYTES_MAX);
    let mut store = new_store(engine, state);
    arm(&mut store, limits::INITIALIZE_WALL, limits::SEND_CPU_DEFAULT, "");
    store
}

/// A plugin of the plain flavour.
pub(super) async fn plain(
    asked: Asked<'_>,
    pre: &v0_1_0::PluginPre<InstanceState>,
) -> Result<metadata::Manifest, Fault> {
    let mut store = sandbox(asked);
    let wall = limits::INITIALIZE_WALL;
    let plugin = run!(store, wall, pre.instantiate_async(&mut store))?;
    let metadata = plugin.conductor_channel_metadata();
    run!(store, wall, metadata.call_describe(&mut store))
}

/// A plugin of the async flavour; also whether it holds a connection.
pub(super) async fn of_async(
    asked: Asked<'_>,
    pre: &v0_1_0_async::PluginAsyncPre<InstanceState>,
) -> Result<(metadata::Manifest, bool), Fault> {
    let mut store = sandbox(asked);
    let wall = limits::INITIALIZE_WALL;
    let instance = run!(store, wall, pre.instance_pre().instantiate_async(&mut store))?;
    // Looked up by hand for the sake of the plain flavour's type: one manifest, one conversion.
    let describe = |store: &mut Store<InstanceState>| {
        let interface =
            instance.get_export_index(&mut *store, None, "conductor:channel/metadata@0.1.0")?;
        let function = instance.get_export_index(&mut *store, Some(&interface), "describe")?;
        instance.get_typed_func::<(), (metadata::Manifest,)>(&mut *store, function).ok()
    };
    let describe = describe(&mut store).ok_or_else(|| Fault {
        kind: FaultKind::Start,
        detail: String::from("it exports no `describe` of the type that this host knows"),
    })?;
    let (manifest,) = run!(store, wall, describe.call_async(&mut store, ()))?;
    let plugin = v0_1_0_async::PluginAsync::new(&mut store, &instance)
        .map_err(|error| classify(store.data(), &error))?;
    let channel = plugin.conductor_channel_channel_async();
    let is_connected = run!(store, wall, channel.call_is_connected(&mut store))?;
    Ok((manifest, is_connected))
}
