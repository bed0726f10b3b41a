//! Users, roles and permissions while members fail, are replaced, and get a snapshot: the same on
//! all members, and enforced by each.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave_proto::ApiError;
use conclave_proto::authpb::Permission;
use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use harness::api::{get, put};
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD, log_in, with_token};
use harness::wait::DEADLINE;
use harness::{Cluster, eventually, refused, within};
use pb::auth_client::AuthClient;
use rand::distr::{Alphanumeric, SampleString as _};
use tokio::task::JoinSet;

use crate::behind::FLAGS;
use crate::on_three;

/// All users with their roles, and all roles with their permissions.
#[derive(Clone, Debug, PartialEq)]
struct Accounts {
    users: BTreeMap<String, Vec<String>>,
    roles: BTreeMap<String, Vec<Permission>>,
}

/// The accounts of a member's own state, after it has caught up.
async fn accounts(cluster: &Cluster, number: usize, token: &str) -> Accounts {
    let mut stub = AuthClient::new(cluster.channel(number));
    let list = with_token(token, pb::AuthUserListRequest {});
    let names = within("a list", stub.user_list(list)).await.unwrap();
    let mut users = BTreeMap::new();
    for name in names.into_inner().users {
        let get = with_token(token, pb::AuthUserGetRequest { name: name.clone() });
        let user = stub.user_get(get).await.unwrap().into_inner();
        users.insert(name, user.roles);
    }
    let list = with_token(token, pb::AuthRoleListRequest {});
    let names = stub.role_list(list).await.unwrap().into_inner().roles;
    let mut roles = BTreeMap::new();
    for role in names {
        let get = with_token(token, pb::AuthRoleGetRequest { role: role.clone() });
        let found = stub.role_get(get).await.unwrap().into_inner();
        roles.insert(role, found.perm);
    }
    Accounts { users, roles }
}

/// A cluster with authentication enabled, and the expected accounts.
struct World {
    cluster: Cluster,
    expected: Accounts,
    /// Counts the users and roles that were added.
    count: usize,
}

impl World {
    /// Adds a reader and a writer of `app/`, a user of both roles and a user of none.
    async fn new(mut cluster: Cluster) -> World {
        let mut root = Administrator::new(cluster.channel(0));
        root.add_role("readers", Type::Read, "app/", "app0").await;
        root.add_role("writers", Type::Write, "app/", "app0").await;
        root.add_user("reader", &["readers"]).await;
        root.add_user("writer", &["writers"]).await;
        root.add_user("both", &["readers", "writers"]).await;
        root.add_user("none", &[]).await;
        root.enable().await;
        cluster.use_token(root.token());
        let expected = accounts(&cluster, 0, root.token()).await;
        assert_eq!((expected.users.len(), expected.roles.len()), (5, 2));
        World {
            cluster,
            expected,
            count: 0,
        }
    }

    /// Logs root in through a member, for the harness as well.
    async fn root(&mut self, through: usize) -> String {
        let token = eventually("a login of root", || async {
            let login = log_in(self.cluster.channel(through), "root", PASSWORD);
            tokio::time::timeout(DEADLINE, login).await.ok()?.ok()
        })
        .await;
        self.cluster.use_token(&token);
        token
    }

    /// Changes users and roles through a member.
    async fn change(&mut self, through: usize) {
        let token = self.root(through).await;
        let root = Administrator::with_token(self.cluster.channel(through), &token);
        self.count += 1;
        let (user, role) = (format!("user{}", self.count), format!("role{}", self.count));
        let key = format!("own/{}", self.count);
        root.add_role(&role, Type::Readwrite, &key, "").await;
        root.add_user(&user, &[role.as_str(), "readers"]).await;
        match self.count % 2 {
            1 => root.revoke("both", "readers").await,
            _ => root.grant("both", "readers").await,
        }
        self.expected = accounts(&self.cluster, through, &token).await;
        assert_eq!(self.expected.users.len(), 5 + self.count);
    }

    /// Expects all running members to have the same accounts and data, and to enforce them, for
    /// tokens that any of them has given.
    async fn expect_same(&mut self) {
        let numbers = self.cluster.alive();
        for &number in &numbers {
            let token = self.root(number).await;
            for &other in &numbers {
                let found = accounts(&self.cluster, other, &token).await;
                assert_eq!(found, self.expected, "member {other}");
            }
            for name in ["reader", "writer", "none"] {
                let token = log_in(self.cluster.channel(number), name, PASSWORD).await;
                let token = token.unwrap();
                for &other in &numbers {
                    self.expect_enforced(other, name, &token).await;
                }
            }
        }
        self.cluster.expect_same_history().await;
    }

