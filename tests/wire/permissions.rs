//! Every method, called by every kind of caller: who may, and who may not, and why not.
//!
//! A row of the table is a request with what it needs. Each is made once by each caller, so a row
//! stands for nine cases.

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use conclave_proto::v3lockpb::{LockRequest, UnlockRequest};
use harness::Node;
use harness::api::{
    all, delete, delete_range, get, is_absent, op, over, put, put_leased, range, txn, value_is,
    watch_range,
};
use harness::login::{Administrator, PASSWORD, first_response, log_in, with_token};
use prost::Message;

suite![
    every_method_by_every_caller ["--bcrypt-cost=4"] => "3.4 checks less",
];

/// The keys that callers have permissions for, and one that none has.
const APP: (&str, &str) = ("app/", "app0");
/// Only a part of them.
const HALF: (&str, &str) = ("app/", "app/m");

/// A kind of permission, for the keys from the first to the second.
type Grant = (Type, (&'static str, &'static str));

/// The callers: name, and permission.
const CALLERS: &[(&str, Option<Grant>)] = &[
    // Without a token, and with one that nobody was given.
    ("nobody", None),
    ("forger", None),
    // Without a role.
    ("bob", None),
    ("alice", Some((Type::Readwrite, APP))),
    ("half", Some((Type::Readwrite, HALF))),
    ("reader", Some((Type::Read, APP))),
    ("writer", Some((Type::Write, APP))),
    // By two roles, each for one half.
    ("both", Some((Type::Readwrite, APP))),
    ("root", None),
];

