//! Which names a scenario has defined, so that a misspelt one is an error before anything runs.

use std::collections::{BTreeMap, BTreeSet};

/// Variables that the driver defines for a scenario with TLS.
const FILES: &[&str] = &["ca", "cert", "key", "other_ca"];

/// The names that are known at a line.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// With the line that gives it its first value, until it is used.
    unused: BTreeMap<String, usize>,
    variables: BTreeSet<String>,
    /// Background calls that have not ended, with the lines that began them.
    running: BTreeMap<String, usize>,
    ended: BTreeSet<String>,
}

impl Names {
    pub(super) fn define(&mut self, variable: &str, line: usize) -> Result<(), String> {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if variable.is_empty() || !variable.chars().all(is_word) {
            return Err(format!("a variable cannot be called `{variable}`"));
        }
        if self.variables.insert(variable.to_owned()) {
            self.unused.insert(variable.to_owned(), line);
        }
        Ok(())
    }

    /// Marks all variables in a text as used.
    pub(super) fn use_all(&mut self, text: &str, tls: bool) -> Result<(), String> {
        for name in variables_in(text) {
            let is_file = tls && FILES.contains(&name);
            if name != "n" && !is_file && !self.variables.contains(name) {
                return Err(format!("`${name}` has no value here"));
            }
            self.unused.remove(name);
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, label: &str, line: usize) -> Result<(), String> {
        match self.running.insert(label.to_owned(), line) {
            None => Ok(()),
            Some(_) => Err(format!("`{label}` is running already")),
        }
    }

    pub(super) fn expect_running(&self, label: &str) -> Result<(), String> {
        match self.running.contains_key(label) {
            true => Ok(()),
            false => Err(format!("nothing called `{label}` is running")),
        }
    }

    pub(super) fn end(&mut self, label: &str) -> Result<(), String> {
        self.expect_running(label)?;
        self.running.remove(label);
        self.ended.insert(label.to_owned());
        Ok(())
    }

    /// Something with this label was running once.
    pub(super) fn has_ended(&self, label: &str) -> bool {
        self.ended.contains(label)
    }

    /// Leaks at the end.
    pub(super) fn leftover(&self) -> Option<(usize, String)> {
        if let Some((name, line)) = self.unused.iter().next() {
            return Some((*line, format!("`{name}` is not used later")));
        }
        let (label, line) = self.running.iter().next()?;
        Some((*line, format!("`{label}` is never finished")))
    }
}

/// The names after each `$`.
pub(crate) fn variables_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).map(|rest| {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
    })
}
