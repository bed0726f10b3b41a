//! Command lines and environments that people start etcd with, copied from their tools and guides.
//!
//! Each is used as written, with these exceptions: listeners get free ports on loopback,
//! directories are temporary, and certificates of clients and members are left out together with
//! `https://`.

use std::path::Path;

use conclave_client::Client;
use harness::child::Child;
use harness::process::{address_in, run_binary};
use harness::{http1, within};

/// Flags that are left out, because their files do not exist here.
const CERTIFICATES: &[&str] = &[
    "cert-file",
    "key-file",
    "trusted-ca-file",
    "client-cert-auth",
    "peer-cert-file",
    "peer-key-file",
    "peer-trusted-ca-file",
    "peer-client-cert-auth",
];

/// The static pod of `kubeadm init`, Kubernetes 1.34 and later.
#[test]
fn kubeadms() {
    serves(
        "etcd --advertise-client-urls=https://10.0.0.5:2379 \
         --cert-file=/etc/kubernetes/pki/etcd/server.crt --client-cert-auth=true \
         --data-dir=/var/lib/etcd \
         --feature-gates=InitialCorruptCheck=true \
         --initial-advertise-peer-urls=https://10.0.0.5:2380 \
         --initial-cluster=node1=https://10.0.0.5:2380 \
         --key-file=/etc/kubernetes/pki/etcd/server.key \
         --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.5:2379 \
         --listen-metrics-urls=http://127.0.0.1:2381 --listen-peer-urls=https://10.0.0.5:2380 \
         --name=node1 --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt \
         --peer-client-cert-auth=true \
         --peer-key-file=/etc/kubernetes/pki/etcd/peer.key \
         --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt --snapshot-count=10000 \
         --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt --watch-progress-notify-interval=5s",
        "",
        // Paths that the kubelet requests on the metrics port.
        &[
            "/livez",
            "/readyz",
            "/health?exclude=NOSPACE&serializable=true",
        ],
    );
}

/// The static pod of older releases, written for etcd 3.5.
#[test]
fn kubeadms_of_before() {
    serves(
        "etcd --advertise-client-urls=https://10.0.0.5:2379 --client-cert-auth=true \
         --data-dir=/var/lib/etcd --experimental-initial-corrupt-check=true \
         --experimental-watch-progress-notify-interval=5s \
         --initial-advertise-peer-urls=https://10.0.0.5:2380 \
         --initial-cluster=node1=https://10.0.0.5:2380 \
         --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.5:2379 \
         --listen-metrics-urls=http://127.0.0.1:2381 --listen-peer-urls=https://10.0.0.5:2380 \
         --name=node1 --snapshot-count=10000",
        "",
        &["/health?exclude=NOSPACE&serializable=true", "/metrics"],
    );
}

/// The environment file of the service; the command line is empty.
#[test]
fn kubesprays() {
    serves(
        "etcd",
        "ETCD_DATA_DIR=/var/lib/etcd ETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.5:2379 \
         ETCD_INITIAL_ADVERTISE_PEER_URLS=https://10.0.0.5:2380 ETCD_INITIAL_CLUSTER_STATE=new \
         ETCD_METRICS=basic ETCD_LISTEN_CLIENT_URLS=https://10.0.0.5:2379,https://127.0.0.1:2379 \
         ETCD_ELECTION_TIMEOUT=5000 ETCD_HEARTBEAT_INTERVAL=250 \
         ETCD_INITIAL_CLUSTER_TOKEN=k8s_etcd ETCD_LISTEN_PEER_URLS=https://10.0.0.5:2380 \
         ETCD_NAME=etcd1 ETCD_PROXY=off ETCD_INITIAL_CLUSTER=etcd1=https://10.0.0.5:2380 \
         ETCD_AUTO_COMPACTION_RETENTION=8 ETCD_SNAPSHOT_COUNT=10000 \
         ETCD_QUOTA_BACKEND_BYTES=2147483648 ETCD_LOG_PACKAGE_LEVELS= \
         ETCD_TRUSTED_CA_FILE=/etc/ssl/etcd/ssl/ca.pem ETCD_CLIENT_CERT_AUTH=true \
         ETCD_PEER_CLIENT_CERT_AUTH=true ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=true \
         ETCD_LISTEN_METRICS_URLS=http://10.0.0.5:2381 ETCD_UNSUPPORTED_ARCH=arm64",
        &["/health", "/metrics"],
    );
}

