//! Between the generated bindings and a [`Channel`]: holds the one instance, parses what comes in.

use std::cell::RefCell;

use crate::{
    Channel, Context, Failure, HealthReport, Message, Receipt, SendError,
    bindings::{
        conductor::channel::channel_types, described::metadata,
        exports::conductor::channel::channel,
    },
    http,
};

/// What [`export!`](crate::export) reads from the plugin's own Cargo.toml.
pub trait Package {
    /// The crate's name.
    const NAME: &'static str;
    /// The crate's version.
    const VERSION: &'static str;
    /// The crate's description.
    const DESCRIPTION: &'static str;
}

/// A channel without its type, so that it can be kept in one place.
trait Running {
    fn send(&self, message: &Message) -> Result<Receipt, SendError>;
    fn health(&self) -> HealthReport;
    fn shutdown(&self);
}

impl<C: Channel> Running for C {
    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        Channel::send(self, message)
    }
    fn health(&self) -> HealthReport {
        Channel::health(self)
    }
    fn shutdown(&self) {
        Channel::shutdown(self);
    }
}

thread_local! {
    // A component has one thread and the host makes one call at a time.
    static INSTANCE: RefCell<Option<Box<dyn Running>>> = const { RefCell::new(None) };
}

fn with_instance<T>(call: impl FnOnce(&dyn Running) -> T) -> Option<T> {
    INSTANCE.with_borrow(|instance| instance.as_deref().map(call))
}

/// The exports, for the channel `C`.
#[derive(Debug)]
pub struct Adapter<C>(std::marker::PhantomData<C>);

impl<C: Channel> channel::Guest for Adapter<C> {
    fn initialize(context: channel_types::Context) -> Result<(), Failure> {
        log_panics();
        let channel = C::initialize(Context::parse(context)?)?;
        INSTANCE.set(Some(Box::new(channel)));
        Ok(())
    }

    fn send(message: Message) -> Result<Receipt, SendError> {
        http::budget::begin(message.deadline());
        let sent = with_instance(|channel| channel.send(&message));
        http::budget::end();
        sent.unwrap_or_else(|| {
            Err(SendError::misconfigured("not_initialized", "send was called before initialize"))
        })
    }

    fn health() -> HealthReport {
        with_instance(|channel| channel.health())
            .unwrap_or_else(|| HealthReport::unhealthy("health was called before initialize"))
    }

    fn shutdown() {
        if let Some(channel) = INSTANCE.take() {
            channel.shutdown();
        }
    }
}

impl<C: Channel + Package> metadata::Guest for Adapter<C> {
    fn describe() -> metadata::Manifest {
        log_panics();
        manifest::<C>()
    }
}

/// What `describe` answers for the channel `C`.
pub(crate) fn manifest<C: Channel + Package>() -> metadata::Manifest {
    C::manifest().complete::<C::Options>(C::NAME, C::VERSION, C::DESCRIPTION)
}

/// Writes a panic to the host's log. The instance ends right after, and without this the operator
/// would see nothing but "unreachable executed".
#[cfg(target_family = "wasm")]
pub(crate) fn log_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            crate::log::write(crate::log::Level::Error, &panic_line(&panic.to_string()), &[]);
        }));
    });
}

/// A test's panics belong to the test.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn log_panics() {}

/// At most 512 bytes: a panic message may hold whatever value the code choked on, and a log is no
/// place for a whole payload.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "the hook is not set there"))]
fn panic_line(panic: &str) -> String {
    const PANIC_BYTES_MAX: usize = 512;
    crate::text::truncate(panic, PANIC_BYTES_MAX, crate::LengthUnit::Bytes)
}

/// Makes the component: `conductor_sdk::export!(MyChannel);`, once in a plugin.
///
/// Name, version and summary of the plugin are those of its Cargo.toml (a leading
/// `conductor-plugin-` is left out of the name) unless the manifest says otherwise.
#[macro_export]
macro_rules! export {
    ($channel:ty) => {
        impl $crate::guest::Package for $channel {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            const DESCRIPTION: &'static str = env!("CARGO_PKG_DESCRIPTION");
        }

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "the calling convention of components")]
        const _: () = {
            type Plugin = $crate::guest::Adapter<$channel>;
    $crate::bindings::__export_channel!(Plugin with_types_in $crate::bindings);
            $crate::bindings::described::__export_metadata!(
                Plugin with_types_in $crate::bindings::described
            );
        };
    };
}

#[cfg(test)]
mod tests;
