//! Comfortable ways to say what came of a call.

use std::{fmt, time::Duration};

use crate::{
    Failure, HealthReport, HealthStatus, Moved, Problem, Receipt, ReceiptStatus, Retry, RetryScope,
    SendError, time,
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

    /// Something else worth keeping with the attempt. Never a secret.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.details.push((name.to_owned(), value.to_string()));
        self
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

impl HealthReport {
    /// A send would work.
    #[must_use]
    pub fn healthy() -> Self {
        Self { status: HealthStatus::Healthy, detail: None }
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
