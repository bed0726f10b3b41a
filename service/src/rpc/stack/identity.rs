//! Finds the proof of identity that comes with a call.

use http::Request;

use super::map::MapRequest;
use crate::rpc::credential::Credential;

/// Puts the [`Credential`] of a call into the extensions of its request, if the call has one. It is
/// not checked here: while authentication is disabled any will do, and for some methods always.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity;

impl<B> MapRequest<B> for Identity {
    type Body = B;

    fn map(&self, mut request: Request<B>) -> Request<B> {
        if let Some(credential) = Credential::of(request.headers(), request.extensions()) {
            request.extensions_mut().insert(credential);
        }
        request
    }
}
