//! Options of a connection to a cluster.

use std::env;
use std::time::Duration;

use crate::Error;
use crate::login::User;
use crate::tls::Security;
#[cfg(feature = "tls")]
use crate::tls::TlsFiles;

/// The deadline of a call for which nothing else is said.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest deadline, ten years: `grpc-timeout` and the clock cannot represent every duration.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Options of a connection to a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) user: Option<User>,
    pub(crate) deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls: None,
            user: None,
            deadline: DEADLINE,
        }
    }
}

impl Options {
    /// Plain connections, without a user, and deadlines of 5 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses TLS for endpoints that begin with `https://` or `unixs://`, or have no scheme.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Logs in with this user and password.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some(User::new(name, password));
        self
    }

    /// Sets the deadline of calls for which nothing else is said. It bounds all attempts together.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(DEADLINE_MAX);
        self
    }

    /// The options and endpoints that etcdctl's environment variables say: `ETCDCTL_ENDPOINTS`,
    /// `ETCDCTL_CACERT`, `ETCDCTL_CERT`, `ETCDCTL_KEY`, `ETCDCTL_USER` (`name` or `name:password`),
    /// `ETCDCTL_PASSWORD` and `ETCDCTL_COMMAND_TIMEOUT`. Without endpoints it is
    /// `127.0.0.1:2379`, as in etcdctl.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a variable cannot be used, or if `ETCDCTL_INSECURE_SKIP_TLS_VERIFY` is
    /// true, which would defeat the purpose of TLS.
    pub fn from_env() -> Result<(Self, Vec<String>), Error> {
        Self::from_variables(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<String>), Error> {
        let get = |name: &str| variable(&format!("ETCDCTL_{name}"));
        let bad =
            |name: &str, problem: &str| Err(Error::Invalid(format!("ETCDCTL_{name} {problem}")));
        let mut options = Self::new();
        match get("INSECURE_SKIP_TLS_VERIFY").as_deref() {
            None | Some("false" | "0") => {}
            Some(_) => {
                return bad(
                    "INSECURE_SKIP_TLS_VERIFY",
                    "is not supported: set ETCDCTL_CACERT to the servers' CA",
                );
            }
        }
        match (get("CACERT"), get("CERT"), get("KEY")) {
            (None, None, None) => {}
            (None, ..) => return bad("CERT", "and ETCDCTL_KEY need ETCDCTL_CACERT"),
            #[cfg(feature = "tls")]
            (Some(ca), None, None) => options = options.tls(TlsFiles::trusting(ca)),
            #[cfg(feature = "tls")]
            (Some(ca), Some(cert), Some(key)) => {
                options = options.tls(TlsFiles::trusting(ca).presenting(cert, key));
            }
            #[cfg(feature = "tls")]
            (Some(_), ..) => return bad("CERT", "and ETCDCTL_KEY must both be set"),
            #[cfg(not(feature = "tls"))]
            (Some(_), ..) => return bad("CACERT", "needs the crate's feature `tls`"),
        }
        if let Some(user) = get("USER") {
            let (name, password) = match (user.split_once(':'), get("PASSWORD")) {
                (Some(_), Some(_)) => return bad("PASSWORD", "is set, and ETCDCTL_USER has one"),
                (Some((name, password)), None) => (name.to_owned(), password.to_owned()),
                (None, Some(password)) => (user, password),
                (None, None) => return bad("USER", "needs ETCDCTL_PASSWORD"),
            };
            options = options.user(name, password);
        }
        if let Some(timeout) = get("COMMAND_TIMEOUT") {
            match duration(&timeout) {
                Some(deadline) => options = options.deadline(deadline),
                None => return bad("COMMAND_TIMEOUT", "is not a duration such as 5s or 500ms"),
            }
        }
        let endpoints = get("ENDPOINTS").unwrap_or_else(|| "127.0.0.1:2379".to_owned());
        let endpoints = endpoints.split(',').map(|one| one.trim().to_owned());
        Ok((options, endpoints.collect()))
    }

    #[cfg(feature = "tls")]
    pub(crate) fn security(&self) -> Result<Security, Error> {
        self.tls
            .clone()
            .map_or_else(|| Ok(Security::default()), Security::open)
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn security(&self) -> Result<Security, Error> {
        Ok(Security::default())
    }
}

/// Reads a positive duration as Go prints it: `1m30s`, `500ms`, `2.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += Duration::try_from_secs_f64(number * unit).ok()?;
        rest = &rest[end..];
    }
    Some(sum).filter(|sum| !sum.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<(Options, Vec<String>), Error> {
        Options::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_variables_of_etcdctl_are_read() {
        let (options, endpoints) = read(&[
            ("ETCDCTL_ENDPOINTS", "http://a:1, b:2"),
            ("ETCDCTL_USER", "alice:secret:with colon"),
            ("ETCDCTL_COMMAND_TIMEOUT", "1m500ms"),
        ])
        .unwrap();
        assert_eq!(endpoints, ["http://a:1", "b:2"]);
        assert_eq!(options.deadline, Duration::from_millis(60_500));
        assert!(options.user.is_some());
        let (options, endpoints) = read(&[]).unwrap();
        assert_eq!(endpoints, ["127.0.0.1:2379"]);
        assert_eq!(options.deadline, DEADLINE);
    }

    #[test]
    fn variables_that_cannot_be_used_are_named() {
        for (variables, named) in [
            (
                &[("ETCDCTL_COMMAND_TIMEOUT", "soon")][..],
                "COMMAND_TIMEOUT",
            ),
            (&[("ETCDCTL_COMMAND_TIMEOUT", "0s")], "COMMAND_TIMEOUT"),
            // Seconds or milliseconds?
            (&[("ETCDCTL_COMMAND_TIMEOUT", "5")], "COMMAND_TIMEOUT"),
            (&[("ETCDCTL_USER", "alice")], "PASSWORD"),
            (&[("ETCDCTL_CERT", "a.pem")], "CACERT"),
            (
                &[("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "true")],
                "INSECURE_SKIP_TLS_VERIFY",
            ),
        ] {
            let error = read(variables).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
