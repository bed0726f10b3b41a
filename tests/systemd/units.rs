//! What systemd's tools say of the units, without a machine that runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::install::{installed, root};
use crate::machine::skipped;

/// The greatest permitted exposure of a service, in tenths: systemd rates from 0 to 10.
const EXPOSURE_MAX: &str = "15";

const UNITS: &str = "usr/local/lib/systemd/system";

/// Returns false, and says so, if there is no `systemd-analyze`.
fn can_analyze() -> bool {
    let is_there = Command::new("systemd-analyze").arg("--version").output();
    let is_there = is_there.is_ok_and(|output| output.status.success());
    if !is_there {
        skipped("there is no systemd-analyze");
    }
    is_there
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    if !can_analyze() {
        return;
    }
    let destination = installed();
    let units = destination.path().join(UNITS);
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no"]);
    for entry in fs::read_dir(&units).unwrap() {
        let path = entry.unwrap().path();
        // systemd looks for the binary in the root directory, where it is not installed.
        let unit = fs::read_to_string(&path).unwrap();
        fs::write(&path, unit.replace("/usr/local/bin/conclave", "/bin/true")).unwrap();
        analyze.arg(path);
    }
    let output = analyze.output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn the_services_are_locked_up() {
    if !can_analyze() {
        return;
    }
    let destination = installed();
    for unit in ["conclave.service", "conclave@a.service"] {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager", "--threshold"]);
        analyze
            .args([EXPOSURE_MAX, unit, "--root"])
            .arg(destination.path());
        let output = analyze.output().unwrap();
        let rating = String::from_utf8_lossy(&output.stdout);
        assert!(rating.contains("Overall exposure level"), "{output:?}");
        assert!(output.status.success(), "{rating}");
    }
}

/// Returns the settings of a unit, each with its values in order.
fn settings(unit: &str) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(Path::new(&root()).join("deploy/systemd").join(unit)).unwrap();
    let mut settings = BTreeMap::<String, Vec<String>>::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        settings
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    settings
}

/// What holds for one member on a machine holds for one of several.
#[test]
fn the_two_services_differ_in_names_only() {
    let mut single = settings("conclave.service");
    let mut instance = settings("conclave@.service");
    for settings in [&mut single, &mut instance] {
        settings.remove("Description");
        settings.remove("EnvironmentFile");
    }
    for values in instance.values_mut() {
        values.retain(|value| value != "ETCD_NAME=%i");
        for value in values {
            *value = value.replace("-%i", "");
        }
    }
    assert_eq!(single, instance);
}
