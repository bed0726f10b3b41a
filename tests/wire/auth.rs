//! Users, roles, permissions and logins. `permissions` has who may call what.

use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::authpb::permission::Type;
use conclave_proto::authpb::{Permission, UserAddOptions};
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3lockpb::{LockRequest, UnlockRequest};
use harness::api::{get, put, put_leased, watch, watch_range};
use harness::login::{Administrator, PASSWORD, log_in, with_token};
use harness::watching::create_request;
use harness::{Node, Watching, eventually, fails, refused, within};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

suite![
    it_is_off_at_first,
    it_needs_a_root_to_be_enabled ["--bcrypt-cost=4"],
    users_are_added_listed_and_deleted ["--bcrypt-cost=4"],
    roles_are_granted_and_revoked ["--bcrypt-cost=4"],
    permissions_are_granted_and_revoked => "3.4 takes any range",
    root_stays_while_it_is_enabled ["--bcrypt-cost=4"],
    a_login_needs_the_password ["--bcrypt-cost=4"],
    a_token_is_taken_from_either_field ["--bcrypt-cost=4"],
    a_token_ends_with_the_password_and_the_user ["--bcrypt-cost=4"],
    a_hash_is_as_good_as_a_password ["--bcrypt-cost=4"] => "3.4 has no such field",
    a_grant_counts_at_once_and_so_does_its_end ["--bcrypt-cost=4"],
    a_watcher_ends_with_its_permission ["--bcrypt-cost=4"] => "etcd goes on",
    a_watcher_ends_with_its_password ["--bcrypt-cost=4"] => "etcd goes on",
    a_waiting_lock_ends_with_its_password ["--bcrypt-cost=4"] => "etcd's code is Unknown",
    a_watcher_outlives_its_token ["--bcrypt-cost=4", "--auth-token-ttl=1"] => "as the next",
    an_unused_token_ends ["--bcrypt-cost=4", "--auth-token-ttl=1"] => "3.4 has no such flag",
    disabling_opens_everything_again ["--bcrypt-cost=4"],
    guesses_are_bounded ["--bcrypt-cost=4"] => "etcd has no bound",
    guesses_that_are_given_up_count ["--bcrypt-cost=12"] => "etcd has no bound",
];

fn user(name: &str) -> pb::AuthUserAddRequest {
    pb::AuthUserAddRequest {
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
        ..pb::AuthUserAddRequest::default()
    }
}

fn grant_role(user: &str, role: &str) -> pb::AuthUserGrantRoleRequest {
    pb::AuthUserGrantRoleRequest {
        user: user.to_owned(),
        role: role.to_owned(),
    }
}

fn revoke_role(name: &str, role: &str) -> pb::AuthUserRevokeRoleRequest {
    pb::AuthUserRevokeRoleRequest {
        name: name.to_owned(),
        role: role.to_owned(),
    }
}

fn delete_user(name: &str) -> pb::AuthUserDeleteRequest {
    pb::AuthUserDeleteRequest {
        name: name.to_owned(),
    }
}

fn add_role(name: &str) -> pb::AuthRoleAddRequest {
    pb::AuthRoleAddRequest {
        name: name.to_owned(),
    }
}

fn change_password(name: &str, password: &str) -> pb::AuthUserChangePasswordRequest {
    pb::AuthUserChangePasswordRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        ..pb::AuthUserChangePasswordRequest::default()
    }
}

async fn roles_of(node: &Node, name: &str) -> Vec<String> {
    let request = pb::AuthUserGetRequest {
        name: name.to_owned(),
    };
    let reply = node.auth().user_get(request).await.unwrap();
    reply.into_inner().roles
}

/// A member with authentication enabled, and alice, who may do everything below `app/`.
async fn enabled(node: &Node) -> Administrator {
    let mut root = Administrator::new(node.channel());
    root.add_role("app", Type::Readwrite, "app/", "app0").await;
    root.add_user("alice", &["app"]).await;
    root.enable().await;
    root
}

