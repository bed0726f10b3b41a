//! Iteration over hash maps and hash sets, read from source text.
//!
//! The order of a hash map differs from run to run, so nothing that leaves an owner may depend on
//! it. The check knows the fields, parameters and variables that are declared with a hash type in a
//! file, and finds iteration over them in the same file.

const TYPES: [&str; 2] = ["HashMap", "HashSet"];

/// Methods whose result, or whose order of calls, is in hash order.
const METHODS: [&str; 11] = [
    "iter",
    "iter_mut",
    "into_iter",
    "keys",
    "into_keys",
    "values",
    "values_mut",
    "into_values",
    "drain",
    "retain",
    "extract_if",
];

/// Returns every iteration over a hash map or set in the code of a file, tests left out.
pub(crate) fn iterations(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().trim());
    let code = lines.collect::<Vec<_>>().join(" ").replace(" .", ".");
    let mut found = Vec::new();
    for name in declared(&code) {
        for (at, _) in code.match_indices(&name) {
            let (before, after) = (&code[..at], &code[at + name.len()..]);
            if before.ends_with(is_part) || after.starts_with(is_part) {
                continue;
            }
            let method = after.strip_prefix('.').map(identifier);
            let is_called = method.is_some_and(|method| METHODS.contains(&method));
            // `for each in &self.name {`
            let path = before.trim_end_matches(|c| is_part(c) || c == '.');
            let path = path.trim_end_matches("mut ").trim_end_matches('&');
            let is_walked = path.ends_with(" in ") && after.trim_start().starts_with('{');
            if is_called || is_walked {
                found.push(format!("{name}{}", after.get(..20).unwrap_or(after)));
            }
        }
    }
    found
}

/// The names that are declared with a hash type, as in `name: HashMap<..>` or `name =
/// HashMap::new()`.
fn declared(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in TYPES.iter().flat_map(|kind| code.match_indices(kind)) {
        let before = code[..at].trim_end_matches("std::collections::");
        let punctuation = ['&', '=', ':', ' '];
        let before = before.trim_end_matches(punctuation);
        let before = before
            .trim_end_matches("&mut")
            .trim_end_matches(punctuation);
        let start = before.rfind(|c| !is_part(c)).map_or(0, |at| at + 1);
        let name = &before[start..];
        let is_keyword = ["use", "pub", "in", "impl", "for", "as"].contains(&name);
        if !name.is_empty() && !is_keyword && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    &text[..end]
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &str = "struct S {\n    places: HashMap<u64, u32>,\n}\n";

    fn found(code: &str) -> usize {
        iterations(&format!("use std::collections::HashMap;\n{DECLARED}{code}")).len()
    }

    #[test]
    fn iterations_are_found() {
        for code in [
            "self.places.iter()",
            "self\n    .places\n    .values()",
            "self.places.retain(|_, _| true)",
            "for (id, place) in &self.places {",
            "for (id, place) in &mut self.places {",
            "for (id, place) in places {",
            "let seen = HashSet::new(); for id in seen {",
            "let seen: HashSet<u64> = f(); g(seen.into_iter())",
            "fn f(seen: &mut std::collections::HashSet<u64>) { seen.drain() }",
        ] {
            assert_eq!(found(code), 1, "{code}");
        }
    }

    #[test]
    fn lookups_and_other_collections_are_not() {
        for code in [
            "self.places.get(&1)",
            "self.places.insert(1, 2)",
            "self.marketplaces.iter()",
            "self.places_in_order.iter()",
            "// self.places.iter()",
            "let ids: BTreeMap<u64, u32> = f(); ids.iter()",
            "for id in ids { self.places.remove(&id); }",
            "#[cfg(test)]\nself.places.iter()",
        ] {
            assert_eq!(found(code), 0, "{code}");
        }
    }
}
