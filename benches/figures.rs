//! Figures: what was measured, the baseline beside it, and whether the goal is met.

use std::time::Duration;

use serde_json::json;

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// The figure divided by its baseline.
    RatioAtLeast(f64),
    /// The figure divided by its baseline.
    RatioAtMost(f64),
    /// The figure itself.
    Below(f64),
    /// The figure itself.
    Zero,
    /// Reported for comparison.
    None,
}

/// One figure.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// What it is compared with, measured in the same run.
    pub(crate) baseline: Option<(&'static str, f64)>,
    pub(crate) goal: Goal,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        let (_, baseline) = self.baseline?;
        (baseline > 0.0).then(|| self.value / baseline)
    }

    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::RatioAtLeast(least) => Some(self.ratio().is_some_and(|ratio| ratio >= least)),
            Goal::RatioAtMost(most) => Some(self.ratio().is_some_and(|ratio| ratio <= most)),
            Goal::Below(limit) => Some(self.value < limit),
            Goal::Zero => Some(self.value == 0.0),
            Goal::None => None,
        }
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::RatioAtLeast(least) => format!("ratio >= {least}"),
            Goal::RatioAtMost(most) => format!("ratio <= {most}"),
            Goal::Below(limit) => format!("< {limit}"),
            Goal::Zero => String::from("0"),
            Goal::None => String::from("-"),
        }
    }

    fn line(&self) -> String {
        let baseline = self.baseline.map_or_else(
            || String::from("-"),
            |(what, value)| format!("{} ({what})", number(value)),
        );
        let ratio = self.ratio().map_or_else(|| String::from("-"), |ratio| format!("{ratio:.2}"));
        let met = match self.met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        format!(
            "{:<44} {:>10} {:<12} {:>5}  {:<12} {:<8} {baseline}",
            self.name,
            number(self.value),
            self.unit,
            ratio,
            self.goal_text(),
            met
        )
    }

    fn json(&self) -> String {
        json!({
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "baseline": self.baseline.map(|(_, value)| value),
            "baseline_is": self.baseline.map(|(what, _)| what),
            "ratio": self.ratio(),
            "goal": self.goal_text(),
            "met": self.met(),
        })
        .to_string()
    }
}

/// All figures of a run.
pub(crate) struct Report {
    pub(crate) json: bool,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json, figures: Vec::new() }
    }

    /// Takes a figure and prints it.
    pub(crate) fn add(&mut self, figure: Figure) {
        if self.json {
            println!("{}", figure.json());
        } else {
            println!("  {}", figure.line());
        }
        self.figures.push(figure);
    }

    /// Says something beside the figures.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            println!("  {text}");
        }
    }

    /// The table of everything.
    pub(crate) fn summary(&self) {
        if self.json {
            return;
        }
        println!(
            "\n{:<44} {:>10} {:<12} {:>5}  {:<12} {:<8} baseline",
            "figure", "value", "unit", "ratio", "goal", ""
        );
        for figure in &self.figures {
            println!("{}", figure.line());
        }
        let missed = figures_missed(&self.figures);
        println!("\n{} figures, {missed} goals missed", self.figures.len());
    }
}

fn figures_missed(figures: &[Figure]) -> usize {
    figures.iter().filter(|figure| figure.met() == Some(false)).count()
}

fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

/// The middle one; of an even number, the lower of the two.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The value that `share` of all values do not exceed.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
