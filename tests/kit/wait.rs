//! Waiting for a condition.

use std::{fmt::Display, time::Duration};

use tokio::time::Instant;

/// How long a condition may take on a machine that is busy with other tests. What is waited for
/// takes milliseconds; a test that uses this up has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until `probe` gives something; fails the test after [`PATIENCE`].
pub(crate) async fn eventually<T>(what: impl Display, probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe).await
}

/// The same with another patience, for what is a lot of work.
pub(crate) async fn within<T>(
    patience: Duration,
    what: impl Display,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    const PAUSE: Duration = Duration::from_millis(15);
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
