//! The environment of a scenario: a cluster, subjects, and gates between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::certificates::{Authority, Certificate, Validity};
use harness::gate::{Gate, Way};
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD, log_in};
use harness::proxy::free_address;
use harness::{Cluster, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::script::{Fault, Link, Script, Target, Verb};
use crate::subject::Subject;
use crate::values::Variables;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) parties: BTreeMap<String, Party>,
    listeners: Listeners,
    has_users: bool,
}

/// A subject and its ways to the members.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) language: String,
    program: PathBuf,
    /// `None` once it was killed.
    pub(crate) subject: Option<Arc<Subject>>,
    /// One for each member.
    gates: Vec<Gate>,
    pub(crate) is_paused: bool,
    /// Clients that it opened and did not close.
    pub(crate) clients: Vec<String>,
}

/// Where members listen besides their plain addresses.
#[derive(Debug)]
struct Listeners {
    security: Option<Security>,
    /// The directory of their sockets.
    sockets: Option<TempDir>,
}

/// Certificates of the members.
#[derive(Debug)]
struct Security {
    authority: Authority,
    /// An authority that members' certificates are not from.
    other: Authority,
    certificates: Vec<Certificate>,
    /// Where each member listens with TLS.
    addresses: Vec<SocketAddr>,
}

impl World {
    /// Starts what a scenario needs. Each subject speaks one of these languages, in turn.
    pub(crate) async fn start(
        script: &Script,
        languages: &[(String, PathBuf)],
    ) -> Result<Self, Failure> {
        let flags: &[&str] = if script.users { &[CHEAP_HASHES] } else { &[] };
        let mut cluster = Cluster::prepare(script.members, flags, "a-test");
        if !script.breaks_members() {
            // Otherwise each connection between members is looked up in the kernel's table, which
            // is long while other tests run.
            cluster.network().open();
        }
        let listeners = Listeners::prepare(&mut cluster, script);
        cluster.start_all().await;
        let mut world = Self {
            cluster,
            parties: BTreeMap::new(),
            listeners,
            has_users: script.users,
        };
        if script.users {
            let mut administrator = Administrator::new(world.cluster.channel(0));
            administrator.enable().await;
            world.cluster.use_token(administrator.token());
        }
        for (name, (language, program)) in script.subjects.iter().zip(languages.iter().cycle()) {
            let party = world.party(language, program).await?;
            world.parties.insert(name.clone(), party);
        }
        for name in &script.subjects {
            let endpoint = world.cluster.endpoint(0);
            world.subject(name)?.warm_up(endpoint).await?;
        }
        Ok(world)
    }

    async fn party(&self, language: &str, program: &Path) -> Result<Party, Failure> {
        let mut gates = Vec::new();
        for number in self.cluster.numbers() {
            gates.push(Gate::open(self.address(number)).await);
        }
        Ok(Party {
            language: language.to_owned(),
            program: program.to_owned(),
            subject: Some(Arc::new(Subject::start(program)?)),
            gates,
            is_paused: false,
            clients: Vec::new(),
        })
    }

    /// Where clients connect to a member.
    fn address(&self, number: usize) -> SocketAddr {
        match &self.listeners.security {
            Some(security) => security.addresses[number],
            None => {
                let endpoint = self.cluster.endpoint(number);
                let address = endpoint.trim_start_matches("http://").parse();
                address.expect("the harness makes addresses")
            }
        }
    }

    /// The paths that scenarios with TLS use.
    pub(crate) fn variables(&self) -> Variables {
        let mut variables = Variables::default();
        if let Some(security) = &self.listeners.security {
            let own = security.authority.issue_for("client", "client");
            let other = security.other.issue_for("other", "other");
            let mut set = |name, path: &Path| variables.set(name, json!(path));
            set("ca", own.trusted());
            set("cert", own.cert());
            set("key", own.key());
            set("other_ca", other.trusted());
        }
        variables
    }

    /// A running subject.
    pub(crate) fn subject(&self, name: &str) -> Result<&Arc<Subject>, Failure> {
        let subject = self.parties[name].subject.as_ref();
        subject.ok_or_else(|| Failure::new(format!("{name} was killed")))
    }

    /// The number of a member.
    pub(crate) async fn member(&self, word: &str, variables: &Variables) -> Result<usize, Failure> {
        let leader = match word {
            "leader" | "follower" => self.cluster.leader().await,
            _ => 0,
        };
        let number = match word {
            "leader" => Some(leader),
            "follower" => self.cluster.others(leader).first().copied(),
            _ => variables.fill(word).parse().ok(),
        };
        let found = number.filter(|number| self.cluster.numbers().contains(number));
        found.ok_or_else(|| Failure::new(format!("`{word}` is no member")))
    }

