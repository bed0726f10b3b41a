//! Flags that etcd 3.7 has removed or renamed, and that command lines and manifests still use.
//!
//! etcd 3.7 refuses such flags on a command line, and ignores their variables with a warning. Here
//! a flag that only lost the word `experimental` is accepted under its new name, with a notice. The
//! others are refused, and the error says what to write instead.

/// What happened to a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Former {
    /// Renamed to this flag.
    Renamed(&'static str),
    /// Replaced by this feature gate.
    Gate(&'static str),
    /// Removed. Its variable is ignored, since etcd 3.7 does not know it.
    Removed {
        /// Whether the value may only follow `=`.
        boolean: bool,
        /// The value that turns the feature off.
        harmless: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
}

/// Returns what happened to the flag of this name; `None` if etcd still has it, or never had it.
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

/// New names of flags that began with `experimental-`, in the order of etcd 3.6's help.
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

const NO_V2: &str = "remove it and let clients use the v3 API";
