//! Asks a cluster for its members, before belonging to it.
//!
//! A joining member knows only some peer URLs. It asks one after the other, and uses the first
//! answer, since the operator's flags named its URL.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::peer::{IntroduceRequest, Introduction};

use super::dial::Dialling;
use super::{MESSAGE_BYTES_MAX, reason};
use crate::config::MemberUrl;
use crate::net::tls::Tls;

/// No URL gave an answer.
#[derive(Debug, thiserror::Error)]
#[error("no member answers: {}", .attempts.join("; "))]
pub struct IntroduceError {
    /// The outcome at each URL.
    pub attempts: Vec<String>,
}

/// Asks the members at `urls` for their cluster's membership, from a local address if one is given.
/// Each attempt may take up to `timeout`.
pub async fn introduce(
    urls: &[MemberUrl],
    tls: Option<Arc<Tls>>,
    local_address: Option<IpAddr>,
    timeout: Duration,
) -> Result<Introduction, IntroduceError> {
    let dialling = Dialling::new(tls, timeout, MESSAGE_BYTES_MAX).with_local_address(local_address);
    let mut attempts = Vec::new();
    for url in urls {
        let asked = tokio::time::timeout(timeout, ask(&dialling, url)).await;
        match asked.unwrap_or_else(|_elapsed| Err(format!("no answer within {timeout:?}"))) {
            Ok(introduction) => return Ok(introduction),
            Err(reason) => attempts.push(format!("{url}: {reason}")),
        }
    }
    Err(IntroduceError { attempts })
}

async fn ask(dialling: &Dialling, url: &MemberUrl) -> Result<Introduction, String> {
    let connection = dialling
        .dial(url.as_str())
        .await
        .map_err(|error| error.to_string())?;
    let answer = connection.client().introduce(IntroduceRequest {}).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| reason(&status))
}
