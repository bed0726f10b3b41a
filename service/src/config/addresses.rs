//! Step two, addresses: the URLs to listen on, the URLs to advertise, and the first members of the
//! cluster.

use std::collections::BTreeMap;

use super::raw::Raw;
use super::url::{InitialMember, MemberUrl, ONLY_CLIENTS, parse_initial_cluster, parse_urls};
use super::{ConfigError, InitialClusterState, Notice};

const DEFAULT_CLIENT_URL: &str = "http://localhost:2379";
const DEFAULT_PEER_URL: &str = "http://localhost:2380";

/// The lists of URLs. Only the list for metrics may be empty.
pub(super) struct Urls {
    pub(super) listen_client: Vec<MemberUrl>,
    pub(super) advertise_client: Vec<MemberUrl>,
    pub(super) listen_peer: Vec<MemberUrl>,
    pub(super) initial_advertise_peer: Vec<MemberUrl>,
    pub(super) listen_metrics: Vec<MemberUrl>,
}

impl Urls {
    pub(super) fn check(raw: &Raw, notices: &mut Vec<Notice>) -> Result<Urls, ConfigError> {
        let (member, clustering) = (&raw.member, &raw.clustering);
        if let (Some(listen), None) = (
            &member.listen_client_urls,
            &clustering.advertise_client_urls,
        ) {
            // The default advertises localhost: clients on other machines that ask for the
            // endpoints would connect to themselves.
            return Err(ConfigError::Conflict(format!(
                "--listen-client-urls is {listen:?} and --advertise-client-urls is not given: \
                 give the URLs that clients use to reach this member"
            )));
        }
        let urls = Urls {
            listen_client: listen_urls(
                "listen-client-urls",
                member
                    .listen_client_urls
                    .as_deref()
                    .unwrap_or(DEFAULT_CLIENT_URL),
            )?,
            listen_peer: no_sockets(
                "listen-peer-urls",
                listen_urls(
                    "listen-peer-urls",
                    member
                        .listen_peer_urls
                        .as_deref()
                        .unwrap_or(DEFAULT_PEER_URL),
                )?,
            )?,
            advertise_client: advertised_urls(
                "advertise-client-urls",
                clustering
                    .advertise_client_urls
                    .as_deref()
                    .unwrap_or(DEFAULT_CLIENT_URL),
                notices,
            )?,
            initial_advertise_peer: dialled_by_members(
                "initial-advertise-peer-urls",
                advertised_urls(
                    "initial-advertise-peer-urls",
                    clustering
                        .initial_advertise_peer_urls
                        .as_deref()
                        .unwrap_or(DEFAULT_PEER_URL),
                    notices,
                )?,
            )?,
            listen_metrics: match raw.monitoring.listen_metrics_urls.as_str() {
                "" => Vec::new(),
                text => listen_urls("listen-metrics-urls", text)?,
            },
        };
        warn_of_plain_peers(&urls, notices);
        Ok(urls)
    }
}

/// TLS is the only protection of the protocol between members.
fn warn_of_plain_peers(urls: &Urls, notices: &mut Vec<Notice>) {
    let peer_urls = urls.listen_peer.iter().chain(&urls.initial_advertise_peer);
    let mut open: Vec<&str> = peer_urls
        .filter(|url| !url.is_tls() && !url.is_loopback())
        .map(MemberUrl::as_str)
        .collect();
    open.dedup();
    if open.is_empty() {
        return;
    }
    let text = format!(
        "members are served without TLS at {}: anyone who can connect there can read and write \
         all data, add members and stop them; give --peer-cert-file, --peer-key-file and \
         --peer-trusted-ca-file with https:// URLs, or let only members reach these addresses",
        open.join(", ")
    );
    notices.push(Notice::warning(text));
}

/// Other members run on other machines; only clients may be on this one.
fn no_sockets(flag: &'static str, urls: Vec<MemberUrl>) -> Result<Vec<MemberUrl>, ConfigError> {
    match urls.iter().find(|url| url.socket_path().is_some()) {
        None => Ok(urls),
        Some(url) => Err(ConfigError::invalid(flag, url.as_str(), ONLY_CLIENTS)),
    }
}

