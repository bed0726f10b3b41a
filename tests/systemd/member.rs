//! One member: `conclave.service`, from the first start to the last stop.

use std::fs;

use harness::certificates::{Authority, Certificate, Validity};
use harness::wait::eventually;

use crate::machine::Machine;

const UNIT: &str = "conclave";
const SETTINGS: &str = "/etc/conclave/conclave.env";

async fn installed() -> Option<Machine> {
    let machine = Machine::boot().await?;
    machine.documented("systemd-sysusers");
    machine.documented("systemd-tmpfiles --create");
    Some(machine)
}

#[test]
fn a_member_serves_when_its_unit_has_started() {
    harness::run(async {
        let Some(machine) = installed().await else {
            return;
        };
        machine.documented("systemctl enable --now conclave");
        // At once: the unit has started when the member serves.
        machine.etcdctl(&["put", "k", "v"]);
        assert!(
            machine
                .documented("systemctl status conclave")
                .contains("\"serving\"")
        );
        assert!(
            machine
                .documented("journalctl -u conclave -o cat")
                .contains("ready to serve")
        );
        expect_locked_up(&machine);
        machine.documented("systemctl restart conclave");
        assert_eq!(machine.etcdctl(&["get", "k", "--print-value-only"]), "v\n");
        machine.documented("systemctl stop conclave");
        assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
        assert_eq!(machine.property(UNIT, "Result"), "success");
        machine.expect_line(UNIT, "\"msg\":\"stopped\"").await;
    });
}

/// What the unit says is so.
fn expect_locked_up(machine: &Machine) {
    let pid = machine.property(UNIT, "MainPID");
    let status = machine.run(&format!("cat /proc/{pid}/status"));
    for line in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapBnd:\t0000000000000000",
        "CapEff:\t0000000000000000",
    ] {
        assert!(status.contains(line), "no {line}: {status}");
    }
    let metrics = machine.client(&["curl", "-sS", "http://127.0.0.1:2379/metrics"]);
    let starts = |line: &str| line.starts_with("process_start_time_seconds 1");
    assert!(metrics.lines().any(starts), "{metrics}");
    let owner = machine.run(&format!("stat --format=%U /proc/{pid}"));
    assert_eq!(owner, "conclave\n");
    // No call of the member meets the filter: its threads have the priority that they ask for.
    let journal = machine.run("journalctl --unit=conclave --output=cat");
    assert!(!journal.contains("\"level\":\"warn\""), "{journal}");
    let nice = machine.run(&format!(
        "cat /proc/{pid}/task/*/stat | grep rocksdb | cut -d' ' -f19"
    ));
    assert!(
        nice.lines().all(|nice| nice == "5") && !nice.is_empty(),
        "{nice}"
    );
}

#[test]
fn systemd_restarts_a_member_that_dies_or_hangs() {
    harness::run(async {
        let Some(machine) = installed().await else {
            return;
        };
        machine.write(
            "/run/systemd/system/conclave.service.d/test.conf",
            "[Service]\nRestartSec=0\nWatchdogSec=2s",
        );
        machine.run("systemctl daemon-reload && systemctl start conclave");
        machine.etcdctl(&["put", "k", "v"]);
        let before = machine.property(UNIT, "MainPID");
        machine.run(&format!("kill -9 {before}"));
        machine.expect_property(UNIT, "NRestarts", "1").await;
        machine.expect_property(UNIT, "ActiveState", "active").await;
        assert_eq!(machine.etcdctl(&["get", "k", "--print-value-only"]), "v\n");
        let before = machine.property(UNIT, "MainPID");
        machine.run(&format!("kill -STOP {before}"));
        machine.expect_property(UNIT, "NRestarts", "2").await;
        machine.expect_property(UNIT, "ActiveState", "active").await;
        machine.expect_line(UNIT, "Watchdog timeout").await;
        assert_eq!(machine.etcdctl(&["get", "k", "--print-value-only"]), "v\n");
        machine.run("systemctl stop conclave");
    });
}