async fn it_is_off_at_first(node: Node) {
    let mut stub = node.auth();
    refused(
        log_in(node.channel(), "root", "x").await,
        ApiError::AuthNotEnabled,
    );
    // Not enabled is what it is already.
    stub.auth_disable(pb::AuthDisableRequest {}).await.unwrap();
    let users = stub.user_list(pb::AuthUserListRequest {}).await.unwrap();
    assert!(users.into_inner().users.is_empty());
}

async fn it_needs_a_root_to_be_enabled(node: Node) {
    let mut stub = node.auth();
    let enable = pb::AuthEnableRequest {};
    refused(stub.auth_enable(enable).await, ApiError::RootUserNotExist);
    stub.user_add(user("root")).await.unwrap();
    refused(stub.auth_enable(enable).await, ApiError::RootRoleNotExist);
    stub.user_grant_role(grant_role("root", "root"))
        .await
        .unwrap_or_else(|_| panic!("the role root need not exist"));
    stub.auth_enable(enable).await.unwrap();
    refused(stub.auth_enable(enable).await, ApiError::UserEmpty);
    refused(node.kv().put(put("a", "1")).await, ApiError::UserEmpty);
}

async fn users_are_added_listed_and_deleted(node: Node) {
    let mut stub = node.auth();
    for name in ["carol", "alice", "bob"] {
        let reply = stub.user_add(user(name)).await.unwrap().into_inner();
        assert!(reply.header.unwrap().revision > 0);
    }
    refused(
        stub.user_add(user("alice")).await,
        ApiError::UserAlreadyExist,
    );
    refused(stub.user_add(user("")).await, ApiError::UserEmpty);
    let list = |reply: pb::AuthUserListResponse| reply.users.join(" ");
    let users = stub.user_list(pb::AuthUserListRequest {}).await.unwrap();
    assert_eq!(list(users.into_inner()), "alice bob carol");
    stub.user_delete(delete_user("bob")).await.unwrap();
    refused(
        stub.user_delete(delete_user("bob")).await,
        ApiError::UserNotFound,
    );
    let get = pb::AuthUserGetRequest {
        name: "bob".to_owned(),
    };
    refused(stub.user_get(get).await, ApiError::UserNotFound);
    let changed = stub.user_change_password(change_password("bob", "x")).await;
    refused(changed, ApiError::UserNotFound);
    let users = stub.user_list(pb::AuthUserListRequest {}).await.unwrap();
    assert_eq!(list(users.into_inner()), "alice carol");
}

async fn roles_are_granted_and_revoked(node: Node) {
    let mut stub = node.auth();
    stub.user_add(user("alice")).await.unwrap();
    refused(stub.role_add(add_role("")).await, ApiError::RoleEmpty);
    for name in ["writers", "readers"] {
        stub.role_add(add_role(name)).await.unwrap();
        stub.user_grant_role(grant_role("alice", name))
            .await
            .unwrap();
    }
    refused(
        stub.role_add(add_role("readers")).await,
        ApiError::RoleAlreadyExist,
    );
    let granted = stub.user_grant_role(grant_role("alice", "others")).await;
    refused(granted, ApiError::RoleNotFound);
    let granted = stub.user_grant_role(grant_role("bob", "readers")).await;
    refused(granted, ApiError::UserNotFound);
    assert_eq!(roles_of(&node, "alice").await, ["readers", "writers"]);
    let roles = stub.role_list(pb::AuthRoleListRequest {}).await.unwrap();
    assert_eq!(roles.into_inner().roles, ["readers", "writers"]);
    let revoke = revoke_role("alice", "writers");
    stub.user_revoke_role(revoke.clone()).await.unwrap();
    refused(
        stub.user_revoke_role(revoke).await,
        ApiError::RoleNotGranted,
    );
    // A role that is deleted is nobody's.
    let delete = pb::AuthRoleDeleteRequest {
        role: "readers".to_owned(),
    };
    stub.role_delete(delete.clone()).await.unwrap();
    refused(stub.role_delete(delete).await, ApiError::RoleNotFound);
    assert!(roles_of(&node, "alice").await.is_empty());
}

