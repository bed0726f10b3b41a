//! A line: who did what, from where, and how it ended.

use std::net::SocketAddr;
use std::sync::Arc;

use conclave_proto::ApiError;
use serde_json::Value;
use tonic::{Code, Status};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::content::Content;
use super::text::Cut;
use crate::config::AuditLevel;
use crate::method::Method;
use crate::metrics::code_name;

/// Bytes of a user's name that a line shows.
const NAME_BYTES_MAX: usize = 256;

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Not at all.
    #[default]
    None,
    /// With a token that this cluster gave it when it logged in.
    SimpleToken,
    /// With a token that is signed.
    Jwt,
    /// With the common name of its certificate.
    Certificate,
}

impl Proof {
    fn name(self) -> &'static str {
        match self {
            Proof::None => "none",
            Proof::SimpleToken => "simple",
            Proof::Jwt => "jwt",
            Proof::Certificate => "certificate",
        }
    }
}

/// The other end of a call's connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// `None` for a Unix socket.
    pub(crate) remote: Option<SocketAddr>,
    /// The common name in a certificate that was verified, also where it identifies no user.
    pub(crate) certificate: Option<Arc<str>>,
}

/// The end of a call, or of one message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    code: Code,
    /// The error, if it is one of the table.
    error: Option<ApiError>,
}

impl Outcome {
    /// The call did what was asked.
    pub(crate) const OK: Outcome = Outcome {
        code: Code::Ok,
        error: None,
    };

    /// The client went away before the end.
    pub(crate) const CANCELED: Outcome = Outcome {
        code: Code::Cancelled,
        error: None,
    };

    /// The call ended with this status. Its text is kept only if it is a fixed one of our own.
    pub(crate) fn of(status: &Status) -> Outcome {
        Outcome {
            code: status.code(),
            error: ApiError::from_text(status.message()),
        }
    }

    /// Returns true if the call was refused for the sake of its caller: who it is, or what it may
    /// do.
    pub(super) fn is_refusal(self) -> bool {
        let by_code = matches!(self.code, Code::PermissionDenied | Code::Unauthenticated);
        let by_text = matches!(
            self.error,
            Some(
                ApiError::PermissionDenied
                    | ApiError::InvalidAuthToken
                    | ApiError::AuthOldRevision
                    | ApiError::AuthFailed
                    | ApiError::UserEmpty
            )
        );
        by_code || by_text
    }
}

/// Facts about a call before it ends.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) method: Method,
    pub(crate) origin: Origin,
    pub(crate) proof: Proof,
    /// The user whose call it is, once that is known.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) content: Content,
    /// The revision in the reply's header; zero if it has none.
    pub(crate) revision: i64,
    /// True while a command of the call is with the log and its outcome is not known.
    pub(crate) is_proposed: bool,
}

impl Facts {
    /// A call of which nothing but its origin is known yet.
    pub(crate) fn new(method: Method, origin: Origin) -> Facts {
        Facts {
            method,
            origin,
            proof: Proof::None,
            user: None,
            content: Content::default(),
            revision: 0,
            is_proposed: false,
        }
    }

    /// The lowest level at which a call that ends like this is recorded.
    pub(super) fn level(&self, outcome: Outcome) -> AuditLevel {
        if outcome.is_refusal() {
            return AuditLevel::Metadata;
        }
        match self.content.is_read() {
            true => AuditLevel::All,
            false => level_of(self.method),
        }
    }
}

/// A line, which is not written yet.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    ts: String,
    facts: Facts,
    outcome: Outcome,
}

impl Record {
    /// A call that has ended just now.
    pub(super) fn new(mut facts: Facts, outcome: Outcome) -> Record {
        if outcome != Outcome::OK {
            // A call that failed has no revision of its own.
            facts.revision = 0;
        }
        Record {
            ts: now(),
            facts,
            outcome,
        }
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.outcome.is_refusal()
    }

