//! URLs that a member listens on and advertises, and the members of an initial cluster.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The reason for refusing a Unix socket as a peer URL, which etcd allows.
pub(super) const ONLY_CLIENTS: &str =
    "Unix sockets are for clients; give members http:// or https:// URLs";

/// `http://host:port`, `https://host:port`, `unix://path` or `unixs://path`, as given. Ordered and
/// compared by text, as in etcd.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberUrl {
    text: String,
    host: String,
    port: u16,
    /// Path of a Unix socket; without host and port then.
    socket: Option<PathBuf>,
}

/// One member of an initial cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    /// The name that the member starts with.
    pub name: String,
    /// Peer URLs. Sorted, never empty.
    pub peer_urls: Vec<MemberUrl>,
}

impl MemberUrl {
    /// Parses one URL. The error says what is wrong.
    pub fn parse(text: &str) -> Result<MemberUrl, String> {
        let text = text.trim();
        if text.contains(|c: char| c.is_control()) {
            return Err("it has a control character".to_owned());
        }
        // One slash: the URL has no host, and the path is the same as with three slashes.
        if let Some((scheme @ ("unix" | "unixs"), path)) = text.split_once(":/")
            && !path.starts_with('/')
        {
            return MemberUrl::parse(&format!("{scheme}:///{path}"));
        }
        let authority = match text.split_once("://") {
            Some(("http" | "https", authority)) => authority,
            Some(("unix" | "unixs", path)) => return MemberUrl::of_socket(text, path),
            Some((scheme, _)) => return Err(format!("unknown scheme {scheme:?}, use http://")),
            None => return Err("write it as http://host:port".to_owned()),
        };
        if authority.contains(['/', '?', '#']) {
            return Err("nothing may follow the port".to_owned());
        }
        let (host, port) = split_authority(authority)
            .ok_or_else(|| "write it as http://host:port, with the port".to_owned())?;
        if !is_host(host) {
            return Err(format!("{host:?} is neither an address nor a host name"));
        }
        let number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = number
            .then(|| port.parse().ok())
            .flatten()
            .ok_or_else(|| format!("{port:?} is not a port, 0 to 65535"))?;
        Ok(MemberUrl {
            text: text.to_owned(),
            host: host.to_owned(),
            port,
            socket: None,
        })
    }

    /// Everything after the scheme is the path, as in etcd: `unix://localhost:2379` is a file in
    /// the working directory whose name has a colon.
    fn of_socket(text: &str, path: &str) -> Result<MemberUrl, String> {
        if path.is_empty() {
            return Err("write it as unix:///path/of/the/socket".to_owned());
        }
        Ok(MemberUrl {
            text: text.to_owned(),
            host: String::new(),
            port: 0,
            socket: Some(PathBuf::from(path)),
        })
    }

    /// The URL as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the path of the Unix socket, if this is one.
    pub(crate) fn socket_path(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Checks that other members can dial this URL from their machines, and returns the reason if
    /// they cannot. Flags and membership changes share this rule, because a member added with a URL
    /// that its flags refuse could never start.
    pub(crate) fn check_dialled_by_members(&self) -> Result<(), &'static str> {
        if self.socket.is_some() {
            return Err(ONLY_CLIENTS);
        }
        if self.host.is_empty() {
            return Err("name the host to connect to");
        }
        Ok(())
    }

