//! `make install`: which files, where, and which of them it leaves alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::process::binary;
use tempfile::TempDir;

/// The top of the source tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Installs what was built into a directory.
pub(crate) fn install(destination: &Path, prefix: &str) -> String {
    let mut make = Command::new("make");
    make.arg("--directory").arg(root()).arg("install");
    make.arg(format!("BIN={}", binary().display()));
    make.arg(format!("DESTDIR={}", destination.display()));
    make.arg(format!("PREFIX={prefix}"));
    // As in a shell, not as in the `make test` that runs this.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let output = make.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Installs into a temporary directory.
pub(crate) fn installed() -> TempDir {
    let destination = tempfile::tempdir().unwrap();
    install(destination.path(), "/usr/local");
    destination
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| match path.is_dir() {
        true => files_below(&path),
        false => vec![path],
    });
    below.collect()
}

#[test]
fn everything_has_its_place() {
    for prefix in ["/usr/local", "/usr"] {
        let destination = tempfile::tempdir().unwrap();
        install(destination.path(), prefix);
        let mut found: Vec<_> = files_below(destination.path())
            .iter()
            .map(|path| format!("/{}", path.strip_prefix(&destination).unwrap().display()))
            .map(|path| path.replacen(&format!("{prefix}/"), "PREFIX/", 1))
            .collect();
        found.sort();
        let expected = [
            "/etc/conclave/conclave.env",
            "/etc/conclave/infra1.env",
            "/etc/conclave/infra2.env",
            "/etc/conclave/infra3.env",
            "PREFIX/bin/conclave",
            "PREFIX/lib/systemd/system/conclave-local.target",
            "PREFIX/lib/systemd/system/conclave.service",
            "PREFIX/lib/systemd/system/conclave@.service",
            "PREFIX/lib/sysusers.d/conclave.conf",
            "PREFIX/lib/tmpfiles.d/conclave.conf",
            "PREFIX/share/man/man8/conclave.8",
        ];
        assert_eq!(found, expected);
        let unit = format!("{prefix}/lib/systemd/system/conclave.service");
        let unit = fs::read_to_string(destination.path().join(&unit[1..])).unwrap();
        assert!(
            unit.contains(&format!("\nExecStart={prefix}/bin/conclave\n")),
            "{unit}"
        );
    }
}

#[test]
fn settings_of_an_operator_are_kept() {
    let destination = installed();
    let settings = destination.path().join("etc/conclave/conclave.env");
    fs::write(&settings, "ETCD_NAME=a\n").unwrap();
    let unit = destination
        .path()
        .join("usr/local/lib/systemd/system/conclave.service");
    fs::write(&unit, "old").unwrap();
    let output = install(destination.path(), "/usr/local");
    assert!(output.contains("conclave.env is kept"), "{output}");
    assert_eq!(fs::read_to_string(settings).unwrap(), "ETCD_NAME=a\n");
    assert_ne!(fs::read_to_string(unit).unwrap(), "old");
}

#[test]
fn without_a_binary_nothing_is_installed() {
    let destination = tempfile::tempdir().unwrap();
    let mut make = Command::new("make");
    make.arg("--directory").arg(root()).arg("install");
    make.args(["BIN=/nowhere/conclave", "PREFIX=/usr/local"]);
    make.arg(format!("DESTDIR={}", destination.path().display()));
    let output = make.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        error.contains("/nowhere/conclave is not there: run `make build`"),
        "{error}"
    );
    assert!(files_below(destination.path()).is_empty());
}