/// What a request needs.
enum Needs {
    Nothing,
    User,
    Administrator,
    /// A user of this name, or root.
    Myself(&'static str),
    /// A user with the role that only this user has, or root.
    RoleOf(&'static str),
    /// Each of these.
    Keys(Vec<Need>),
}

/// To read (false) or write (true) a range.
type Need = (bool, String, String);

fn read(key: &str, end: &str) -> Need {
    (false, key.to_owned(), end.to_owned())
}

fn write(key: &str, end: &str) -> Need {
    (true, key.to_owned(), end.to_owned())
}

impl Needs {
    /// The error that a caller gets, if it may not make the request.
    fn refusal(&self, caller: &str, permission: Option<(Type, (&str, &str))>) -> Option<ApiError> {
        let may = match self {
            Needs::Nothing => return None,
            _ if caller == "nobody" => return Some(ApiError::UserEmpty),
            _ if caller == "forger" => return Some(ApiError::InvalidAuthToken),
            _ if caller == "root" => true,
            Needs::User => true,
            Needs::Administrator => false,
            Needs::Myself(name) | Needs::RoleOf(name) => *name == caller,
            Needs::Keys(needs) => needs.iter().all(|need| has(permission, need)),
        };
        (!may).then_some(ApiError::PermissionDenied)
    }
}

/// True if the permission covers a need. An end of one zero byte is no end.
fn has(permission: Option<(Type, (&str, &str))>, (writes, key, end): &Need) -> bool {
    let Some((kind, (from, to))) = permission else {
        return false;
    };
    let of_kind = match kind {
        Type::Readwrite => true,
        Type::Read => !writes,
        Type::Write => *writes,
    };
    let single = format!("{key}\0");
    let end = if end.is_empty() { &single } else { end };
    of_kind && from <= key.as_str() && end != "\0" && end.as_str() <= to
}

/// A row of the table.
struct Row {
    path: &'static str,
    message: Vec<u8>,
    needs: Needs,
}

fn row(path: &'static str, message: &impl Message, needs: Needs) -> Row {
    Row {
        path,
        message: message.encode_to_vec(),
        needs,
    }
}

async fn every_method_by_every_caller(node: Node) {
    let mut world = World::new(&node).await;
    let mut wrong = Vec::new();
    let mut cases = 0;
    for &(caller, permission) in CALLERS {
        // Made anew for each caller: some requests work only once.
        for (position, row) in world.rows().await.into_iter().enumerate() {
            let expected = row.needs.refusal(caller, permission);
            let found = world.refusal(caller, &row).await;
            if found != expected {
                let path = row.path;
                wrong.push(format!(
                    "{position} {path} by {caller}: {found:?}, not {expected:?}"
                ));
            }
            cases += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases > 1500, "{cases} cases");
}

struct World<'a> {
    node: &'a Node,
    root: Administrator,
    tokens: Vec<(&'static str, String)>,
    /// Distinguishes the names that a row uses up.
    number: i64,
}

impl World<'_> {
    async fn new(node: &Node) -> World<'_> {
        node.put("app/a", "1").await;
        node.put("secret", "1").await;
        // Leaders of two elections.
        node.put("app/e/1", "leader").await;
        node.put("secret-e/1", "leader").await;
        let mut root = Administrator::new(node.channel());
        root.add_role("app", Type::Readwrite, "app/", "app0").await;
        root.enable().await;
        let mut tokens = vec![
            ("nobody", String::new()),
            ("forger", "abcdefghijklmnop.2".to_owned()),
            ("root", root.token().to_owned()),
        ];
        for &(caller, permission) in CALLERS {
            if tokens.iter().any(|(name, _)| *name == caller) {
                continue;
            }
            root.add_user(caller, &[]).await;
            let ranges = match (caller, permission) {
                (_, None) => Vec::new(),
                ("both", _) => vec![
                    (Type::Readwrite, HALF),
                    (Type::Readwrite, ("app/m", "app0")),
                ],
                (_, Some(permission)) => vec![permission],
            };
            for (number, (kind, (key, end))) in ranges.into_iter().enumerate() {
                let role = format!("{caller}-{number}");
                root.add_role(&role, kind, key, end).await;
                root.grant(caller, &role).await;
            }
            let token = log_in(node.channel(), caller, PASSWORD).await.unwrap();
            tokens.push((caller, token));
        }
        World {
            node,
            root,
            tokens,
            number: 1000,
        }
    }

    /// Makes a request. Returns the error if its caller may not make it.
    async fn refusal(&self, caller: &str, row: &Row) -> Option<ApiError> {
        let (_, token) = self
            .tokens
            .iter()
            .find(|(name, _)| *name == caller)
            .unwrap();
        let message = Bytes::from(row.message.clone());
        let answer = first_response(self.node.channel(), row.path, token, message).await;
        let error = match answer {
            Ok(response) if row.path == WATCH => {
                let response = pb::WatchResponse::decode(response).unwrap();
                let mut all = ApiError::ALL.iter();
                all.find(|error| error.go_text() == response.cancel_reason)
                    .copied()
            }
            Ok(_) => None,
            Err(status) => ApiError::from_text(status.message()),
        };
        let of_auth = [
            ApiError::UserEmpty,
            ApiError::InvalidAuthToken,
            ApiError::PermissionDenied,
            ApiError::AuthOldRevision,
        ];
        error.filter(|error| of_auth.contains(error))
    }

    fn next(&mut self) -> i64 {
        self.number += 1;
        self.number
    }

    /// Grants a lease and attaches a key to it.
    async fn lease_of(&mut self, key: &str) -> (i64, String) {
        let id = self.next();
        let key = format!("{key}{id}");
        let grant = pb::LeaseGrantRequest { id, ttl: 600 };
        let request = with_token(self.root.token(), grant);
        self.node.leases().lease_grant(request).await.unwrap();
        let request = with_token(self.root.token(), put_leased(key.clone(), "1", id));
        self.node.kv().put(request).await.unwrap();
        (id, key)
    }

    async fn rows(&mut self) -> Vec<Row> {
        let mut rows = kv_rows();
        rows.extend(txn_rows());
        rows.extend(self.lease_rows().await);
        rows.extend(cluster_rows());
        rows.extend(self.queue_rows());
        rows.extend(auth_rows());
        rows.extend(administration_rows());
        rows
    }

    async fn lease_rows(&mut self) -> Vec<Row> {
        let mut rows = vec![
            row(
                "/etcdserverpb.Lease/LeaseGrant",
                &pb::LeaseGrantRequest {
                    id: self.next(),
                    ttl: 60,
                },
                Needs::User,
            ),
            row(
                "/etcdserverpb.Lease/LeaseRevoke",
                &pb::LeaseRevokeRequest { id: 1 },
                Needs::User,
            ),
            row(
                KEEP_ALIVE,
                &pb::LeaseKeepAliveRequest { id: 1 },
                Needs::User,
            ),
        ];
        // `app/z...` is beyond the half of one caller.
        for prefix in ["app/z", "app/b", "secret"] {
            let (id, key) = self.lease_of(prefix).await;
            let write_all = |also: &str| Needs::Keys(vec![write(&key, ""), write(also, "")]);
            rows.push(row(PUT, &put_leased("app/a", "2", id), write_all("app/a")));
            let nested = all([op(all([op(put_leased("app/a", "2", id))]))]);
            rows.push(row(TXN, &nested, write_all("app/a")));
            rows.push(row(
                KEEP_ALIVE,
                &pb::LeaseKeepAliveRequest { id },
                write_all(&key),
            ));
            for keys in [false, true] {
                let needs = match keys {
                    true => Needs::Keys(vec![read(&key, "")]),
                    false => Needs::User,
                };
                let request = pb::LeaseTimeToLiveRequest { id, keys };
                rows.push(row("/etcdserverpb.Lease/LeaseTimeToLive", &request, needs));
            }
            let (id, key) = self.lease_of(prefix).await;
            let needs = Needs::Keys(vec![write(&key, "")]);
            let request = pb::LeaseRevokeRequest { id };
            rows.push(row("/etcdserverpb.Lease/LeaseRevoke", &request, needs));
        }
        // There are leases with secret keys.
        rows.push(row(
            "/etcdserverpb.Lease/LeaseLeases",
            &pb::LeaseLeasesRequest {},
            Needs::Keys(vec![read("app/", "app0"), read("secret", "")]),
        ));
        rows
    }

    fn queue_rows(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for prefix in ["app/q", "secret-q"] {
            let name = format!("{prefix}{}", self.next());
            let all = (format!("{name}/"), format!("{name}0"));
            // The key is that of a lease which the server grants.
            let contends = || Needs::Keys(vec![read(&all.0, &all.1), write(&all.0, &all.1)]);
            let name = || Bytes::from(name.clone());
            let lock = LockRequest {
                name: name(),
                lease: 0,
            };
            rows.push(row("/v3lockpb.Lock/Lock", &lock, contends()));
            let key = format!("{}1", all.0);
            let owns = || Needs::Keys(vec![read(&key, ""), write(&key, "")]);
            let leader = Some(LeaderKey {
                name: name(),
                key: key.clone().into(),
                rev: 1,
                lease: 0,
            });
            let unlock = UnlockRequest {
                key: key.clone().into(),
            };
            let needs = Needs::Keys(vec![write(&key, "")]);
            rows.push(row("/v3lockpb.Lock/Unlock", &unlock, needs));
            let proclaim = ProclaimRequest {
                leader: leader.clone(),
                value: Bytes::new(),
            };
            rows.push(row("/v3electionpb.Election/Proclaim", &proclaim, owns()));
            rows.push(row(
                "/v3electionpb.Election/Resign",
                &ResignRequest { leader },
                owns(),
            ));
            let other = format!("{prefix}{}", self.next());
            let all = (format!("{other}/"), format!("{other}0"));
            let needs = Needs::Keys(vec![read(&all.0, &all.1), write(&all.0, &all.1)]);
            let campaign = CampaignRequest {
                name: other.into(),
                lease: 0,
                value: "1".into(),
            };
            rows.push(row("/v3electionpb.Election/Campaign", &campaign, needs));
        }
        for name in ["app/e", "secret-e"] {
            let needs = || Needs::Keys(vec![read(&format!("{name}/"), &format!("{name}0"))]);
            let request = LeaderRequest { name: name.into() };
            rows.push(row("/v3electionpb.Election/Leader", &request, needs()));
            rows.push(row("/v3electionpb.Election/Observe", &request, needs()));
        }
        rows
    }
}

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
const TXN: &str = "/etcdserverpb.KV/Txn";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// Ranges: key, and end.
const RANGES: &[(&str, &str)] = &[
    ("app/a", ""),
    ("app/z", ""),
    ("app0", ""),
    ("secret", ""),
    ("app/", "app0"),
    ("app/", "app/m"),
    ("app/a", "app/n"),
    ("app", "app0"),
    ("app/", "app0\0"),
    ("app/", "\0"),
    ("\0", "\0"),
];

fn kv_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for &(key, end) in RANGES {
        let needs = || Needs::Keys(vec![read(key, end)]);
        rows.push(row(RANGE, &range(key, end), needs()));
        let serializable = pb::RangeRequest {
            serializable: true,
            count_only: true,
            ..range(key, end)
        };
        rows.push(row(RANGE, &serializable, needs()));
        rows.push(row(
            "/etcdserverpb.KV/RangeStream",
            &range(key, end),
            needs(),
        ));
        let create = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(watch_range(key, end))),
        };
        rows.push(row(WATCH, &create, needs()));
    }
    for key in ["app/d", "app/z", "app0", "secret-d"] {
        let writes = || Needs::Keys(vec![write(key, "")]);
        let both = || Needs::Keys(vec![read(key, ""), write(key, "")]);
        rows.push(row(PUT, &put(key, "1"), writes()));
        let with_prev = pb::PutRequest {
            prev_kv: true,
            ..put(key, "1")
        };
        rows.push(row(PUT, &with_prev, both()));
        rows.push(row(DELETE, &delete(key), writes()));
        let with_prev = pb::DeleteRangeRequest {
            prev_kv: true,
            ..delete(key)
        };
        rows.push(row(DELETE, &with_prev, both()));
    }
    for (key, end) in [
        ("app/d", "app/e"),
        ("app/l", "app/n"),
        ("app/x", "app1"),
        ("t", "\0"),
    ] {
        let request = delete_range(key, end);
        rows.push(row(DELETE, &request, Needs::Keys(vec![write(key, end)])));
        let with_prev = pb::DeleteRangeRequest {
            prev_kv: true,
            ..request
        };
        let needs = Needs::Keys(vec![read(key, end), write(key, end)]);
        rows.push(row(DELETE, &with_prev, needs));
    }
    let compact = pb::CompactionRequest {
        revision: 1,
        physical: false,
    };
    rows.push(row(
        "/etcdserverpb.KV/Compact",
        &compact,
        Needs::Administrator,
    ));
    rows
}

