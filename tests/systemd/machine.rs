//! A machine that systemd has booted: a container of `systemd-nspawn` with a minimal Debian, made
//! by `debootstrap`.
//!
//! The Debian is kept in the cache directory and never changed: what a test writes is in memory, on
//! top of it. Commands enter the container by `nsenter`, since neither the machine that the tests
//! run on nor the container needs a login. The container's network is a loopback device of its own,
//! so the ports are those of the documents.
//!
//! This needs root, and an apt source to make the Debian from. Elsewhere a test prints `skipped`
//! with the reason and passes, unless `CONCLAVE_TEST_SYSTEMD=required`, as in CI.

use std::fs::{self, File};
use std::future::ready;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::child::Child;
use harness::wait::eventually_by;
use tempfile::TempDir;

use crate::install::install;
use crate::runbook;

/// Where the kept Debian is, below the cache directory. Other packages need another name.
const TREE: &str = "conclave/debian-with-systemd-1";

/// systemd, and what the binary is linked with.
const PACKAGES: &str = "--include=systemd,systemd-sysv,dbus,libstdc++6";

/// Time for a machine to boot, and for a unit to reach a state: `systemctl` itself waits for most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A booted machine with Conclave installed. Ends when dropped.
pub(crate) struct Machine {
    /// The process id of its systemd, outside.
    init: String,
    _nspawn: Child,
    _installed: TempDir,
}

/// Prints why a test is skipped, or fails where it must not be.
pub(crate) fn skipped(reason: &str) {
    let is_required = std::env::var_os("CONCLAVE_TEST_SYSTEMD").is_some();
    assert!(!is_required, "CONCLAVE_TEST_SYSTEMD is set, and {reason}");
    // Not by a macro, whose output the test runner would hide.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

impl Machine {
    /// Installs Conclave on a new machine and boots it. Where that is not possible, prints why the
    /// test is skipped and returns `None`.
    pub(crate) async fn boot() -> Option<Machine> {
        let tree = match tree() {
            Ok(tree) => tree,
            Err(reason) => {
                skipped(&reason);
                return None;
            }
        };
        let installed = tempfile::tempdir().unwrap();
        install(installed.path(), "/usr/local");
        let mut nspawn = Child::spawn("systemd-nspawn", &arguments(&tree, installed.path()), &[]);
        let deadline = Instant::now() + PATIENCE;
        // The container exists once its first process has become systemd. Without permission nspawn
        // ends before that.
        let init = eventually_by(deadline, "the machine's systemd", || {
            ready(match nspawn.is_running() {
                true => init_of(nspawn.pid()).map(Some),
                false => Some(None),
            })
        });
        let Some(init) = init.await else {
            skipped(&format!("systemd-nspawn: {}", nspawn.lines().join("; ")));
            return None;
        };
        let machine = Machine {
            init,
            _nspawn: nspawn,
            _installed: installed,
        };
        eventually_by(deadline, "the machine is up", || async {
            let output = machine.output("systemctl is-system-running --wait");
            let is_up = ["running\n", "degraded\n"].map(str::as_bytes);
            is_up.contains(&&*output.stdout).then_some(())
        })
        .await;
        // Without the attributes of the directory, which would become those of the root.
        machine.run("cp -r /installed/. /");
        Some(machine)
    }

    /// Runs a shell command on the machine.
    pub(crate) fn output(&self, command: &str) -> Output {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.init, "--all", "sh", "-c", command]);
        nsenter
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        nsenter.output().unwrap()
    }

    /// Runs a shell command on the machine, which must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> String {
        let output = self.output(command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that the runbook tells operators to run.
    #[track_caller]
    pub(crate) fn documented(&self, command: &str) -> String {
        assert!(
            runbook::commands().contains(command),
            "the runbook has no line {command:?}"
        );
        self.run(command)
    }

    /// Writes a file on the machine.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let dir = Path::new(path).parent().unwrap().display();
        self.run(&format!("mkdir -p {dir}; cat >{path} <<'END'\n{text}\nEND"));
    }

    /// Runs `etcdctl` in the machine's network.
    #[track_caller]
    pub(crate) fn etcdctl(&self, arguments: &[&str]) -> String {
        self.client(&[&["/usr/bin/etcdctl"], arguments].concat())
    }

    /// Runs a program that is installed outside in the machine's network.
    #[track_caller]
    pub(crate) fn client(&self, words: &[&str]) -> String {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.init, "--net"]);
        let output = nsenter
            .args(words)
            .env("ETCDCTL_API", "3")
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns a property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let text = self.run(&format!("systemctl show --value --property={name} {unit}"));
        text.trim_end().to_owned()
    }

    /// Waits until a property of a unit has this value.
    pub(crate) async fn expect_property(&self, unit: &str, name: &str, value: &str) {
        let what = format!("{name} of {unit} is {value}");
        eventually_by(Instant::now() + PATIENCE, &what, || async {
            (self.property(unit, name) == value).then_some(())
        })
        .await;
    }

    /// Waits for a line in the journal of a unit.
    pub(crate) async fn expect_line(&self, unit: &str, part: &str) {
        eventually_by(Instant::now() + PATIENCE, part, || async {
            let journal = self.run(&format!("journalctl --output=cat --unit={unit}"));
            journal
                .lines()
                .any(|line| line.contains(part))
                .then_some(())
        })
        .await;
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output("journalctl --no-pager --lines=60 --unit='conclave*'");
            eprintln!("{}", String::from_utf8_lossy(&output.stdout));
        }
        // All processes of the machine end with its first one. They outlive a killed nspawn.
        let _ = Command::new("kill").args(["-KILL", &self.init]).status();
    }
}

