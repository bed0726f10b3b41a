//! Output of the commands of a script.

use std::fmt::{Display, Write};

use bytes::Bytes;
use conclave_proto::command::{LeaseRecord, Member};
use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::response_op::Response;
use conclave_proto::mvccpb::KeyValue;

use crate::auth::Auth;
use crate::engine::{Direction, Read, Space};
use crate::layout;
use crate::machine::{Change, ChangeKind, Effects, LeaseEffect, LoginEffect, Outcome, Reply};
use crate::mvcc::{HashKv, History};
use crate::reader::{ReadError, Reader};

macro_rules! line {
    ($out:expr, $($format:tt)+) => { writeln!($out, $($format)+).expect("a string") };
}

pub(super) fn outcome(out: &mut String, outcome: &Outcome) {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(rejected) => return line!(out, "rejected: {rejected}"),
    };
    match reply {
        Reply::Put(response) => put(out, "", response),
        Reply::DeleteRange(response) => delete(out, "", response),
        Reply::Txn(response) => txn_lines(out, "", response),
        Reply::Compaction(response) => line!(out, "compaction{}", at(&response.header)),
        Reply::LeaseGrant(response) => {
            let api::LeaseGrantResponse {
                header, id, ttl, ..
            } = response;
            line!(out, "granted {id} ttl {ttl}{}", at(header));
        }
        Reply::LeaseRevoke(response) => line!(out, "revoked{}", at(&response.header)),
        Reply::LeaseExpire => line!(out, "expired"),
        Reply::LeaseCheckpoint(true) => line!(out, "checkpointed"),
        Reply::LeaseCheckpoint(false) => line!(out, "passed over"),
        Reply::Alarm(response) => {
            line!(
                out,
                "alarms {}{}",
                alarms(&response.alarms),
                at(&response.header)
            );
        }
        Reply::MemberAttributes => line!(out, "attributes"),
        Reply::Members(members) => members_lines(out, members),
        Reply::AuthEnable(response) => line!(out, "enabled{}", at(&response.header)),
        Reply::AuthDisable(response) => line!(out, "disabled{}", at(&response.header)),
        Reply::Authenticate(login) => {
            line!(
                out,
                "logged in by entry {}{}",
                login.index,
                at(&login.header)
            );
        }
        Reply::UserAdd(response) => line!(out, "ok{}", at(&response.header)),
        Reply::UserDelete(response) => line!(out, "ok{}", at(&response.header)),
        Reply::UserChangePassword(response) => line!(out, "ok{}", at(&response.header)),
        Reply::UserGrantRole(response) => line!(out, "ok{}", at(&response.header)),
        Reply::UserRevokeRole(response) => line!(out, "ok{}", at(&response.header)),
        Reply::RoleAdd(response) => line!(out, "ok{}", at(&response.header)),
        Reply::RoleDelete(response) => line!(out, "ok{}", at(&response.header)),
        Reply::RoleGrantPermission(response) => line!(out, "ok{}", at(&response.header)),
        Reply::RoleRevokePermission(response) => line!(out, "ok{}", at(&response.header)),
    }
}

pub(super) fn effects(out: &mut String, effects: &Effects) {
    for changes in &effects.changes {
        for change in &changes.changes {
            event(out, changes.revision.0, change);
        }
    }
    for lease in &effects.leases {
        match lease {
            LeaseEffect::Granted {
                id, ttl_seconds, ..
            } => {
                line!(out, "! lease {} granted for {ttl_seconds} s", id.0);
            }
            LeaseEffect::Revoked { id } => line!(out, "! lease {} ended", id.0),
            LeaseEffect::Checkpointed {
                id,
                remaining_seconds,
            } => line!(out, "! lease {} has {remaining_seconds} s left", id.0),
        }
    }
    if let Some(revision) = effects.compacted {
        line!(out, "! compacted at {revision}");
    }
    if effects.members_changed {
        line!(out, "! members changed");
    }
    if effects.alarms_changed {
        line!(out, "! alarms changed");
    }
    if effects.auth_changed {
        line!(out, "! auth changed");
    }
    for login in &effects.logins {
        match login {
            LoginEffect::Began {
                user, token_digest, ..
            } => line!(
                out,
                "! {user} has the token {}",
                token_digest.escape_ascii()
            ),
            LoginEffect::Ended { user } => line!(out, "! tokens of {user} are void"),
            LoginEffect::AllEnded => line!(out, "! all tokens are void"),
        }
    }
}

