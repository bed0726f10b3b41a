//! Facts about a call while it runs.
//!
//! The layer around the services makes a note when a call begins and ends it with the status that
//! the client gets. In between, what judges the request and what works on it add what they know.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Audit, Content, Facts, Origin, Outcome, Proof};
use crate::method::Method;

/// The facts about a running call, or about a stream and its last message.
pub(crate) struct Note {
    audit: Arc<Audit>,
    facts: Mutex<Facts>,
}

impl Note {
    /// A call that begins.
    pub(crate) fn new(audit: &Arc<Audit>, method: Method, origin: Origin) -> Note {
        Note {
            audit: Arc::clone(audit),
            facts: Mutex::new(Facts::new(method, origin)),
        }
    }

    /// Describes the request, or the next message of a stream.
    pub(crate) fn describe(&self, describe: impl FnOnce(&mut Content)) {
        let mut facts = self.facts.lock();
        *facts = Facts::new(facts.method, facts.origin.clone());
        describe(&mut facts.content);
    }

    /// Adds how the caller proves who it is, and the user, once that is known.
    pub(crate) fn identify(&self, proof: Proof, user: Option<Arc<str>>) {
        let mut facts = self.facts.lock();
        facts.proof = proof;
        facts.user = user;
    }

    /// True if the proof of the caller has been judged.
    pub(crate) fn is_judged(&self) -> bool {
        self.facts.lock().proof != Proof::None
    }

    /// Adds what a reply says.
    pub(crate) fn add(&self, add: impl FnOnce(&mut Facts)) {
        add(&mut self.facts.lock());
    }

    /// Records the call, or the last message, as it ended.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.audit.record(&self.facts.lock(), outcome);
    }

    /// Records the call if it was refused after it had been recorded as begun.
    pub(crate) fn end_if_refused(&self, outcome: Outcome) {
        if outcome.is_refusal() {
            self.end(outcome);
        }
    }
}