async fn permissions_are_granted_and_revoked(node: Node) {
    let mut stub = node.auth();
    stub.role_add(add_role("app")).await.unwrap();
    let grant = |perm: Option<Permission>| pb::AuthRoleGrantPermissionRequest {
        name: "app".to_owned(),
        perm,
    };
    let permission = |key: &'static str, end: &'static str| Permission {
        perm_type: Type::Read as i32,
        key: key.into(),
        range_end: end.into(),
    };
    let granted = stub.role_grant_permission(grant(None)).await;
    refused(granted, ApiError::PermissionNotGiven);
    for (key, end) in [("b", "a"), ("b", "b"), ("", ""), ("", "b")] {
        let granted = stub
            .role_grant_permission(grant(Some(permission(key, end))))
            .await;
        refused(granted, ApiError::InvalidAuthMgmt);
    }
    for (key, end) in [("b", ""), ("a", "c"), ("z", "\0")] {
        let granted = stub
            .role_grant_permission(grant(Some(permission(key, end))))
            .await;
        granted.unwrap();
    }
    let get = |role: &str| pb::AuthRoleGetRequest {
        role: role.to_owned(),
    };
    let found = stub.role_get(get("app")).await.unwrap().into_inner().perm;
    let expected = [
        permission("a", "c"),
        permission("b", ""),
        permission("z", "\0"),
    ];
    assert_eq!(found, expected);
    refused(stub.role_get(get("other")).await, ApiError::RoleNotFound);
    let revoke = pb::AuthRoleRevokePermissionRequest {
        role: "app".to_owned(),
        key: "b".into(),
        range_end: "".into(),
    };
    stub.role_revoke_permission(revoke.clone()).await.unwrap();
    let revoked = stub.role_revoke_permission(revoke).await;
    refused(revoked, ApiError::PermissionNotGranted);
    stub.role_add(add_role("root")).await.unwrap();
    let everything = Permission {
        perm_type: Type::Readwrite as i32,
        ..permission("", "\0")
    };
    let found = stub.role_get(get("root")).await.unwrap().into_inner().perm;
    assert_eq!(found, [everything]);
}

async fn root_stays_while_it_is_enabled(node: Node) {
    node.auth().role_add(add_role("root")).await.unwrap();
    let root = enabled(&node).await;
    let mut stub = node.auth();
    let deleted = stub
        .user_delete(with_token(root.token(), delete_user("root")))
        .await;
    refused(deleted, ApiError::InvalidAuthMgmt);
    let revoke = with_token(root.token(), revoke_role("root", "root"));
    refused(
        stub.user_revoke_role(revoke).await,
        ApiError::InvalidAuthMgmt,
    );
    let delete = pb::AuthRoleDeleteRequest {
        role: "root".to_owned(),
    };
    let deleted = stub.role_delete(with_token(root.token(), delete)).await;
    refused(deleted, ApiError::InvalidAuthMgmt);
}

async fn a_login_needs_the_password(node: Node) {
    let root = enabled(&node).await;
    root.add_user_without_password("cert", &["app"]).await;
    for (name, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("mallory", PASSWORD),
        ("", ""),
        ("cert", ""),
    ] {
        let login = log_in(node.channel(), name, password).await;
        refused(login, ApiError::AuthFailed);
    }
    let token = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let (letters, index) = token.split_once('.').unwrap();
    assert!(letters.len() == 16 && letters.bytes().all(|byte| byte.is_ascii_alphabetic()));
    assert!(index.parse::<u64>().unwrap() > 0);
    let request = with_token(&token, put("app/a", "1"));
    node.kv().put(request).await.unwrap();
    // The same letters with another index are another token.
    let forged = with_token(&format!("{letters}.1"), put("app/a", "1"));
    refused(node.kv().put(forged).await, ApiError::InvalidAuthToken);
    let denied = node.kv().put(with_token(&token, put("secret", "1"))).await;
    refused(denied, ApiError::PermissionDenied);
    let long = "x".repeat(73);
    let changed = change_password("alice", &long);
    let changed = node
        .auth()
        .user_change_password(with_token(root.token(), changed))
        .await;
    if !node.is_etcd() {
        fails(
            changed,
            Code::Unknown,
            "bcrypt: password length exceeds 72 bytes",
        );
    }
}

