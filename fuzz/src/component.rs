//! Arbitrary bytes as a plugin's file: refused with a reason, or loaded; never a crash, never long.

use std::sync::{Arc, LazyLock};

use conductor::sandbox::{Engine, GuestBounds, LoadedPlugin};

static ENGINE: LazyLock<Arc<Engine>> =
    LazyLock::new(|| Engine::new(GuestBounds::default()).expect("an engine"));
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
});

/// One input: the file. Whether it was loaded.
pub fn run(bytes: &[u8]) -> bool {
    let name = "fuzz".parse().expect("a name");
    let loading = LoadedPlugin::load(&ENGINE, None, name, Arc::from(bytes), None);
    match RUNTIME.block_on(loading) {
        Ok(_) => true,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            assert!(text.len() < 16 * 1024, "a message of {} bytes", text.len());
            false
        }
    }
}
