//! The network between members, where it can be cut.
//!
//! Each member listens on one address and *advertises* another, which is a forwarder's: whoever
//! dials the member dials the forwarder. So every connection between two members passes here, and
//! rules say what happens to it.
//!
//! A link is directed, and so are bytes on a connection; who dialled whom is another matter. A
//! member that is silenced towards another must be so on the connections it made and on those it
//! accepted. To know both ends, the forwarder asks the kernel whose socket is on the other side of
//! an accepted connection: the inode in `/proc/net/tcp`, looked for in `/proc/<pid>/fd` of every
//! member. Nothing in the bytes tells it, whatever protocol they are of.
//!
//! * **cut**: connections between the two are closed, and new ones soon after they are made, as
//!   when a process is gone or a firewall rejects.
//! * **held**: bytes from one to the other stay where they are; connections stay open and nobody
//!   is told, as when packets are dropped. What was held goes on when the link is healed, as TCP
//!   would send it again.
//! * **slow**: bytes from one to the other pass at a rate, as over a thin line.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// Bytes on their way through a forwarder, at most, for each direction of a connection.
const BUFFER_BYTES: usize = 64 << 10;

/// How long a connection is left without an answer before it is closed, where there is a cut.
const REFUSAL: Duration = Duration::from_millis(200);

/// What is forbidden now, by the numbers of the members, and whose process is whose.
#[derive(Clone, Debug, Default)]
struct Rules {
    /// Smaller number first.
    cut: BTreeSet<(usize, usize)>,
    /// From, to.
    held: BTreeSet<(usize, usize)>,
    /// From, to; bytes a second on each connection.
    slow: BTreeMap<(usize, usize), u32>,
    /// Process id to member.
    processes: BTreeMap<u32, usize>,
    /// Nothing will be forbidden.
    is_open: bool,
}

/// All forwarders of one cluster.
#[derive(Debug)]
pub struct Network {
    rules: watch::Sender<Rules>,
    /// The tasks that accept connections, by the address to dial.
    forwarders: Mutex<BTreeMap<SocketAddr, AbortHandle>>,
    /// Its own, so that a test may block its threads while it waits for a process. `None` once it
    /// is being dropped.
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
    /// Starts a forwarder in front of a member; returns the address to dial.
    pub fn forward(&self, member: usize, target: SocketAddr) -> SocketAddr {
        let listener = own_listener();
        // Accepted connections have it from here. The kernel's own choice grows to megabytes, and
        // a slow line with so much on its way is none.
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
                tokio::spawn(carry(accepted, from, member, target, rules.clone()));
            }
        });
        let mut forwarders = self.lock_forwarders();
        forwarders.insert(address, accepting.abort_handle());
        address
    }

    /// Accepts no more connections at an address. Those there are stay.
    pub fn close(&self, address: SocketAddr) {
        if let Some(accepting) = self.lock_forwarders().get(&address) {
            accepting.abort();
        }
    }

    fn lock_forwarders(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, AbortHandle>> {
        let forwarders = self.forwarders.lock();
        forwarders.unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whose process this is, so that what it dials is known to be the member's.
    pub fn set_process(&self, member: usize, pid: u32) {
        self.rules.send_modify(|rules| {
            rules.processes.insert(pid, member);
        });
    }

    /// Lets everything through from now on, whatever is forbidden later, without looking whose it
    /// is. On a busy machine the kernel's table of connections is long, and reading it for each
    /// attempt of many members to dial one that is down holds up those that are up.
    pub fn open(&self) {
        self.rules.send_modify(|rules| rules.is_open = true);
    }

    /// Closes the connections between two members, and any they make.
    pub fn cut(&self, one: usize, other: usize) {
        self.rules.send_modify(|rules| {
            rules.cut.insert(pair(one, other));
        });
    }

    /// Lets nothing through from one member to another. The other direction stays as it is.
    pub fn hold(&self, from: usize, to: usize) {
        self.rules.send_modify(|rules| {
            rules.held.insert((from, to));
        });
    }

    /// Lets so many bytes a second through from one member to another, on each connection.
    pub fn slow(&self, from: usize, to: usize, bytes_per_second: u32) {
        self.rules.send_modify(|rules| {
            rules.slow.insert((from, to), bytes_per_second);
        });
    }

    /// Ends everything that [`Network::cut`], [`Network::hold`] and [`Network::slow`] began.
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

impl Rules {
    fn cuts(&self, one: Option<usize>, other: usize) -> bool {
        one.is_some_and(|one| self.cut.contains(&pair(one, other)))
    }
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

/// A loopback address that no other test process uses: ports chosen there and let go again are
/// not taken by another before the member binds them, and outgoing connections, which come from
/// 127.0.0.1, do not take them either.
pub fn own_address() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 63), middle, low.max(1)))
}

/// A free port on [`own_address`].
pub fn free_address() -> SocketAddr {
    let address = own_listener().local_addr();
    address.expect("a bound socket has an address")
}

/// Ports that are given out: one that is not bound may be of a member that was killed and is to
/// come back, of this test or of one that runs beside it.
static GIVEN_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The one that it was given to will not use it any more. The kernel offers some thousands of ports
/// only, and hundreds of clusters have as many.
pub fn give_back(address: SocketAddr) {
    let mut given_out = GIVEN_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    given_out.remove(&address.port());
}

/// Listens on a port that is not given out.
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

/// Forwards one connection until an end closes it or a cut does.
async fn carry(
    dialled: TcpStream,
    from: Option<usize>,
    to: usize,
    target: SocketAddr,
    mut rules: watch::Receiver<Rules>,
) {
    if rules.borrow_and_update().cuts(from, to) {
        // Whoever dials in a loop would make us look through the kernel's table in a loop.
        let healed = rules.wait_for(|rules| !rules.cuts(from, to));
        let _ = tokio::time::timeout(REFUSAL, healed).await;
        return;
    }
    let Ok(onward) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (dialled.set_nodelay(true), onward.set_nodelay(true));
    let (dialler_out, dialler_in) = dialled.into_split();
    let (member_out, member_in) = onward.into_split();
    let there = pump(dialler_out, member_in, from, Some(to), rules.clone());
    let back = pump(member_out, dialler_in, Some(to), from, rules.clone());
    let cut = rules.wait_for(|rules| rules.cuts(from, to));
    tokio::select! {
        // Either direction ending ends the connection. gRPC and etcd's peers, all that passes
        // here, use both directions or none.
        _ = there => {}
        _ = back => {}
        _ = cut => {}
    }
}

/// Moves bytes one way, except while that way is held, and no faster than it lets them.
async fn pump(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    from: Option<usize>,
    to: Option<usize>,
    mut rules: watch::Receiver<Rules>,
) -> io::Result<()> {
    let link = from.zip(to);
    let mut buffer = vec![0; BUFFER_BYTES];
    // When what has passed on a slow line is through.
    let mut due = Instant::now();
    loop {
        let length = reader.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let free = |rules: &Rules| link.is_none_or(|link| !rules.held.contains(&link));
        let slow = {
            let rules = rules.wait_for(free).await.map_err(io::Error::other)?;
            link.and_then(|link| rules.slow.get(&link).copied())
        };
        if let Some(bytes_per_second) = slow {
            let share = length as f64 / f64::from(bytes_per_second);
            due = due.max(Instant::now()) + Duration::from_secs_f64(share);
            sleep_until(due).await;
        }
        writer.write_all(&buffer[..length]).await?;
    }
}

/// The member whose process has the socket that is bound to `dialler` and connected to us.
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

/// An address as `/proc/net/tcp` has it: the four bytes as one number of the machine's own order.
fn in_hex(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}
