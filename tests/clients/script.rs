//! A scenario as data. `clients/conformance/README.md` describes the language; [`parse`] reads it.

mod names;
mod parse;
mod words;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use parse::{KINDS, parse};

use crate::operations::Operation;

/// The subject's name that stands for the driver's own connections.
pub(crate) const DRIVER: &str = "driver";

/// A scenario.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) members: usize,
    pub(crate) subjects: Vec<String>,
    /// The subjects speak different languages, as many as there are.
    pub(crate) is_mixed: bool,
    /// It shows what only Conclave's members do.
    pub(crate) only_conclave: bool,
    /// Clients connect by TLS.
    pub(crate) tls: bool,
    /// Members ask clients that connect by TLS for a certificate.
    pub(crate) certificates: bool,
    /// Members listen on Unix sockets, too.
    pub(crate) unix: bool,
    /// Members know users; `root` has the password `secret`.
    pub(crate) users: bool,
    /// The rules of `clients/README.md` that the first comment names.
    pub(crate) rules: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

impl Script {
    /// Returns true if a step breaks links between members.
    pub(crate) fn breaks_members(&self) -> bool {
        self.steps.iter().any(Step::breaks_members)
    }
}

impl Step {
    fn breaks_members(&self) -> bool {
        match &self.action {
            Action::Link(fault, link) => *fault != Fault::Heal && link.is_between_members(),
            Action::Repeat(_, steps) => steps.iter().any(Self::breaks_members),
            _ => false,
        }
    }
}

impl Link {
    pub(crate) fn is_between_members(&self) -> bool {
        self.from.is_member() && self.to.is_member()
    }
}

impl Target {
    pub(crate) fn is_member(&self) -> bool {
        matches!(self, Self::Member(_) | Self::Members)
    }
}

/// A step and its line.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) action: Action,
}

/// The action of a step.
#[derive(Debug)]
pub(crate) enum Action {
    Call(Call),
    /// The same call again and again, in turn; each must have the expected outcome.
    Loop(Loop),
    /// A call or a loop in the background.
    Start(String, Loop),
    /// The background call or loop has not ended.
    Pending(String),
    /// So many calls of the background loop have succeeded.
    Reaches(String, String),
    /// The background call or loop ends so.
    Finish(String, Expected),
    /// Ends an endless loop after its present call.
    Stop(String, Expected),
    /// Cancels the request of a background call.
    Cancel(String),
    /// Repeats the call until its outcome is as expected.
    Until(Call),
    /// An event of a handle.
    Event(Event),
    /// No event of a handle comes for so long.
    Quiet(String, String, Duration),
    /// Two sums compare so.
    Check(Vec<String>, Relation, Vec<String>),
    /// Gives a value a name.
    Let(String, Vec<String>),
    Process(Verb, Target),
    Link(Fault, Link),
    /// Moves the leadership to a member.
    Lead(String),
    /// Writes another certificate over each member's.
    Renew,
    Repeat(u64, Vec<Step>),
}

/// A request to a subject or to the driver.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) subject: String,
    pub(crate) operation: &'static Operation,
    pub(crate) arguments: Vec<(String, String)>,
    pub(crate) expected: Expected,
}

/// A call and how often it is made.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) times: Times,
    pub(crate) call: Call,
}

/// The repetition of a background call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Once,
    Exactly(u64),
    UntilStopped,
}

/// One of these outcomes, in this time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) within: Option<Duration>,
    pub(crate) not_before: Option<Duration>,
}

/// An outcome of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Ok(Vec<Field>),
    /// The kind, the name in the table of errors, and fields of the error.
    Error(String, Option<String>, Vec<Field>),
}

/// A part of a result, and what it must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Names separated by dots, numbers for elements of a list, `size` for a number of elements.
    pub(crate) path: String,
    pub(crate) test: Test,
}

/// An expectation of a part of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Is(Relation, String),
    /// Anything; it becomes the value of this variable.
    Into(String),
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Contains,
}

/// An event that a handle reports.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) subject: String,
    pub(crate) handle: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) within: Option<Duration>,
    /// Events before it may be others.
    pub(crate) is_later: bool,
}

/// A fault of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Kill,
    Restart,
    Pause,
    Resume,
}

/// One end of a link, or a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Subject(String),
    Subjects,
    /// A number, `leader`, `follower`, or a variable.
    Member(String),
    Members,
}

/// A fault of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut,
    Hold,
    Heal,
}

/// The connections between two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) from: Target,
    pub(crate) to: Target,
    /// Bytes from the second end to the first are meant, too.
    pub(crate) both_ways: bool,
}
