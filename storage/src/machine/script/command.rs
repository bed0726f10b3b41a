//! The language of the scripts.
//!
//! ```text
//! put KEY VALUE [lease=N] [prev] [keep_value] [keep_lease]
//! del RANGE [prev]
//! txn [ TARGET RANGE OP VALUE ; .. ] { OPERATION ; .. } { OPERATION ; .. }
//! compact REVISION        grant ID TTL      revoke ID     expire ID[@INDEX] ..
//! checkpoint ID SECONDS .. [term=N] [as_of=INDEX]
//! alarm on|off|list MEMBER TYPE             attributes MEMBER NAME URL
//! user add NAME HASH|no_password            user delete NAME  user password NAME HASH
//! user grant|revoke NAME ROLE
//! role add|delete NAME    role grant NAME [TYPE RANGE]        role revoke NAME RANGE
//! auth on|off             login NAME TOKEN AUTH_REVISION
//! entry { COMMAND ; .. }  one entry with several of the above
//! as NAME REVISION COMMAND                  in the name of a user, admitted at an auth revision
//! own COMMAND             in the name of the member
//! noop                    an entry without commands
//! member add|learner|promote|remove|update ID [URL]
//! hold, commit            entries between the two are committed together
//! reopen, crash N         start again; after a crash, with the first N unsynced writes
//! step ROWS               one step of removing compacted history
//! get RANGE [rev=N] [limit=N] [sort=TARGET] [descend|ascend] [keys_only] [count_only]
//!     [min_mod=N] [max_mod=N] [min_create=N] [max_create=N]
//! read txn ..             by the reader
//! stream BYTES RANGE [as get]
//! history FROM THROUGH [BYTES]              at KEY REVISION      hash [REVISION]
//! lease ID                leases [AFTER MAX]
//! status                  dump SPACE
//! auth                    users, roles and permissions
//! may NAME read|write RANGE
//! ```
//!
//! RANGE is `a` (a key), `a..c` or `a..` (to the end). `""` is nothing, `\0` a zero byte. An
//! operation of a transaction is `put`, `del`, `get`, `txn` or `nothing` (an operation that says
//! nothing).

use bytes::Bytes;
use conclave_proto::command::command::Body;
use conclave_proto::command::{
    Checkpoint, ExpiredLease, Header, LeaseCheckpoint, LeaseExpire, Member, MemberAttributes,
};
use conclave_proto::etcdserverpb as api;
use conclave_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use conclave_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use conclave_proto::etcdserverpb::request_op::Request;

use super::auth;
use crate::engine::Space;
use crate::ids::{LeaseId, MemberId};
use crate::layout;
use crate::membership::Change;
use crate::mvcc::range::KeyRange;

/// One line of a script.
pub(super) enum Line {
    Entry(Vec<Body>),
    /// One command in a caller's name.
    InTheName(Header, Body),
    Noop,
    Member(Change),
    Hold,
    Commit,
    Reopen,
    Crash(usize),
    Step(usize),
    Get(api::RangeRequest),
    ReadTxn(api::TxnRequest),
    Stream(api::RangeRequest, usize),
    History(i64, i64, usize),
    KeyAt(Bytes, i64),
    Hash(i64),
    Lease(i64),
    Leases(Option<LeaseId>, usize),
    Status,
    Dump(Space),
    Auth,
    /// The user's name, true to write, and the keys.
    May(String, bool, KeyRange),
}

pub(super) fn parse(line: &str) -> Line {
    let mut words = Words::of(line);
    let line_kind = words.peek().expect("a command").to_string();
    let parsed = match line_kind.as_str() {
        "entry" => {
            words.next();
            Line::Entry(words.list("{", "}", body))
        }
        "auth" if words.len() == 1 => {
            words.next();
            Line::Auth
        }
        "put" | "del" | "txn" | "compact" | "grant" | "revoke" | "expire" | "checkpoint"
        | "alarm" | "attributes" | "user" | "role" | "auth" | "login" => {
            Line::Entry(vec![body(&mut words)])
        }
        _ => {
            words.next();
            other(&line_kind, &mut words)
        }
    };
    assert!(words.peek().is_none(), "too much: {line}");
    parsed
}