pub(super) fn auth(out: &mut String, auth: &Auth) {
    let enabled = if auth.is_enabled() {
        "enabled"
    } else {
        "disabled"
    };
    line!(out, "{enabled}, auth revision {}", auth.revision());
    for name in auth.users() {
        let user = auth.user(&name).expect("it is listed");
        let password = user.password().map_or("no password".into(), |password| {
            format!("password {:?}", password.escape_ascii().to_string())
        });
        line!(out, "user {name} {password} roles {:?}", user.roles());
    }
    for name in auth.roles() {
        line!(out, "role {name}");
        for permission in auth.permissions(&name).expect("it is listed") {
            let kind = permission.perm_type().as_str_name();
            let (key, end) = (permission.key.escape_ascii(), permission.range_end);
            line!(out, "  {kind} \"{key}\" \"{}\"", end.escape_ascii());
        }
    }
}

pub(super) fn may(out: &mut String, may: Result<(), ApiError>) {
    match may {
        Ok(()) => line!(out, "yes"),
        Err(error) => line!(out, "no: {error}"),
    }
}

pub(super) fn range(out: &mut String, response: Result<api::RangeResponse, ReadError>) {
    match response {
        Ok(response) => range_lines(out, "", &response),
        Err(error) => line!(out, "refused: {error}"),
    }
}

pub(super) fn txn(out: &mut String, response: Result<api::TxnResponse, ReadError>) {
    match response {
        Ok(response) => txn_lines(out, "", &response),
        Err(error) => line!(out, "refused: {error}"),
    }
}

pub(super) fn history(out: &mut String, history: Result<History, ReadError>) {
    match history {
        Ok(history) => {
            for changes in &history.changes {
                for change in &changes.changes {
                    event(out, changes.revision.0, change);
                }
            }
            line!(out, "next {}", history.next);
        }
        Err(error) => line!(out, "refused: {error}"),
    }
}

pub(super) fn key_at(out: &mut String, found: Result<Option<KeyValue>, ReadError>) {
    match found {
        Ok(Some(kv)) => line!(out, "{}", show(&kv)),
        Ok(None) => line!(out, "none"),
        Err(error) => line!(out, "refused: {error}"),
    }
}

pub(super) fn hash(out: &mut String, hash: Result<HashKv, ReadError>) {
    match hash {
        Ok(HashKv {
            hash,
            compact_revision,
            hash_revision,
        }) => {
            line!(
                out,
                "hash {hash:08x} of {hash_revision}, compacted {compact_revision}"
            );
        }
        Err(error) => line!(out, "refused: {error}"),
    }
}

pub(super) fn lease(out: &mut String, lease: Option<&LeaseRecord>, keys: &[Bytes]) {
    let Some(lease) = lease else {
        return line!(out, "no lease");
    };
    let keys: Vec<_> = keys
        .iter()
        .map(|key| format!(" {}", key.escape_ascii()))
        .collect();
    line!(
        out,
        "lease {} ttl {}{}{}",
        lease.id,
        lease.ttl_seconds,
        match lease.remaining_seconds {
            0 => String::new(),
            seconds => format!(" left {seconds}"),
        },
        keys.concat()
    );
}

pub(super) fn status(out: &mut String, reader: &Reader) {
    let applied = reader.applied();
    line!(
        out,
        "index {} revision {} compacted {} removed {} size {}",
        applied.index,
        applied.revision,
        applied.compacted,
        reader.compaction_finished(),
        reader.sizes().logical - layout::EMPTY_STORE_BYTES,
    );
    line!(out, "alarms {}", alarms(&reader.alarms()));
    members_lines(out, &reader.members());
}

pub(super) fn dump(out: &mut String, read: &dyn Read, space: Space) {
    let mut scan = read
        .scan(space, &[], None, Direction::Forward)
        .expect("scans");
    while let Some((key, value)) = scan.next().expect("scans") {
        line!(out, "{} => {}", key.escape_ascii(), value.escape_ascii());
    }
}

