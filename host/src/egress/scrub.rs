//! Takes secrets out of texts that people or plugins will read.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::memmem;
use zeroize::Zeroizing;

use super::{escape, secrets::Entry};

/// Shorter secrets are not looked for in logs: "admin" or "1234" stands in many texts that have
/// nothing to do with it, and a text full of holes would show what the secret is. No real
/// credential is so short.
const SCRUB_BYTES_MIN: usize = 6;
/// Shorter secrets are not looked for in answers. Longer than in logs, because what is replaced here
/// is read by a program: a password that is an ordinary word must not change a provider's JSON.
const CONCEAL_BYTES_MIN: usize = 12;
/// A shorter line of a secret is not looked for by itself.
const LINE_BYTES_MIN: usize = 16;
/// What stands in a log for a secret.
pub(super) const SCRUBBED: &str = "[secret]";

/// The forms in which a vault's secrets may stand in a text, the longest first: a secret that
/// contains another is taken out whole.
#[derive(Default)]
pub(super) struct Veil {
    needles: Vec<Needle>,
}

struct Needle {
    text: Zeroizing<String>,
    /// What stands for it in an answer.
    placeholder: String,
    /// Whether it is looked for in answers: not when the plugin may read the secret anyway.
    in_answers: bool,
}

impl Veil {
    /// Learns a secret and its placeholder.
    pub(super) fn add(&mut self, entry: &Entry, reveal: bool) {
        let value = entry.value.expose();
        if value.len() >= SCRUB_BYTES_MIN {
            let in_answers = !reveal && value.len() >= CONCEAL_BYTES_MIN;
            for form in forms(value) {
                self.learn(form, entry, in_answers);
            }
            self.learn_lines(value, entry, in_answers);
        }
        self.learn_placeholder(entry);
    }

    /// A secret of several lines, such as a key in PEM, may be written line by line. What begins and
    /// ends a PEM file is no secret.
    fn learn_lines(&mut self, value: &str, entry: &Entry, in_answers: bool) {
        if !value.contains('\n') {
            return;
        }
        for line in value.lines().map(str::trim) {
            if line.len() >= LINE_BYTES_MIN && !line.starts_with("-----") {
                self.learn(Zeroizing::new(line.to_owned()), entry, in_answers);
            }
        }
    }

    /// Learns a `Basic …` text and its placeholder. In an answer the placeholder will stand behind
    /// the word "Basic" and cannot be used there, which is no loss.
    pub(super) fn add_basic(&mut self, entry: &Entry, reveal: bool) {
        let value = entry.value.expose();
        // Without the padding it is found in a text with and without.
        let encoded = value.strip_prefix("Basic ").unwrap_or(value).trim_end_matches('=');
        if encoded.len() >= SCRUB_BYTES_MIN {
            let in_answers = !reveal && encoded.len() >= CONCEAL_BYTES_MIN;
            self.learn(Zeroizing::new(encoded.to_owned()), entry, in_answers);
        }
        self.learn_placeholder(entry);
    }

    /// Forgets all that was learnt with this placeholder.
    pub(super) fn forget(&mut self, placeholder: &str) {
        self.needles.retain(|needle| needle.placeholder != placeholder);
    }

    fn learn_placeholder(&mut self, entry: &Entry) {
        if !entry.placeholder.is_empty() {
            self.learn(Zeroizing::new(entry.placeholder.clone()), entry, false);
        }
    }

    fn learn(&mut self, text: Zeroizing<String>, entry: &Entry, in_answers: bool) {
        let placeholder = entry.placeholder.clone();
        // Two secrets may have one value; each has needles of its own, for one may be forgotten.
        let same = |needle: &Needle| *needle.text == *text && needle.placeholder == placeholder;
        if self.needles.iter().any(same) {
            return;
        }
        let longer = self.needles.partition_point(|needle| needle.text.len() >= text.len());
        self.needles.insert(longer, Needle { text, placeholder, in_answers });
    }

    /// Whether any of it is in `text`, in whatever case: names of hosts lose theirs.
    pub(super) fn is_in_any_case(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        self.needles.iter().any(|needle| {
            text.len() >= needle.text.len()
                && text.contains(&*Zeroizing::new(needle.text.to_ascii_lowercase()))
        })
    }

    /// The longest text that is looked for.
    pub(super) fn longest(&self) -> usize {
        self.needles.first().map_or(0, |needle| needle.text.len())
    }

    /// `text` without any of it.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.scrub_owned(text.to_owned())
    }

    /// The same of a text that may be changed.
    pub(super) fn scrub_owned(&self, mut text: String) -> String {
        for needle in &self.needles {
            if text.contains(needle.text.as_str()) {
                text = text.replace(needle.text.as_str(), SCRUBBED);
            }
        }
        text
    }

    /// `bytes` with placeholders in the place of secrets; none when there are none.
    pub(super) fn conceal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut changed: Option<Vec<u8>> = None;
        for needle in self.needles.iter().filter(|needle| needle.in_answers) {
            let current = changed.as_deref().unwrap_or(bytes);
            let next = replace(current, needle.text.as_bytes(), needle.placeholder.as_bytes());
            changed = next.or(changed);
        }
        changed
    }
}

/// How a secret may be written, without repetitions of those that come out the same.
fn forms(value: &str) -> Vec<Zeroizing<String>> {
    let escaped = |escape: escape::Escape| {
        let mut bytes = Vec::new();
        escape(value, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let in_component = escaped(escape::component);
    let in_path = escaped(escape::path);
    vec![
        Zeroizing::new(value.to_owned()),
        Zeroizing::new(lower_case_escapes(&in_component)),
        Zeroizing::new(in_component),
        Zeroizing::new(lower_case_escapes(&in_path)),
        Zeroizing::new(in_path),
        Zeroizing::new(escaped(escape::json)),
        // Without padding they are found in a text with and without.
        Zeroizing::new(STANDARD_NO_PAD.encode(value)),
        Zeroizing::new(URL_SAFE_NO_PAD.encode(value)),
    ]
}

/// `%2F` as `%2f`: both are in use.
fn lower_case_escapes(text: &str) -> String {
    let mut digits = 0;
    text.chars()
        .map(|char| {
            if char == '%' {
                digits = 2;
            } else if digits > 0 {
                digits -= 1;
                return char.to_ascii_lowercase();
            }
            char
        })
        .collect()
}

fn replace(bytes: &[u8], needle: &[u8], with: &[u8]) -> Option<Vec<u8>> {
    let finder = memmem::Finder::new(needle);
    let mut rest = bytes;
    let mut changed = None;
    while let Some((before, after)) = finder.find(rest).and_then(|at| rest.split_at_checked(at)) {
        let out = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
        out.extend_from_slice(before);
        out.extend_from_slice(with);
        rest = after.get(needle.len()..).unwrap_or_default();
    }
    if let Some(out) = &mut changed {
        out.extend_from_slice(rest);
    }
    changed
}
