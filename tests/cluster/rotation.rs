//! Certificates, CAs and lists of revoked certificates that are replaced under load, for clients
//! and between members: no request fails, and what is new is in use within ten seconds. The former
//! and the new CA have one name.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, Identity, TlsOptions};
use harness::certificates::{Authority, Certificate, Validity};
use harness::process::{READY, endpoint_in};
use harness::{Cluster, eventually};

use crate::not_on_etcd;

/// How soon files must be in use.
const SOON: Duration = Duration::from_secs(10);

/// One end of a connection: its certificate, and the text of the authorities that it trusts.
#[derive(Clone)]
struct End {
    own: Certificate,
    trusted: String,
}

impl End {
    async fn connect(&self, endpoint: &str) -> Result<Client, etcd_client::Error> {
        let [cert, key] = [self.own.cert(), self.own.key()].map(|path| fs::read(path).unwrap());
        let tls = TlsOptions::new()
            .ca_certificate(etcd_client::Certificate::from_pem(&self.trusted))
            .identity(Identity::from_pem(cert, key));
        Client::connect([endpoint], Some(ConnectOptions::new().with_tls(tls))).await
    }

    /// Writes a key over a new connection.
    async fn put(&self, endpoint: &str) -> Result<(), etcd_client::Error> {
        let mut client = self.connect(endpoint).await?;
        client.put("k", "v", None).await.map(|_| ())
    }

    /// Whether a port of peers accepts this end, and this end it.
    fn is_peer_of(&self, url: &str) -> bool {
        let trusted = tempfile::NamedTempFile::new().unwrap();
        fs::write(trusted.path(), &self.trusted).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["--silent", url])
            .arg("--cacert")
            .arg(trusted.path());
        curl.arg("--cert").arg(self.own.cert());
        curl.arg("--key").arg(self.own.key());
        curl.output().unwrap().status.success()
    }
}

/// The two secure URLs of a member.
#[derive(Clone)]
struct Urls {
    client: String,
    peer: String,
}

/// Waits until every member accepts or refuses this end, for clients and between members.
async fn expect(members: &[Urls], end: &End, is_accepted: bool, what: &str) {
    let start = Instant::now();
    for urls in members {
        eventually(what, || async {
            let is_client = end.put(&urls.client).await.is_ok();
            (is_client == is_accepted && end.is_peer_of(&urls.peer) == is_accepted).then_some(())
        })
        .await;
    }
    assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
}

