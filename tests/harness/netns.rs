//! A small network of real interfaces, in its own namespaces.
//!
//! There is one namespace for each member and one hub with a bridge that connects them all. The
//! machine's own network can neither see nor be reached from these namespaces; names within a
//! namespace can be chosen freely. What [`crate::proxy`] does to connections can be done to packets
//! here: an interface that is down, a route that drops packets. Needs root and `ip`.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Network namespaces, deleted when dropped.
#[derive(Debug)]
pub struct Namespaces {
    names: Vec<String>,
    hub: String,
}

impl Namespaces {
    /// Creates `count` connected namespaces, or returns the reason it cannot be done on this
    /// machine.
    pub fn create(count: usize) -> Result<Self, String> {
        // Tests of one process run concurrently.
        static NETWORKS: AtomicUsize = AtomicUsize::new(0);
        let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("conclave-{}-{network}", std::process::id());
        let made = Self {
            names: (0..count).map(|n| format!("{prefix}-{n}")).collect(),
            hub: format!("{prefix}-hub"),
        };
        let hub = &made.hub;
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add bridge type bridge"))?;
        ip(&format!(
            "-n {hub} addr add {}/24 dev bridge",
            Self::address_of(count)
        ))?;
        ip(&format!("-n {hub} link set bridge up"))?;
        for (number, name) in made.names.iter().enumerate() {
            ip(&format!("netns add {name}"))?;
            ip(&format!(
                "-n {hub} link add v{number} type veth peer name eth0 netns {name}"
            ))?;
            ip(&format!("-n {hub} link set v{number} master bridge"))?;
            ip(&format!("-n {hub} link set v{number} up"))?;
            ip(&format!(
                "-n {name} addr add {}/24 dev eth0",
                Self::address_of(number)
            ))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(made)
    }

    /// The address of a member's interface.
    pub fn address(&self, number: usize) -> String {
        Self::address_of(number)
    }

    /// An address in the network reserved for benchmarks (RFC 2544), which no real network uses.
    /// The address after the members' is the hub's.
    fn address_of(number: usize) -> String {
        format!("198.18.0.{}", number + 1)
    }

    /// The command prefix that runs a process in a member's namespace.
    pub fn inside(&self, number: usize) -> Vec<String> {
        within(&self.names[number])
    }

    /// The command prefix that runs a process in the hub, which reaches all members.
    pub fn in_the_middle(&self) -> Vec<String> {
        within(&self.hub)
    }

    /// Adds an address to a member's interface, and returns it. Connections that do not bind an
    /// address still use the first.
    pub fn add_address(&self, number: usize) -> String {
        let address = format!("198.18.0.{}", number + 101);
        let name = &self.names[number];
        self.must(&format!("-n {name} addr add {address}/24 dev eth0"));
        address
    }

    /// Takes a member's interface down.
    pub fn unplug(&self, number: usize) {
        self.must(&format!("-n {} link set v{number} down", self.hub));
    }

    /// Brings a member's interface up again.
    pub fn plug(&self, number: usize) {
        self.must(&format!("-n {} link set v{number} up", self.hub));
    }

    /// Drops packets from one member to another. The other direction is not affected.
    pub fn drop_from(&self, from: usize, to: usize) {
        let (name, address) = (&self.names[from], self.address(to));
        self.must(&format!("-n {name} route add blackhole {address}/32"));
    }

    /// Ends [`Self::drop_from`] for the two members.
    pub fn restore_from(&self, from: usize, to: usize) {
        let (name, address) = (&self.names[from], self.address(to));
        self.must(&format!("-n {name} route del blackhole {address}/32"));
    }

    #[track_caller]
    fn must(&self, arguments: &str) {
        if let Err(error) = ip(arguments) {
            panic!("{error}");
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The interfaces are deleted with their namespaces. A namespace that was not created does
        // not matter.
        for name in self.names.iter().chain([&self.hub]) {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

fn within(name: &str) -> Vec<String> {
    ["ip", "netns", "exec", name].map(str::to_owned).to_vec()
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let refused = || format!("ip {arguments}: {}", said.trim());
    output.status.success().then_some(()).ok_or_else(refused)
}
