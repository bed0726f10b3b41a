//! The error of a request.

use conclave_client::Error;
use serde_json::{Value, json};

/// The error of a request, in the form of the protocol.
#[derive(Debug)]
pub(crate) struct Failure(Value);

impl Failure {
    pub(crate) fn unsupported(op: &str) -> Self {
        Self::own(
            "unsupported",
            format!("there is no operation {op:?}"),
            false,
        )
    }

    pub(crate) fn invalid(text: String) -> Self {
        Self::own("invalid", text, false)
    }

    /// A call whose future was dropped. Whether it was sent is unknown, so a write may have
    /// happened.
    pub(crate) fn cancelled(op: &str) -> Self {
        let writes = [
            "put",
            "delete",
            "delete_prefix",
            "txn",
            "compact",
            "owner.put",
            "counter.add",
            "value.compare_and_set",
            "stm.transfer",
            "latch.count_down",
            "queue.put",
        ];
        Self::own("cancelled", "cancelled".into(), writes.contains(&op))
    }

    fn own(kind: &str, text: String, maybe: bool) -> Self {
        Self(json!({"kind": kind, "name": "", "retry": false, "maybe": maybe, "text": text}))
    }

    pub(crate) fn to_json(&self) -> Value {
        self.0.clone()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let name = error.api().map(|api| format!("{api:?}"));
        let mut failure = json!({
            "kind": error.kind().name(),
            "name": name.unwrap_or_default(),
            "retry": error.is_retriable(),
            "maybe": error.may_have_happened(),
            "text": error.to_string(),
        });
        if let Error::Compacted { revision } = error {
            failure["revision"] = revision.into();
        }
        Self(failure)
    }
}
