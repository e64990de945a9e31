//! The three files and `.env` in a temporary folder.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tempfile::TempDir;

use super::provider::Provider;

pub(crate) const TENANT_A: &str = "019aa7c4-5e00-7c3a-9b51-00000000000a";
pub(crate) const TENANT_B: &str = "019aa7c4-5e00-7c3a-9b51-00000000000b";
pub(crate) const KEY_A: &str = "key-of-tenant-a-0123456789abcdef0123456789";
pub(crate) const KEY_B: &str = "key-of-tenant-b-0123456789abcdef0123456789";
/// The operator's: with it `/health` tells details.
pub(crate) const KEY_ADMIN: &str = "key-of-the-operator-0123456789abcdef012345";

/// The configuration of a host, as texts that are written when it starts, and its folder.
#[derive(Debug)]
pub(crate) struct Folder {
    temporary: TempDir,
    pub(crate) plugins: String,
    pub(crate) tenants: String,
    pub(crate) channels: String,
    pub(crate) env: String,
    /// Variables of the process itself.
    pub(crate) process: Vec<(String, String)>,
    /// A command that runs the host, with its arguments: `strace`. It must hand over its own process
    /// to the host, which is the one that gets signals.
    pub(crate) tracer: Vec<String>,
    /// Another binary than the one that was built.
    pub(crate) binary: Option<PathBuf>,
}

impl Folder {
    /// No file at all.
    pub(crate) fn empty() -> Self {
        Self {
            temporary: tempfile::Builder::new().prefix("conductor-test-").tempdir().unwrap(),
            plugins: String::new(),
            tenants: String::new(),
            channels: String::new(),
            env: String::new(),
            process: Vec::new(),
            tracer: Vec::new(),
            binary: None,
        }
    }

    /// Tenants A and B, with the channel `log` for both.
    pub(crate) fn new() -> Self {
        let mut folder = Self::empty();
        folder.plugins.push_str("[[plugin]]\nname = \"log\"\nscope = \"core\"\n");
        folder.channels.push_str("# Besides `log`.\n");
        folder.tenant(TENANT_A, "A", "A_KEY").tenant(TENANT_B, "B", "B_KEY");
        folder.env("A_KEY", KEY_A).env("B_KEY", KEY_B).env("CONDUCTOR_ADMIN_KEY", KEY_ADMIN);
        folder
    }

    /// Adds a tenant.
    pub(crate) fn tenant(&mut self, id: &str, name: &str, key_env: &str) -> &mut Self {
        let _written = write!(
            self.tenants,
            "\n[[tenant]]\nid = \"{id}\"\nname = \"{name}\"\nauth_key_env = \"{key_env}\"\n"
        );
        self
    }

    /// Adds a plugin; `more` are further lines and tables of it.
    pub(crate) fn plugin(&mut self, name: &str, more: &str) -> &mut Self {
        let _written = write!(self.plugins, "\n[[plugin]]\nname = \"{name}\"\n{more}\n");
        self
    }

    /// Adds a channel of tenant A; `more` are further lines and tables of it.
    pub(crate) fn channel(&mut self, plugin: &str, more: &str) -> &mut Self {
        let _written = write!(
            self.channels,
            "\n[[channel]]\ntenant_id = \"{TENANT_A}\"\nchannel_type = \"{plugin}\"\n{more}\n"
        );
        self
    }

    /// Adds a variable to `.env`.
    pub(crate) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        let _written = writeln!(self.env, "{name}={value}");
        self
    }

    /// The channel `webhook` of tenant A, which posts unsigned to `url` on this machine, with short
    /// pauses before a retry.
    pub(crate) fn webhook(&mut self, url: &str) -> &mut Self {
        self.plugin(
            "webhook",
            &format!(
                "[plugin.grants]\nhosts = [\"{}\"]\naddresses = [\"127.0.0.0/8\"]",
                origin(url)
            ),
        );
        self.channel(
            "webhook",
            &format!(
                "[channel.options]\nurl = \"{url}\"\nunsigned = true\n[channel.retry]\nfirst_ms = \
                 100\nfactor = 1.0"
            ),
        )
    }

    /// The channels of tenant A with these names, each posting by `webhook` to a provider of its own,
    /// with short pauses before a retry and so many attempts.
    pub(crate) fn webhooks(&mut self, channels: &[(&str, &Provider)], attempts: u32) -> &mut Self {
        let hosts: Vec<String> =
            channels.iter().map(|(_, provider)| format!("\"{}\"", provider.url(""))).collect();
        let hosts = hosts.join(", ");
        let grants = format!("[plugin.grants]\nhosts = [{hosts}]\naddresses = [\"127.0.0.0/8\"]");
        self.plugin("webhook", &grants);
        for (name, provider) in channels {
            let url = provider.url(&format!("/{name}"));
            self.channel(
                "webhook",
                &format!(
                    "name = \"{name}\"\n[channel.options]\nurl = \"{url}\"\nunsigned = true\n\
                     [channel.retry]\nfirst_ms = 100\nfactor = 1.0\nattempts = {attempts}"
                ),
            );
        }
        self
    }

    /// The configuration folder.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// Writes what differs from what is there; a text that is empty makes no file.
    pub(crate) fn write(&self) {
        for (name, text) in [
            (".env", &self.env),
            ("plugins.toml", &self.plugins),
            ("channels.toml", &self.channels),
            ("tenants.toml", &self.tenants),
        ] {
            if !text.is_empty() && fs::read_to_string(self.file(name)).ok().as_ref() != Some(text) {
                replace(&self.file(name), text);
            }
        }
    }
}

/// Replaces a file as a whole, as an editor does: written beside its place and renamed.
pub(crate) fn replace(path: &Path, content: impl AsRef<[u8]>) {
    // Two may do so at the same time.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("beside{number}"));
    fs::write(&beside, content).unwrap();
    fs::rename(&beside, path).unwrap();
}

fn origin(url: &str) -> &str {
    let authority = url.find("://").unwrap() + 3;
    url[authority..].find('/').map_or(url, |end| &url[..authority + end])
}