/// docker-compose.yml and its Kubernetes twin.
#[test]
fn milvuses() {
    serves(
        "etcd -advertise-client-urls=http://127.0.0.1:2379 -listen-client-urls \
         http://0.0.0.0:2379 --data-dir /etcd",
        "ETCD_AUTO_COMPACTION_MODE=revision ETCD_AUTO_COMPACTION_RETENTION=1000 \
         ETCD_QUOTA_BACKEND_BYTES=4294967296 ETCD_SNAPSHOT_COUNT=50000 ETCD_ENABLE_V2=true \
         ALLOW_NONE_AUTHENTICATION=yes",
        &[],
    );
}

/// The module for Go, with the argument its documentation adds.
#[test]
fn testcontainers_go() {
    serves(
        "etcd --name=default --listen-client-urls=http://0.0.0.0:2379 \
         --advertise-client-urls=http://0.0.0.0:2379 --data-dir=/data.etcd \
         --auto-compaction-retention=1",
        "",
        &[],
    );
}

/// The command that jetcd's tests and launcher run through testcontainers for Java.
#[test]
fn jetcds() {
    serves(
        "etcd --name etcd0 --advertise-client-urls http://0.0.0.0:2379 --listen-client-urls \
         http://0.0.0.0:2379 --data-dir /data.etcd --initial-advertise-peer-urls \
         http://etcd0:2380 --listen-peer-urls http://0.0.0.0:2380 --initial-cluster-token \
         etcd-cluster --initial-cluster etcd0=http://etcd0:2380 --initial-cluster-state new",
        "",
        &[],
    );
}

/// The Helm chart's stateful set.
#[test]
fn bitnamis() {
    serves(
        "etcd",
        "ETCDCTL_API=3 ETCD_ON_K8S=yes ETCD_START_FROM_SNAPSHOT=no ETCD_DISASTER_RECOVERY=no \
         ETCD_NAME=etcd-0 ETCD_DATA_DIR=/bitnami/etcd/data ETCD_LOG_LEVEL=info \
         ALLOW_NONE_AUTHENTICATION=yes ETCD_AUTO_COMPACTION_MODE=periodic \
         ETCD_AUTO_COMPACTION_RETENTION=10h ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster-k8s \
         ETCD_INITIAL_CLUSTER_STATE=new \
         ETCD_CLUSTER_DOMAIN=etcd-headless.default.svc.cluster.local \
         ETCD_ADVERTISE_CLIENT_URLS=http://etcd-0.etcd-headless.default.svc.cluster.local:2379 \
         ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379 ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380 \
         ETCD_INITIAL_ADVERTISE_PEER_URLS=http://etcd-0.etcd-headless.default.svc:2380 \
         ETCD_INITIAL_CLUSTER=etcd-0=http://etcd-0.etcd-headless.default.svc:2380",
        &[],
    );
}

/// The container of etcd's own documentation and release notes.
#[test]
fn the_documentations() {
    serves(
        "/usr/local/bin/etcd --name s1 --data-dir /etcd-data --listen-client-urls \
         http://0.0.0.0:2379 --advertise-client-urls http://0.0.0.0:2379 --listen-peer-urls \
         http://0.0.0.0:2380 --initial-advertise-peer-urls http://0.0.0.0:2380 --initial-cluster \
         s1=http://0.0.0.0:2380 --initial-cluster-token tkn --initial-cluster-state new \
         --log-level info --logger zap --log-outputs stderr",
        "",
        &[],
    );
}

