//! Thousands of connections from strangers, on the client port and on the peer port.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conclave_client::{Client, Options, TlsFiles};
use conclave_proto::etcdserverpb::kv_client::KvClient;
use conclave_proto::etcdserverpb::{CompactionRequest, DefragmentRequest, StatusRequest};
use harness::certificates::{Authority, Certificate, Validity};
use harness::wait::DEADLINE;
use harness::{Cluster, Process, api, eventually, http1, within};
use rand::distr::{Alphanumeric, SampleString as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::behind::FLAGS;
use crate::not_on_etcd;

/// A member's limit of file descriptors: the soft limit of most shells, and here the hard limit,
/// too.
const FILES: usize = 1024;
const CLIENTS: usize = 5_000;
const STRANGERS: usize = 1_000;
/// The shortest interval between two connections of one stranger.
const PACE: Duration = Duration::from_secs(1);
/// Time limit for a restart among strangers. It takes a second at most on an idle machine.
const READY_MAX: Duration = Duration::from_secs(5);

/// First bytes that strangers send: none, an HTTP/2 client's preface, half of a request.
const SAYS: [&[u8]; 3] = [
    b"",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"GET /vers",
];

/// Returns true if this process may open that many connections.
fn may_have_crowds() -> bool {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let has = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let needed = 2 * CLIENTS as u64;
    let enough = has.is_none_or(|has| has >= needed);
    if !enough {
        eprintln!("skipped: it takes a limit of {needed} open files, and here it is {has:?}");
    }
    enough
}

/// Opens a stranger's connection, sends `says` and keeps the connection.
async fn connect(address: String, says: &'static [u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // The server may have closed it already.
    let _ = stream.write_all(says).await;
    stream
}

/// A cluster of three members with few file descriptors each.
fn with_few_files(flags: &[&str]) -> Cluster {
    let mut cluster = Cluster::prepare(3, flags, "a-crowd");
    let wrapper = ["prlimit".to_owned(), format!("--nofile={FILES}:{FILES}")];
    for number in cluster.numbers() {
        cluster.member(number).set_wrapper(&wrapper);
    }
    cluster
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn clients_in_any_number_leave_the_stores_their_files() {
    if !may_have_crowds() {
        return;
    }
    harness::run(async {
        let mut cluster = with_few_files(FLAGS);
        cluster.start_all().await;
        if not_on_etcd(&cluster, "it makes further clients wait") {
            return;
        }
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        // Connections made before the crowd stay open.
        let (mut kv, mut maintenance) = (cluster.kv(leader), cluster.maintenance(leader));
        kv.put(api::put("k/0", "before")).await.unwrap();
        maintenance.status(StatusRequest {}).await.unwrap();
        let address = cluster.endpoint(leader).replace("http://", "");
        let crowd = within("a crowd to come", async {
            let coming = (0..CLIENTS).map(|number| connect(address.clone(), SAYS[number % 2]));
            coming.collect::<JoinSet<_>>().join_all().await
        })
        .await;

        // So much that the follower needs a snapshot.
        cluster.kill(follower);
        fill(&kv).await;
        let read = kv.range(api::get("k/0")).await.unwrap().into_inner();
        let revision = api::revision_of(&read.header);
        let request = CompactionRequest {
            revision,
            physical: true,
        };
        within("a compaction", kv.compact(request)).await.unwrap();
        let defragmented = maintenance.defragment(DefragmentRequest {});
        within("a defragmentation", defragmented).await.unwrap();
        cluster.restart(follower);
        assert!(cluster.child(leader).line("sending a snapshot").is_some());
        let pid = cluster.child(leader).pid();
        assert!(open_files(pid) < FILES, "{}", open_files(pid));

        // An operator can still reach the health endpoint.
        let health = http1::get(&address, "/health").await;
        assert_eq!(
            (health.status, health.json()["health"].as_str()),
            (200, Some("true"))
        );
        let refused = cluster
            .metric(leader, "conclave_client_connections_refused_total")
            .await;
        // The open files above say that the crowd has not got in. Those that say nothing may also
        // have been closed for that, so this is not a number that could be known.
        assert!(refused > 0.0);
        let lines = cluster.child(leader).lines();
        let is_said = |line: &&String| line.contains("too many client connections");
        assert_eq!(lines.iter().filter(is_said).count(), 1);
        assert!(
            !lines
                .iter()
                .any(|line| line.contains("Too many open files")),
            "{lines:#?}"
        );

        // When the crowd has gone, new connections are accepted again.
        drop(crowd);
        cluster.put(leader, "k/0", "after").await;
    });
}

/// Writes so much that the stores flush and the log is compacted.
async fn fill(kv: &KvClient<Channel>) {
    let noise = Alphanumeric.sample_string(&mut rand::rng(), 32 << 10);
    let clients = (0..64_usize).map(|client| {
        let (mut kv, noise) = (kv.clone(), noise.clone());
        async move {
            for number in 0..64 {
                let put = api::put(format!("k/{client}"), format!("{number} {noise}"));
                kv.put(put).await.unwrap();
            }
        }
    });
    let filling = clients.collect::<JoinSet<_>>().join_all();
    let limit = 3 * DEADLINE;
    tokio::time::timeout(limit, filling)
        .await
        .expect("puts take no minute");
}

/// A stranger that reconnects whenever its connection ends.
async fn stranger(address: SocketAddr, says: &'static [u8], come: Arc<AtomicUsize>) {
    // A pause between two connections; without it the crowd would use the whole machine.
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        let Ok(mut stream) = TcpStream::connect(address).await else {
            continue;
        };
        come.fetch_add(1, Ordering::Relaxed);
        let _ = stream.write_all(says).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[test]
fn strangers_on_the_peer_port_keep_no_member_out() {
    if !may_have_crowds() {
        return;
    }
    harness::run(async {
        let mut cluster = with_few_files(&[]);
        cluster.start_all().await;
        if not_on_etcd(&cluster, "it has no bound on connections") {
            return;
        }
        let leader = cluster.leader().await;
        let follower = cluster.others(leader)[0];
        let come = Arc::<AtomicUsize>::default();
        let mut crowd = JoinSet::new();
        for number in 0..STRANGERS {
            let member = [leader, follower][number % 2];
            let address = cluster.member(member).peer_address();
            let says = SAYS[number % SAYS.len()];
            crowd.spawn(stranger(address, says, Arc::clone(&come)));
        }
        let came = |count: usize| {
            let come = Arc::clone(&come);
            async move {
                let came = || async { (come.load(Ordering::Relaxed) >= count).then_some(()) };
                eventually("a crowd to come", came).await;
            }
        };
        came(2 * STRANGERS).await;
        cluster.kill(follower);
        let revision = cluster.put(leader, "k", "while it is away").await;
        let since = Instant::now();
        cluster.restart(follower);
        eprintln!("ready among strangers after {:?}", since.elapsed());
        assert!(since.elapsed() < READY_MAX, "{:?}", since.elapsed());
        came(come.load(Ordering::Relaxed) + STRANGERS).await;
        let caught_up = || async {
            let local = cluster.local_revision(follower).await.ok()?;
            (local >= revision).then_some(())
        };
        eventually("the follower to have all", caught_up).await;
        let refused = cluster
            .metric(follower, "conclave_peer_connections_refused_total")
            .await;
        assert!(refused > 0.0);
        let lines = cluster.child(leader).lines();
        let is_said = |line: &&String| line.contains("too many connections to the peer endpoint");
        assert_eq!(lines.iter().filter(is_said).count(), 1, "{lines:#?}");
    });
}

/// Half-open connections: in all, and those that are open at the same time.
const HALF_OPEN: usize = 10_000;
const WAVE: usize = 2_500;
/// How much the member may grow while the waves come and go.
const GROWTH_MIB_MAX: u64 = 256;

/// Connections that begin a TLS handshake and stop: before their first message, in the middle of
/// it, or after it. Each wave stays until the next one is complete, so up to two are open, and the
/// member closes those that are too many or too old.
#[test]
fn half_open_tls_connections_harm_no_client() {
    if !may_have_crowds() {
        return;
    }
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let mut flags = server.client_flags();
        flags.push("--listen-client-urls=https://127.0.0.1:0".to_owned());
        flags.push("--listen-metrics-urls=http://127.0.0.1:0".to_owned());
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut process = Process::start(&flags);
        let endpoint = process.endpoint().to_owned();
        let address = endpoint.replace("https://", "");
        let earlier = secure(&endpoint, &server).await;
        earlier.put("k", "before").await.unwrap();
        let before = process.child().memory_kib() >> 10;
        let hello = client_hello(&server);
        let says: [Arc<[u8]>; 3] = [
            Arc::new([]),
            Arc::from(&hello[..hello.len() / 2]),
            Arc::from(&hello[..]),
        ];
        let mut slowest = Duration::ZERO;
        let mut last_wave = Vec::new();
        for wave in 0..HALF_OPEN / WAVE {
            let coming = (0..WAVE).map(|number| {
                let says = Arc::clone(&says[number % says.len()]);
                half_open(address.clone(), says)
            });
            let coming = coming.collect::<JoinSet<_>>().join_all();
            last_wave = within("a wave to come", coming).await;
            // One that was connected before, and one that comes now.
            for client in [&earlier, &secure(&endpoint, &server).await] {
                let since = Instant::now();
                within("a put", client.put("k", format!("{wave}")))
                    .await
                    .unwrap();
                slowest = slowest.max(since.elapsed());
            }
        }
        let during = process.child().memory_kib() >> 10;
        drop(last_wave);
        let line = process.child().line("ready to serve metrics").unwrap();
        let metrics = harness::process::address_in(&line);
        let answer = http1::get(&metrics, "/metrics").await;
        let refused = answer.metric("conclave_client_connections_refused_total");
        eprintln!(
            "{HALF_OPEN} half-open connections: from {before} to {during} MiB, slowest put \
             {slowest:?}, {refused:?} closed for others"
        );
        assert!(
            during < before + GROWTH_MIB_MAX,
            "{before} MiB, then {during}"
        );
        let found = earlier.get("k").await.unwrap().unwrap();
        assert_eq!(found.version, 1 + 2 * (HALF_OPEN / WAVE) as i64);
    });
}

async fn secure(endpoint: &str, certificate: &Certificate) -> Client {
    let files = TlsFiles::trusting(certificate.trusted());
    let files = files.presenting(certificate.cert(), certificate.key());
    // The crowd is served first.
    let options = Options::new().tls(files).deadline(DEADLINE);
    options.connect([endpoint]).await.unwrap()
}

/// The first message of a TLS client.
fn client_hello(certificate: &Certificate) -> Vec<u8> {
    let config = TlsFiles::trusting(certificate.trusted()).read().unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

async fn half_open(address: String, says: Arc<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // The member may have closed it already.
    let _ = stream.write_all(&says).await;
    stream
}
