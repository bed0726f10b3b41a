//! The commands of scripts about users, roles and permissions.

use conclave_proto::authpb::permission::Type;
use conclave_proto::authpb::{Permission, UserAddOptions};
use conclave_proto::command::Authenticate;
use conclave_proto::command::command::Body;
use conclave_proto::etcdserverpb as api;

use super::command::Words;

pub(super) fn body(kind: &str, words: &mut Words) -> Body {
    match (kind, words.next().as_str()) {
        ("auth", "on") => Body::AuthEnable(api::AuthEnableRequest {}),
        ("auth", "off") => Body::AuthDisable(api::AuthDisableRequest {}),
        ("login", name) => Body::Authenticate(Authenticate {
            name: text(name),
            token_digest: words.bytes(),
            auth_revision: words.number(),
        }),
        ("user", what) => user(what, words),
        ("role", what) => role(what, words),
        (kind, what) => panic!("{kind} {what}"),
    }
}

fn user(what: &str, words: &mut Words) -> Body {
    let name = text(&words.next());
    match what {
        "add" => {
            let password = words.next();
            let no_password = password == "no_password";
            Body::UserAdd(api::AuthUserAddRequest {
                name,
                options: no_password.then_some(UserAddOptions { no_password }),
                hashed_password: if no_password { String::new() } else { password },
                ..api::AuthUserAddRequest::default()
            })
        }
        "delete" => Body::UserDelete(api::AuthUserDeleteRequest { name }),
        "password" => Body::UserChangePassword(api::AuthUserChangePasswordRequest {
            name,
            hashed_password: words.next(),
            ..api::AuthUserChangePasswordRequest::default()
        }),
        "grant" => Body::UserGrantRole(api::AuthUserGrantRoleRequest {
            user: name,
            role: text(&words.next()),
        }),
        "revoke" => Body::UserRevokeRole(api::AuthUserRevokeRoleRequest {
            name,
            role: text(&words.next()),
        }),
        other => panic!("user {other}"),
    }
}

fn role(what: &str, words: &mut Words) -> Body {
    let name = text(&words.next());
    match what {
        "add" => Body::RoleAdd(api::AuthRoleAddRequest { name }),
        "delete" => Body::RoleDelete(api::AuthRoleDeleteRequest { role: name }),
        "grant" => {
            let perm = words.peek().is_some().then(|| permission(words));
            Body::RoleGrantPermission(api::AuthRoleGrantPermissionRequest { name, perm })
        }
        "revoke" => {
            let (key, range_end) = words.range();
            Body::RoleRevokePermission(api::AuthRoleRevokePermissionRequest {
                role: name,
                key,
                range_end,
            })
        }
        other => panic!("role {other}"),
    }
}

fn permission(words: &mut Words) -> Permission {
    let perm_type = Type::from_str_name(&words.next().to_uppercase());
    let (key, range_end) = words.range();
    Permission {
        perm_type: perm_type.map_or(99, |kind| kind as i32),
        key,
        range_end,
    }
}

/// A name; `""` is the empty one.
fn text(word: &str) -> String {
    if word == "\"\"" {
        String::new()
    } else {
        word.to_owned()
    }
}