    /// The host, without the brackets of an IPv6 address. An empty host means every address, unless
    /// this is a Unix socket.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns true if connections to this URL use TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.text.starts_with("https://") || self.text.starts_with("unixs://")
    }

    /// The port; 0 asks the system for a free one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The addresses to listen on, best first: the first that can be bound is used. Empty for a
    /// Unix socket, and for a host name other than `localhost`, which cannot be bound.
    pub(crate) fn bind_addresses(&self) -> Vec<SocketAddr> {
        if self.socket.is_some() {
            return Vec::new();
        }
        let [v4, v6]: [IpAddr; 2] = match self.host.as_str() {
            // On Linux a socket on the unspecified IPv6 address serves IPv4 as well.
            "" => [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
            "localhost" => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            host => {
                let address = host.parse().ok();
                return address
                    .map(|ip| SocketAddr::new(ip, self.port))
                    .into_iter()
                    .collect();
            }
        };
        vec![
            SocketAddr::new(v4, self.port),
            SocketAddr::new(v6, self.port),
        ]
    }

    /// Returns true if only this machine can connect to the URL.
    pub fn is_loopback(&self) -> bool {
        let loopback = || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        self.socket.is_some() || self.host == "localhost" || loopback()
    }

    /// Returns true if the host means every address of this machine, so that other machines cannot
    /// connect to it.
    pub(crate) fn is_unspecified(&self) -> bool {
        let unspecified = || {
            self.host
                .parse()
                .is_ok_and(|ip: IpAddr| ip.is_unspecified())
        };
        self.socket.is_none() && (self.host.is_empty() || unspecified())
    }
}

impl fmt::Display for MemberUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns true if the host is empty, an IP address, or a name that a resolver looks up. Names
/// follow Go's rule: labels of letters, digits, hyphens and underscores, and not only digits.
fn is_host(host: &str) -> bool {
    if host.is_empty() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| {
        matches!(label.len(), 1..=63)
            && label.bytes().all(is_part)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    name.len() <= 253
        && name.split('.').all(is_label)
        && name
            .bytes()
            .any(|byte| byte != b'.' && !byte.is_ascii_digit())
}

/// Splits `host:port` or `[host]:port`. The host of the first form has no colon.
fn split_authority(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        host.parse::<Ipv6Addr>().ok()?;
        return Some((host, port));
    }
    let (host, port) = authority.split_once(':')?;
    (!port.contains(':') && !host.contains('@')).then_some((host, port))
}

/// Hides what stands before an `@` in every URL of a text: a user and a password.
pub(crate) fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(char::is_whitespace).unwrap_or(part.len());
        shown.push_str("://");
        match part[..end].rfind('@') {
            None => shown.push_str(part),
            Some(at) => {
                shown.push_str("(hidden)");
                shown.push_str(&part[at..]);
            }
        }
    }
    shown
}

/// Hides the user and the password in a text that stands for one URL, also if the text is no URL.
pub(crate) fn url_without_userinfo(url: &str) -> String {
    let Some(at) = url.rfind('@') else {
        return url.to_owned();
    };
    let scheme = url[..at].split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://(hidden){}", &url[at..])
}