    /// The URLs of a subject's gates, in the order of a list such as `members` or
    /// `0,leader,nobody`; `http:0` overrides the scheme.
    pub(crate) async fn endpoints(
        &self,
        subject: &str,
        list: &str,
        variables: &Variables,
    ) -> Result<Value, Failure> {
        let scheme = if self.listeners.security.is_some() {
            "https"
        } else {
            "http"
        };
        let gates = &self.parties[subject].gates;
        let url = |address: SocketAddr| format!("{scheme}://{address}");
        let mut urls = Vec::new();
        for item in list.split(',').filter(|item| !item.is_empty()) {
            let is_member = matches!(item, "leader" | "follower") || item.parse::<u8>().is_ok();
            if let Some((scheme @ ("http" | "https" | "unix"), member)) = item.split_once(':')
                && !member.starts_with('/')
            {
                let number = self.member(member, variables).await?;
                urls.push(match scheme {
                    "unix" => self
                        .listeners
                        .socket(number)
                        .expect("`unix` is in the head"),
                    scheme => format!("{scheme}://{}", gates[number].address()),
                });
                continue;
            }
            match item {
                "members" => urls.extend(gates.iter().map(|gate| url(gate.address()))),
                // Reserved for this process, which does not listen there.
                "nobody" => urls.push(url(free_address())),
                _ if is_member => {
                    let number = self.member(item, variables).await?;
                    urls.push(url(gates[number].address()));
                }
                _ => urls.push(item.to_owned()),
            }
        }
        Ok(urls.into())
    }

    /// Messages between the subjects and the driver.
    pub(crate) fn transcripts(&self) -> String {
        let running = self.parties.iter().filter_map(|(name, party)| {
            let subject = party.subject.as_ref()?;
            Some(format!(
                "{name} ({}):\n{}",
                party.language,
                subject.transcript()
            ))
        });
        running.collect()
    }

    /// Returns true if members know users.
    pub(crate) fn has_users(&self) -> bool {
        self.has_users
    }

    /// The number of connections that a subject has made.
    pub(crate) fn connections(&self, subject: &str) -> usize {
        let gates = self.parties[subject].gates.iter();
        gates.map(Gate::connections).sum()
    }
}

/// Faults.
impl World {
    /// Kills, restarts, pauses or resumes processes.
    pub(crate) async fn process(
        &mut self,
        verb: Verb,
        target: &Target,
        variables: &Variables,
    ) -> Result<(), Failure> {
        let parties: Vec<String> = match target {
            Target::Subject(name) => vec![name.clone()],
            Target::Subjects => self.parties.keys().cloned().collect(),
            Target::Member(_) | Target::Members => Vec::new(),
        };
        for name in &parties {
            let party = self.parties.get_mut(name).expect("the parser knows it");
            party.process(verb).await?;
            if let (Verb::Restart, Some(&through)) = (verb, self.cluster.alive().first()) {
                let endpoint = self.cluster.endpoint(through);
                self.subject(name)?.warm_up(endpoint).await?;
            }
        }
        let members = match target {
            Target::Member(word) => vec![self.member(word, variables).await?],
            Target::Members => self.cluster.numbers(),
            Target::Subject(_) | Target::Subjects => Vec::new(),
        };
        for &number in &members {
            let is_alive = self.cluster.alive().contains(&number);
            let is_paused = self.cluster.member(number).is_paused();
            match verb {
                Verb::Kill if is_alive || is_paused => self.cluster.kill(number),
                Verb::Pause if is_alive => self.cluster.pause(number),
                Verb::Resume if is_paused => self.cluster.resume(number),
                Verb::Restart if !is_alive && !is_paused => self.cluster.respawn(number),
                _ => {}
            }
        }
        if verb == Verb::Restart && !members.is_empty() {
            for &number in &members {
                self.cluster.member(number).expect_ready();
            }
            self.renew_token().await;
        }
        Ok(())
    }

    /// Members forget tokens when they restart.
    async fn renew_token(&mut self) {
        if !self.has_users {
            return;
        }
        let token = eventually("root to log in", || async {
            let through = self.cluster.alive().first().copied()?;
            let login = log_in(self.cluster.channel(through), "root", PASSWORD);
            tokio::time::timeout(std::time::Duration::from_secs(2), login)
                .await
                .ok()?
                .ok()
        });
        let token = token.await;
        self.cluster.use_token(&token);
    }

    /// Breaks or heals the links between two ends.
    pub(crate) async fn link(
        &self,
        fault: Fault,
        link: &Link,
        variables: &Variables,
    ) -> Result<(), Failure> {
        if link.is_between_members() {
            if fault == Fault::Heal {
                self.heal();
                return Ok(());
            }
            return self.link_members(fault, link, variables).await;
        }
        let (party, member, way) = match link.to.is_member() {
            true => (&link.from, &link.to, Way::Requests),
            false => (&link.to, &link.from, Way::Answers),
        };
        let numbers = self.numbers(member, variables).await?;
        for (name, party_here) in &self.parties {
            if *party != Target::Subjects && *party != Target::Subject(name.clone()) {
                continue;
            }
            for &number in &numbers {
                let gate = &party_here.gates[number];
                match fault {
                    Fault::Cut => gate.cut(),
                    Fault::Heal => gate.heal(),
                    Fault::Hold if link.both_ways => {
                        gate.hold(Way::Requests);
                        gate.hold(Way::Answers);
                    }
                    Fault::Hold => gate.hold(way),
                }
            }
        }
        Ok(())
    }

