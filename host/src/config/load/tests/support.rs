//! A folder with three files, and a short way to say what should come of it.

use crate::config::{CHANNELS_FILE, Environment, Loaded, PLUGINS_FILE, TENANTS_FILE, load};

pub(super) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The three files and the variables; what a test does not set is good.
pub(super) struct Setup {
    pub(super) folder: tempfile::TempDir,
    pub(super) plugins: String,
    pub(super) tenants: String,
    pub(super) channels: String,
    pub(super) variables: Vec<(String, String)>,
}

impl Setup {
    /// Tenant 1 ("A") and the plugins log (core), discord and audit (business).
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            plugins: String::from(
                "[[plugin]]\nname = \"log\"\nscope = \"core\"\n\
                 [[plugin]]\nname = \"discord\"\n\
                 [[plugin]]\nname = \"audit\"\nscope = \"business\"\n\
                 [[plugin]]\nname = \"off\"\nenabled = false\n",
            ),
            tenants: tenant(1, "A", ""),
            channels: String::from("# none\n"),
            variables: vec![
                (String::from("A_KEY"), format!("{KEY}a")),
                (String::from("B_KEY"), format!("{KEY}b")),
                (String::from("TOKEN"), String::from("hunter2")),
                (String::from("EMPTY"), String::new()),
            ],
        }
    }

    pub(super) fn load(&self) -> Loaded {
        for (name, text) in [
            (PLUGINS_FILE, &self.plugins),
            (TENANTS_FILE, &self.tenants),
            (CHANNELS_FILE, &self.channels),
        ] {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        }
        self.load_as_is()
    }

    pub(super) fn load_as_is(&self) -> Loaded {
        load(self.folder.path(), &Environment::from_pairs(self.variables.clone()))
    }

    /// The problems as an operator reads them.
    pub(super) fn problems(&self) -> Vec<String> {
        self.load().problems.iter().map(ToString::to_string).collect()
    }

    /// The only problem.
    pub(super) fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.into_iter().next().unwrap()
    }
}

/// The id of tenant `number`.
pub(super) fn id(number: u32) -> String {
    format!("0198c0de-0000-7000-8000-{number:012x}")
}

/// A `[[tenant]]` of four lines and `more`.
pub(super) fn tenant(number: u32, name: &str, more: &str) -> String {
    let id = id(number);
    format!("[[tenant]]\nid = \"{id}\"\nname = \"{name}\"\nauth_key_env = \"{name}_KEY\"\n{more}")
}

/// A `[[channel]]` of tenant 1, of three lines and `more`.
pub(super) fn channel(plugin: &str, more: &str) -> String {
    let id = id(1);
    format!("[[channel]]\ntenant_id = \"{id}\"\nchannel_type = \"{plugin}\"\n{more}")
}
