//! The import graph of the top-level modules of a crate, read from its source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The module of items that are in the crate's root file.
const ROOT: &str = "lib";

/// Which top-level modules each one imports, with the file and line of one import.
pub(crate) type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// Reads the imports of a crate from the files in its `src` folder, tests left out.
pub(crate) fn imports(src: &Path, files: &[PathBuf]) -> Imports {
    let module_of = |path: &Path| {
        let inside = path.strip_prefix(src).expect("it is one of the crate's");
        let first = inside.iter().next().expect("a file").to_string_lossy();
        first.strip_suffix(".rs").unwrap_or(&first).to_owned()
    };
    let is_test = |path: &Path| {
        path.iter()
            .any(|part| part.to_string_lossy().contains("test"))
    };
    let files: Vec<_> = files.iter().filter(|path| !is_test(path)).collect();
    let modules: BTreeSet<String> = files.iter().map(|path| module_of(path)).collect();
    let mut graph = Imports::new();
    for path in files {
        let from = module_of(path);
        if from == ROOT || from == "main" {
            continue;
        }
        let text = fs::read_to_string(path).expect("a source file");
        let is_top = path.parent() == Some(src);
        for (line, name) in names(&text, is_top) {
            let to = if modules.contains(&name) {
                name
            } else {
                ROOT.to_owned()
            };
            if to != from {
                let place = format!("{}:{line}", path.display());
                graph
                    .entry(from.clone())
                    .or_default()
                    .entry(to)
                    .or_insert(place);
            }
        }
    }
    graph
}

/// The names that follow `crate::`, and `super::` in a top-level module, outside comments and
/// tests.
fn names(text: &str, is_top: bool) -> Vec<(usize, String)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        let mut roots = vec!["crate::"];
        if is_top {
            roots.push("super::");
        }
        for root in roots {
            for (at, _) in line.match_indices(root) {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '(') {
                    continue;
                }
                let rest = &line[at + root.len()..];
                let list = rest.strip_prefix('{').map(|rest| rest.split('}').next());
                match list {
                    // Lists of top-level modules are on one line here.
                    Some(list) => {
                        let list = list.unwrap_or_default().split(',');
                        found.extend(list.map(|item| (index + 1, identifier(item.trim()))));
                    }
                    None => found.push((index + 1, identifier(rest))),
                }
            }
        }
    }
    found
}

fn identifier(text: &str) -> String {
    let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
    text.chars().take_while(is_part).collect()
}

/// The imports that are part of a cycle.
pub(crate) fn in_cycles(graph: &Imports) -> Vec<String> {
    let mut found = Vec::new();
    for (from, imported) in graph {
        for (to, place) in imported {
            if reaches(graph, to, from) {
                found.push(format!(
                    "{from} imports {to} ({place}), which leads back to {from}"
                ));
            }
        }
    }
    found
}

fn reaches(graph: &Imports, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut left = vec![from];
    while let Some(module) = left.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            left.extend(
                graph
                    .get(module)
                    .into_iter()
                    .flat_map(BTreeMap::keys)
                    .map(String::as_str),
            );
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_imported() {
        let text = "use crate::a::B;\nuse crate::{c, d::E};\n// crate::f\nlet g = crate::g::h();\n";
        let found: Vec<_> = names(text, false)
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(found, ["a", "c", "d", "g"]);
    }

    #[test]
    fn a_cycle_is_found_and_a_diamond_is_none() {
        let graph = |arrows: &[(&str, &str)]| {
            let mut graph = Imports::new();
            for (from, to) in arrows {
                let to = (*to).to_owned();
                graph
                    .entry((*from).to_owned())
                    .or_default()
                    .insert(to, String::new());
            }
            graph
        };
        let diamond = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")];
        assert!(in_cycles(&graph(&diamond)).is_empty());
        let cycle = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")];
        assert_eq!(in_cycles(&graph(&cycle)).len(), 3);
    }
}
