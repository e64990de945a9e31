//! What the end of one call says to each breaker: the plugin's account of it, and what the host saw
//! for itself.

use super::breaker::Signal;
use crate::sandbox::{Contact, Outcome, RetryScope};

/// What to tell whom; `None`: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signals {
    /// About this target of this channel.
    pub(super) destination: Option<Signal>,
    /// About everything that the channel sends.
    pub(super) credential: Option<Signal>,
    /// About the provider's host, whoever sends.
    pub(super) provider: Option<Signal>,
}

/// Reads an outcome. `contact`: whom the call spoke to last, if it spoke to anybody.
pub(super) fn read(outcome: &Outcome, contact: Option<&Contact>) -> Signals {
    let host = contact.map(|contact| if contact.failed { Signal::Failed } else { Signal::Good });
    match outcome {
        Outcome::Delivered { .. } => Signals {
            destination: Some(Signal::Good),
            credential: Some(Signal::Good),
            provider: Some(Signal::Good).filter(|_| contact.is_some()),
        },
        // A refusal of this message is an answer: whoever gave it works.
        Outcome::Rejected(_) | Outcome::Moved { .. } => {
            Signals { destination: host, credential: host, provider: host }
        }
        Outcome::Misconfigured(_) => {
            Signals { destination: None, credential: Some(Signal::Stop), provider: host }
        }
        Outcome::Retry { after, scope, .. } => {
            let own = Some(after.map_or(Signal::Failed, Signal::Wait));
            match scope {
                RetryScope::Message => {
                    Signals { destination: None, credential: host, provider: host }
                }
                RetryScope::Destination => {
                    Signals { destination: own, credential: host, provider: host }
                }
                RetryScope::Credential => {
                    Signals { destination: None, credential: own, provider: host }
                }
                // Where no host is known to hold responsible, it is the channel that waits.
                RetryScope::Provider => Signals {
                    destination: None,
                    credential: match (own, contact) {
                        (Some(Signal::Wait(_)), Some(_)) => None,
                        _ => own,
                    },
                    provider: own,
                },
            }
        }
        Outcome::Unknown(_) => {
            Signals { destination: Some(Signal::Failed), credential: host, provider: host }
        }
        // The plugin's own fault: its instances have a breaker of their own, the quarantine.
        Outcome::Fault(_) => Signals { destination: None, credential: None, provider: None },
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::sandbox::Problem;

    const MINUTE: Duration = Duration::from_mins(1);

    fn contact(failed: bool) -> Contact {
        Contact { host: Arc::from("provider.example"), failed }
    }

    fn problem() -> Problem {
        Problem { code: String::from("c"), detail: String::from("d") }
    }

    fn retry(scope: RetryScope, after: Option<Duration>) -> Outcome {
        Outcome::Retry { problem: problem(), after, scope }
    }

    fn of(outcome: &Outcome, failed: bool) -> [Option<Signal>; 3] {
        let Signals { destination, credential, provider } = read(outcome, Some(&contact(failed)));
        [destination, credential, provider]
    }

    #[test]
    fn each_scope_of_a_retry_reaches_its_breaker() {
        let wait = Some(Signal::Wait(MINUTE));
        let good = Some(Signal::Good);
        for (scope, expected) in [
            (RetryScope::Message, [None, good, good]),
            (RetryScope::Destination, [wait, good, good]),
            (RetryScope::Credential, [None, wait, good]),
            (RetryScope::Provider, [None, None, wait]),
        ] {
            assert_eq!(of(&retry(scope, Some(MINUTE)), false), expected, "{scope:?}");
        }
    }

    #[test]
    fn a_host_in_trouble_counts_whatever_scope_the_plugin_gives() {
        let failed = Some(Signal::Failed);
        assert_eq!(of(&retry(RetryScope::Message, None), true), [None, failed, failed]);
        assert_eq!(of(&Outcome::Unknown(problem()), true), [failed, failed, failed]);
        assert_eq!(of(&Outcome::Rejected(problem()), false), [Some(Signal::Good); 3]);
    }

    #[test]
    fn without_a_host_the_channel_waits_for_the_provider() {
        let signals = read(&retry(RetryScope::Provider, Some(MINUTE)), None);
        assert_eq!(signals.credential, Some(Signal::Wait(MINUTE)));
    }

    #[test]
    fn only_what_is_misconfigured_stops_a_channel() {
        let [_, credential, _] = of(&Outcome::Misconfigured(problem()), false);
        assert_eq!(credential, Some(Signal::Stop));
    }
}
