//! A priority in a provider's words.

use crate::Priority;

impl Priority {
    /// The provider's word, number or colour for this priority, out of those for all four: from low
    /// to urgent.
    ///
    /// ```
    /// use conductor_sdk::Priority;
    ///
    /// let colour = Priority::High.pick(["grey", "green", "yellow", "red"]);
    /// assert_eq!(colour, "yellow");
    /// ```
    #[must_use]
    pub fn pick<T>(self, [low, normal, high, urgent]: [T; 4]) -> T {
        match self {
            Self::Low => low,
            Self::Normal => normal,
            Self::High => high,
            Self::Urgent => urgent,
        }
    }

    /// "low", "normal", "high" or "urgent", as callers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.pick(["low", "normal", "high", "urgent"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_priority_has_its_own_place() {
        let all = [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent];
        assert_eq!(all.map(|priority| priority.pick([1, 2, 3, 4])), [1, 2, 3, 4]);
        assert_eq!(all.map(Priority::name), ["low", "normal", "high", "urgent"]);
    }
}
