//! Spans: what a request waited for, on which member, and for how long.
//!
//! The core knows no tracing library. It passes a [`Span`] along with what it is the span of, and
//! begins others inside it; the other side of [`Recorder`] takes the times and sends them to a
//! collector. A span ends when its last clone is dropped, so a command that is refused, lost or
//! answered needs no code for it.
//!
//! # Cost
//!
//! A request that is not traced has [`Span::none`], and so has everything that is begun inside it:
//! no allocation, no clock, no atomic operation.
//!
//! # What a span says
//!
//! Names, and numbers: a length or a count of keys, a revision, a member, an index, a term. Never a
//! key, a value, a user or a token: readers of traces may have no permission to read the keys.

use std::fmt;
use std::sync::Arc;

use conclave_proto::peer::TraceContext;
use conclave_storage::MemberId;

use crate::clock::Stopwatch;

/// A span that is being recorded, on the other side of the seam. Dropping it ends it.
pub trait Recorder: fmt::Debug + Send + Sync + 'static {
    /// Begins a span inside this one, at this time if it is given and now otherwise.
    fn child(&self, name: &'static str, since: Option<Stopwatch>) -> Span;

    /// Adds an attribute, or replaces it.
    fn set(&self, attribute: &'static str, value: Value);

    /// Marks what the span is about as failed.
    fn fail(&self);

    /// Returns what another member needs to continue the trace.
    fn context(&self) -> TraceContext;
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A length, a count, a revision, an index, a term.
    Number(u64),
    /// A yes or no: whether an append was synced.
    Flag(bool),
    /// A member, in the form that operators see.
    Member(MemberId),
}

/// A span, or none. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Arc<dyn Recorder>>);

impl Span {
    /// The span of what is not traced.
    pub const fn none() -> Span {
        Span(None)
    }

    /// Makes the span of a recorder.
    pub fn of(recorder: Arc<dyn Recorder>) -> Span {
        Span(Some(recorder))
    }

    /// Returns true unless this is [`Span::none`].
    pub fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span inside this one.
    pub fn child(&self, name: &'static str) -> Span {
        self.begin(name, None)
    }

    /// Begins a span inside this one whose beginning is over already.
    pub(crate) fn child_since(&self, name: &'static str, since: Stopwatch) -> Span {
        self.begin(name, Some(since))
    }

    fn begin(&self, name: &'static str, since: Option<Stopwatch>) -> Span {
        match &self.0 {
            None => Span(None),
            Some(recorder) => recorder.child(name, since),
        }
    }

    /// Adds an attribute, or replaces it.
    pub fn set(&self, attribute: &'static str, value: impl Into<Value>) {
        if let Some(recorder) = &self.0 {
            recorder.set(attribute, value.into());
        }
    }

    /// Marks what the span is about as failed.
    pub fn fail(&self) {
        if let Some(recorder) = &self.0 {
            recorder.fail();
        }
    }

    /// Returns what another member needs to continue the trace.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|recorder| recorder.context())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Number(number as u64)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

impl From<MemberId> for Value {
    fn from(member: MemberId) -> Value {
        Value::Member(member)
    }
}
