//! auth, user, role: the session of etcd's guide to role-based access control, and the errors on
//! the way.

use super::Pair;

#[test]
fn the_guide_to_role_based_access_control() {
    harness::run(async {
        let both = Pair::start().await;
        let mut denied = 0;
        for command in SESSION {
            let said = both.same(command);
            denied += usize::from(said.err.contains("permission denied"));
        }
        assert!(
            denied > 10,
            "{denied}: the session was not about permissions"
        );
    });
}

/// One command a line; it may fail, and then it must fail in both.
const SESSION: &[&str] = &[
    // Nothing is there yet.
    "user list",
    "role list",
    "user get root",
    "role get root",
    "auth enable",
    "auth disable",
    // The guide.
    "role add root",
    "user add root:a",
    "user grant-role root root",
    "user get root",
    "role add role0",
    "role grant-permission role0 readwrite foo",
    "role get role0",
    "user add user0:a",
    "user grant-role user0 role0",
    "user get user0",
    "user get user0 --detail",
    "auth enable",
    "--user=root:a role list",
    "--user=user0:a put foo bar",
    "get foo",
    "--user=user0:a get foo",
    "--user=user0:a get foo1",
    "--user=user0:b get foo",
    "--user=nobody:a get foo",
    // Users and roles, and who may look at them.
    "--user=root:a user add user1:b",
    "--user=root:a user add user1:b",
    "--user=root:a user list",
    "--user=user1:b user list",
    "--user=user1:b user get user1",
    "--user=user1:b user get user0",
    "--user=user1:b role get role0",
    "--user=user0:a role get role0",
    "--user=root:a role add ranges",
    "--user=root:a role grant-permission ranges read a c",
    "--user=root:a role grant-permission ranges write b d",
    "--user=root:a role grant-permission ranges readwrite k/ --prefix=true",
    "--user=root:a role grant-permission ranges read x --from-key=true",
    "--user=root:a role get ranges",
    "--user=root:a user grant-role user1 ranges",
    "--user=root:a user grant-role user1 nothing",
    "--user=root:a user grant-role nobody ranges",
    "--user=user1:b get a c",
    "--user=user1:b get a",
    "--user=user1:b get c",
    "--user=user1:b get x",
    "--user=user1:b get z --from-key",
    "--user=user1:b get w --from-key",
    "--user=user1:b get k/ --prefix",
    "--user=user1:b get k --prefix",
    "--user=user1:b put b 1",
    "--user=user1:b put b 2 --prev-kv",
    "--user=user1:b put c 1",
    "--user=user1:b put c 2 --prev-kv",
    "--user=user1:b put a 1",
    "--user=user1:b put k/1 1 --prev-kv",
    "--user=user1:b del k/ --prefix --prev-kv",
    "--user=user1:b del b c --prev-kv",
    "--user=user1:b del b d",
    "--user=user1:b del a d",
    "--user=user1:b del c --prev-kv",
    "--user=root:a role revoke-permission ranges a c",
    "--user=root:a role revoke-permission ranges a c",
    "--user=root:a role revoke-permission ranges k/ --prefix=true",
    "--user=user1:b get a",
    "--user=root:a role get ranges",
    "--user=root:a user revoke-role user1 ranges",
    "--user=root:a user revoke-role user1 ranges",
    "--user=user1:b get b",
    "--user=root:a role delete role0",
    "--user=root:a user get user0",
    "--user=user0:a get foo",
    "--user=root:a user delete user0",
    "--user=root:a user delete user0",
    "--user=user0:a get foo",
    // What root needs stays.
    "--user=root:a user delete root",
    "--user=root:a user revoke-role root root",
    "--user=root:a role delete root",
    "--user=user1:b auth disable",
    "--user=root:a auth disable",
    "get foo",
    "user list",
    "role list",
];
