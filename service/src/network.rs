//! Wiring of the member to the peer network ([`crate::peer`]).

use std::sync::{Arc, OnceLock};

use conclave_proto::peer::{Introduction, answer, question};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::StartError;
use crate::config::{Config, MemberUrl};
use crate::join::{self, Patience};
use crate::member;
use crate::metrics::{Metrics, PeerStats};
use crate::net::tls::Tls;
use crate::peer::{self, Answers, BoxFuture, Network, Parts};
use conclave_core::clock::SystemClock;
use conclave_core::fatal::FatalError;
use conclave_core::handle::Handle;
use conclave_core::leader_queries;
use conclave_core::member::{Member, PeerContext};
use conclave_core::peers::Peers;
use conclave_core::stores::{Origin, Stores};

/// Opens the certificates for connections between members, if TLS is configured.
pub(crate) fn open_tls(config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    let open = |files| Tls::open(files, &config.data_dir, &SystemClock::new()).map(Arc::new);
    Ok(config.peer_tls.clone().map(open).transpose()?)
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

/// Starts the owners, connected to the other members. Must be called on the clients' runtime;
/// connections to other members run on `raft`.
pub(crate) fn start(
    stores: Stores,
    config: &Config,
    metrics: &Metrics,
    tls: Option<Arc<Tls>>,
    stopping: CancellationToken,
    raft: &runtime::Handle,
) -> Result<(Member, Arc<Network>), StartError> {
    let network = OnceLock::new();
    let began_blank = stores.is_blank();
    let connect = |context| {
        let stats = metrics.peers().clone();
        let connect = || connect(config, tls, context, stats, began_blank, raft);
        let network = network.get_or_init(connect);
        Arc::clone(network) as Arc<dyn Peers>
    };
    let member = member::start(stores, config, metrics, stopping, raft, connect)?;
    let network = network.into_inner();
    Ok((member, network.expect("a member that starts connects")))
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
pub(crate) fn serve(
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
