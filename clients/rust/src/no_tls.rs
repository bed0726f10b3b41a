//! Without the feature `tls`, connections are plain.

use std::sync::Arc;

use tower::BoxError;

use crate::Error;
use crate::endpoint::Target;
use crate::stream::Stream;

/// Stands for the TLS files of a client, which cannot exist.
#[derive(Debug, Default)]
pub(crate) struct Security(());

impl Security {
    pub(crate) fn is_configured(&self) -> bool {
        false
    }

    pub(crate) fn check(&self, _: &Target) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) async fn secure(
        self: &Arc<Self>,
        _: &Target,
        _: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, BoxError> {
        Err("the client is built without the feature `tls`".into())
    }
}
