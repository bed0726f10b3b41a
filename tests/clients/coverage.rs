//! Checks of the scenarios as a whole: all are listed, can be read, and name rules that exist;
//! every rule of the contract has a scenario or a reason not to have one.

use std::collections::BTreeSet;

use crate::{LISTED, languages, read};

/// Rules that no scenario shows, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "C4",
        "the examples read their endpoints so; each language tests the others",
    ),
    ("R6", "each language tests its own threads and callbacks"),
    ("W5", "each language tests its own buffers"),
    ("S7", "a default, which a scenario would have to wait for"),
];

/// The rules of the contract.
fn rules() -> BTreeSet<String> {
    let contract = include_str!("../../clients/README.md");
    let bold = contract.split("**").skip(1).step_by(2);
    // A row of the list of recipes begins with the number, too.
    let first = bold.filter_map(|text| text.split(['.', ' ']).next());
    let is_rule = |word: &&str| {
        let (letter, number) = word.split_at_checked(1).unwrap_or_default();
        "CRWSK".contains(letter) && !letter.is_empty() && number.parse::<u8>().is_ok()
    };
    first.filter(is_rule).map(str::to_owned).collect()
}

#[test]
fn every_scenario_is_listed() {
    let folder = languages::folder().join("conformance/scenarios");
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = names.map(|name| name.replace(".txt", "")).collect();
    let listed = LISTED.iter().flat_map(|names| names.iter());
    let listed: BTreeSet<_> = listed.map(|&name| name.to_owned()).collect();
    assert_eq!(files, listed);
}

#[test]
fn every_scenario_can_be_read_and_names_rules() {
    let rules = rules();
    for (names, is_mixed) in [(LISTED[0], false), (LISTED[1], true)] {
        for name in names {
            let script = read(name);
            assert_eq!(script.is_mixed, is_mixed, "{name}");
            assert!(
                !script.rules.is_empty(),
                "{name} does not say which rules it shows"
            );
            for rule in script.rules {
                assert!(
                    rules.contains(&rule),
                    "{name} names {rule}, which is no rule"
                );
            }
        }
    }
}

#[test]
fn every_rule_has_a_scenario() {
    let names = LISTED.iter().flat_map(|names| names.iter());
    let shown: BTreeSet<_> = names.flat_map(|name| read(name).rules).collect();
    for rule in rules() {
        let excused = ELSEWHERE.iter().any(|(name, _)| *name == rule);
        assert!(
            shown.contains(&rule) != excused,
            "{rule}: shown or excused, not both"
        );
    }
}
