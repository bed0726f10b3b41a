//! The core on a network: what `peer` needs of the member, put together.

use std::sync::{Arc, OnceLock};

use conclave_proto::peer::{Introduction, answer, question};
use conclave_storage::machine::GENESIS;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::StartError;
use crate::clock::SystemClock;
use crate::config::{Config, MemberUrl};
use crate::core::{self, Core, Neighbourhood};
use crate::fatal::FatalError;
use crate::forward;
use crate::handle::Handle;
use crate::join::{self, Origin, Patience};
use crate::peer::{self, Answers, BoxFuture, Network, Parts};
use crate::peers::{Inbox, Peers};
use crate::stores::Stores;
use crate::tls::Tls;

/// The certificates of connections between members, if they are secured.
pub(crate) fn open_tls(config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    let open = |files| Tls::open(files, &config.data_dir, &SystemClock::new()).map(Arc::new);
    Ok(config.peer_tls.clone().map(open).transpose()?)
}

/// What a member with an empty directory becomes, having asked the others.
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

/// Wakes the owners, with the other members in reach. Must be called in the runtime of the clients;
/// what speaks to other members runs on `raft`.
pub(crate) fn start(
    stores: Stores,
    config: &Config,
    tls: Option<Arc<Tls>>,
    stopping: CancellationToken,
    raft: &runtime::Handle,
) -> Result<(Core, Arc<Network>), StartError> {
    let network = OnceLock::new();
    let began_blank = stores.log_state.last_index <= GENESIS.0;
    let connect = |inbox, neighbourhood| {
        let connect = || connect(config, tls, inbox, neighbourhood, began_blank, raft);
        let network = network.get_or_init(connect);
        Arc::clone(network) as Arc<dyn Peers>
    };
    let settings = core::Settings::of(config);
    let core = Core::start(stores, settings, stopping, raft, connect)?;
    let network = network.into_inner();
    Ok((core, network.expect("a core that starts connects")))
}

fn connect(
    config: &Config,
    tls: Option<Arc<Tls>>,
    inbox: Inbox,
    neighbourhood: Neighbourhood,
    began_blank: bool,
    raft: &runtime::Handle,
) -> Arc<Network> {
    let Neighbourhood {
        identity,
        clock,
        reader,
        stats,
        fatal,
    } = neighbourhood;
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
        already_started: join::already_started(config, identity.member_id),
        fatal,
        runtime: raft.clone(),
        // The driver speaks to the others to its end; then the network is stopped by itself.
        stopping: CancellationToken::new(),
    })
}

/// Serves the other members on one listener. To be run on the runtime the listener was bound on.
pub(crate) fn serve(
    (url, listener): (MemberUrl, TcpListener),
    network: Arc<Network>,
    tls: Option<Arc<Tls>>,
    core: &Core,
    stopping: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let answers = Arc::new(core.handle().clone());
    let fatal = core.fatal().clone();
    let address = listener
        .local_addr()
        .map_or(String::new(), |address| address.to_string());
    tracing::info!(%url, address, "ready to serve other members");
    let tls = tls.filter(|_| url.is_tls());
    async move {
        if let Err(error) = peer::serve(listener, network, answers, tls, stopping).await {
            let (address, detail) = (url.to_string(), error.to_string());
            fatal.report(FatalError::Listener { address, detail });
        }
    }
}

impl Answers for Handle {
    fn answer(&self, question: question::Question) -> BoxFuture<answer::Answer> {
        let handle = self.clone();
        Box::pin(async move { forward::answer(&handle, question).await })
    }

    fn introduce(&self) -> Introduction {
        forward::introduce(self)
    }
}