/// Transactions: each has one operation that needs something, at every place.
fn txn_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for key in ["app/t", "app/z", "secret-t"] {
        let compared = || vec![read(key, "")];
        rows.push(row(
            TXN,
            &txn([is_absent(key)], [], []),
            Needs::Keys(compared()),
        ));
        let all_from = over(value_is(key, "1"), "app/zz");
        let needs = Needs::Keys(vec![read(key, "app/zz")]);
        if key < "app/zz" {
            rows.push(row(TXN, &txn([all_from], [], []), needs));
        }
        for (operation, needs) in [
            (op(get(key)), vec![read(key, "")]),
            (op(put(key, "1")), vec![write(key, "")]),
            (op(delete(key)), vec![write(key, "")]),
            (
                op(pb::PutRequest {
                    prev_kv: true,
                    ..put(key, "1")
                }),
                vec![read(key, ""), write(key, "")],
            ),
            (
                op(pb::DeleteRangeRequest {
                    prev_kv: true,
                    ..delete(key)
                }),
                vec![read(key, ""), write(key, "")],
            ),
            (op(txn([is_absent(key)], [], [])), compared()),
        ] {
            let not_taken = || [value_is("app/a", "no such value")];
            let reads_first = || vec![read("app/a", "")];
            let needs_all = |mut first: Vec<Need>| {
                first.extend(needs.clone());
                Needs::Keys(first)
            };
            // Taken; not taken; in a nested one, whichever branch.
            rows.push(row(TXN, &all([operation.clone()]), needs_all(vec![])));
            let request = txn(not_taken(), [operation.clone()], []);
            rows.push(row(TXN, &request, needs_all(reads_first())));
            let request = all([op(get("app/a")), op(all([operation.clone()]))]);
            rows.push(row(TXN, &request, needs_all(reads_first())));
            let nested = op(txn([], [], [operation]));
            let request = txn(not_taken(), [nested], []);
            rows.push(row(TXN, &request, needs_all(reads_first())));
        }
    }
    rows
}

