//! A small network of real interfaces, in namespaces of its own.
//!
//! One namespace for each member and one in the middle, with a bridge to which all are connected.
//! Nothing of it can be seen from, or can reach, the machine's own network; names within a
//! namespace are free to choose. What [`crate::proxy`] does with connections can be done here with
//! packets: an interface that is down, a route into nothing. Needs root and `ip`.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Namespaces that are gone when this is dropped.
#[derive(Debug)]
pub struct Namespaces {
    names: Vec<String>,
    hub: String,
}

impl Namespaces {
    /// Makes `count` of them, connected; or says why it cannot be done here.
    pub fn create(count: usize) -> Result<Self, String> {
        // Tests of one process run side by side.
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

    /// Of the network for benchmarks, which nobody else has (RFC 2544). The one after the
    /// members' is the hub's.
    fn address_of(number: usize) -> String {
        format!("198.18.0.{}", number + 1)
    }

    /// The words that run a command as a member.
    pub fn inside(&self, number: usize) -> Vec<String> {
        within(&self.names[number])
    }

    /// The words that run a command in the middle, from where all members can be reached.
    pub fn in_the_middle(&self) -> Vec<String> {
        within(&self.hub)
    }

    /// Gives a member's interface a further address, and returns it. What is sent without naming an
    /// address goes out from the first.
    pub fn add_address(&self, number: usize) -> String {
        let address = format!("198.18.0.{}", number + 101);
        let name = &self.names[number];
        self.must(&format!("-n {name} addr add {address}/24 dev eth0"));
        address
    }

    /// Pulls a member's cable.
    pub fn unplug(&self, number: usize) {
        self.must(&format!("-n {} link set v{number} down", self.hub));
    }

    /// Puts it back.
    pub fn plug(&self, number: usize) {
        self.must(&format!("-n {} link set v{number} up", self.hub));
    }

    /// Packets from one member to another go nowhere. The other direction stays.
    pub fn drop_from(&self, from: usize, to: usize) {
        let (name, address) = (&self.names[from], self.address(to));
        self.must(&format!("-n {name} route add blackhole {address}/32"));
    }

    /// They arrive again.
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
        // The interfaces go with them. One that was not made is no loss.
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