    async fn expect_enforced(&self, number: usize, name: &str, token: &str) {
        let mut kv = self.cluster.kv(number);
        for (key, is_own) in [("app/a", true), ("app", false), ("own/1", false)] {
            let put = kv.put(with_token(token, put(key, name.to_owned()))).await;
            match is_own && name == "writer" {
                true => drop(put.unwrap()),
                false => refused(put, ApiError::PermissionDenied),
            }
            for serializable in [false, true] {
                let read = pb::RangeRequest {
                    serializable,
                    ..get(key)
                };
                let read = kv.range(with_token(token, read)).await;
                match is_own && name == "reader" {
                    true => drop(read.unwrap()),
                    false => refused(read, ApiError::PermissionDenied),
                }
            }
        }
        let no_token = kv.range(get("app/a")).await;
        refused(no_token, ApiError::UserEmpty);
        let forged = kv
            .range(with_token("abcdefghijklmnop.2", get("app/a")))
            .await;
        refused(forged, ApiError::InvalidAuthToken);
    }
}

/// Tokens of before are good at the members that go on.
#[test]
fn accounts_outlive_the_leader() {
    on_three(&[CHEAP_HASHES], |cluster| async move {
        let mut world = World::new(cluster).await;
        for _ in 0..2 {
            let leader = world.cluster.leader().await;
            let others = world.cluster.others(leader);
            world.root(others[0]).await;
            let given = log_in(world.cluster.channel(leader), "writer", PASSWORD).await;
            let given = given.unwrap();
            world.cluster.kill(leader);
            world.cluster.leader_after(leader).await;
            for &number in &others {
                world.expect_enforced(number, "writer", &given).await;
            }
            world.change(others[1]).await;
            world.expect_same().await;
            world.cluster.restart(leader);
            world.expect_same().await;
        }
    });
}

/// A member is removed, and another one that was never part of the cluster takes its place.
#[test]
fn a_new_member_has_all_accounts() {
    on_three(&[CHEAP_HASHES], |cluster| async move {
        let mut world = World::new(cluster).await;
        let leader = world.cluster.leader().await;
        let replaced = world.cluster.others(leader)[0];
        world.root(leader).await;
        world.cluster.remove(leader, replaced).await;
        world.change(leader).await;
        let added = world.cluster.add(leader).await;
        assert!(world.cluster.alive().contains(&added));
        world.change(added).await;
        world.expect_same().await;
        world.cluster.move_leader(added).await;
        world.change(leader).await;
        world.expect_same().await;
    });
}

/// The tokens of before end at that member, whose clients log in again: the snapshot does not say
/// which of them ended meanwhile. etcd keeps all that it knew.
#[test]
fn a_snapshot_has_all_accounts() {
    let flags: Vec<_> = FLAGS.iter().chain(&[CHEAP_HASHES]).copied().collect();
    on_three(&flags, |cluster| async move {
        let mut world = World::new(cluster).await;
        let leader = world.cluster.leader().await;
        let follower = world.cluster.others(leader)[0];
        let before = log_in(world.cluster.channel(leader), "reader", PASSWORD).await;
        let before = before.unwrap();
        world.cluster.kill(follower);
        world.change(leader).await;
        let token = world.root(leader).await;
        fill(&world.cluster, leader, &token).await;
        world.change(leader).await;
        world.cluster.restart(follower);
        let said = match world.cluster.is_etcd() {
            true => "applied snapshot",
            false => "a snapshot is put in place",
        };
        assert!(world.cluster.child(follower).line(said).is_some());
        world.expect_same().await;
        if !world.cluster.is_etcd() {
            let mut kv = world.cluster.kv(follower);
            let old = kv.range(with_token(&before, get("app/a"))).await;
            refused(old, ApiError::InvalidAuthToken);
        }
        let mut kv = world.cluster.kv(leader);
        let old = kv.range(with_token(&before, get("app/a"))).await;
        old.unwrap();
    });
}

/// Writes so much, as root, that a member that is away needs a snapshot.
async fn fill(cluster: &Cluster, through: usize, token: &str) {
    const CLIENTS: usize = 128;
    let count = crate::behind::enough(cluster);
    let noise: Arc<str> = Alphanumeric.sample_string(&mut rand::rng(), 4 << 10).into();
    let kv = cluster.kv(through);
    let clients = (0..CLIENTS).map(|client| {
        let (mut kv, noise, token) = (kv.clone(), Arc::clone(&noise), token.to_owned());
        async move {
            for number in (client..count).step_by(CLIENTS) {
                let put = put(format!("k/{}", number % 100), format!("{number} {noise}"));
                kv.put(with_token(&token, put)).await.unwrap();
            }
        }
    });
    let filling = clients.collect::<JoinSet<_>>().join_all();
    let done = tokio::time::timeout(3 * DEADLINE, filling).await;
    done.expect("puts take no minute");
}
