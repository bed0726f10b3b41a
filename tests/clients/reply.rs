//! Replies of a subject: rules for every error, and comparison with the expected outcome.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;
use crate::script::{Expected, KINDS, Outcome};
use crate::subject::Reply;
use crate::values::Variables;

/// Kinds of errors after which a call has certainly not happened (R4). `closed` and `cancelled` are
/// none of them: a write may have been sent.
const DID_NOTHING: &[&str] = &[
    "unavailable",
    "deadline",
    "session_lost",
    "compacted",
    "invalid",
    "login",
];

/// The table of the API's errors: name, `retry` and `maybe`.
static TABLE: LazyLock<Vec<[&str; 3]>> = LazyLock::new(|| {
    let rows = include_str!("../../proto/errors.tsv").lines().skip(1);
    let row = |line: &'static str| {
        let cells: Vec<_> = line.split('\t').collect();
        [cells[0], cells[3], cells[4]]
    };
    rows.map(row).collect()
});

/// Checks what every error must have, whatever the scenario (R4).
pub(crate) fn expect_sound(reply: &Reply) -> Result<(), Failure> {
    let Err(error) = reply else { return Ok(()) };
    let wrong = |what: &str| Err(Failure::new(format!("{what} (R4): {error}")));
    let kind = error["kind"].as_str().unwrap_or_default();
    if kind == "unsupported" {
        return wrong("MISSING: the subject does not support the operation");
    }
    if !KINDS.contains(&kind) {
        return wrong("an error of an unknown kind");
    }
    if error["text"].as_str().unwrap_or_default().is_empty() {
        return wrong("an error without a text");
    }
    let (Some(retry), Some(maybe)) = (error["retry"].as_bool(), error["maybe"].as_bool()) else {
        return wrong("an error without `retry` or `maybe`");
    };
    if maybe && DID_NOTHING.contains(&kind) {
        return wrong("an error of this kind that may have happened");
    }
    if !maybe && kind == "maybe" {
        return wrong("a `maybe` that did not happen");
    }
    if kind == "compacted" && error["revision"].as_i64().unwrap_or_default() < 1 {
        return wrong("`compacted` without a revision");
    }
    let name = error["name"].as_str().unwrap_or_default();
    let row = TABLE.iter().find(|row| row[0] == name);
    match row {
        None if name.is_empty() => Ok(()),
        None => wrong("a name that is not in the table"),
        Some(&[_, in_table, may]) if kind == "api" => {
            match (in_table == "yes", may == "yes") == (retry, maybe) {
                true => Ok(()),
                false => wrong("`retry` or `maybe` is not as in the table"),
            }
        }
        Some(_) => Ok(()),
    }
}

/// Compares an outcome with the expected ones; the first that fits binds its variables.
pub(crate) fn judge(
    expected: &Expected,
    reply: &Reply,
    took: Duration,
    variables: &mut Variables,
) -> Result<(), Failure> {
    expect_sound(reply)?;
    if expected.within.is_some_and(|limit| took > limit) {
        return Err(Failure::new(format!("it took {took:?}: {}", shown(reply))));
    }
    if expected.not_before.is_some_and(|least| took < least) {
        return Err(Failure::new(format!(
            "it took only {took:?}: {}",
            shown(reply)
        )));
    }
    let any_ok = [Outcome::Ok(Vec::new())];
    let outcomes = match &expected.outcomes[..] {
        [] => &any_ok[..],
        outcomes => outcomes,
    };
    let mut reasons = Vec::new();
    for outcome in outcomes {
        match fits(outcome, reply, variables) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
    }
    let reasons = reasons.join("; ");
    Err(Failure::new(format!("{reasons}: {}", shown(reply))))
}

fn fits(outcome: &Outcome, reply: &Reply, variables: &mut Variables) -> Result<(), String> {
    let (fields, result) = match (outcome, reply) {
        (Outcome::Ok(fields), Ok(result)) => (fields, result),
        (Outcome::Error(kind, name, fields), Err(error)) => {
            if error["kind"] != **kind {
                return Err(format!("the error's kind is not `{kind}`"));
            }
            if name.as_ref().is_some_and(|name| error["name"] != **name) {
                return Err(format!("the error's name is not {name:?}"));
            }
            (fields, error)
        }
        (Outcome::Ok(_), Err(_)) => return Err("it failed".to_owned()),
        (Outcome::Error(kind, ..), Ok(_)) => return Err(format!("no error `{kind}`")),
    };
    let mut checked = fields.iter();
    checked.try_for_each(|field| variables.check(field, result))
}

/// A reply for a person.
pub(crate) fn shown(reply: &Reply) -> String {
    match reply {
        Ok(result) => format!("ok {result}"),
        Err(error) => format!("error {error}"),
    }
}

/// The parts of an error that the driver makes itself.
pub(crate) fn own_error(kind: &str, name: &str, text: &str) -> Value {
    serde_json::json!({
        "kind": kind, "name": name, "retry": false, "maybe": kind == "maybe", "text": text,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(kind: &str, name: &str, maybe: bool) -> Reply {
        let retry = name == "NoLeader";
        Err(json!({"kind": kind, "name": name, "retry": retry, "maybe": maybe, "text": "why"}))
    }

    #[test]
    fn every_error_is_as_the_contract_says() {
        for reply in [
            Ok(json!({})),
            error("maybe", "", true),
            error("unavailable", "", false),
            error("api", "EmptyKey", false),
            error("cancelled", "", true),
        ] {
            assert_eq!(expect_sound(&reply), Ok(()));
        }
        for reply in [
            error("strange", "", false),
            error("maybe", "", false),
            error("deadline", "", true),
            error("compacted", "", false),
            error("api", "EmptyKey", true),
            error("api", "NoSuchName", false),
            Err(json!({"kind": "api", "name": "", "text": "no flags"})),
            Err(json!({"kind": "closed", "retry": false, "maybe": false, "text": ""})),
        ] {
            assert!(expect_sound(&reply).is_err(), "{reply:?}");
        }
    }

    #[test]
    fn an_outcome_is_judged_by_its_time_and_its_parts() {
        let second = Duration::from_secs(1);
        let judged = |expected: &Expected, reply: &Reply| {
            judge(expected, reply, second, &mut Variables::default()).is_ok()
        };
        let mut expected = Expected::default();
        assert!(judged(&expected, &Ok(json!({}))));
        assert!(!judged(&expected, &error("maybe", "", true)));
        let either = ["maybe", "deadline"].map(|kind| Outcome::Error(kind.into(), None, vec![]));
        expected.outcomes = either.into();
        assert!(judged(&expected, &error("maybe", "", true)));
        assert!(!judged(&expected, &Ok(json!({}))));
        expected.within = Some(second / 2);
        assert!(!judged(&expected, &error("maybe", "", true)));
        expected.within = Some(second * 2);
        expected.not_before = Some(second * 2);
        assert!(!judged(&expected, &error("maybe", "", true)));
    }
}