async fn a_token_is_taken_from_either_field(node: Node) {
    let root = enabled(&node).await;
    for (field, value) in [
        ("token", root.token().to_owned()),
        ("authorization", root.token().to_owned()),
        ("authorization", format!("Bearer {}", root.token())),
    ] {
        if node.is_etcd() && value.starts_with("Bearer") {
            continue;
        }
        let mut request = Request::new(get("a"));
        let value = MetadataValue::try_from(value).unwrap();
        request.metadata_mut().insert(field, value);
        node.kv().range(request).await.unwrap();
    }
    for token in ["x", "x.y", "x.1.2", ".", "x.-1", "x.18446744073709551616"] {
        let denied = node.kv().range(with_token(token, get("a"))).await;
        refused(denied, ApiError::InvalidAuthToken);
    }
}

async fn a_token_ends_with_the_password_and_the_user(node: Node) {
    let root = enabled(&node).await;
    let request = |token: &str| with_token(token, get("app/a"));
    let first = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let second = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    assert_ne!(first, second);
    node.kv().range(request(&first)).await.unwrap();
    let changed = with_token(root.token(), change_password("alice", "new"));
    node.auth().user_change_password(changed).await.unwrap();
    for token in [&first, &second] {
        refused(
            node.kv().range(request(token)).await,
            ApiError::InvalidAuthToken,
        );
    }
    let login = log_in(node.channel(), "alice", PASSWORD).await;
    refused(login, ApiError::AuthFailed);
    let third = log_in(node.channel(), "alice", "new").await.unwrap();
    node.kv().range(request(&third)).await.unwrap();
    let deleted = with_token(root.token(), delete_user("alice"));
    node.auth().user_delete(deleted).await.unwrap();
    refused(
        node.kv().range(request(&third)).await,
        ApiError::InvalidAuthToken,
    );
    // The changes of others end nobody's login.
    node.kv().range(request(root.token())).await.unwrap();
}

/// The hash of [`PASSWORD`], of cost 4.
const HASH: &str =
    "JDJiJDA0JDEyMzQ1Njc4OTAxMjM0NTY3ODkwMXUvL2g4eTd0cTNTTktVM1cwaVE5TnJreVQ4bjVmWFBT";

/// The same with the cost 31: to compare it takes a day.
const COSTLY_HASH: &str =
    "JDJiJDMxJDEyMzQ1Njc4OTAxMjM0NTY3ODkwMXUvL2g4eTd0cTNTTktVM1cwaVE5TnJreVQ4bjVmWFBT";

async fn a_hash_is_as_good_as_a_password(node: Node) {
    let root = enabled(&node).await;
    let add = |hash: &str, no_password| {
        let mut request = user("bob");
        request.password.clear();
        request.hashed_password = hash.to_owned();
        request.options = Some(UserAddOptions { no_password });
        with_token(root.token(), request)
    };
    for bad in ["not base64", "bm90IGEgaGFzaA=="] {
        let added = node.auth().user_add(add(bad, false)).await;
        fails(
            added,
            Code::InvalidArgument,
            "not the base64 of a bcrypt hash",
        );
    }
    let added = node.auth().user_add(add(COSTLY_HASH, false)).await;
    fails(added, Code::InvalidArgument, "has a cost of 31");
    let added = node.auth().user_add(add(HASH, true)).await;
    added.expect("the hash does not matter then");
    refused(
        log_in(node.channel(), "bob", PASSWORD).await,
        ApiError::AuthFailed,
    );
    let other = with_token(root.token(), change_password("alice", "other"));
    node.auth().user_change_password(other).await.unwrap();
    let mut change = change_password("alice", "");
    change.hashed_password = HASH.to_owned();
    let change = with_token(root.token(), change);
    node.auth().user_change_password(change).await.unwrap();
    log_in(node.channel(), "alice", PASSWORD).await.unwrap();
}