fn arguments(tree: &Path, installed: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--boot",
        "--quiet",
        "--console=pipe",
        "--link-journal=no",
        "--private-network",
        "--register=no",
        // The tree is not written to; what is written is in memory.
        "--volatile=overlay",
    ]
    .map(str::to_owned)
    .into();
    if !Path::new("/run/systemd/system").exists() {
        // No systemd outside that could make a scope for the container.
        arguments.push("--keep-unit".to_owned());
    }
    // nspawn has directories by this name; two tests may run at a time.
    let name = installed.file_name().unwrap().to_string_lossy();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    arguments.push(format!("--machine=conclave-{name}"));
    arguments.push(format!("--directory={}", tree.display()));
    arguments.push(format!("--bind-ro={}:/installed", installed.display()));
    arguments
}

/// Returns the process id of the systemd that this nspawn runs.
fn init_of(nspawn: u32) -> Option<String> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    let mut children = children.split_whitespace();
    let is_init = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "systemd\n")
    };
    children.find(is_init).map(str::to_owned)
}

/// Returns the kept Debian, after making it if there is none yet.
fn tree() -> Result<PathBuf, String> {
    for tool in ["debootstrap", "systemd-nspawn", "nsenter"] {
        let version = Command::new(tool).arg("--version").output();
        version.map_err(|_| format!("there is no {tool}"))?;
    }
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make a Debian and boot it".to_owned());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let tree = cache.or(home).ok_or("there is no HOME")?.join(TREE);
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", tree.display());
    fs::create_dir_all(tree.parent().unwrap()).map_err(failed)?;
    // Two tests, or two runs, make one tree.
    let lock = File::create(tree.with_extension("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if !tree.exists() {
        let partial = tree.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(failed)?;
        }
        let (suite, source) = source()?;
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", PACKAGES, &suite]);
        let output = debootstrap
            .arg(&partial)
            .arg(source)
            .output()
            .map_err(failed)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let last: Vec<_> = text.lines().rev().take(3).collect();
            return Err(format!("debootstrap failed: {}", last.join("; ")));
        }
        fs::rename(&partial, &tree).map_err(failed)?;
    }
    Ok(tree)
}

/// Returns the suite and the address that apt gets packages from.
fn source() -> Result<(String, String), String> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format=$(CODENAME) $(COMPONENT) $(SITE)"]);
    let output = apt.arg("Created-By: Packages").output();
    let text = output.map_or(Vec::new(), |output| output.stdout);
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut sources = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let main =
        sources.find(|words| matches!(words[..], [suite, "main", _] if !suite.contains('-')));
    let main = main.ok_or("apt has no source to make a Debian from")?;
    Ok((main[0].to_owned(), main[2].to_owned()))
}
