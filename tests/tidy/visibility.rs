//! Functions and constants that a library crate exports and nothing outside of it names.
//!
//! The comparison is of words, so a name that another crate uses for something else passes. Types
//! are left out: signatures need them whether or not they are named.

use std::collections::{BTreeMap, BTreeSet};

/// One file: its crate, its path, and its text.
pub(crate) type Source = (String, String, String);

/// Lists what the files of `exporting` crates export and no other crate names.
pub(crate) fn unused(sources: &[Source], exporting: &[&str]) -> Vec<String> {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (of, _, text) in sources {
        for word in text.lines().flat_map(words) {
            named.entry(word).or_default().insert(of);
        }
    }
    let mut found = Vec::new();
    for (of, path, text) in sources {
        if !exporting.contains(&of.as_str()) || path.contains("test") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let name = exported(line);
            if name.is_some_and(|name| named[name].iter().all(|user| user == of)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

/// The name of the function or constant that a line exports.
fn exported(line: &str) -> Option<&str> {
    // `pub(crate)` exports nothing.
    let rest = line.trim_start().strip_prefix("pub ")?;
    let mut words = words(rest).peekable();
    let kinds = ["const", "async", "fn", "static"];
    let mut is_item = false;
    while words.next_if(|word| kinds.contains(word)).is_some() {
        is_item = true;
    }
    words.next().filter(|_| is_item)
}

/// The identifiers of a line, its comment left out.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.split(move |c| !is_part(c))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_else_names_is_found() {
        let source = |of: &str, text: &str| (of.to_owned(), format!("{of}.rs"), text.to_owned());
        let library = "pub fn used() {}\npub const fn lonely() {}\npub const LONELY: u8 = 1;\n\
                       pub(crate) fn own() { lonely() }\npub struct Type;\n    pub field: u8,\n";
        let sources = [
            source("library", library),
            source("user", "used(); // lonely\n"),
        ];
        let expected = [
            "library.rs:2: pub const fn lonely() {}",
            "library.rs:3: pub const LONELY: u8 = 1;",
        ];
        assert_eq!(unused(&sources, &["library"]), expected);
        assert!(unused(&sources, &["user"]).is_empty());
    }
}
