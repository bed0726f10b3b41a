//! The network between members, with faults on its links.
//!
//! Each member listens on one address and *advertises* another, a forwarder's, so peers that dial
//! the member connect to the forwarder. Every connection between two members therefore passes here,
//! where rules decide about its bytes.
//!
//! A link is directed, and so are the bytes on a connection, whichever side dialled it. A member
//! that is silenced towards another must be silenced on the connections it made and on those it
//! accepted. To identify both ends, the forwarder asks the kernel which process owns the other side
//! of an accepted connection: it takes the inode from `/proc/net/tcp` and looks for it in
//! `/proc/<pid>/fd` of every member. It does not parse the bytes, so any protocol works.
//!
//! * **cut**: connections between the two are closed, and new ones are closed soon after they are
//!   made, as when a process is gone or a firewall rejects.
//! * **held**: bytes from one to the other stay in the forwarder; connections stay open and neither
//!   side is notified, as when packets are dropped. Held bytes are delivered when the link is
//!   healed, as TCP would retransmit them.
//! * **slow**: bytes from one to the other pass at a limited rate, as over a thin line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::forward::{BUFFER_BYTES, Faults, Way, carry};

/// How long a connection on a cut link stays open without an answer before it is closed.
const REFUSAL: Duration = Duration::from_millis(200);

/// The faults in effect, by member number, and the members' processes.
#[derive(Clone, Debug, Default)]
struct Rules {
    /// Pairs with the smaller number first.
    cut: BTreeSet<(usize, usize)>,
    /// (from, to)
    held: BTreeSet<(usize, usize)>,
    /// (from, to), and the bytes per second on each connection.
    slow: BTreeMap<(usize, usize), u32>,
    /// Process id to member number.
    processes: BTreeMap<u32, usize>,
    /// True once faults are disabled for good.
    is_open: bool,
}

/// All forwarders of one cluster.
#[derive(Debug)]
pub struct Network {
    rules: watch::Sender<Rules>,
    /// The tasks that accept connections, by the advertised address.
    forwarders: Mutex<BTreeMap<SocketAddr, AbortHandle>>,
    /// The forwarders have their own runtime, so that a test may block its threads while it waits
    /// for a process. `None` once it is being dropped.
    runtime: Option<Runtime>,
}

impl Default for Network {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime needs nothing but memory and threads");
        Self {
            rules: watch::Sender::default(),
            forwarders: Mutex::default(),
            runtime: Some(runtime),
        }
    }
}