async fn a_grant_counts_at_once_and_so_does_its_end(node: Node) {
    let root = enabled(&node).await;
    root.add_user("bob", &[]).await;
    let token = log_in(node.channel(), "bob", PASSWORD).await.unwrap();
    for _ in 0..10 {
        let denied = node.kv().put(with_token(&token, put("app/a", "1"))).await;
        refused(denied, ApiError::PermissionDenied);
        root.grant("bob", "app").await;
        node.kv()
            .put(with_token(&token, put("app/a", "1")))
            .await
            .unwrap();
        node.kv()
            .range(with_token(&token, get("app/a")))
            .await
            .unwrap();
        root.revoke("bob", "app").await;
        let denied = node.kv().range(with_token(&token, get("app/a"))).await;
        refused(denied, ApiError::PermissionDenied);
    }
}

async fn a_watcher_ends_with_its_permission(node: Node) {
    let root = enabled(&node).await;
    let token = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let first = create_request(watch_range("app/", "app0"));
    let mut watching = Watching::open_as(&node, &token, [first]).await;
    assert!(watching.next().await.created);
    watching.send(create_request(watch("secret"))).await;
    let denied = watching.next().await;
    let reason = ApiError::PermissionDenied.go_text();
    assert!(denied.created && denied.canceled && denied.watch_id == -1);
    assert_eq!(denied.cancel_reason, reason);
    let write = || with_token(root.token(), put("app/a", "1"));
    node.kv().put(write()).await.unwrap();
    assert_eq!(watching.next().await.events.len(), 1);
    root.revoke("alice", "app").await;
    node.kv().put(write()).await.unwrap();
    let ended = watching.next().await;
    assert!(ended.canceled && ended.events.is_empty());
    assert_eq!((ended.watch_id, ended.cancel_reason), (0, reason));
}

async fn a_watcher_ends_with_its_password(node: Node) {
    let root = enabled(&node).await;
    let token = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let first = create_request(watch_range("app/", "app0"));
    let mut watching = Watching::open_as(&node, &token, [first]).await;
    assert!(watching.next().await.created);
    let change = with_token(root.token(), change_password("alice", "new"));
    node.auth().user_change_password(change).await.unwrap();
    let write = with_token(root.token(), put("app/a", "1"));
    node.kv().put(write).await.unwrap();
    let ended = watching.next().await;
    assert!(ended.canceled && ended.events.is_empty());
    assert_eq!(ended.cancel_reason, ApiError::InvalidAuthToken.go_text());
}

async fn a_waiting_lock_ends_with_its_password(node: Node) {
    let root = enabled(&node).await;
    let token = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let lock = |lease| LockRequest {
        name: "app/lock".into(),
        lease,
    };
    for id in [1, 2] {
        let grant = pb::LeaseGrantRequest { id, ttl: 600 };
        let grant = with_token(root.token(), grant);
        node.leases().lease_grant(grant).await.unwrap();
    }
    let first = with_token(root.token(), lock(1));
    let mut locks = node.locks();
    locks.lock(first).await.unwrap();
    let second = with_token(&token, lock(2));
    let second = tokio::spawn(async move { locks.lock(second).await });
    let has_place = || async {
        let place = with_token(root.token(), get("app/lock/2"));
        node.kv().range(place).await.unwrap().into_inner().count == 1
    };
    eventually("its place in the queue", || async {
        has_place().await.then_some(())
    })
    .await;
    let change = with_token(root.token(), change_password("alice", "new"));
    node.auth().user_change_password(change).await.unwrap();
    let key = "app/lock/1".into();
    let unlock = with_token(root.token(), UnlockRequest { key });
    node.locks().unlock(unlock).await.unwrap();
    let second = within("an answer", second).await.unwrap();
    refused(second, ApiError::InvalidAuthToken);
}