    /// The fields of the line, in their order.
    fn fields(&self, member: &str) -> Vec<(&'static str, Value)> {
        let Facts {
            method,
            origin,
            proof,
            user,
            content,
            revision,
            is_proposed,
        } = &self.facts;
        let name = |name: &str| Value::from(Cut::new(name.as_bytes(), NAME_BYTES_MAX).to_string());
        let mut fields = vec![
            ("ts", Value::from(self.ts.as_str())),
            ("member", Value::from(member)),
        ];
        if let Some(user) = user {
            fields.push(("user", name(user)));
        }
        // A credential proves something only if it was accepted.
        let proof = if user.is_some() {
            proof.name()
        } else {
            Proof::None.name()
        };
        fields.push(("auth", Value::from(proof)));
        if let Some(certificate) = &origin.certificate {
            fields.push(("certificate", name(certificate)));
        }
        let remote = origin.remote.map(|remote| remote.to_string());
        let remote = remote.unwrap_or_else(|| "unix".to_owned());
        fields.push(("remote", Value::from(remote)));
        let method = format!("{}/{}", method.service(), method.name());
        fields.push(("method", Value::from(method)));
        content.add_fields(&mut fields);
        fields.push(("code", Value::from(code_name(self.outcome.code))));
        if let Some(error) = self.outcome.error {
            fields.push(("reason", Value::from(error.text())));
        }
        if *is_proposed {
            fields.push(("proposed", Value::from(true)));
        }
        if *revision != 0 {
            fields.push(("revision", Value::from(*revision)));
        }
        fields
    }
}

/// A line to write.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// A call.
    Call(Box<Record>),
    /// Number of lines that were lost before this one.
    Lost(u64),
}

impl Entry {
    pub(super) fn fields(&self, member: &str) -> Vec<(&'static str, Value)> {
        match self {
            Entry::Call(record) => record.fields(member),
            Entry::Lost(lines) => vec![
                ("ts", Value::from(now())),
                ("member", Value::from(member)),
                ("lost_lines", Value::from(*lines)),
            ],
        }
    }

    /// Returns true if an operator should look at the line.
    pub(super) fn is_notable(&self) -> bool {
        match self {
            Entry::Call(record) => record.is_refusal(),
            Entry::Lost(_) => true,
        }
    }
}