fn put(out: &mut String, indent: &str, response: &api::PutResponse) {
    line!(out, "{indent}put{}", at(&response.header));
    if let Some(kv) = &response.prev_kv {
        line!(out, "{indent}  was {}", show(kv));
    }
}

fn delete(out: &mut String, indent: &str, response: &api::DeleteRangeResponse) {
    line!(
        out,
        "{indent}deleted {}{}",
        response.deleted,
        at(&response.header)
    );
    for kv in &response.prev_kvs {
        line!(out, "{indent}  was {}", show(kv));
    }
}

fn range_lines(out: &mut String, indent: &str, response: &api::RangeResponse) {
    let api::RangeResponse {
        header,
        kvs,
        more,
        count,
    } = response;
    line!(
        out,
        "{indent}count {count}{}{}",
        if *more { " and more" } else { "" },
        at(header)
    );
    for kv in kvs {
        line!(out, "{indent}  {}", show(kv));
    }
}

fn txn_lines(out: &mut String, indent: &str, response: &api::TxnResponse) {
    let branch = if response.succeeded {
        "success"
    } else {
        "failure"
    };
    line!(out, "{indent}{branch}{}", at(&response.header));
    let indent = format!("{indent}  ");
    for op in &response.responses {
        match op.response.as_ref().expect("a response") {
            Response::ResponseRange(response) => range_lines(out, &indent, response),
            Response::ResponsePut(response) => put(out, &indent, response),
            Response::ResponseDeleteRange(response) => delete(out, &indent, response),
            Response::ResponseTxn(response) => txn_lines(out, &indent, response),
        }
    }
}

fn members_lines(out: &mut String, members: &[Member]) {
    for member in members {
        let Member {
            id,
            name,
            peer_urls,
            client_urls,
            is_learner,
        } = member;
        let learner = if *is_learner { " learner" } else { "" };
        line!(
            out,
            "member {id} {name:?} peers {peer_urls:?} clients {client_urls:?}{learner}"
        );
    }
}

fn event(out: &mut String, revision: i64, change: &Change) {
    let kv = &change.kv;
    let what = match change.kind {
        ChangeKind::Put => show(kv),
        ChangeKind::Delete => {
            assert_eq!(kv.mod_revision, revision);
            let nothing = KeyValue {
                key: kv.key.clone(),
                mod_revision: revision,
                ..KeyValue::default()
            };
            assert_eq!(*kv, nothing);
            format!("{} deleted", kv.key.escape_ascii())
        }
    };
    let was = change
        .prev
        .as_ref()
        .map_or(String::new(), |kv| format!(" was {}", show(kv)));
    line!(out, "@{revision} {what}{was}");
}

fn alarms(alarms: &[api::AlarmMember]) -> String {
    let show = |alarm: &api::AlarmMember| format!("{}:{:?}", alarm.member_id, alarm.alarm());
    format!(
        "[{}]",
        alarms.iter().map(show).collect::<Vec<_>>().join(" ")
    )
}

/// `key="value" cCREATED mMODIFIED vVERSION`, and the lease if there is one.
fn show(kv: &KeyValue) -> String {
    let KeyValue {
        key,
        create_revision,
        mod_revision,
        version,
        value,
        lease,
    } = kv;
    let (key, value) = (key.escape_ascii(), value.escape_ascii());
    let lease = if *lease == 0 {
        String::new()
    } else {
        format!(" lease {lease}")
    };
    format!("{key}=\"{value}\" c{create_revision} m{mod_revision} v{version}{lease}")
}

/// The revision of a header, its only field that the machine sets.
fn at(header: &Option<api::ResponseHeader>) -> impl Display {
    match header {
        None => " (no header)".to_string(),
        Some(header) if *header == api::ResponseHeader::default() => " (empty header)".to_string(),
        Some(api::ResponseHeader {
            cluster_id: 0,
            member_id: 0,
            revision,
            raft_term: 0,
        }) => {
            format!(" at {revision}")
        }
        Some(header) => panic!("a header of the machine: {header:?}"),
    }
}
