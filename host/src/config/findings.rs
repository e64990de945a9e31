//! Where a loader writes down what it finds, so that one run tells everything.

use super::model::{Origin, Problem};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

/// What has been found so far.
///
/// What is *missing* (a variable that is not set) is kept apart from what is *wrong* until it is
/// clear whether the entry is optional: then it is only worth a notice.
#[derive(Default, Debug)]
pub(super) struct Findings {
    wrong: Vec<Problem>,
    missing: Vec<Problem>,
    notices: Vec<Problem>,
}

/// A moment in the reading of the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    wrong: usize,
    missing: usize,
}

impl Findings {
    /// Something is wrong at `origin`.
    pub(super) fn wrong(&mut self, origin: &Origin, message: impl Into<String>) {
        self.wrong.push(Problem { origin: Some(origin.clone()), message: message.into() });
    }

    /// Something is wrong, at no place in a file or at a place that is already known.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.wrong.push(problem);
    }

    /// Something that the environment should have is not there.
    pub(super) fn missing(&mut self, origin: &Origin, message: impl Into<String>) {
        self.missing.push(Problem { origin: Some(origin.clone()), message: message.into() });
    }

    /// Something the operator should know, and nothing more.
    pub(super) fn notice(&mut self, origin: &Origin, message: impl Into<String>) {
        self.notices.push(Problem { origin: Some(origin.clone()), message: message.into() });
    }

    /// How much has been found up to now.
    pub(super) fn mark(&self) -> Mark {
        Mark { wrong: self.wrong.len(), missing: self.missing.len() }
    }

    /// Ends an entry that began at `mark`: decides what its missing things are, and says whether
    /// the entry may be used.
    pub(super) fn settle(&mut self, mark: Mark, optional: bool) -> bool {
        let missing = self.missing.split_off(mark.missing.min(self.missing.len()));
        let usable = missing.is_empty() && self.wrong.len() == mark.wrong;
        if optional {
            let left_out = |problem: Problem| Problem {
                message: format!("left out, because it is optional: {}", problem.message),
                ..problem
            };
            self.notices.extend(missing.into_iter().map(left_out));
        } else {
            self.wrong.extend(missing);
        }
        usable
    }

    /// The problems and the notices, each by file and line.
    pub(super) fn into_sorted(mut self) -> (Vec<Problem>, Vec<Problem>) {
        self.wrong.append(&mut self.missing);
        // Stable: the files were read in the order in which they depend on one another.
        for list in [&mut self.wrong, &mut self.notices] {
            list.sort_by_key(place);
        }
        (self.wrong, self.notices)
    }
}

fn place(problem: &Problem) -> Option<(u8, u32)> {
    problem.origin.as_ref().map(|origin| {
        let rank = match &*origin.file {
            super::PLUGINS_FILE => 0,
            super::TENANTS_FILE => 1,
            _ => 2,
        };
        (rank, origin.line)
    })
}
