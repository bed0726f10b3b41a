//! The arguments of a request.

use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;

/// The arguments of a request.
pub(crate) struct Args(Value);

impl Args {
    pub(crate) fn new(args: Value) -> Self {
        Self(args)
    }

    pub(crate) fn value(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// An argument that must be there.
    pub(crate) fn text(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name)
            .ok_or_else(|| Failure::invalid(format!("the argument {name:?} is missing")))
    }

    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }

    /// A number; 0 if it is missing.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.0[name].as_i64().unwrap_or(0)
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or(false)
    }

    /// A time in seconds, with a fraction.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let Some(seconds) = self.0[name].as_f64() else {
            return Ok(None);
        };
        let duration = Duration::try_from_secs_f64(seconds);
        duration
            .map(Some)
            .map_err(|_| Failure::invalid(format!("{name} is {seconds}")))
    }

    pub(crate) fn list(&self, name: &str) -> &[Value] {
        self.0[name].as_array().map_or(&[], Vec::as_slice)
    }

    /// The id of a lease, in hexadecimal; 0 if it is missing.
    pub(crate) fn lease(&self, name: &str) -> Result<i64, Failure> {
        let text = match &self.0[name] {
            Value::Null => return Ok(0),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        i64::from_str_radix(&text, 16)
            .map_err(|_| Failure::invalid(format!("{text:?} is not a lease")))
    }
}
