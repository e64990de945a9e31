//! Reading a query string: every parameter is known, and all that is wrong is said at once.

use axum::{extract::Query, http::Uri};

use super::{
    fields::nearest,
    json::shorten,
    kinds,
    notification::invalid,
    problem::{FieldError, Problem},
};
use crate::clock::UnixMs;

/// The pairs of a query, with the errors found so far.
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    /// Takes the query apart.
    ///
    /// # Errors
    /// When it is no query string.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::try_from_uri(uri)
            .map_err(|_| Problem::new(kinds::INVALID_REQUEST, "The query cannot be read."))?;
        Ok(Self { pairs, errors: Vec::new() })
    }

    /// Takes one parameter; an empty one counts as left out.
    pub(super) fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let index = self.pairs.iter().position(|(found, _)| found == name)?;
        let (_, value) = self.pairs.remove(index);
        if value.is_empty() {
            return None;
        }
        read(&value).map_err(|detail| self.errors.push(FieldError::parameter(name, detail))).ok()
    }

    /// Takes a moment.
    pub(super) fn moment(&mut self, name: &'static str) -> Option<UnixMs> {
        self.take(name, |text| {
            // An offset's '+' that was not escaped arrives as a space.
            UnixMs::parse_rfc3339(&text.replace(' ', "+")).map_err(|_| {
                format!(
                    "\"{}\" is no RFC 3339 time; write for example \"2026-01-31T09:30:00Z\"",
                    shorten(text)
                )
            })
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// A 400 with everything that was wrong, unknown parameters too.
    pub(super) fn finish(mut self, known: &[&'static str]) -> Result<(), Problem> {
        for (name, _) in &self.pairs {
            let detail = match (known.iter().find(|known| *known == name), nearest(name, known)) {
                (Some(_), _) => String::from("is there more than once"),
                (None, Some(near)) => format!("is not known; did you mean \"{near}\"?"),
                (None, None) => format!("is not known; known are {}", known.join(", ")),
            };
            let place = super::problem::Place::Parameter(shorten(name));
            self.errors.push(FieldError { place, detail });
        }
        self.errors.truncate(super::fields::ERRORS_MAX);
        if self.errors.is_empty() { Ok(()) } else { Err(invalid(self.errors)) }
    }
}