fn admin(path: &'static str, message: &dyn Encoded) -> Row {
    Row {
        path,
        message: message.encoded(),
        needs: Needs::Administrator,
    }
}

fn cluster_rows() -> Vec<Row> {
    let alarm = |action: AlarmAction| pb::AlarmRequest {
        action: action as i32,
        ..pb::AlarmRequest::default()
    };
    vec![
        row(
            "/etcdserverpb.Cluster/MemberList",
            &pb::MemberListRequest { linearizable: true },
            Needs::User,
        ),
        admin(
            "/etcdserverpb.Cluster/MemberAdd",
            &pb::MemberAddRequest::default(),
        ),
        admin(
            "/etcdserverpb.Cluster/MemberRemove",
            &pb::MemberRemoveRequest { id: 1 },
        ),
        admin(
            "/etcdserverpb.Cluster/MemberUpdate",
            &pb::MemberUpdateRequest::default(),
        ),
        admin(
            "/etcdserverpb.Cluster/MemberPromote",
            &pb::MemberPromoteRequest { id: 1 },
        ),
        row(
            "/etcdserverpb.Maintenance/Status",
            &pb::StatusRequest {},
            Needs::User,
        ),
        row(
            "/etcdserverpb.Maintenance/Alarm",
            &alarm(AlarmAction::Get),
            Needs::User,
        ),
        admin(
            "/etcdserverpb.Maintenance/Alarm",
            &alarm(AlarmAction::Activate),
        ),
        admin(
            "/etcdserverpb.Maintenance/Alarm",
            &alarm(AlarmAction::Deactivate),
        ),
        admin(
            "/etcdserverpb.Maintenance/Defragment",
            &pb::DefragmentRequest {},
        ),
        admin("/etcdserverpb.Maintenance/Hash", &pb::HashRequest {}),
        admin(
            "/etcdserverpb.Maintenance/HashKV",
            &pb::HashKvRequest { revision: 0 },
        ),
        admin(
            "/etcdserverpb.Maintenance/Snapshot",
            &pb::SnapshotRequest {},
        ),
        admin(
            "/etcdserverpb.Maintenance/MoveLeader",
            &pb::MoveLeaderRequest { target_id: 1 },
        ),
        admin(
            "/etcdserverpb.Maintenance/Downgrade",
            &pb::DowngradeRequest::default(),
        ),
    ]
}