    async fn numbers(&self, target: &Target, variables: &Variables) -> Result<Vec<usize>, Failure> {
        match target {
            Target::Member(word) => Ok(vec![self.member(word, variables).await?]),
            Target::Members => Ok(self.cluster.numbers()),
            Target::Subject(name) => Err(Failure::new(format!("{name} is no member"))),
            Target::Subjects => Err(Failure::new("subjects are no members")),
        }
    }

    async fn link_members(
        &self,
        fault: Fault,
        link: &Link,
        variables: &Variables,
    ) -> Result<(), Failure> {
        let network = self.cluster.network();
        let others = self.numbers(&link.to, variables).await?;
        for one in self.numbers(&link.from, variables).await? {
            for &other in others.iter().filter(|&&other| other != one) {
                match fault {
                    Fault::Cut => network.cut(one, other),
                    Fault::Hold => {
                        network.hold(one, other);
                        if link.both_ways {
                            network.hold(other, one);
                        }
                    }
                    Fault::Heal => {}
                }
            }
        }
        Ok(())
    }

    /// Ends all faults of links.
    pub(crate) fn heal(&self) {
        self.cluster.heal();
        for gate in self.parties.values().flat_map(|party| &party.gates) {
            gate.heal();
        }
    }

    /// Gives each member another certificate of the same authority, in the same files.
    pub(crate) fn renew_certificates(&self) {
        let security = self
            .listeners
            .security
            .as_ref()
            .expect("the parser knows it");
        for (number, certificate) in security.certificates.iter().enumerate() {
            let name = format!("renewed-{number}");
            let renewed = security.authority.issue(&name, Validity::Good);
            certificate.replace_by(&renewed);
        }
    }
}

impl Party {
    async fn process(&mut self, verb: Verb) -> Result<(), Failure> {
        match (verb, &self.subject) {
            (Verb::Restart, None) => {
                self.subject = Some(Arc::new(Subject::start(&self.program)?));
            }
            (Verb::Pause, Some(subject)) => {
                subject.signal("STOP").await;
                self.is_paused = true;
            }
            (Verb::Resume, Some(subject)) => {
                subject.signal("CONT").await;
                self.is_paused = false;
            }
            (Verb::Kill, Some(subject)) => {
                subject.kill().await;
                self.subject = None;
                self.is_paused = false;
                self.clients.clear();
            }
            (Verb::Restart, Some(_)) => return Err(Failure::new("it runs already")),
            (_, None) => return Err(Failure::new("it was killed")),
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.transcripts());
        }
    }
}

impl Listeners {
    /// Has each member listen where the scenario's clients connect, too. The driver connects
    /// without TLS.
    fn prepare(cluster: &mut Cluster, script: &Script) -> Self {
        let mut listeners = Self {
            security: script.tls.then(Security::new),
            sockets: script
                .unix
                .then(|| tempfile::tempdir().expect("a directory")),
        };
        for number in cluster.numbers() {
            let mut urls = vec![cluster.endpoint(number).to_owned()];
            let mut flags = Vec::new();
            if let Some(security) = &mut listeners.security {
                let address = free_address();
                let certificate = security
                    .authority
                    .issue(&format!("m{number}"), Validity::Good);
                urls.push(format!("https://{address}"));
                flags = certificate.client_flags();
                // Without these two a member takes clients without a certificate.
                let is_extra = |flag: &String| {
                    flag == "--client-cert-auth" || flag.starts_with("--trusted-ca-file=")
                };
                flags.retain(|flag| script.certificates || !is_extra(flag));
                security.certificates.push(certificate);
                security.addresses.push(address);
            }
            urls.extend(listeners.socket(number));
            flags.push(format!("--listen-client-urls={}", urls.join(",")));
            cluster.member(number).set_own_flags(&flags);
        }
        listeners
    }

    /// The URL of a member's socket.
    fn socket(&self, number: usize) -> Option<String> {
        let path = self
            .sockets
            .as_ref()?
            .path()
            .join(format!("m{number}.sock"));
        Some(format!("unix://{}", path.display()))
    }
}

impl Security {
    fn new() -> Self {
        Self {
            authority: Authority::new("the authority"),
            other: Authority::new("another authority"),
            certificates: Vec::new(),
            addresses: Vec::new(),
        }
    }
}
