//! Three members on one machine: `conclave-local.target`.

use crate::machine::Machine;

const ENDPOINTS: &str = "--endpoints=127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379";

#[test]
fn three_members_on_one_machine_form_a_cluster() {
    harness::run(async {
        let Some(machine) = Machine::boot().await else {
            return;
        };
        machine.documented("systemd-sysusers");
        machine.documented("systemd-tmpfiles --create");
        machine.run("systemctl daemon-reload");
        // The first member is not ready, and its unit not started, before the second is there.
        let first = "conclave@infra1";
        machine.run(&format!("systemctl start --no-block {first}"));
        machine
            .expect_property(first, "StatusText", "waiting for a leader")
            .await;
        assert_eq!(machine.property(first, "ActiveState"), "activating");
        machine.documented("systemctl enable --now conclave-local.target");
        for instance in ["infra1", "infra2", "infra3"] {
            let unit = format!("conclave@{instance}");
            assert_eq!(machine.property(&unit, "ActiveState"), "active", "{unit}");
            assert_eq!(machine.property(&unit, "StatusText"), "serving", "{unit}");
            let data = machine.run(&format!(
                "stat --format='%U %a' /var/lib/conclave-{instance}"
            ));
            assert_eq!(data, "conclave 700\n");
        }
        machine.etcdctl(&[ENDPOINTS, "put", "k", "v"]);
        let status = machine.etcdctl(&[ENDPOINTS, "endpoint", "status"]);
        assert_eq!(status.lines().count(), 3, "{status}");
        assert!(machine.etcdctl(&["member", "list"]).contains("infra3"));
        // Two of three go on, and the third is back by itself.
        let before = machine.property(first, "MainPID");
        machine.run(&format!("kill -9 {before}"));
        machine.etcdctl(&["--endpoints=127.0.0.1:22379", "put", "k", "w"]);
        machine.expect_property(first, "NRestarts", "1").await;
        machine
            .expect_property(first, "ActiveState", "active")
            .await;
        assert_eq!(machine.etcdctl(&["get", "k", "--print-value-only"]), "w\n");
        machine.documented("systemctl restart conclave@infra2");
        assert_eq!(
            machine.etcdctl(&[ENDPOINTS, "get", "k", "--print-value-only"]),
            "w\n"
        );
        machine.documented("systemctl stop conclave-local.target");
        for instance in ["infra1", "infra2", "infra3"] {
            let unit = format!("conclave@{instance}");
            machine
                .expect_property(&unit, "ActiveState", "inactive")
                .await;
            assert_eq!(machine.property(&unit, "Result"), "success", "{unit}");
        }
        // Also while it replays its log a member does not count as one that hangs.
        machine.run(&format!("systemctl start --no-block {first}"));
        machine
            .expect_property(first, "StatusText", "waiting for a leader")
            .await;
        machine.run(&format!("systemctl stop {first}"));
    });
}