/// Requests of users about themselves, and logins.
fn auth_rows() -> Vec<Row> {
    let user = |name: &str| pb::AuthUserGetRequest {
        name: name.to_owned(),
    };
    let role = |name: &str| pb::AuthRoleGetRequest {
        role: name.to_owned(),
    };
    let login = pb::AuthenticateRequest {
        name: "bob".to_owned(),
        password: PASSWORD.to_owned(),
    };
    vec![
        row(
            "/etcdserverpb.Auth/AuthStatus",
            &pb::AuthStatusRequest {},
            Needs::Nothing,
        ),
        row("/etcdserverpb.Auth/Authenticate", &login, Needs::Nothing),
        row(
            "/etcdserverpb.Auth/UserGet",
            &user("alice"),
            Needs::Myself("alice"),
        ),
        row(
            "/etcdserverpb.Auth/UserGet",
            &user("bob"),
            Needs::Myself("bob"),
        ),
        row(
            "/etcdserverpb.Auth/RoleGet",
            &role("alice-0"),
            Needs::RoleOf("alice"),
        ),
        row(
            "/etcdserverpb.Auth/RoleGet",
            &role("both-1"),
            Needs::RoleOf("both"),
        ),
        admin("/etcdserverpb.Auth/UserGet", &user("root")),
        admin("/etcdserverpb.Auth/UserGet", &user("")),
        admin("/etcdserverpb.Auth/RoleGet", &role("app")),
    ]
}

/// Requests that change users and roles, or list them. The last one disables authentication, if
/// root makes it.
fn administration_rows() -> Vec<Row> {
    let new_user = pb::AuthUserAddRequest {
        name: "someone".to_owned(),
        ..pb::AuthUserAddRequest::default()
    };
    vec![
        admin("/etcdserverpb.Auth/UserList", &pb::AuthUserListRequest {}),
        admin("/etcdserverpb.Auth/RoleList", &pb::AuthRoleListRequest {}),
        admin("/etcdserverpb.Auth/UserAdd", &new_user),
        admin(
            "/etcdserverpb.Auth/UserDelete",
            &pb::AuthUserDeleteRequest::default(),
        ),
        admin(
            "/etcdserverpb.Auth/UserChangePassword",
            &pb::AuthUserChangePasswordRequest::default(),
        ),
        admin(
            "/etcdserverpb.Auth/UserGrantRole",
            &pb::AuthUserGrantRoleRequest::default(),
        ),
        admin(
            "/etcdserverpb.Auth/UserRevokeRole",
            &pb::AuthUserRevokeRoleRequest::default(),
        ),
        admin(
            "/etcdserverpb.Auth/RoleAdd",
            &pb::AuthRoleAddRequest::default(),
        ),
        admin(
            "/etcdserverpb.Auth/RoleDelete",
            &pb::AuthRoleDeleteRequest::default(),
        ),
        admin(
            "/etcdserverpb.Auth/RoleGrantPermission",
            &pb::AuthRoleGrantPermissionRequest::default(),
        ),
        admin(
            "/etcdserverpb.Auth/RoleRevokePermission",
            &pb::AuthRoleRevokePermissionRequest::default(),
        ),
        admin("/etcdserverpb.Auth/AuthEnable", &pb::AuthEnableRequest {}),
        admin("/etcdserverpb.Auth/AuthDisable", &pb::AuthDisableRequest {}),
    ]
}

/// A message, whatever its type.
trait Encoded {
    fn encoded(&self) -> Vec<u8>;
}

impl<M: Message> Encoded for M {
    fn encoded(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