fn other(kind: &str, words: &mut Words) -> Line {
    match kind {
        "noop" => Line::Noop,
        "member" => Line::Member(change(words)),
        "hold" => Line::Hold,
        "commit" => Line::Commit,
        "reopen" => Line::Reopen,
        "crash" => Line::Crash(words.number()),
        "step" => Line::Step(words.number()),
        "get" => Line::Get(range(words)),
        "read" => {
            words.expect("txn");
            Line::ReadTxn(txn(words))
        }
        "stream" => {
            let max_bytes = words.number();
            Line::Stream(range(words), max_bytes)
        }
        "history" => {
            let (from, through) = (words.number(), words.number());
            Line::History(from, through, words.number_or(usize::MAX))
        }
        "at" => Line::KeyAt(words.bytes(), words.number()),
        "hash" => Line::Hash(words.number_or(0)),
        "lease" => Line::Lease(words.number()),
        "leases" if words.peek().is_none() => Line::Leases(None, usize::MAX),
        "leases" => Line::Leases(Some(LeaseId(words.number())), words.number()),
        "status" => Line::Status,
        "as" => {
            let header = Header {
                user: words.next(),
                auth_revision: words.number(),
                ..Header::default()
            };
            Line::InTheName(header, body(words))
        }
        "own" => {
            let by_member = true;
            let header = Header {
                by_member,
                ..Header::default()
            };
            Line::InTheName(header, body(words))
        }
        "may" => {
            let (name, writes) = (words.next(), words.next() == "write");
            let (key, range_end) = words.range();
            Line::May(name, writes, KeyRange::of(&key, &range_end))
        }
        "dump" => {
            let name = words.next();
            let space = layout::STATE_SPACES.iter().find(|space| space.name == name);
            Line::Dump(*space.expect("a space"))
        }
        other => panic!("no command {other}"),
    }
}

fn body(words: &mut Words) -> Body {
    match words.next().as_str() {
        "put" => Body::Put(put(words)),
        "del" => Body::DeleteRange(delete(words)),
        "txn" => Body::Txn(txn(words)),
        "compact" => Body::Compaction(api::CompactionRequest {
            revision: words.number(),
            physical: false,
        }),
        "grant" => {
            let (id, ttl) = (words.number(), words.number());
            Body::LeaseGrant(api::LeaseGrantRequest { id, ttl })
        }
        "revoke" => Body::LeaseRevoke(api::LeaseRevokeRequest { id: words.number() }),
        "expire" => {
            let mut leases = Vec::new();
            while words.peek().is_some_and(|word| word != ";" && word != "}") {
                leases.push(expired(&words.next()));
            }
            Body::LeaseExpire(LeaseExpire { leases, term: 0 })
        }
        "checkpoint" => Body::LeaseCheckpoint(checkpoint(words)),
        "alarm" => {
            let action = match words.next().as_str() {
                "on" => api::alarm_request::AlarmAction::Activate,
                "off" => api::alarm_request::AlarmAction::Deactivate,
                "list" => api::alarm_request::AlarmAction::Get,
                other => panic!("alarm {other}"),
            };
            let member_id = words.number();
            let alarm = api::AlarmType::from_str_name(&words.next().to_uppercase());
            let alarm = alarm.expect("an alarm type") as i32;
            Body::Alarm(api::AlarmRequest {
                action: action as i32,
                member_id,
                alarm,
            })
        }
        "attributes" => Body::MemberAttributes(MemberAttributes {
            member_id: words.number(),
            name: words.next(),
            client_urls: vec![words.next()],
        }),
        kind @ ("user" | "role" | "auth" | "login") => auth::body(kind, words),
        other => panic!("no command {other}"),
    }
}

/// `7`, or `7@12` for the lease 7 that entry 12 granted.
fn expired(word: &str) -> ExpiredLease {
    let (id, index) = word.split_once('@').unwrap_or((word, "0"));
    ExpiredLease {
        id: id.parse().expect("an id"),
        granted_index: index.parse().expect("an index"),
    }
}

fn checkpoint(words: &mut Words) -> LeaseCheckpoint {
    let mut request = LeaseCheckpoint {
        as_of_index: u64::MAX,
        ..LeaseCheckpoint::default()
    };
    while words.peek().is_some_and(|word| word.parse::<i64>().is_ok()) {
        request.checkpoints.push(Checkpoint {
            id: words.number(),
            remaining_seconds: words.number(),
        });
    }
    words.options(|name, value| match name {
        "term" => request.term = value.parse().expect("a term"),
        "as_of" => request.as_of_index = value.parse().expect("an index"),
        other => panic!("checkpoint {other}"),
    });
    request
}

fn put(words: &mut Words) -> api::PutRequest {
    let (key, value) = (words.bytes(), words.bytes());
    let mut request = api::PutRequest {
        key,
        value,
        ..api::PutRequest::default()
    };
    words.options(|name, value| match name {
        "lease" => request.lease = value.parse().expect("a lease"),
        "prev" => request.prev_kv = true,
        "keep_value" => request.ignore_value = true,
        "keep_lease" => request.ignore_lease = true,
        other => panic!("put {other}"),
    });
    request
}

fn delete(words: &mut Words) -> api::DeleteRangeRequest {
    let (key, range_end) = words.range();
    let mut request = api::DeleteRangeRequest {
        key,
        range_end,
        prev_kv: false,
    };
    words.options(|name, _| match name {
        "prev" => request.prev_kv = true,
        other => panic!("del {other}"),
    });
    request
}

