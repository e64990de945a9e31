//! Reads the keys of one TOML table and writes down everything that is wrong with them.
//!
//! serde would stop at the first error of a file. An operator with three mistakes wants to know
//! three, so the tables are read key by key.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    document::Document,
    findings::{At, Findings},
    model::Origin,
    suggest::Suggester,
};

/// One table of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'doc> {
    pub(super) document: &'doc Document,
    pub(super) table: &'doc DeTable<'doc>,
    /// What messages call it: `[[tenant]]`, `[tenant.limits]`.
    title: &'static str,
    /// The first byte of it.
    offset: usize,
}

impl<'doc> Fields<'doc> {
    /// The root table of a document.
    pub(super) fn root(document: &'doc Document, table: &'doc DeTable<'doc>) -> Self {
        Self { document, table, title: "the file", offset: 0 }
    }

    /// Where the table begins.
    pub(super) fn origin(&self) -> Origin {
        self.document.origin(self.offset..self.offset)
    }

    /// Where `key` stands, or the table's beginning.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        match self.table.get_key_value(key) {
            Some((key, _)) => self.document.origin(key.span()),
            None => self.origin(),
        }
    }

    /// Reports every key that is not `known`.
    pub(super) fn only(&self, known: &[&str], suggester: &Suggester, findings: &mut Findings) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let hint = suggester.hint(name, known.iter().copied());
                let origin = self.document.origin(key.span());
                let name: String = name.chars().take(60).collect();
                findings.wrong(&origin, format!("{} has no key \"{name}\"; {hint}", self.title));
            }
        }
    }

    /// A text, if the key is there.
    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<At<&'doc str>> {
        self.value(key, "a text in quotes", findings, |value| value.as_str())
    }

    /// A text that must be there.
    pub(super) fn needed_text(
        &self,
        key: &str,
        example: &str,
        findings: &mut Findings,
    ) -> Option<At<&'doc str>> {
        if !self.table.contains_key(key) {
            let title = self.title;
            findings.wrong(
                &self.origin(),
                format!("{title} has no {key}; add for example {key} = \"{example}\""),
            );
            return None;
        }
        self.text(key, findings)
    }

    /// A text that is a `T`, if the key is there.
    pub(super) fn parsed<T>(&self, key: &str, findings: &mut Findings) -> Option<At<T>>
    where
        T: FromStr<Err: Display>,
    {
        parse(key, self.text(key, findings)?, findings)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, default: bool, findings: &mut Findings) -> bool {
        self.value(key, "true or false", findings, DeValue::as_bool)
            .map_or(default, |found| found.value)
    }

    /// A whole number inside `bounds`, if the key is there.
    pub(super) fn whole(
        &self,
        key: &str,
        bounds: RangeInclusive<u64>,
        findings: &mut Findings,
    ) -> Option<u64> {
        let found = self.value(key, "a whole number", findings, DeValue::as_integer)?;
        if let Some(number) = whole_of(found.value).filter(|number| bounds.contains(number)) {
            return Some(number);
        }
        let (floor, ceiling) = (bounds.start(), bounds.end());
        let message = format!(
            "{}: {key} = {} is out of bounds; write a whole number from {floor} to {ceiling}",
            self.title, found.value
        );
        findings.wrong(&found.origin, message);
        None
    }

    /// A number inside `bounds`, if the key is there.
    pub(super) fn number(
        &self,
        key: &str,
        bounds: RangeInclusive<f64>,
        findings: &mut Findings,
    ) -> Option<f64> {
        let found = self.value(key, "a number", findings, |value| match value {
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
            DeValue::Float(float) => Some(float.as_str()),
            _ => None,
        })?;
        let number = found.value.parse::<f64>().ok();
        if let Some(number) = number.filter(|number| bounds.contains(number)) {
            return Some(number);
        }
        let (floor, ceiling) = (bounds.start(), bounds.end());
        let message = format!(
            "{}: {key} = {} is out of bounds; write a number from {floor} to {ceiling}",
            self.title, found.value
        );
        findings.wrong(&found.origin, message);
        None
    }

    /// A list of texts, if the key is there.
    pub(super) fn texts(&self, key: &str, findings: &mut Findings) -> Option<Vec<At<&'doc str>>> {
        let list = self.value(key, "a list of texts: [\"…\"]", findings, DeValue::as_array)?;
        let mut texts = Vec::with_capacity(list.value.len());
        for item in list.value.iter() {
            let origin = self.document.origin(item.span());
            match item.get_ref().as_str() {
                Some(value) => texts.push(At { value, origin }),
                None => {
                    let found = kind(item.get_ref());
                    findings.wrong(
                        &origin,
                        format!("{key} is a list of texts, found {found}; put it into quotes"),
                    );
                }
            }
        }
        Some(texts)
    }

    /// A list of whole numbers inside `bounds`; empty when the key is not there.
    pub(super) fn wholes(
        &self,
        key: &str,
        bounds: RangeInclusive<u64>,
        findings: &mut Findings,
    ) -> Vec<At<u64>> {
        let Some(list) = self.value(key, "a list of numbers: [1]", findings, DeValue::as_array)
        else {
            return Vec::new();
        };
        let mut numbers = Vec::with_capacity(list.value.len());
        for item in list.value.iter() {
            let origin = self.document.origin(item.span());
            let number = item.get_ref().as_integer().and_then(whole_of);
            match number.filter(|number| bounds.contains(number)) {
                Some(value) => numbers.push(At { value, origin }),
                None => {
                    let (floor, ceiling) = (bounds.start(), bounds.end());
                    findings.wrong(
                        &origin,
                        format!("{key} is a list of whole numbers from {floor} to {ceiling}"),
                    );
                }
            }
        }
        numbers
    }

    /// A list of texts that are each a `T`, if the key is there.
    pub(super) fn parsed_list<T>(&self, key: &str, findings: &mut Findings) -> Option<Vec<At<T>>>
    where
        T: FromStr<Err: Display>,
    {
        let texts = self.texts(key, findings)?;
        Some(texts.into_iter().filter_map(|text| parse(key, text, findings)).collect())
    }

    /// A table inside this one.
    pub(super) fn table(
        &self,
        key: &str,
        title: &'static str,
        findings: &mut Findings,
    ) -> Option<Fields<'doc>> {
        let (key_at, value) = self.table.get_key_value(key)?;
        match value.get_ref().as_table() {
            Some(table) => {
                Some(Fields { document: self.document, table, title, offset: key_at.span().start })
            }
            None => {
                let origin = self.document.origin(key_at.span());
                self.wrong_kind(key, "a table", value.get_ref(), &origin, findings);
                None
            }
        }
    }

    /// The tables of a `[[list]]`.
    pub(super) fn tables(
        &self,
        key: &str,
        title: &'static str,
        findings: &mut Findings,
    ) -> Vec<Fields<'doc>> {
        let Some((key_at, value)) = self.table.get_key_value(key) else { return Vec::new() };
        let items = value.get_ref().as_array().map(|items| {
            let table = |item: &'doc Spanned<DeValue<'doc>>| {
                let table = item.get_ref().as_table()?;
                let offset = item.span().start;
                Some(Fields { document: self.document, table, title, offset })
            };
            items.iter().map(table).collect::<Option<Vec<_>>>()
        });
        if let Some(Some(tables)) = items {
            return tables;
        }
        let origin = self.document.origin(key_at.span());
        findings.wrong(
            &origin,
            format!("\"{key}\" is a list of tables; begin each with a line {title}"),
        );
        Vec::new()
    }

    /// The value of `key` as `read` understands it.
    fn value<T>(
        &self,
        key: &str,
        expected: &str,
        findings: &mut Findings,
        read: impl FnOnce(&'doc DeValue<'doc>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.table.get(key)?;
        let origin = self.document.origin(value.span());
        let read = read(value.get_ref());
        if read.is_none() {
            self.wrong_kind(key, expected, value.get_ref(), &origin, findings);
        }
        Some(At { value: read?, origin })
    }

    fn wrong_kind(
        &self,
        key: &str,
        expected: &str,
        found: &DeValue<'_>,
        origin: &Origin,
        findings: &mut Findings,
    ) {
        let (title, found) = (self.title, kind(found));
        findings.wrong(origin, format!("{title}: {key} must be {expected}, found {found}"));
    }
}

fn parse<T>(key: &str, text: At<&str>, findings: &mut Findings) -> Option<At<T>>
where
    T: FromStr<Err: Display>,
{
    match text.value.parse() {
        Ok(value) => Some(At { value, origin: text.origin }),
        Err(error) => {
            findings.wrong(&text.origin, format!("{key}: {error}"));
            None
        }
    }
}

fn whole_of(integer: &DeInteger<'_>) -> Option<u64> {
    let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    u64::try_from(number).ok()
}

/// What messages call the kind of a value. The value itself is not shown: it may be a credential
/// that somebody pasted.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
