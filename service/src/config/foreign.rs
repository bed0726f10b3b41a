//! etcd's flags that this server does not support: it ignores some and refuses the others.
//!
//! A flag is ignored if the member keeps every promise without it, because it tunes a mechanism
//! that does not exist here. A flag is refused if an operator relies on its effect: security, the
//! source of the data, the deletion of data. A refused flag is still accepted with etcd's default
//! or with the value that turns the feature off, because command lines spell such values out.

use super::raw::parse_bool;

/// A flag of etcd that is not supported.
#[derive(Debug)]
pub(super) struct ForeignFlag {
    /// The flag, without dashes.
    pub(super) name: &'static str,
    /// Whether the value may only follow `=`.
    pub(super) boolean: bool,
    pub(super) fate: Fate,
}

/// What happens to an unsupported flag.
#[derive(Debug)]
pub(super) enum Fate {
    /// Accepted, with the reason why ignoring the flag is harmless.
    Ignored(&'static str),
    /// Refused, unless the value is in `harmless`.
    Refused {
        /// Values that turn the feature off, and etcd's default.
        harmless: &'static [&'static str],
        /// What to do instead.
        hint: &'static str,
    },
}

impl ForeignFlag {
    /// Returns true if the value is in `harmless`, in any spelling of a boolean.
    pub(super) fn is_harmless(&self, harmless: &[&str], value: &str) -> bool {
        let value = match parse_bool(value) {
            Ok(true) if self.boolean => "true",
            Ok(false) if self.boolean => "false",
            Ok(_) | Err(_) => value,
        };
        harmless.contains(&value)
    }
}

/// Returns the flag of this name, if it is unsupported.
pub(super) fn find(name: &str) -> Option<&'static ForeignFlag> {
    FOREIGN_FLAGS.iter().find(|flag| flag.name == name)
}

const fn ignored(name: &'static str, reason: &'static str) -> ForeignFlag {
    ForeignFlag {
        name,
        boolean: false,
        fate: Fate::Ignored(reason),
    }
}

const fn ignored_switch(name: &'static str, reason: &'static str) -> ForeignFlag {
    ForeignFlag {
        name,
        boolean: true,
        fate: Fate::Ignored(reason),
    }
}

const fn refused(
    name: &'static str,
    harmless: &'static [&'static str],
    hint: &'static str,
) -> ForeignFlag {
    ForeignFlag {
        name,
        boolean: false,
        fate: Fate::Refused { harmless, hint },
    }
}

const fn refused_switch(name: &'static str, hint: &'static str) -> ForeignFlag {
    ForeignFlag {
        name,
        boolean: true,
        fate: Fate::Refused {
            harmless: &["false"],
            hint,
        },
    }
}

const NO_BBOLT: &str = "the store is RocksDB";
const NO_COMPARISON: &str = "the hashes of members are not compared yet";

const NO_DISCOVERY: &str = "remove it and name the members in --initial-cluster";
const NO_LISTENER: &str = "remove it: everything is served on --listen-client-urls";

/// Unsupported flags, in the order of etcd's help.
const FOREIGN_FLAGS: &[ForeignFlag] = &[
    // Member.
    ignored_switch("initial-election-tick-advance", "elections begin at once"),
    refused("listen-client-http-urls", &[""], NO_LISTENER),
    ignored("max-snapshots", "snapshots are not kept as files"),
    ignored("max-wals", "the log removes its files by itself"),
    ignored_switch("memory-mlock", NO_BBOLT),
    ignored("backend-bbolt-freelist-type", NO_BBOLT),
    ignored("backend-batch-interval", NO_BBOLT),
    ignored("backend-batch-limit", NO_BBOLT),
    ignored(
        "grpc-keepalive-min-time",
        "clients may ping as often as they like",
    ),
    refused_switch(
        "socket-reuse-port",
        "remove it and give each member ports of its own",
    ),
    ignored_switch("socket-reuse-address", "addresses are always reused"),
    refused_switch(
        "enable-grpc-gateway",
        "remove it: only gRPC is served, and JSON under /v3/ is not",
    ),
    ignored(
        "raft-read-timeout",
        "a silent member is detected by missing heartbeats",
    ),
    ignored(
        "raft-write-timeout",
        "messages that a member does not accept are dropped and sent again",
    ),
    refused(
        "config-file",
        &[""],
        "give its settings as flags or ETCD_* variables",
    ),
    // Clustering.
    refused("discovery", &[""], NO_DISCOVERY),
    refused("discovery-token", &[""], NO_DISCOVERY),
    refused("discovery-endpoints", &[""], NO_DISCOVERY),
    refused("discovery-dial-timeout", &["2s"], NO_DISCOVERY),
    refused("discovery-request-timeout", &["5s"], NO_DISCOVERY),
    refused("discovery-keepalive-time", &["2s"], NO_DISCOVERY),
    refused("discovery-keepalive-timeout", &["6s"], NO_DISCOVERY),
    ForeignFlag {
        name: "discovery-insecure-transport",
        boolean: true,
        fate: Fate::Refused {
            harmless: &["true", "false"],
            hint: NO_DISCOVERY,
        },
    },
    refused_switch("discovery-insecure-skip-tls-verify", NO_DISCOVERY),
    refused("discovery-cert", &[""], NO_DISCOVERY),
    refused("discovery-key", &[""], NO_DISCOVERY),
    refused("discovery-cacert", &[""], NO_DISCOVERY),
    refused("discovery-user", &[""], NO_DISCOVERY),
    refused("discovery-password", &[""], NO_DISCOVERY),
    refused("discovery-fallback", &["exit", "proxy"], NO_DISCOVERY),
    refused("discovery-proxy", &[""], NO_DISCOVERY),
    refused("discovery-srv", &[""], NO_DISCOVERY),
    refused("discovery-srv-name", &[""], NO_DISCOVERY),
    ignored("v2-deprecation", "there is no v2 store"),
    // Security.
    refused("cors", &["*"], "remove it: no origin is refused"),
    refused(
        "host-whitelist",
        &["*"],
        "remove it: no host name is refused",
    ),
    // Profiling and monitoring.
    refused_switch(
        "enable-pprof",
        "remove it and profile the process with perf",
    ),
    // Logging.
    ignored("logger", "there is one logger"),
    refused_switch(
        "enable-log-rotation",
        "remove it and rotate the file of --log-outputs with logrotate's copytruncate",
    ),
    ignored(
        "log-rotation-config-json",
        "it only configures --enable-log-rotation",
    ),
    ignored(
        "warning-unary-request-duration",
        "slow requests are counted, not logged",
    ),
    // Features.
    ignored("corrupt-check-time", NO_COMPARISON),
    ignored("compact-hash-check-time", NO_COMPARISON),
    ignored(
        "warning-apply-duration",
        "slow requests are counted, not logged",
    ),
    ignored("bootstrap-defrag-threshold-megabytes", NO_BBOLT),
    ignored(
        "compaction-sleep-interval",
        "compaction yields to requests by itself",
    ),
    ignored(
        "downgrade-check-time",
        "there is no other version to downgrade to",
    ),
];
