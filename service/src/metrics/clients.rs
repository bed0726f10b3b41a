//! Counters of requests by the API version that clients report.
//!
//! The version is free text from the client, so clients could create any number of series. Only the
//! first versions get series of their own.

use parking_lot::RwLock;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts};

use crate::method::Shape;

/// Maximum number of versions with series of their own; all others share one. etcd has had ten.
const VERSIONS_MAX: usize = 32;
/// Maximum length of a version in bytes; a longer text is not a version.
const VERSION_BYTES_MAX: usize = 32;
/// Label of clients that send no version: etcd's word.
const UNKNOWN: &str = "unknown";
/// Label of versions above [`VERSIONS_MAX`].
const OTHER: &str = "other";

pub(crate) struct Clients {
    family: IntCounterVec,
    /// Most clients of a cluster have the same version, so a list is faster than a map.
    known: RwLock<Vec<OfVersion>>,
}

struct OfVersion {
    version: Box<str>,
    unary: IntCounter,
    stream: IntCounter,
}

impl OfVersion {
    fn count(&self, shape: Shape) {
        match shape {
            Shape::Unary => self.unary.inc(),
            Shape::ServerStream | Shape::BidiStream => self.stream.inc(),
        }
    }
}

impl Clients {
    pub(super) fn new() -> prometheus::Result<(Clients, Vec<Box<dyn Collector>>)> {
        let family = IntCounterVec::new(
            Opts::new(
                "etcd_server_client_requests_total",
                "Requests by the API version that clients send with them.",
            ),
            &["type", "client_api_version"],
        )?;
        let collectors: Vec<Box<dyn Collector>> = vec![Box::new(family.clone())];
        let clients = Clients {
            family,
            known: RwLock::default(),
        };
        Ok((clients, collectors))
    }

    /// Counts a request of a client with this version, if the client sent one.
    pub(crate) fn count(&self, version: Option<&str>, shape: Shape) {
        let version = match version {
            None => UNKNOWN,
            Some(version) if version.len() > VERSION_BYTES_MAX => OTHER,
            Some(version) => version,
        };
        let known = self.known.read();
        if let Some(of_version) = known.iter().find(|known| &*known.version == version) {
            return of_version.count(shape);
        }
        drop(known);
        self.count_first(version, shape);
    }

    fn count_first(&self, version: &str, shape: Shape) {
        let mut known = self.known.write();
        let version = if known.len() < VERSIONS_MAX {
            version
        } else {
            OTHER
        };
        // Another thread may have added the version first; and the shared series exists from its
        // second version on.
        let position = known.iter().position(|known| &*known.version == version);
        let position = position.unwrap_or_else(|| {
            let series = |kind| self.family.with_label_values(&[kind, version]);
            known.push(OfVersion {
                version: version.into(),
                unary: series("unary"),
                stream: series("stream"),
            });
            known.len() - 1
        });
        known[position].count(shape);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_up_to_a_bound() {
        let (clients, _) = Clients::new().expect("a valid name");
        let count = |version: &str| {
            let series = |kind| clients.family.with_label_values(&[kind, version]).get();
            (series("unary"), series("stream"))
        };
        clients.count(Some("3.7"), Shape::Unary);
        clients.count(Some("3.7"), Shape::Unary);
        clients.count(Some("3.7"), Shape::BidiStream);
        clients.count(None, Shape::ServerStream);
        assert_eq!(count("3.7"), (2, 1));
        assert_eq!(count(UNKNOWN), (0, 1));
        for number in 0..1_000 {
            clients.count(Some(&format!("a{number}")), Shape::Unary);
        }
        clients.count(Some(&"x".repeat(1_000)), Shape::Unary);
        clients.count(Some("3.7"), Shape::Unary);
        let series = clients.known.read().len();
        assert_eq!(series, VERSIONS_MAX + 1);
        assert_eq!(count(OTHER).0, 1_001 - (VERSIONS_MAX as u64 - 2));
        assert_eq!(count("3.7").0, 3);
    }
}