async fn a_watcher_outlives_its_token(node: Node) {
    let _root = enabled(&node).await;
    let token = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let first = create_request(watch_range("app/", "app0"));
    let mut watching = Watching::open_as(&node, &token, [first]).await;
    assert!(watching.next().await.created);
    ended(&node, &token).await;
    let token = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    // A change of users has its watchers judged again.
    let root_token = log_in(node.channel(), "root", PASSWORD).await.unwrap();
    let added = node
        .auth()
        .user_add(with_token(&root_token, user("bob")))
        .await;
    added.unwrap();
    node.kv()
        .put(with_token(&token, put("app/a", "1")))
        .await
        .unwrap();
    // First what the test's clock did.
    let events = watching.told_at_least(3).await;
    assert!(events.last().unwrap().starts_with("app/a=1@"), "{events:?}");
}

/// Waits until a token that is good for a second has ended. The clock is a lease of two seconds.
async fn ended(node: &Node, token: &str) {
    let later = log_in(node.channel(), "alice", PASSWORD).await.unwrap();
    let lease = with_token(&later, pb::LeaseGrantRequest { id: 0, ttl: 2 });
    let lease = node
        .leases()
        .lease_grant(lease)
        .await
        .unwrap()
        .into_inner()
        .id;
    let clock = with_token(&later, put_leased("app/clock", "", lease));
    node.kv().put(clock).await.unwrap();
    let first = create_request(watch("app/clock"));
    let mut watching = Watching::open_as(node, &later, [first]).await;
    assert!(watching.next().await.created);
    assert_eq!(watching.next().await.events.len(), 1, "the lease has ended");
    for token in [token, &later] {
        let denied = node.kv().range(with_token(token, get("app/a"))).await;
        refused(denied, ApiError::InvalidAuthToken);
    }
}

async fn an_unused_token_ends(node: Node) {
    let root = enabled(&node).await;
    ended(&node, root.token()).await;
}

async fn disabling_opens_everything_again(node: Node) {
    let mut root = enabled(&node).await;
    let old = root.token().to_owned();
    root.disable().await;
    node.kv().put(put("secret", "1")).await.unwrap();
    // A token plays no part now.
    if !node.is_etcd() {
        node.kv()
            .put(with_token(&old, put("secret", "1")))
            .await
            .unwrap();
    }
    let login = log_in(node.channel(), "root", PASSWORD).await;
    refused(login, ApiError::AuthNotEnabled);
    node.auth()
        .auth_enable(pb::AuthEnableRequest {})
        .await
        .unwrap();
    let denied = node.kv().range(with_token(&old, get("secret"))).await;
    refused(denied, ApiError::InvalidAuthToken);
}

async fn guesses_are_bounded(node: Node) {
    let _root = enabled(&node).await;
    let mut failed = 0;
    let refusal = loop {
        let guess = within("an answer", log_in(node.channel(), "alice", "guess")).await;
        let status = guess.expect_err("a wrong password");
        if status.code() == Code::ResourceExhausted {
            break status;
        }
        failed += 1;
        assert!(failed < 100, "no bound on guesses");
    };
    assert!(
        refusal.message().contains("too many failed logins"),
        "{refusal:?}"
    );
    // The right password is refused as well for now.
    let login = log_in(node.channel(), "alice", PASSWORD).await;
    fails(login, Code::ResourceExhausted, "too many failed logins");
}

/// A client that does not wait for the answer makes the member work as well.
async fn guesses_that_are_given_up_count(node: Node) {
    let _root = enabled(&node).await;
    // Less than it takes to check a password.
    let patience = Duration::from_millis(50);
    for _ in 0..500 {
        let guess = log_in(node.channel(), "alice", "guess");
        let given_up = tokio::time::timeout(patience, guess).await;
        if let Ok(Err(status)) = given_up
            && status.message().contains("too many failed logins")
        {
            return;
        }
    }
    panic!("no bound on guesses");
}
