//! Where an endpoint is, read from the forms of rule C1.

use std::path::PathBuf;

use http::uri::Authority;

use crate::Error;

/// An endpoint in the form in which it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) is_secure: bool,
    /// The `:authority` of requests: host and port, or `localhost` for a Unix socket.
    pub(crate) authority: Authority,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Target {
    /// Reads an endpoint. One without a scheme is secure if the client has TLS files.
    ///
    /// # Errors
    /// [`Error::Endpoint`], which names the endpoint and what is wrong with it.
    pub(crate) fn parse(text: &str, has_tls: bool) -> Result<Self, Error> {
        let bad = |problem: &str| Error::Endpoint(format!("{text:?} {problem}"));
        let trimmed = text.trim();
        let (scheme, rest) = match trimmed.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None if has_tls => ("https".to_owned(), trimmed),
            None => ("http".to_owned(), trimmed),
        };
        let is_secure = match scheme.as_str() {
            "http" | "unix" => false,
            "https" | "unixs" => true,
            _ => {
                return Err(bad(
                    "is not http://host:port, https://host:port, unix:///path, unixs:///path or \
                     host:port",
                ));
            }
        };
        if is_secure && !has_tls {
            return Err(bad("needs the CA to trust: see Options::tls"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if scheme.starts_with("unix") {
            if !rest.starts_with('/') {
                return Err(bad("needs the absolute path of a socket: unix:///path"));
            }
            return Ok(Self {
                address: Address::Unix(rest.into()),
                is_secure,
                authority: Authority::from_static("localhost"),
            });
        }
        let authority: Authority = rest
            .parse()
            .map_err(|_| bad("is not of the form host:port"))?;
        let port = authority
            .port_u16()
            .filter(|&port| port > 0)
            .ok_or_else(|| bad("has no port: write host:port"))?;
        // The brackets around an IPv6 address are the URL's.
        let host = authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || rest.contains('@') {
            return Err(bad("is not of the form host:port"));
        }
        let host = host.to_owned();
        Ok(Self {
            address: Address::Tcp { host, port },
            is_secure,
            authority,
        })
    }

    /// The host that the server's certificate must be for.
    #[cfg(feature = "tls")]
    pub(crate) fn host(&self) -> &str {
        match &self.address {
            Address::Tcp { host, .. } => host,
            Address::Unix(_) => "localhost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address::Tcp { host, port }
    }

    #[test]
    fn all_forms_are_read() {
        for (text, has_tls, address, is_secure) in [
            ("http://10.0.0.1:2379", false, tcp("10.0.0.1", 2379), false),
            (
                " HTTP://10.0.0.1:2379/ ",
                true,
                tcp("10.0.0.1", 2379),
                false,
            ),
            ("https://a.example:1", true, tcp("a.example", 1), true),
            ("http://[::1]:2379", false, tcp("::1", 2379), false),
            ("a.example:2379", false, tcp("a.example", 2379), false),
            ("a.example:2379", true, tcp("a.example", 2379), true),
            (
                "unix:///run/c.sock",
                false,
                Address::Unix("/run/c.sock".into()),
                false,
            ),
            (
                "unixs:///run/c.sock/",
                true,
                Address::Unix("/run/c.sock".into()),
                true,
            ),
        ] {
            let target = Target::parse(text, has_tls).unwrap();
            assert_eq!(
                (target.address, target.is_secure),
                (address, is_secure),
                "{text}"
            );
        }
    }

    #[test]
    fn other_forms_are_errors_that_name_the_endpoint() {
        for text in [
            "",
            "10.0.0.1",
            "http://10.0.0.1",
            "http://:2379",
            "http://10.0.0.1:0",
            "http://10.0.0.1:99999",
            "http://10.0.0.1:2379/path",
            "http://user@10.0.0.1:2379",
            "htp://10.0.0.1:2379",
            "unix://relative",
            "unix:///",
            "   ",
            "https://10.0.0.1:2379",
            "http://a b:2379",
        ] {
            let error = Target::parse(text, false).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
        }
    }
}