#[test]
fn a_reload_changes_the_log_level_and_the_certificate() {
    harness::run(async {
        let Some(machine) = installed().await else {
            return;
        };
        let authority = Authority::new("the authority");
        let first = authority.issue("server", Validity::Good);
        copy(&machine, &first, "/etc/credstore/conclave.client.key");
        machine.documented("chmod 0600 /etc/credstore/conclave.client.key");
        machine.write(
            SETTINGS,
            "ETCD_LISTEN_CLIENT_URLS=https://127.0.0.1:2379\n\
             ETCD_ADVERTISE_CLIENT_URLS=https://127.0.0.1:2379\n\
             ETCD_CERT_FILE=/etc/conclave/tls/server.crt\n\
             ETCD_KEY_FILE=/run/credentials/conclave.service/client.key",
        );
        machine.run("systemctl start conclave");
        expect_certificate(&machine, &first);
        let pid = machine.property(UNIT, "MainPID");
        // The key of the next certificate is where the running process can read it.
        machine.run(
            "sed -i s#/run/credentials/conclave.service/client.key#/etc/conclave/tls/server.key# \
             /etc/conclave/conclave.env",
        );
        copy(&machine, &first, "/etc/conclave/tls/server.key");
        machine.documented("chown root:conclave /etc/conclave/tls/server.key");
        machine.documented("chmod 0640 /etc/conclave/tls/server.key");
        machine.run("systemctl restart conclave");
        assert_ne!(machine.property(UNIT, "MainPID"), pid);
        let pid = machine.property(UNIT, "MainPID");
        let second = authority.issue("renewed", Validity::Good);
        copy(&machine, &second, "/etc/conclave/tls/server.key");
        machine.documented("echo ETCD_LOG_LEVEL=debug | tee -a /etc/conclave/conclave.env");
        machine.documented("systemctl reload conclave");
        machine.expect_line(UNIT, "\"log_level\":\"debug\"").await;
        machine
            .expect_line(UNIT, "the certificates for clients were read again")
            .await;
        machine.expect_property(UNIT, "ActiveState", "active").await;
        expect_certificate(&machine, &second);
        // Without the line it is the level that the member was started with.
        machine.documented("sed -i /^ETCD_LOG_LEVEL=/d /etc/conclave/conclave.env");
        machine.run("systemctl reload conclave");
        machine.expect_line(UNIT, "\"log_level\":\"info\"").await;
        assert_eq!(machine.property(UNIT, "MainPID"), pid);
        assert_eq!(machine.property(UNIT, "NRestarts"), "0");
        machine.run("systemctl stop conclave");
    });
}

#[test]
fn the_audit_log_goes_to_the_journal_or_to_a_file() {
    harness::run(async {
        let Some(machine) = installed().await else {
            return;
        };
        let log_to = |log| format!("ETCD_AUDIT_LEVEL=writes\nETCD_AUDIT_LOG={log}");
        machine.write(SETTINGS, &log_to("journald"));
        machine.run("systemctl start conclave");
        for command in [
            "user add root:secret",
            "user grant-role root root",
            "user add alice:secret",
            "user grant-role alice root",
            "auth enable",
            "put k v --user=alice:secret",
        ] {
            machine.etcdctl(&command.split(' ').collect::<Vec<_>>());
        }
        let refused = "if etcdctl put k v --user=alice:wrong; then exit 1; fi";
        machine.client(&["sh", "-c", refused]);
        let of_alice = "journalctl -t conclave-audit CONCLAVE_USER=alice";
        expect_output(&machine, of_alice, "etcdserverpb.KV/Put").await;
        let refused = "journalctl -t conclave-audit -p warning -o cat";
        expect_output(&machine, refused, "invalid user ID or password").await;
        let puts = "journalctl -t conclave-audit -o cat CONCLAVE_METHOD=etcdserverpb.KV/Put";
        expect_output(&machine, puts, r#""keys":[{"key":"k"}]"#).await;

        machine.write(SETTINGS, &log_to("/var/log/conclave/audit.log"));
        machine.write(
            "/run/systemd/system/conclave.service.d/test.conf",
            "[Service]\nLogsDirectory=conclave",
        );
        machine.run("systemctl daemon-reload && systemctl restart conclave");
        machine.etcdctl(&["put", "k", "v", "--user=alice:secret"]);
        let file = "cat /var/log/conclave/audit.log";
        expect_output(&machine, file, "etcdserverpb.KV/Put").await;
        machine.run("systemctl stop conclave");
    });
}

/// Waits until the output of a command contains this.
async fn expect_output(machine: &Machine, command: &str, part: &str) {
    eventually(part, || async {
        machine.run(command).contains(part).then_some(())
    })
    .await;
}

/// Copies a certificate to the machine, and its key to this place there.
fn copy(machine: &Machine, certificate: &Certificate, key: &str) {
    let text = |path| fs::read_to_string(path).unwrap();
    machine.write("/etc/conclave/tls/server.crt", &text(certificate.cert()));
    machine.write(key, &text(certificate.key()));
}

/// The member presents this certificate to clients.
fn expect_certificate(machine: &Machine, certificate: &Certificate) {
    let trusted = certificate.trusted().to_str().unwrap();
    let cacert = format!("--cacert={trusted}");
    machine.etcdctl(&[
        "--endpoints=https://127.0.0.1:2379",
        &cacert,
        "put",
        "k",
        "v",
    ]);
    let expected = fs::read_to_string(certificate.cert()).unwrap();
    let url = "https://127.0.0.1:2379/health";
    let words = [
        "curl",
        "-sS",
        "--cacert",
        trusted,
        "--write-out",
        "%{certs}",
        url,
    ];
    let presented = machine.client(&words);
    assert!(presented.contains(expected.trim()), "{presented}");
}