/// kubeasz' unit, similar to many written by hand.
#[test]
fn kubeaszes() {
    serves(
        "etcd --name=etcd-1 --cert-file=/etc/etcd.pem --key-file=/etc/etcd-key.pem \
         --trusted-ca-file=/etc/ca.pem --initial-advertise-peer-urls=https://10.0.0.5:2380 \
         --listen-peer-urls=https://10.0.0.5:2380 \
         --listen-client-urls=https://10.0.0.5:2379,http://127.0.0.1:2379 \
         --advertise-client-urls=https://10.0.0.5:2379 --initial-cluster-token=etcd-cluster-0 \
         --initial-cluster=etcd-1=https://10.0.0.5:2380 --initial-cluster-state=new \
         --data-dir=/var/lib/etcd --wal-dir= --snapshot-count=50000 --auto-compaction-retention=1 \
         --auto-compaction-mode=periodic --max-request-bytes=10485760 \
         --quota-backend-bytes=8589934592",
        "",
        &[],
    );
}

/// Starts a member with this line and environment, writes and reads through it, and requests these
/// paths on its metrics port.
#[track_caller]
fn serves(line: &str, environment: &str, probes: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let arguments = adapted_line(line, dir.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let environment = adapted_environment(environment, dir.path());
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut child = run_binary(&arguments, &environment);
    let Some(ready) = child.line("ready to serve client requests") else {
        panic!("it does not start: {:#?}", child.lines());
    };
    harness::run(async {
        let endpoint = format!("http://{}", address_in(&ready));
        let client = within("a client", Client::connect([endpoint]))
            .await
            .unwrap();
        client.put("k", "v").await.unwrap();
        let read = client.get("k").await.unwrap().unwrap();
        assert_eq!(&read.value[..], b"v");
        for path in probes {
            let answer = http1::get(&metrics_address(&child), path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
    });
    child.terminate();
    assert!(child.wait().success());
}

fn metrics_address(child: &Child) -> String {
    let line = child.line("ready to serve metrics");
    address_in(&line.expect("a port for metrics"))
}

/// The arguments after the program's name, in their original form.
fn adapted_line(line: &str, dir: &Path) -> Vec<String> {
    let mut adapted = Vec::new();
    let mut words = line.split_whitespace().skip(1);
    while let Some(word) = words.next() {
        let (flag, value, between) = match word.split_once('=') {
            Some((flag, value)) => (flag, value, "="),
            None => (word, words.next().expect("a value"), " "),
        };
        let Some(value) = adapted_value(flag.trim_start_matches('-'), value, dir) else {
            continue;
        };
        match between {
            "=" => adapted.push(format!("{flag}={value}")),
            _ => adapted.extend([flag.to_owned(), value]),
        }
    }
    adapted
}

fn adapted_environment(text: &str, dir: &Path) -> Vec<(String, String)> {
    let variables = text.split_whitespace().filter_map(|variable| {
        let (name, value) = variable.split_once('=').expect("NAME=value");
        let flag = name.trim_start_matches("ETCD_").to_lowercase();
        let value = adapted_value(&flag.replace('_', "-"), value, dir)?;
        Some((name.to_owned(), value))
    });
    variables.collect()
}

/// The adapted value; `None` if the flag is left out.
fn adapted_value(flag: &str, value: &str, dir: &Path) -> Option<String> {
    if CERTIFICATES.contains(&flag) {
        return None;
    }
    let value = value.replace("https://", "http://");
    Some(match flag {
        "data-dir" => dir.join("data").to_str().expect("UTF-8").to_owned(),
        "wal-dir" if !value.is_empty() => dir.join("wal").to_str().expect("UTF-8").to_owned(),
        // The same number of URLs, each on its own address.
        "listen-client-urls" | "listen-peer-urls" | "listen-metrics-urls" => {
            let urls = value.split(',').enumerate();
            let urls = urls.map(|(position, _)| format!("http://127.0.0.{}:0", position + 1));
            urls.collect::<Vec<_>>().join(",")
        }
        _ => value,
    })
}
