//! The environment variables that the configuration may name: the process's own and those of a
//! `.env` file, as a value, so that tests need no global state and the process's environment is
//! never changed (that is racy with every other thread).

use std::{collections::HashMap, fmt, path::Path};

use super::{
    document::read_text,
    model::{Origin, Problem},
};

/// The name of the file beside the configuration files.
pub const DOTENV_FILE: &str = ".env";

/// Names and values. Values may be secret: `Debug` shows none.
#[derive(Clone, Default)]
pub struct Environment {
    process: HashMap<String, String>,
    dotenv: HashMap<String, String>,
}

impl Environment {
    /// The process's environment and behind it the variables of the file `dotenv`, which need not
    /// be there. A variable that is in both has the value of the process's.
    ///
    /// # Errors
    /// When the file cannot be read or a line of it is no assignment.
    pub fn of_process(dotenv: Option<&Path>) -> Result<Self, Problem> {
        // What is not Unicode is nothing that the files could name.
        let process = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let dotenv = match dotenv {
            Some(path) if path.exists() => read_dotenv(path)?,
            _ => HashMap::new(),
        };
        Ok(Self { process, dotenv })
    }

    /// An environment of just these variables.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let process = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { process, dotenv: HashMap::new() }
    }

    /// The value of a variable; it may be empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.process.get(name).or_else(|| self.dotenv.get(name)).map(String::as_str)
    }

    /// Whether a value that is put into `.env` would be seen: not when the process's environment
    /// has one, be it empty.
    pub(super) fn may_be_extended(&self, name: &str) -> bool {
        !self.process.contains_key(name) && self.dotenv.get(name).is_none_or(String::is_empty)
    }

    /// Adds what was just written to `.env`.
    pub(super) fn extend(&mut self, name: &str, value: &str) {
        self.dotenv.insert(name.to_owned(), value.to_owned());
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (process, dotenv) = (self.process.len(), self.dotenv.len());
        write!(formatter, "Environment({process} variables, {dotenv} of {DOTENV_FILE})")
    }
}

/// The variables of a `.env` file. Of a name that is assigned twice the later value counts.
pub(super) fn read_dotenv(path: &Path) -> Result<HashMap<String, String>, Problem> {
    let name = path.file_name().map_or(DOTENV_FILE.into(), |name| name.to_string_lossy());
    let text = read_text(path, &name, "create it or do not name it")?;
    let mut variables = HashMap::new();
    for assignment in dotenvy::from_read_iter(text.as_bytes()) {
        match assignment {
            Ok((name, value)) => {
                variables.insert(name, value);
            }
            Err(error) => {
                return Err(Problem {
                    origin: Some(Origin { file: name.into(), line: line_of(&error, &text) }),
                    message: String::from(
                        "this is no assignment; write NAME=value, and put quotes (') around a \
                         value with spaces, quotes, '#' or '$' (the line is not shown: it may \
                         hold a secret)",
                    ),
                });
            }
        }
    }
    Ok(variables)
}

/// The line that an error of the parser is about. The parser tells the line's text, not its number.
fn line_of(error: &dotenvy::Error, text: &str) -> u32 {
    let dotenvy::Error::LineParse(broken, _) = error else { return 1 };
    let broken_first = broken.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let index = text
        .lines()
        .position(|line| line.trim_end() == broken_first.trim_end())
        // A comment at its end is cut off before the line is parsed.
        .or_else(|| text.lines().position(|line| line.starts_with(broken_first)))
        .unwrap_or(0);
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dotenv(text: &str) -> Result<Environment, Problem> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DOTENV_FILE);
        std::fs::write(&path, text).unwrap();
        Environment::of_process(Some(&path))
    }

    #[test]
    fn the_file_is_read_and_the_process_environment_wins() {
        let text = "# comment\nCONDUCTOR_TEST_A=1\n\nexport CONDUCTOR_TEST_B='two words'\nPATH=x\n";
        let environment = dotenv(text).unwrap();
        assert_eq!(environment.get("CONDUCTOR_TEST_A"), Some("1"));
        assert_eq!(environment.get("CONDUCTOR_TEST_B"), Some("two words"));
        assert_eq!(environment.get("CONDUCTOR_TEST_C"), None);
        assert_ne!(environment.get("PATH"), Some("x"));
        assert!(std::env::var("CONDUCTOR_TEST_A").is_err(), "the process is left alone");
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Environment::of_process(Some(&folder.path().join(DOTENV_FILE))).is_ok());
        assert!(Environment::of_process(None).is_ok());
    }

    #[test]
    fn a_broken_line_is_told_by_its_number_and_not_by_its_text() {
        for (text, line) in [
            ("A=1\nB=2\nhunter2 is not an assignment\nC=3\n", 3),
            ("A=1\n\n=hunter2\n", 3),
            ("A='hunter2\nB=1\n", 1),
            ("A=1\n  hunter2 x  # comment\n", 2),
        ] {
            let problem = dotenv(text).unwrap_err().to_string();
            assert!(problem.starts_with(&format!(".env:{line}: ")), "{problem}");
            assert!(problem.contains("NAME=value"), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn values_do_not_show_in_debug_output() {
        let environment = Environment::from_pairs([("A", "hunter2")]);
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
