//! The one place where a member's owners, its network and its tasks are wired together, by its
//! configuration.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use conclave_core::clock::SystemClock;
use conclave_core::fatal::FatalError;
use conclave_core::handle::{Handle, Identity};
use conclave_core::leader_queries;
use conclave_core::limits;
use conclave_core::member::{Member, Owners, PeerContext, Seams, Settings};
use conclave_core::peers::Peers;
use conclave_core::proposer::Reconfiguration;
use conclave_core::seed::Seed;
use conclave_core::stores::{Opened, Origin, Stores};
use conclave_core::workers::Threads;
use conclave_proto::peer::{Introduction, answer, question};
use conclave_storage::layout;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, MemberUrl};
use crate::metrics::{self, Metrics, PeerStats};
use crate::net::tls::Tls;
use crate::peer::{self, Answers, BoxFuture, Network, Parts};
use crate::rpc::authenticator::Authenticator;
use crate::start::join::{self, Patience};
use crate::telemetry::Exporting;
use crate::{StartError, compactor, leader_watchdog, reconfiguration};

/// The system's random numbers.
struct SystemSeed;

impl Seed for SystemSeed {
    fn next(&self) -> u64 {
        rand::random()
    }
}

/// The certificates of a member; `None` where TLS is not configured.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// For connections between members.
    pub(crate) peers: Option<Arc<Tls>>,
    /// For clients, and scrapers of metrics.
    pub(crate) clients: Option<Arc<Tls>>,
}

impl Certificates {
    /// Opens the configured certificates.
    pub(crate) fn open(config: &Config) -> Result<Certificates, StartError> {
        let open = |files| Tls::open(files, &config.data_dir).map(Arc::new);
        Ok(Certificates {
            peers: config.peer_tls.clone().map(open).transpose()?,
            clients: config.client_tls.clone().map(open).transpose()?,
        })
    }
}

/// Determines the identity of a member with an empty data directory, by asking the other members.
pub(crate) async fn origin(config: &Config, tls: Option<Arc<Tls>>) -> Result<Origin, StartError> {
    let patience = Patience::default();
    let timeout = patience.round;
    let local_address = config.peer_local_address;
    let introduce = move |urls: Vec<MemberUrl>| {
        let tls = tls.clone();
        async move {
            let introduced = peer::introduce(&urls, tls, local_address, timeout).await;
            introduced.map_err(|error| error.to_string())
        }
    };
    Ok(join::origin(config, patience, introduce).await?)
}

/// A member whose owners run, with its metrics and its connections to the other members.
pub(crate) struct Running {
    pub(crate) member: Member,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) exporting: Exporting,
    pub(crate) network: Arc<Network>,
}

/// Starts a member on its opened stores. `origin` is the member's identity if they are empty. Must
/// be called on the clients' runtime. `raft` runs the connections to other members and the tasks
/// that must not wait for clients.
pub(crate) fn start(
    opened: Opened,
    origin: Option<Origin>,
    config: &Config,
    tls: Option<Arc<Tls>>,
    (stopping, exporting): (CancellationToken, Exporting),
    raft: &runtime::Handle,
) -> Result<Running, StartError> {
    let message = match &origin {
        Some(Origin::New(_)) => "starting a member of a new cluster",
        Some(Origin::Joined { .. }) => "starting a member that was added to a cluster",
        None => "restarting the member",
    };
    let stores = opened.into_stores(origin, config.force_new_cluster)?;
    end_if_removed(stores.identity(), config)?;
    log_start(message, &stores, config);
    let metrics = Metrics::new(stores.identity(), metrics_settings(config))
        .map_err(|error| StartError::System(error.to_string()))?;
    let network = OnceLock::new();
    let began_blank = stores.is_blank();
    let connect = |context| {
        let stats = metrics.peers().clone();
        let connect = || connect(config, tls, context, stats, began_blank, raft);
        let network = network.get_or_init(connect);
        Arc::clone(network) as Arc<dyn Peers>
    };
    let seams = Seams {
        clock: Arc::new(SystemClock::new()),
        seed: Arc::new(SystemSeed),
        workers: Arc::new(Threads),
        observer: exporting.observer(Arc::clone(metrics.stats()) as _),
    };
    let seed = Arc::clone(&seams.seed);
    let authenticator = Authenticator::start(&config.auth_token, config.bcrypt_cost, seed)
        .map_err(StartError::System)?;
    let owners = Owners::new(stores, settings(config), seams, stopping, connect)?;
    let mut member = Member::start(owners, raft)?;
    spawn_tasks(&mut member, config, &metrics);
    let network = network.into_inner();
    Ok(Running {
        member,
        metrics: Arc::new(metrics),
        authenticator: Arc::new(authenticator),
        exporting,
        network: network.expect("a member that starts connects"),
    })
}

/// Ends the start of a member whose removal a voter has confirmed before.
fn end_if_removed(identity: Identity, config: &Config) -> Result<(), StartError> {
    let (dir, cluster, member) = (config.member_dir(), identity.cluster_id, identity.member_id);
    if config.force_new_cluster {
        layout::forget_removal(&dir)?;
    }
    match layout::is_removal_recorded(&dir, cluster, member)? {
        true => Err(StartError::Removed),
        false => Ok(()),
    }
}

