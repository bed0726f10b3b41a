//! Finds the method of a call.

use http::Request;

use super::map::MapRequest;
use crate::method::Method;

/// Puts the [`Method`] into the extensions of a request, if its path is that of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name;

impl<B> MapRequest<B> for Name {
    type Body = B;

    fn map(&self, mut request: Request<B>) -> Request<B> {
        if let Some(method) = Method::of_path(request.uri().path()) {
            request.extensions_mut().insert(method);
        }
        request
    }
}