impl Network {
    /// Starts a forwarder for a member; returns the address to advertise.
    pub fn forward(&self, member: usize, target: SocketAddr) -> SocketAddr {
        let listener = own_listener();
        // Accepted connections inherit the size. The kernel's own choice grows to megabytes, and a
        // slow line with that much in flight would not be slow.
        set_socket_recv_buffer_size(&listener, BUFFER_BYTES).expect("a socket has a buffer");
        listener
            .set_nonblocking(true)
            .expect("a socket can be made not to block");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let rules = self.rules.subscribe();
        let runtime = self.runtime.as_ref().expect("it is not being dropped");
        let accepting = runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listening socket");
            while let Ok((accepted, dialler)) = listener.accept().await {
                let from = match &*rules.borrow() {
                    rules if rules.is_open => None,
                    rules => owner(dialler, address, &rules.processes),
                };
                tokio::spawn(accept(accepted, (from, member), target, rules.clone()));
            }
        });
        let mut forwarders = self.lock_forwarders();
        forwarders.insert(address, accepting.abort_handle());
        address
    }

    /// Stops accepting connections at an address. Existing connections stay.
    pub fn close(&self, address: SocketAddr) {
        if let Some(accepting) = self.lock_forwarders().get(&address) {
            accepting.abort();
        }
    }

    fn lock_forwarders(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, AbortHandle>> {
        let forwarders = self.forwarders.lock();
        forwarders.unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a member's process, so that the connections it dials are attributed to the member.
    pub fn set_process(&self, member: usize, pid: u32) {
        self.rules.send_modify(|rules| {
            rules.processes.insert(pid, member);
        });
    }

    /// Disables all faults, now and later, and stops identifying connections. On a busy machine the
    /// kernel's table of connections is long; reading it for every attempt of many members to dial
    /// one that is down slows down the others.
    pub fn open(&self) {
        self.rules.send_modify(|rules| rules.is_open = true);
    }

    /// Closes the connections between two members, and any new ones.
    pub fn cut(&self, one: usize, other: usize) {
        self.rules.send_modify(|rules| {
            rules.cut.insert(pair(one, other));
        });
    }

    /// Holds all bytes from one member to another. The other direction is not affected.
    pub fn hold(&self, from: usize, to: usize) {
        self.rules.send_modify(|rules| {
            rules.held.insert((from, to));
        });
    }

    /// Limits the rate of bytes from one member to another, on each connection.
    pub fn slow(&self, from: usize, to: usize, bytes_per_second: u32) {
        self.rules.send_modify(|rules| {
            rules.slow.insert((from, to), bytes_per_second);
        });
    }

    /// Ends all faults started by [`Network::cut`], [`Network::hold`] and [`Network::slow`].
    pub fn heal(&self) {
        self.rules.send_modify(|rules| {
            rules.cut.clear();
            rules.held.clear();
            rules.slow.clear();
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        for address in self.lock_forwarders().keys() {
            give_back(*address);
        }
    }
}

/// The members at the ends of a connection: the one that dialled it, if it is one, and the one that
/// accepted it.
type Ends = (Option<usize>, usize);

impl Faults for Rules {
    type Ends = Ends;

    fn cut(&self, (from, to): Ends) -> bool {
        from.is_some_and(|from| self.cut.contains(&pair(from, to)))
    }

    fn hold(&self, ends: Ends, way: Way) -> bool {
        link(ends, way).is_some_and(|link| self.held.contains(&link))
    }

    fn bytes_per_second(&self, ends: Ends, way: Way) -> Option<u32> {
        link(ends, way).and_then(|link| self.slow.get(&link).copied())
    }
}

/// Which member the bytes come from, and which they go to.
fn link((from, to): Ends, way: Way) -> Option<(usize, usize)> {
    from.map(|from| match way {
        Way::Requests => (from, to),
        Way::Answers => (to, from),
    })
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

/// A loopback address that no other test process uses. A port that is chosen there and released is
/// not taken by another process before the member binds it, nor by outgoing connections, which come
/// from 127.0.0.1.
pub fn own_address() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 63), middle, low.max(1)))
}

/// A free port on [`own_address`].
pub fn free_address() -> SocketAddr {
    let address = own_listener().local_addr();
    address.expect("a bound socket has an address")
}

/// Reserved ports. An unbound port may belong to a killed member that is to restart, of this test
/// or of one that runs concurrently.
static GIVEN_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Releases a reserved port that its member will not use again. The kernel offers only some
/// thousands of ports, and hundreds of clusters need as many.
pub fn give_back(address: SocketAddr) {
    let mut given_out = GIVEN_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    given_out.remove(&address.port());
}

/// Listens on a port that is not reserved.
fn own_listener() -> StdTcpListener {
    loop {
        let listener = StdTcpListener::bind((own_address(), 0)).expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let mut given_out = GIVEN_OUT.lock().unwrap_or_else(PoisonError::into_inner);
        if given_out.insert(address.port()) {
            return listener;
        }
    }
}

/// Forwards one connection, but not one on a cut link.
async fn accept(
    dialled: TcpStream,
    ends: Ends,
    target: SocketAddr,
    mut rules: watch::Receiver<Rules>,
) {
    if rules.borrow_and_update().cut(ends) {
        // A peer that redials in a loop would make us search the kernel's table in a loop.
        let healed = rules.wait_for(|rules| !rules.cut(ends));
        let _ = tokio::time::timeout(REFUSAL, healed).await;
        return;
    }
    carry(dialled, target, ends, rules).await;
}

/// The member whose process owns the socket bound to `dialler` and connected to `us`.
fn owner(dialler: SocketAddr, us: SocketAddr, processes: &BTreeMap<u32, usize>) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (local, remote) = (in_hex(dialler)?, in_hex(us)?);
    let line = table.lines().find(|line| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next() == Some(&local) && columns.next() == Some(&remote)
    })?;
    let wanted = format!("socket:[{}]", line.split_whitespace().nth(9)?);
    let has = |pid: &u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        links.any(|link| link == Path::new(&wanted))
    };
    processes
        .iter()
        .find(|(pid, _)| has(pid))
        .map(|(_, member)| *member)
}

/// An address in the format of `/proc/net/tcp`: the four bytes as one number in native byte order.
fn in_hex(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}
