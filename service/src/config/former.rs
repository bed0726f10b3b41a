//! Flags that etcd had and 3.7 has not: command lines and manifests outlive them.
//!
//! etcd 3.7 refuses them on a command line and passes over their variables with a warning. Here
//! those that only lost the word `experimental` are taken for what they are called now, with a
//! notice, and the others are refused with what to write instead.

/// What became of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Former {
    /// It has this name now.
    Renamed(&'static str),
    /// It is this feature gate now.
    Gate(&'static str),
    /// It is gone. As a variable it is one etcd 3.7 does not know, and no error.
    Removed {
        /// Whether it takes its value after `=` only.
        boolean: bool,
        /// The value that asks for what is so anyway.
        harmless: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
}

/// What became of the flag of this name; `None` if etcd has it still, or never had it.
pub(super) fn find(name: &str) -> Option<Former> {
    let known = |(former, _): &&(&str, Former)| *former == name;
    if let Some((_, former)) = FORMER.iter().find(known) {
        return Some(*former);
    }
    let now = name.strip_prefix("experimental-")?;
    let renamed = |current: &&&str| **current == now;
    RENAMED
        .iter()
        .find(renamed)
        .map(|name| Former::Renamed(name))
}

/// Without `experimental-`, in the order of etcd 3.6's help.
const RENAMED: &[&str] = &[
    "peer-skip-client-san-verification",
    "corrupt-check-time",
    "compact-hash-check-time",
    "compaction-batch-limit",
    "compaction-sleep-interval",
    "watch-progress-notify-interval",
    "downgrade-check-time",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "memory-mlock",
    "bootstrap-defrag-threshold-megabytes",
    "snapshot-catchup-entries",
    "enable-distributed-tracing",
    "distributed-tracing-address",
    "distributed-tracing-service-name",
    "distributed-tracing-instance-id",
    "distributed-tracing-sampling-rate",
    "backend-bbolt-freelist-type",
];

const FORMER: &[(&str, Former)] = &[
    (
        "experimental-initial-corrupt-check",
        Former::Gate("InitialCorruptCheck"),
    ),
    (
        "experimental-compact-hash-check-enabled",
        Former::Gate("CompactHashCheck"),
    ),
    (
        "experimental-enable-lease-checkpoint",
        Former::Gate("LeaseCheckpoint"),
    ),
    (
        "experimental-enable-lease-checkpoint-persist",
        Former::Gate("LeaseCheckpointPersist"),
    ),
    (
        "experimental-txn-mode-write-with-shared-buffer",
        Former::Gate("TxnModeWriteWithSharedBuffer"),
    ),
    (
        "experimental-stop-grpc-service-on-defrag",
        Former::Gate("StopGRPCServiceOnDefrag"),
    ),
    (
        "experimental-enable-v2v3",
        Former::Removed {
            boolean: false,
            harmless: "",
            hint: NO_V2,
        },
    ),
    (
        "enable-v2",
        Former::Removed {
            boolean: true,
            harmless: "false",
            hint: NO_V2,
        },
    ),
    (
        "proxy",
        Former::Removed {
            boolean: false,
            harmless: "off",
            hint: "remove it: a member does not act as a proxy",
        },
    ),
    (
        "debug",
        Former::Removed {
            boolean: true,
            harmless: "false",
            hint: "write --log-level=debug instead",
        },
    ),
    (
        "log-package-levels",
        Former::Removed {
            boolean: false,
            harmless: "",
            hint: "write --log-level instead",
        },
    ),
];

const NO_V2: &str = "remove it, and let clients use the v3 API: there is no other";
