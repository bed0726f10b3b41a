//! Checks that a certificate belongs to the machine that a connection comes from.
//!
//! etcd's rule (its `checkCertSAN`): a certificate that names addresses or hosts is accepted only
//! from one of them. Host names are resolved. A wildcard cannot be resolved in this direction. etcd
//! resolves the address to a name instead, but the owner of the address chooses that name, so we do
//! not.

use std::io;
use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use super::TlsFlags;

/// Limit of host names resolved for one connection.
const HOSTS_MAX: usize = 16;

/// Checks a certificate that has been verified. A certificate without names is accepted from any
/// address.
pub(super) async fn check(
    certificate: &CertificateDer<'_>,
    remote: IpAddr,
    flags: &TlsFlags,
) -> io::Result<()> {
    let remote = remote.to_canonical();
    let refuse = |names: &[String]| {
        let text = format!(
            "the certificate is for {}, and the connection comes from {remote}: see \
             --{}",
            names.join(", "),
            flags.skip_client_san_verification.unwrap_or_default(),
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    };
    let (named, hosts) = {
        let end_entity = EndEntityCert::try_from(certificate).map_err(io::Error::other)?;
        let address = ServerName::IpAddress(remote.into());
        let named = match end_entity.verify_is_valid_for_subject_name(&address) {
            Ok(()) => return Ok(()),
            Err(webpki::Error::CertNotValidForName(context)) => context.presented,
            Err(error) => return Err(io::Error::other(error)),
        };
        let hosts = end_entity
            .valid_dns_names()
            .filter(|host| !host.contains('*'));
        let hosts: Vec<String> = hosts.take(HOSTS_MAX).map(str::to_owned).collect();
        (named, hosts)
    };
    if named.is_empty() {
        return Ok(());
    }
    for host in hosts {
        // A connection cannot come from a host that does not resolve.
        let Ok(mut addresses) = tokio::net::lookup_host((host, 0)).await else {
            continue;
        };
        if addresses.any(|address| address.ip().to_canonical() == remote) {
            return Ok(());
        }
    }
    refuse(&named)
}
