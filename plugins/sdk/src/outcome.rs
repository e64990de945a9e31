//! Comfortable ways to say what came of a call.

use std::{fmt, time::Duration};

use crate::{
    Failure, HealthReport, HealthStatus, Interruption, Moved, Problem, Receipt, ReceiptStatus,
    Retry, RetryScope, RunEnd, SendError, time,
};

impl Problem {
    /// `code` is a short stable word for programs, `detail` one sentence for a person.
    pub fn new(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self { code: code.to_string(), detail: detail.into() }
    }
}

impl Failure {
    /// Somebody has to change the configuration first.
    pub fn configuration(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(code, detail), temporary: false }
    }

    /// Trying again later may help.
    pub fn temporary(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(code, detail), temporary: true }
    }
}

impl Receipt {
    /// The provider has delivered the message, or stored it where the recipient reads it.
    #[must_use]
    pub fn delivered() -> Self {
        Self { status: ReceiptStatus::Delivered, provider_id: None, details: Vec::new() }
    }

    /// The provider has taken the message and will report the outcome later.
    #[must_use]
    pub fn accepted() -> Self {
        Self { status: ReceiptStatus::Accepted, ..Self::delivered() }
    }

    /// The provider's own id of the message.
    #[must_use]
    pub fn provider_id(mut self, id: impl Into<String>) -> Self {
        self.provider_id = Some(id.into());
        self
    }

    /// The same where the provider may not have said it.
    #[must_use]
    pub fn provider_id_if(self, id: Option<String>) -> Self {
        Self { provider_id: id.or(self.provider_id), ..self }
    }

    /// Something else worth keeping with the attempt. Never a secret.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.details.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same where the provider may not have said it.
    #[must_use]
    pub fn detail_if(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.detail(name, value),
            None => self,
        }
    }
}

impl SendError {
    /// The provider refuses this message and always will.
    pub fn rejected(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::Rejected(Problem::new(code, detail))
    }

    /// A credential or an option is wrong: no message of this channel can work until somebody
    /// mends it.
    pub fn misconfigured(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::Misconfigured(Problem::new(code, detail))
    }

    /// The message was certainly not delivered and may work later. For a waiting time or a wider
    /// scope see [`Retry::new`].
    pub fn retry(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Retry::new(code, detail).into()
    }

    /// The request went out and no answer came: it may have been delivered.
    pub fn unknown(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::Unknown(Problem::new(code, detail))
    }

    /// The target has another address now.
    pub fn moved(
        target: impl Into<String>,
        code: impl fmt::Display,
        detail: impl Into<String>,
    ) -> Self {
        Self::Moved(Moved { problem: Problem::new(code, detail), target: target.into() })
    }

    /// Rejected as `invalid_target`: `expected` is what a target must be, "the id of a room".
    pub fn invalid_target(expected: &str) -> Self {
        Self::rejected("invalid_target", format!("the target must be {expected}"))
    }

    /// Rejected as `invalid_data`: what the caller's data says to this kind of channel is wrong.
    pub fn invalid_data(detail: impl Into<String>) -> Self {
        Self::rejected("invalid_data", detail)
    }

    /// What went wrong, whatever the kind.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Rejected(problem) | Self::Misconfigured(problem) | Self::Unknown(problem) => {
                problem
            }
            Self::Retry(retry) => &retry.problem,
            Self::Moved(moved) => &moved.problem,
        }
    }
}

impl Retry {
    /// "Not now": about this message alone and with the host's own waiting time, unless told more.
    pub fn new(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(code, detail), after_ms: None, scope: RetryScope::Message }
    }

    /// How long the provider asked to wait, if it said so. Rounded up, never shortened.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.after_ms = wait.map(time::millis_ceil);
        self
    }

    /// What waits together.
    #[must_use]
    pub fn scope(mut self, scope: RetryScope) -> Self {
        self.scope = scope;
        self
    }
}

impl From<Retry> for SendError {
    fn from(retry: Retry) -> Self {
        Self::Retry(retry)
    }
}

impl RunEnd {
    /// A new instance may do better, after a pause. Messages wait until it is there: where they do
    /// not need the connection, wait inside of `run` instead.
    pub fn temporary(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::Temporary(Interruption { problem: Problem::new(code, detail), after_ms: None })
    }

    /// Nobody but the operator can mend it: `run` is not called again before the channel's
    /// configuration, a secret or the plugin has changed. Messages are sent on.
    pub fn misconfigured(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::Misconfigured(Problem::new(code, detail))
    }

    /// How long the other side asked to wait, where it is [`temporary`](Self::temporary). Rounded up,
    /// never shortened; the host waits for a day at most.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Self::Temporary(interruption) = &mut self {
            interruption.after_ms = Some(time::millis_ceil(wait));
        }
        self
    }
}

impl HealthReport {
    /// A send would work.
    #[must_use]
    pub fn healthy() -> Self {
        Self { status: HealthStatus::Healthy, detail: None }
    }

    /// A send would work, and what the provider says of the credential for example, where it says
    /// anything.
    #[must_use]
    pub fn healthy_and(detail: Option<String>) -> Self {
        Self { status: HealthStatus::Healthy, detail }
    }

    /// It works, but not as it should.
    pub fn degraded(detail: impl Into<String>) -> Self {
        Self { status: HealthStatus::Degraded, detail: Some(detail.into()) }
    }

    /// A send would fail now.
    pub fn unhealthy(detail: impl Into<String>) -> Self {
        Self { status: HealthStatus::Unhealthy, detail: Some(detail.into()) }
    }
}

impl From<SendError> for HealthReport {
    /// What a probe's failure says about sending.
    fn from(error: SendError) -> Self {
        let Problem { code, detail } = error.problem();
        let text = format!("{detail} ({code})");
        match error {
            // The probe alone was refused; sends may still work.
            SendError::Rejected(_) | SendError::Moved(_) => Self::degraded(text),
            _ => Self::unhealthy(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_may_not_have_said_leaves_a_receipt_as_it_is() {
        let id = |id: &str| Some(id.to_owned());
        let receipt = Receipt::accepted().provider_id_if(id("7")).detail_if("status", Some("sent"));
        assert_eq!(receipt, Receipt::accepted().provider_id("7").detail("status", "sent"));
        let same = receipt.clone().provider_id_if(None).detail_if("more", None::<String>);
        assert_eq!(same, receipt);
    }
}