fn range(words: &mut Words) -> api::RangeRequest {
    let (key, range_end) = words.range();
    let mut request = api::RangeRequest {
        key,
        range_end,
        ..api::RangeRequest::default()
    };
    words.options(|name, value| {
        let number = || value.parse().expect("a number");
        match name {
            "rev" => request.revision = number(),
            "limit" => request.limit = number(),
            "sort" => {
                let target = SortTarget::from_str_name(&value.to_uppercase());
                request.sort_target = target.map_or(99, |target| target as i32);
            }
            "descend" => request.sort_order = SortOrder::Descend as i32,
            "ascend" => request.sort_order = SortOrder::Ascend as i32,
            "keys_only" => request.keys_only = true,
            "count_only" => request.count_only = true,
            "min_mod" => request.min_mod_revision = number(),
            "max_mod" => request.max_mod_revision = number(),
            "min_create" => request.min_create_revision = number(),
            "max_create" => request.max_create_revision = number(),
            other => panic!("get {other}"),
        }
    });
    request
}

fn txn(words: &mut Words) -> api::TxnRequest {
    let compare = words.list("[", "]", compare);
    let success = words.list("{", "}", operation);
    let failure = words.list("{", "}", operation);
    api::TxnRequest {
        compare,
        success,
        failure,
    }
}

fn operation(words: &mut Words) -> api::RequestOp {
    let request = match words.next().as_str() {
        "put" => Some(Request::RequestPut(put(words))),
        "del" => Some(Request::RequestDeleteRange(delete(words))),
        "get" => Some(Request::RequestRange(range(words))),
        "txn" => Some(Request::RequestTxn(txn(words))),
        "nothing" => None,
        other => panic!("no operation {other}"),
    };
    api::RequestOp { request }
}

fn compare(words: &mut Words) -> api::Compare {
    let target = CompareTarget::from_str_name(&words.next().to_uppercase()).expect("a target");
    let (key, range_end) = words.range();
    let result = match words.next().as_str() {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        other => panic!("compare {other}"),
    };
    let union = match target {
        CompareTarget::Version => TargetUnion::Version(words.number()),
        CompareTarget::Create => TargetUnion::CreateRevision(words.number()),
        CompareTarget::Mod => TargetUnion::ModRevision(words.number()),
        CompareTarget::Lease => TargetUnion::Lease(words.number()),
        CompareTarget::Value => TargetUnion::Value(words.bytes()),
    };
    api::Compare {
        result: result as i32,
        target: target as i32,
        key,
        range_end,
        target_union: Some(union),
    }
}

fn change(words: &mut Words) -> Change {
    let kind = words.next();
    let id = words.number();
    let mut member = || Member {
        id,
        peer_urls: vec![words.next()],
        ..Member::default()
    };
    match kind.as_str() {
        "add" => Change::Add(member()),
        "learner" => Change::AddLearner(member()),
        "promote" => Change::Promote { id: MemberId(id) },
        "remove" => Change::Remove { id: MemberId(id) },
        "update" => Change::Update {
            id: MemberId(id),
            peer_urls: member().peer_urls,
        },
        other => panic!("member {other}"),
    }
}

/// The rest of a line.
pub(super) struct Words(std::iter::Peekable<std::vec::IntoIter<String>>);

impl Words {
    fn of(line: &str) -> Words {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        Words(words.into_iter().peekable())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn peek(&mut self) -> Option<&str> {
        self.0.peek().map(String::as_str)
    }

    pub(super) fn next(&mut self) -> String {
        self.0.next().expect("a further word")
    }

    fn expect(&mut self, word: &str) {
        assert_eq!(self.next(), word);
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self) -> N {
        let word = self.next();
        word.parse()
            .unwrap_or_else(|_| panic!("not a number: {word}"))
    }

    fn number_or<N: std::str::FromStr>(&mut self, default: N) -> N {
        if self.peek().is_some() {
            self.number()
        } else {
            default
        }
    }

    pub(super) fn bytes(&mut self) -> Bytes {
        unescape(&self.next())
    }

    pub(super) fn range(&mut self) -> (Bytes, Bytes) {
        let word = self.next();
        match word.split_once("..") {
            None => (unescape(&word), Bytes::new()),
            Some((key, "")) => (unescape(key), Bytes::from_static(b"\0")),
            Some((key, end)) => (unescape(key), unescape(end)),
        }
    }

    /// Options up to the end of the operation or the line, each a name or `name=value`.
    fn options(&mut self, mut option: impl FnMut(&str, &str)) {
        while self.peek().is_some_and(|word| word != ";" && word != "}") {
            let word = self.next();
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            option(name, value);
        }
    }

    fn list<T>(&mut self, open: &str, close: &str, item: impl Fn(&mut Words) -> T) -> Vec<T> {
        self.expect(open);
        let mut items = Vec::new();
        while self.peek() != Some(close) {
            if !items.is_empty() {
                self.expect(";");
            }
            items.push(item(self));
        }
        self.expect(close);
        items
    }
}

fn unescape(word: &str) -> Bytes {
    if word == "\"\"" {
        Bytes::new()
    } else {
        word.replace("\\0", "\0").into_bytes().into()
    }
}
