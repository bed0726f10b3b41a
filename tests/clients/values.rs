//! Values of a scenario: variables, arguments as JSON, and results that are compared with them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::operations::Kind;
use crate::script::{Field, Relation, Test};

/// The variables of a running scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(BTreeMap<String, Value>);

impl Variables {
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The turn of the innermost loop, which an inner loop replaces while it runs.
    pub(crate) fn turn(&self) -> Option<Value> {
        self.0.get("n").cloned()
    }

    pub(crate) fn set_turn(&mut self, turn: Option<Value>) {
        match turn {
            Some(turn) => self.set("n", turn),
            None => drop(self.0.remove("n")),
        }
    }

    /// Replaces every `$name`.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let length = part.find(|c| !is_word(c)).unwrap_or(part.len());
            let (name, rest) = part.split_at(length);
            filled.push_str(&self.0.get(name).map_or_else(String::new, shown));
            filled.push_str(rest);
        }
        filled
    }

    /// An argument as JSON.
    pub(crate) fn argument(&self, kind: Kind, text: &str) -> Result<Value, String> {
        let text = self.fill(text);
        let json = |text: &str| -> Result<Value, String> {
            serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))
        };
        match kind {
            Kind::Text | Kind::Endpoints => Ok(text.into()),
            Kind::Number | Kind::Flag | Kind::Json => json(&text),
        }
    }

    /// The value of `$a + 1` or `$n * 2`. A text by itself is its own value.
    pub(crate) fn sum(&self, words: &[String]) -> Value {
        let filled: Vec<_> = words.iter().map(|word| self.fill(word)).collect();
        if let [word] = &filled[..] {
            return serde_json::from_str(word).unwrap_or_else(|_| word.clone().into());
        }
        let number = |word: &String| word.parse::<f64>().unwrap_or(f64::NAN);
        let (mut sum, mut sign) = (0.0, 1.0);
        // Signs between terms, and in a term numbers with `*` between.
        for term in filled.chunk_by(|one, next| !is_sign(one) && !is_sign(next)) {
            match term {
                [sign_of_next] if is_sign(sign_of_next) => {
                    sign = if sign_of_next == "-" { -1.0 } else { 1.0 };
                }
                factors => {
                    let factors = factors.iter().filter(|word| *word != "*");
                    sum += sign * factors.map(number).product::<f64>();
                }
            }
        }
        match sum.fract() == 0.0 {
            true => (sum as i64).into(),
            false => sum.into(),
        }
    }

    /// Compares a part of a result, or remembers it.
    pub(crate) fn check(&mut self, field: &Field, result: &Value) -> Result<(), String> {
        let found = find(&field.path, result);
        match &field.test {
            Test::Into(name) if found.is_null() => {
                Err(format!("there is no `{}` for `{name}`", field.path))
            }
            Test::Into(name) => {
                self.set(name, found);
                Ok(())
            }
            Test::Is(relation, expected) => {
                let expected = self.fill(expected);
                match compares(&found, *relation, &expected) {
                    true => Ok(()),
                    false => Err(format!("`{}` is {found}, not {expected}", field.path)),
                }
            }
        }
    }
}

fn is_sign(word: &str) -> bool {
    word == "+" || word == "-"
}

/// A value as the text that stands for it in a scenario.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A part of a result; null if it does not exist.
fn find(path: &str, result: &Value) -> Value {
    let mut found = result.clone();
    for part in path.split('.') {
        found = match (&found, part) {
            (Value::Array(items), "size") => items.len().into(),
            (Value::Object(items), "size") if !items.contains_key("size") => items.len().into(),
            (Value::Array(items), part) => {
                let index: Option<usize> = part.parse().ok();
                let item = index.and_then(|index| items.get(index));
                item.cloned().unwrap_or_default()
            }
            (Value::Object(items), part) => items.get(part).cloned().unwrap_or_default(),
            _ => Value::Null,
        };
    }
    found
}

pub(crate) fn compares(found: &Value, relation: Relation, expected: &str) -> bool {
    let numbers = shown(found).parse::<f64>().ok().zip(expected.parse().ok());
    let order = numbers.and_then(|(found, expected)| found.partial_cmp(&expected));
    match relation {
        Relation::Equal => is_equal(found, expected),
        Relation::NotEqual => !is_equal(found, expected),
        Relation::Less => order.is_some_and(|order| order.is_lt()),
        Relation::AtMost => order.is_some_and(|order| order.is_le()),
        Relation::Greater => order.is_some_and(|order| order.is_gt()),
        Relation::AtLeast => order.is_some_and(|order| order.is_ge()),
        Relation::Contains => match found {
            Value::Array(items) => items.iter().any(|item| is_equal(item, expected)),
            other => shown(other).contains(expected),
        },
    }
}

fn is_equal(found: &Value, expected: &str) -> bool {
    match found {
        Value::String(text) => text == expected,
        // A language may write a whole number with a fraction of 0.
        Value::Number(number) => number.as_f64() == expected.parse().ok(),
        other => serde_json::from_str(expected).is_ok_and(|expected: Value| *other == expected),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is(path: &str, relation: Relation, expected: &str) -> Field {
        let test = Test::Is(relation, expected.to_owned());
        Field {
            path: path.to_owned(),
            test,
        }
    }

    #[test]
    fn parts_of_a_result_are_found_by_their_path() {
        let result = json!({"kvs": [{"key": "a"}, {"key": "b"}], "found": true, "revision": 7});
        let mut variables = Variables::default();
        for (path, relation, expected) in [
            ("kvs.size", Relation::Equal, "2"),
            ("kvs.1.key", Relation::Equal, "b"),
            ("kvs.2.key", Relation::Equal, "null"),
            ("found", Relation::Equal, "true"),
            ("revision", Relation::Greater, "6.5"),
            ("revision", Relation::AtMost, "7"),
            ("kvs.0", Relation::Equal, r#"{"key":"a"}"#),
            ("kvs.0.key", Relation::NotEqual, "b"),
        ] {
            let field = is(path, relation, expected);
            assert_eq!(variables.check(&field, &result), Ok(()), "{path}");
        }
        let missing = is("lease", Relation::Equal, "1");
        let error = "`lease` is null, not 1".to_owned();
        assert_eq!(variables.check(&missing, &result), Err(error));
    }

    #[test]
    fn a_variable_takes_a_value_and_is_filled_in() {
        let mut variables = Variables::default();
        let (path, test) = ("token".to_owned(), Test::Into("first".to_owned()));
        let into = Field { path, test };
        assert_eq!(variables.check(&into, &json!({"token": 12})), Ok(()));
        assert_eq!(variables.fill("a/$first/b$first"), "a/12/b12");
        let words = ["$first", "+", "3", "-", "5"].map(str::to_owned);
        assert_eq!(variables.sum(&words), json!(10));
        let words = ["$first", "*", "3", "-", "5", "*", "2"].map(str::to_owned);
        assert_eq!(variables.sum(&words), json!(26));
        let error = Err("there is no `token` for `first`".to_owned());
        assert_eq!(variables.check(&into, &json!({})), error);
    }

    #[test]
    fn lists_and_texts_contain() {
        assert!(compares(&json!(["a", "b"]), Relation::Contains, "b"));
        assert!(!compares(&json!(["ab"]), Relation::Contains, "b"));
        assert!(compares(&json!("revoke it"), Relation::Contains, "voke"));
    }
}