/// Parses a list of URLs, separated by commas; at least one. Duplicates are dropped, as in etcd,
/// since an address can be bound only once.
pub(super) fn parse_urls(text: &str) -> Result<Vec<MemberUrl>, String> {
    let mut urls = Vec::new();
    for url in text.split(',') {
        let url = MemberUrl::parse(url)?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    Ok(urls)
}

/// Parses `name=url,name=url`. A name may occur several times; the result is sorted by name. A
/// member that was added and has not started has no name: `etcdctl member add` prints it so, and
/// each such URL is a member of its own. Empty parts are skipped, because templates write lists
/// with a comma at the end.
pub(super) fn parse_initial_cluster(text: &str) -> Result<Vec<InitialMember>, String> {
    let mut members: Vec<InitialMember> = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (name, url) = part
            .trim()
            .split_once('=')
            .ok_or_else(|| format!("write {part:?} as name=http://host:port"))?;
        let url = MemberUrl::parse(url).map_err(|reason| format!("{url:?}: {reason}"))?;
        let known = members.iter_mut().find(|member| member.name == name);
        match known.filter(|_| !name.is_empty()) {
            Some(member) => member.peer_urls.push(url),
            None => {
                members.push(InitialMember {
                    name: name.to_owned(),
                    peer_urls: vec![url],
                });
            }
        }
    }
    for member in &mut members {
        member.peer_urls.sort();
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_knows_where_to_bind() {
        for (text, addresses) in [
            ("http://127.0.0.1:2379", vec!["127.0.0.1:2379"]),
            ("http://localhost:0", vec!["127.0.0.1:0", "[::1]:0"]),
            ("http://[::1]:2379", vec!["[::1]:2379"]),
            ("http://:2379", vec!["[::]:2379", "0.0.0.0:2379"]),
            ("http://node-1.example:2379", vec![]),
            ("https://127.0.0.1:2380", vec!["127.0.0.1:2380"]),
        ] {
            let url = MemberUrl::parse(text).expect(text);
            let expected: Vec<SocketAddr> = addresses
                .iter()
                .map(|address| address.parse().expect("an address"))
                .collect();
            assert_eq!(url.bind_addresses(), expected, "{text}");
            assert_eq!(url.to_string(), text);
            assert_eq!(url.is_tls(), text.starts_with("https:"));
        }
    }

    /// etcd's own tests write a host and a port here, which is the name of a file.
    #[test]
    fn a_unix_socket_is_a_path() {
        for (text, path) in [
            ("unix:///run/conclave.sock", "/run/conclave.sock"),
            ("unix://conclave.sock", "conclave.sock"),
            ("unix://localhost:2379", "localhost:2379"),
            ("unixs:///run/conclave.sock", "/run/conclave.sock"),
        ] {
            let url = MemberUrl::parse(text).expect(text);
            assert_eq!(url.socket_path(), Some(Path::new(path)), "{text}");
            assert_eq!(url.bind_addresses(), []);
            assert_eq!(url.is_tls(), text.starts_with("unixs:"));
            assert!(!url.is_unspecified());
            assert_eq!(url.to_string(), text);
        }
        let one_slash = MemberUrl::parse("unix:/run/a.sock");
        assert_eq!(one_slash, MemberUrl::parse("unix:///run/a.sock"));
        let one_slash = MemberUrl::parse("unixs:/run/a.sock");
        assert_eq!(one_slash, MemberUrl::parse("unixs:///run/a.sock"));
        let tcp = MemberUrl::parse("http://localhost:1").expect("a url");
        assert_eq!(tcp.socket_path(), None);
    }

    #[test]
    fn members_dial_a_host_and_a_port() {
        let check = |text| {
            let url = MemberUrl::parse(text).expect(text);
            url.check_dialled_by_members()
        };
        for text in ["http://a:1", "https://[::1]:1", "http://0.0.0.0:1"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        assert_eq!(check("unix:///run/a.sock"), Err(ONLY_CLIENTS));
        assert_eq!(check("http://:1"), Err("name the host to connect to"));
    }

    #[test]
    fn a_bad_url_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "write it as http://host:port"),
            ("localhost:2379", "write it as http://host:port"),
            (
                "http://localhost",
                "write it as http://host:port, with the port",
            ),
            (
                "http://::1:2379",
                "write it as http://host:port, with the port",
            ),
            (
                "http://[nowhere]:1",
                "write it as http://host:port, with the port",
            ),
            ("http://localhost:2379/v3", "nothing may follow the port"),
            (
                "http://localhost:70000",
                "\"70000\" is not a port, 0 to 65535",
            ),
            ("ftp://localhost:21", "unknown scheme \"ftp\", use http://"),
            ("unix://", "write it as unix:///path/of/the/socket"),
        ] {
            assert_eq!(MemberUrl::parse(text), Err(reason.to_owned()), "{text}");
        }
    }

    const HOSTS: &[&str] = &[
        "a",
        "node-1.example.org",
        "node-1.example.org.",
        "etcd_1",
        "_etcd._tcp.example",
        "1a",
        "10.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[2001:db8::10]",
        "xn--bcher-kva.example",
    ];

    const NO_HOSTS: &[&str] = &[
        "a b",
        " a",
        "a ",
        "a\tb",
        "a\nb",
        "a\r\nb",
        "a\0",
        "a\u{7f}",
        "a\u{85}b",
        "a\\b",
        "a%20b",
        "%61",
        "%zz",
        "a\"b",
        "a<b>",
        "a^b",
        "a`b",
        "a{b}",
        "a|b",
        "a,b",
        "a;b",
        "a!b",
        "a$b",
        "a&b",
        "a*b",
        "a(b)",
        "a+b",
        "a=b",
        "user@a",
        "user:password@a",
        ".",
        "a..b",
        ".a",
        "-a",
        "a-",
        "b\u{fc}cher",
        "\u{200b}a",
        "1",
        "127.1",
        "256.0.0.1",
        "10.0.0.1.2",
        "[::1",
        "::1]",
        "[::1]x",
        "[10.0.0.1]",
        "[fe80::1%eth0]",
        "[a]",
        "[]",
    ];

    fn is_host(host: &str) -> bool {
        MemberUrl::parse(&format!("http://{host}:2380")).is_ok()
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for host in HOSTS {
            assert!(is_host(host), "{host}");
        }
        for host in NO_HOSTS {
            assert!(!is_host(host), "{host:?}");
        }
        let (label, name) = ("a".repeat(63), ["a"; 127].join("."));
        assert!(is_host(&label) && is_host(&name));
        let (long_label, long_name) = ("a".repeat(64), ["a"; 128].join("."));
        assert!(!is_host(&long_label) && !is_host(&long_name));
        assert!(MemberUrl::parse("unix:///run/a\nb").is_err());
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, shown) in [
            ("http://a:1,https://b:2", "http://a:1,https://b:2"),
            ("user@host", "user@host"),
            ("http://u:p@a:1", "http://(hidden)@a:1"),
            (
                "\"a=http://u:p/@q@a:1,b=http://b:1\": no",
                "\"a=http://(hidden)@a:1,b=http://b:1\": no",
            ),
            (
                "http://a:1 and http://p@b @c",
                "http://a:1 and http://(hidden)@b @c",
            ),
        ] {
            assert_eq!(without_userinfo(text), shown);
        }
        for (url, shown) in [
            ("http://a:1", "http://a:1"),
            ("a:1", "a:1"),
            ("http://u:p@a:1", "http://(hidden)@a:1"),
            ("u:p@a:1", "://(hidden)@a:1"),
            ("http://u: p@q@a:1", "http://(hidden)@a:1"),
        ] {
            assert_eq!(url_without_userinfo(url), shown);
        }
    }

    #[test]
    fn a_port_is_a_number() {
        for port in ["", "+1", "-1", "0x1", " 1", "65536", "1\n2", "a"] {
            let text = format!("http://a:{port}");
            assert!(MemberUrl::parse(&text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_that_comes_again_is_left_out() {
        let urls = parse_urls("http://b:1,http://a:1,http://b:1").expect("URLs");
        let texts: Vec<&str> = urls.iter().map(MemberUrl::as_str).collect();
        assert_eq!(texts, ["http://b:1", "http://a:1"]);
        assert!(parse_urls("http://a:1,").is_err());
    }

    #[test]
    fn an_initial_cluster_gathers_the_urls_of_a_name() {
        let members = parse_initial_cluster("b=http://b:1,a=http://z:1,a=http://a:1").expect("ok");
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let urls: Vec<&str> = members[0].peer_urls.iter().map(MemberUrl::as_str).collect();
        assert_eq!(urls, ["http://a:1", "http://z:1"]);
        assert!(parse_initial_cluster("http://a:1").is_err());
        let sparse = parse_initial_cluster("a=http://z:1,a=http://a:1,, b=http://b:1,");
        assert_eq!(sparse, Ok(members));
    }
}
