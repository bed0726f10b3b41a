//! Identifies the callers of calls that a layer refuses before a handler has judged them.

use std::sync::Arc;

use http::Extensions;

use crate::audit::Note;
use crate::rpc::authenticator::Authenticator;
use crate::rpc::credential::Credential;
use conclave_core::handle::Handle;

/// Identifies callers.
pub(super) struct Callers {
    pub(super) handle: Handle,
    pub(super) authenticator: Arc<Authenticator>,
}

impl Callers {
    /// Returns the credential of a caller, if there are users.
    pub(super) fn credential<'e>(&self, extensions: &'e Extensions) -> Option<&'e Credential> {
        let has_users = self.handle.reader().auth_mark().is_enabled();
        has_users.then(|| extensions.get()).flatten()
    }

    /// Returns the user that a credential stands for, if it is a good one.
    pub(super) fn user_of(&self, credential: &Credential) -> Option<Arc<str>> {
        let identified = credential.identify(&self.handle, &self.authenticator);
        identified.ok().map(|caller| caller.user)
    }

    /// Notes who made a call that no handler judges, for the audit log.
    pub(super) fn note(&self, note: &Note, credential: &Credential) {
        let proof = credential.proof(&self.authenticator);
        note.identify(proof, self.user_of(credential));
    }
}