fn dialled_by_members(
    flag: &'static str,
    urls: Vec<MemberUrl>,
) -> Result<Vec<MemberUrl>, ConfigError> {
    for url in &urls {
        let checked = url.check_dialled_by_members();
        checked.map_err(|reason| ConfigError::invalid(flag, url.as_str(), reason))?;
    }
    Ok(urls)
}

fn listen_urls(flag: &'static str, text: &str) -> Result<Vec<MemberUrl>, ConfigError> {
    let urls = parse_urls(text).map_err(|reason| ConfigError::invalid(flag, text, reason))?;
    let cannot_be_bound =
        |url: &&MemberUrl| url.socket_path().is_none() && url.bind_addresses().is_empty();
    match urls.iter().find(cannot_be_bound) {
        None => Ok(urls),
        Some(url) => Err(ConfigError::invalid(
            flag,
            text,
            format!(
                "{:?} is a name; listen on an address of this machine, on localhost, or on \
                 0.0.0.0 for all addresses",
                url.host()
            ),
        )),
    }
}

fn advertised_urls(
    flag: &'static str,
    text: &str,
    notices: &mut Vec<Notice>,
) -> Result<Vec<MemberUrl>, ConfigError> {
    let urls = parse_urls(text).map_err(|reason| ConfigError::invalid(flag, text, reason))?;
    for url in urls.iter().filter(|url| url.is_unspecified()) {
        if url.host().is_empty() {
            return Err(ConfigError::invalid(
                flag,
                text,
                "name the host to connect to",
            ));
        }
        let text = format!("--{flag} has {url}, which other machines cannot connect to");
        notices.push(Notice::warning(text));
    }
    Ok(urls)
}

/// Returns the first members of the cluster: the given list, or this member alone.
pub(super) fn check_initial_cluster(
    raw: &Raw,
    name: &str,
    advertised: &[MemberUrl],
) -> Result<Vec<InitialMember>, ConfigError> {
    let mut peer_urls = advertised.to_vec();
    peer_urls.sort();
    let Some(text) = &raw.clustering.initial_cluster else {
        return Ok(vec![InitialMember {
            name: name.to_owned(),
            peer_urls,
        }]);
    };
    let refuse = |reason: String| ConfigError::invalid("initial-cluster", text, reason);
    let members = parse_initial_cluster(text)
        .and_then(distinct)
        .map_err(refuse)?;
    let Some(own) = members.iter().find(|member| member.name == name) else {
        return Err(refuse(format!(
            "it does not have this member, whose --name is {name:?}"
        )));
    };
    if own.peer_urls != peer_urls {
        return Err(refuse(format!(
            "--initial-advertise-peer-urls has {:?} for the same member: make them equal",
            advertised
                .iter()
                .map(MemberUrl::as_str)
                .collect::<Vec<_>>()
                .join(","),
        )));
    }
    Ok(members)
}

/// Checks that no URL occurs twice and that members can dial all of them. A member is identified by
/// its URLs: its id is derived from them, and a member that joins finds itself by them.
fn distinct(members: Vec<InitialMember>) -> Result<Vec<InitialMember>, String> {
    let mut owners: BTreeMap<&MemberUrl, &str> = BTreeMap::new();
    for member in &members {
        for url in &member.peer_urls {
            url.check_dialled_by_members()
                .map_err(|reason| format!("{url}: {reason}"))?;
            let name = member.name.as_str();
            match owners.insert(url, name) {
                None => {}
                Some(other) if other == name => return Err(format!("{name:?} has {url} twice")),
                Some(other) => {
                    return Err(format!("{other:?} and {name:?} both have {url}"));
                }
            }
        }
    }
    Ok(members)
}

pub(super) fn check_cluster_state(text: &str) -> Result<InitialClusterState, ConfigError> {
    match text {
        "new" => Ok(InitialClusterState::New),
        "existing" => Ok(InitialClusterState::Existing),
        _ => Err(ConfigError::invalid(
            "initial-cluster-state",
            text,
            "write new or existing",
        )),
    }
}