/// Writes fields as one JSON object on one line.
pub(super) fn to_json(fields: &[(&'static str, Value)]) -> String {
    let fields = fields.iter();
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}\n", fields.join(","))
}

/// The time, in the format of the log.
fn now() -> String {
    let mut now = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    now
}

/// The lowest level at which calls of this method are recorded that change something.
fn level_of(method: Method) -> AuditLevel {
    use Method as M;
    match method {
        // Who may do what, who takes part, and what concerns the whole store: logins are among
        // them, and a snapshot, which is a copy of everything.
        M::AuthEnable
        | M::AuthDisable
        | M::Authenticate
        | M::UserAdd
        | M::UserDelete
        | M::UserChangePassword
        | M::UserGrantRole
        | M::UserRevokeRole
        | M::RoleAdd
        | M::RoleDelete
        | M::RoleGrantPermission
        | M::RoleRevokePermission
        | M::MemberAdd
        | M::MemberRemove
        | M::MemberUpdate
        | M::MemberPromote
        | M::Alarm
        | M::Defragment
        | M::Snapshot
        | M::MoveLeader
        | M::Downgrade
        | M::Compact => AuditLevel::Metadata,
        M::Put
        | M::DeleteRange
        | M::Txn
        | M::LeaseGrant
        | M::LeaseRevoke
        | M::Lock
        | M::Unlock
        | M::Campaign
        | M::Proclaim
        | M::Resign => AuditLevel::Writes,
        // Keep-alives are no reads, but there are as many of them as of reads.
        M::Range
        | M::RangeStream
        | M::Watch
        | M::LeaseKeepAlive
        | M::LeaseTimeToLive
        | M::LeaseLeases
        | M::MemberList
        | M::Status
        | M::Hash
        | M::HashKv
        | M::AuthStatus
        | M::UserGet
        | M::UserList
        | M::RoleGet
        | M::RoleList
        | M::Leader
        | M::Observe => AuditLevel::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(method: Method) -> Facts {
        let origin = Origin {
            remote: Some("10.0.0.7:53122".parse().expect("an address")),
            certificate: None,
        };
        Facts::new(method, origin)
    }

    #[test]
    fn a_line_has_its_fields_in_their_order() {
        let mut of_put = facts(Method::Put);
        of_put.user = Some("alice".into());
        of_put.proof = Proof::Jwt;
        of_put.content.keys(b"a\xff\"", b"");
        of_put.content.lease(7);
        of_put.revision = 12;
        let mut record = Record::new(of_put, Outcome::OK);
        let ts = std::mem::take(&mut record.ts);
        // 2006-01-02T15:04:05.999999Z
        assert_eq!((ts.len(), &ts[10..11], &ts[26..]), (27, "T", "Z"), "{ts}");
        let line = to_json(&Entry::Call(Box::new(record)).fields("8e9e"));
        let expected = concat!(
            r#"{"ts":"","member":"8e9e","user":"alice","auth":"jwt","remote":"10.0.0.7:53122","#,
            r#""method":"etcdserverpb.KV/Put","keys":[{"key":"a\\xff\""}],"#,
            r#""lease":"0000000000000007","code":"OK","revision":12}"#,
            "\n"
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn a_refused_call_has_its_reason_if_it_is_ours() {
        let mut of_range = facts(Method::Range);
        of_range.origin.remote = None;
        of_range.origin.certificate = Some("a\nb".into());
        let fields = |status: &Status| {
            let record = Record::new(of_range.clone(), Outcome::of(status));
            let fields = Entry::Call(Box::new(record)).fields("8e9e");
            let line: Value = serde_json::from_str(&to_json(&fields)).expect("JSON");
            line
        };
        let line = fields(&ApiError::UserEmpty.into());
        assert_eq!(line["code"], "InvalidArgument");
        assert_eq!(line["reason"], "etcdserver: user name is empty");
        assert_eq!(
            (&line["remote"], &line["certificate"]),
            (&"unix".into(), &"a\\x0ab".into())
        );
        let line = fields(&Status::internal("what a client made up"));
        assert_eq!(
            (&line["code"], line.get("reason")),
            (&"Internal".into(), None)
        );
    }

    #[test]
    fn levels_hold() {
        let level = |method, outcome| facts(method).level(outcome);
        let denied = Outcome::of(&ApiError::PermissionDenied.into());
        let no_user = Outcome::of(&ApiError::UserEmpty.into());
        let no_leader = Outcome::of(&ApiError::NoLeader.into());
        let ok = Outcome::OK;
        for (method, outcome, expected) in [
            (Method::UserAdd, ok, AuditLevel::Metadata),
            (Method::UserAdd, no_leader, AuditLevel::Metadata),
            (Method::Put, ok, AuditLevel::Writes),
            (Method::Put, denied, AuditLevel::Metadata),
            (Method::LeaseKeepAlive, ok, AuditLevel::All),
            (Method::Range, ok, AuditLevel::All),
            (Method::Range, no_user, AuditLevel::Metadata),
            // Nothing was refused to this caller: all callers get the same answer.
            (Method::Range, no_leader, AuditLevel::All),
            (Method::Range, Outcome::CANCELED, AuditLevel::All),
        ] {
            assert_eq!(level(method, outcome), expected, "{method:?} {outcome:?}");
        }
        let mut of_txn = facts(Method::Txn);
        assert_eq!(of_txn.level(ok), AuditLevel::Writes);
        of_txn.content.reads_only();
        assert_eq!(of_txn.level(ok), AuditLevel::All);
        assert_eq!(of_txn.level(denied), AuditLevel::Metadata);
    }
}