/// Logs the first line of a member: its ids and its addresses.
fn log_start(message: &str, stores: &Stores, config: &Config) {
    let (cluster, member) = (stores.identity().cluster_id, stores.identity().member_id);
    let urls = |urls: &[MemberUrl]| {
        let texts: Vec<&str> = urls.iter().map(MemberUrl::as_str).collect();
        texts.join(",")
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        name = config.name,
        member = member.to_string(),
        cluster = cluster.to_string(),
        data_dir = %config.data_dir.display(),
        log_dir = %config.log_dir().display(),
        listen_peer_urls = urls(&config.listen_peer_urls),
        listen_client_urls = urls(&config.listen_client_urls),
        advertise_client_urls = urls(&config.advertise_client_urls),
        "{message}"
    );
}

/// Spawns the tasks beside the owners, on the runtime of the clients.
fn spawn_tasks(member: &mut Member, config: &Config, metrics: &Metrics) {
    let (handle, runtime) = (member.handle().clone(), runtime::Handle::current());
    let election_timeout = Duration::from_millis(config.election_timeout_ms);
    let watchdog = leader_watchdog::watch(handle.clone(), election_timeout);
    member.spawn("leader-watchdog", watchdog, &runtime);
    if let Some(retention) = config.auto_compaction {
        let compacting = compactor::run(handle.clone(), retention);
        member.spawn("compactor", compacting, &runtime);
    }
    if config.auto_promote_learners {
        let promotions = metrics.stats().promotions.clone();
        let promoting = reconfiguration::promote_learners(handle, promotions);
        member.spawn("promotion", promoting, &runtime);
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        heartbeat_interval: Duration::from_millis(config.heartbeat_interval_ms),
        election_timeout: Duration::from_millis(config.election_timeout_ms),
        pre_vote: config.pre_vote,
        snapshot_count: config.snapshot_count,
        catch_up_entries: config.snapshot_catchup_entries,
        lease_checkpoint_interval: config
            .lease_checkpoint
            .then_some(limits::LEASE_CHECKPOINT_INTERVAL),
        sync: !config.unsafe_no_fsync,
        quota_bytes: config.quota_backend_bytes,
        max_txn_ops: config.max_txn_ops,
        max_request_bytes: config.max_request_bytes,
        watch_progress_interval: config.watch_progress_notify_interval,
        auth_token_ttl: config.auth_token_ttl,
        reconfiguration: Reconfiguration {
            strict: config.strict_reconfig_check,
            max_learners: config.max_learners,
        },
    }
}

/// Returns the configuration of the metrics.
fn metrics_settings(config: &Config) -> metrics::Settings {
    metrics::Settings {
        extensive: config.extensive_metrics,
        lease_checkpoint: config.lease_checkpoint,
        sets_local_address: config.peer_local_address.is_some(),
    }
}

fn connect(
    config: &Config,
    tls: Option<Arc<Tls>>,
    context: PeerContext,
    stats: PeerStats,
    began_blank: bool,
    raft: &runtime::Handle,
) -> Arc<Network> {
    let PeerContext {
        identity,
        clock,
        reader,
        fatal,
        inbox,
    } = context;
    Network::new(Parts {
        settings: peer::Settings {
            cluster_id: identity.cluster_id,
            member_id: identity.member_id,
            boot_id: rand::random(),
            election_timeout: std::time::Duration::from_millis(config.election_timeout_ms),
            max_request_bytes: config.max_request_bytes,
            peer_urls: config
                .initial_advertise_peer_urls
                .iter()
                .map(MemberUrl::to_string)
                .collect(),
            snapshot_bytes_per_second: peer::SNAPSHOT_BYTES_PER_SECOND,
            snapshot_dir: config.member_dir(),
            tls,
            local_address: config.peer_local_address,
        },
        inbox,
        clock,
        applied: Arc::new(move || reader.applied().index),
        stats,
        began_blank,
        already_started: {
            let error = join::already_started(config, identity.member_id);
            FatalError::Process(error.to_string())
        },
        fatal,
        runtime: raft.clone(),
        // The driver sends to other members until it ends; the network is stopped after it.
        stopping: CancellationToken::new(),
    })
}

/// Serves other members on one listener. Must run on the runtime that the listener was bound on.
pub(crate) fn serve_peers(
    (url, listener): (MemberUrl, TcpListener),
    network: Arc<Network>,
    tls: Option<Arc<Tls>>,
    member: &Member,
    stopping: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let answers = Arc::new(member.handle().clone());
    let fatal = member.fatal().clone();
    let address = listener
        .local_addr()
        .map_or(String::new(), |address| address.to_string());
    tracing::info!(%url, address, "ready to serve other members");
    let tls = tls.filter(|_| url.is_tls());
    async move {
        if let Err(error) = peer::serve(listener, network, answers, tls, stopping).await {
            fatal.report(FatalError::Process(format!(
                "serving {url} failed: {error}"
            )));
        }
    }
}

impl Answers for Handle {
    fn answer(&self, question: question::Question) -> BoxFuture<answer::Answer> {
        let handle = self.clone();
        Box::pin(async move { leader_queries::answer(&handle, question).await })
    }

    fn introduce(&self) -> Introduction {
        leader_queries::introduce(self)
    }
}