/// Requests to every member, each over a new connection, and over one that stays.
struct Load {
    counts: Vec<Arc<AtomicUsize>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn start(members: &[Urls], end: &End) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut counts, mut tasks) = (Vec::new(), Vec::new());
        for urls in members {
            let mut kept = end.connect(&urls.client).await.unwrap();
            let (endpoint, end) = (urls.client.clone(), end.clone());
            let (count, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&stop));
            counts.push(Arc::clone(&count));
            tasks.push(tokio::spawn(async move {
                while !stopped.load(Ordering::Relaxed) {
                    end.put(&endpoint).await.expect("no request fails");
                    kept.put("kept", "v", None).await.expect("no request fails");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let load = Self {
            counts,
            stop,
            tasks,
        };
        load.goes_on().await;
        load
    }

    /// Waits for five more rounds at every member.
    async fn goes_on(&self) {
        for (count, task) in self.counts.iter().zip(&self.tasks) {
            let goal = count.load(Ordering::Relaxed) + 5;
            eventually("five more requests", || {
                assert!(!task.is_finished(), "a request failed");
                let done = count.load(Ordering::Relaxed) >= goal;
                async move { done.then_some(()) }
            })
            .await;
        }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no request failed");
        }
    }
}

#[test]
fn certificates_authorities_and_lists_are_replaced_under_load() {
    harness::run(async {
        // An authority that is renewed with another key keeps its name.
        let (old, new) = (Authority::new("same"), Authority::new("same"));
        let issued = ["m0", "m1", "m2"].map(|name| old.issue(name, Validity::Good));
        let renewed = ["m0", "m1", "m2"].map(|name| new.issue(name, Validity::Good));
        let list = old.revoke(&[]);
        let Some((mut cluster, members)) = start(&issued, &list).await else {
            return;
        };
        let [of_old, of_new] = [&issued, &renewed].map(|of| read(of[0].trusted()));
        let both = format!("{of_old}{of_new}");
        let end = |authority: &Authority, name: &str, trusted: &str| End {
            own: authority.issue(name, Validity::Good),
            trusted: trusted.to_owned(),
        };
        let (former, latter) = (end(&old, "former", &both), end(&new, "latter", &both));
        let strict = end(&new, "strict", &of_new);
        let revoked = ["revoked", "revoked, too"].map(|name| end(&new, name, &both));
        let load = Load::start(&members, &former).await;

        expect(&members, &latter, false, "the new authority to be unknown").await;
        fs::write(issued[0].trusted(), &both).unwrap();
        expect(&members, &latter, true, "the new authority to be known").await;
        load.goes_on().await;
        expect(
            &members,
            &strict,
            false,
            "the former certificates to be shown",
        )
        .await;
        for (issued, renewed) in issued.iter().zip(&renewed) {
            issued.replace_by(renewed);
        }
        expect(&members, &strict, true, "the new certificates to be shown").await;
        load.goes_on().await;
        let of_both =
            |revoked: &[&Certificate]| read(&old.revoke(&[])) + &read(&new.revoke(revoked));
        expect(&members, &revoked[0], true, "a certificate to be good").await;
        fs::write(&list, of_both(&[&revoked[0].own])).unwrap();
        expect(&members, &revoked[0], false, "a certificate to be revoked").await;
        load.goes_on().await;
        load.stop().await;

        let load = Load::start(&members, &latter).await;
        fs::write(&list, read(&new.revoke(&[&revoked[0].own]))).unwrap();
        fs::write(issued[0].trusted(), &of_new).unwrap();
        expect(&members, &former, false, "the former authority to be gone").await;
        load.goes_on().await;
        expect(&members, &revoked[1], true, "a certificate to be good").await;
        let both_revoked = [&revoked[0].own, &revoked[1].own];
        fs::write(&list, read(&new.revoke(&both_revoked))).unwrap();
        expect(&members, &revoked[1], false, "a certificate to be revoked").await;
        load.goes_on().await;
        load.stop().await;

        // Members that connect to each other anew do so with what is new.
        for number in cluster.numbers() {
            cluster.terminate(number);
            cluster.restart(number);
            cluster.wait_writable(&cluster.numbers()).await;
        }
        cluster.expect_same_history().await;
    });
}

/// Starts three members whose secure URLs use these files, beside plain ones for the harness.
async fn start(issued: &[Certificate; 3], list: &Path) -> Option<(Cluster, Vec<Urls>)> {
    let mut cluster = Cluster::prepare(3, &[], "a-test");
    cluster.secure(issued);
    for (number, issued) in issued.iter().enumerate() {
        let plain = cluster.endpoint(number).to_owned();
        let list = list.display();
        let mut flags = [issued.flags(), issued.client_flags()].concat();
        flags.push(format!("--client-crl-file={list}"));
        flags.push(format!("--peer-crl-file={list}"));
        flags.push(format!("--listen-client-urls={plain},https://127.0.0.1:0"));
        cluster.member(number).set_own_flags(&flags);
    }
    if not_on_etcd(&cluster, "it does not announce the port that it chose") {
        return None;
    }
    cluster.start_all().await;
    let mut members = Vec::new();
    for number in cluster.numbers() {
        let peer = format!("https://{}/version", cluster.member(number).peer_address());
        let child = cluster.child(number);
        let client = eventually("the secure listener", || {
            let announced =
                |line: &String| line.contains(READY) && line.contains(r#""url":"https://"#);
            let line = child.lines().into_iter().find(announced);
            async move { line.map(|line| endpoint_in(&line)) }
        })
        .await;
        members.push(Urls { client, peer });
    }
    Some((cluster, members))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
