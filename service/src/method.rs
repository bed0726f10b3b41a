//! The methods of the public API as a closed list, so that whatever depends on the method
//! (counters, permissions, what a learner serves) is an array lookup or a match the compiler
//! checks, never a comparison of path strings.

/// Flow of messages, as the label `grpc_type` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One message each way.
    Unary,
    /// One request, many responses.
    ServerStream,
    /// Many each way.
    BidiStream,
}

impl Shape {
    /// Returns the label's value.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::BidiStream => "bidi_stream",
        }
    }
}

/// What a caller must be allowed to do to call a method, by etcd's rules.
///
/// The keys and the lease are those that the request names. A method without a permission does not
/// compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Nothing: the method is there for callers who have not said who they are yet.
    Nothing,
    /// A user of any name.
    User,
    /// Reading the keys.
    ReadKeys,
    /// Writing the keys; reading them too, if the request asks for their previous values.
    WriteKeys,
    /// Reading the keys that are read or compared, and writing those that are written.
    ReadAndWriteKeys,
    /// Reading every key that is attached to the lease.
    ReadKeysOfLease,
    /// Writing every key that is attached to the lease.
    WriteKeysOfLease,
    /// The role `root`.
    Administrator,
    /// The role `root`, or a request about the caller's own user or one of its roles.
    AdministratorOrSelf,
    /// A user of any name to look, the role `root` to change.
    UserOrAdministrator,
}

macro_rules! methods {
    ($($variant:ident = $shape:ident $service:literal $name:literal needs $permission:ident;)+) => {
        /// A method of the public API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Method {
            $(#[doc = concat!("`", $service, "/", $name, "`.")] $variant,)+
        }

        impl Method {
            /// All methods. A method's position is its number, `method as usize`.
            pub(crate) const ALL: &[Method] = &[$(Method::$variant,)+];

            /// Returns the flow of its messages.
            pub(crate) const fn shape(self) -> Shape {
                match self {
                    $(Method::$variant => Shape::$shape,)+
                }
            }

            /// Returns what a caller must be allowed to do.
            pub(crate) const fn permission(self) -> Permission {
                match self {
                    $(Method::$variant => Permission::$permission,)+
                }
            }

            /// Returns the full name of its service.
            pub(crate) const fn service(self) -> &'static str {
                match self {
                    $(Method::$variant => $service,)+
                }
            }

            /// Returns the method with this path, if there is one.
            pub(crate) fn of_path(path: &str) -> Option<Method> {
                match path {
                    $(concat!("/", $service, "/", $name) => Some(Method::$variant),)+
                    _ => None,
                }
            }

            /// Returns its name within the service.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Method::$variant => $name,)+
                }
            }
        }
    };
}

methods! {
    Range = Unary "etcdserverpb.KV" "Range" needs ReadKeys;
    RangeStream = ServerStream "etcdserverpb.KV" "RangeStream" needs ReadKeys;
    Put = Unary "etcdserverpb.KV" "Put" needs WriteKeys;
    DeleteRange = Unary "etcdserverpb.KV" "DeleteRange" needs WriteKeys;
    Txn = Unary "etcdserverpb.KV" "Txn" needs ReadAndWriteKeys;
    Compact = Unary "etcdserverpb.KV" "Compact" needs Administrator;
    Watch = BidiStream "etcdserverpb.Watch" "Watch" needs ReadKeys;
    LeaseGrant = Unary "etcdserverpb.Lease" "LeaseGrant" needs User;
    LeaseRevoke = Unary "etcdserverpb.Lease" "LeaseRevoke" needs WriteKeysOfLease;
    LeaseKeepAlive = BidiStream "etcdserverpb.Lease" "LeaseKeepAlive" needs WriteKeysOfLease;
    LeaseTimeToLive = Unary "etcdserverpb.Lease" "LeaseTimeToLive" needs ReadKeysOfLease;
    LeaseLeases = Unary "etcdserverpb.Lease" "LeaseLeases" needs ReadKeysOfLease;
    MemberAdd = Unary "etcdserverpb.Cluster" "MemberAdd" needs Administrator;
    MemberRemove = Unary "etcdserverpb.Cluster" "MemberRemove" needs Administrator;
    MemberUpdate = Unary "etcdserverpb.Cluster" "MemberUpdate" needs Administrator;
    MemberList = Unary "etcdserverpb.Cluster" "MemberList" needs User;
    MemberPromote = Unary "etcdserverpb.Cluster" "MemberPromote" needs Administrator;
    Alarm = Unary "etcdserverpb.Maintenance" "Alarm" needs UserOrAdministrator;
    Status = Unary "etcdserverpb.Maintenance" "Status" needs User;
    Defragment = Unary "etcdserverpb.Maintenance" "Defragment" needs Administrator;
    Hash = Unary "etcdserverpb.Maintenance" "Hash" needs Administrator;
    HashKv = Unary "etcdserverpb.Maintenance" "HashKV" needs Administrator;
    Snapshot = ServerStream "etcdserverpb.Maintenance" "Snapshot" needs Administrator;
    MoveLeader = Unary "etcdserverpb.Maintenance" "MoveLeader" needs Administrator;
    Downgrade = Unary "etcdserverpb.Maintenance" "Downgrade" needs Administrator;
    AuthEnable = Unary "etcdserverpb.Auth" "AuthEnable" needs Administrator;
    AuthDisable = Unary "etcdserverpb.Auth" "AuthDisable" needs Administrator;
    AuthStatus = Unary "etcdserverpb.Auth" "AuthStatus" needs Nothing;
    Authenticate = Unary "etcdserverpb.Auth" "Authenticate" needs Nothing;
    UserAdd = Unary "etcdserverpb.Auth" "UserAdd" needs Administrator;
    UserGet = Unary "etcdserverpb.Auth" "UserGet" needs AdministratorOrSelf;
    UserList = Unary "etcdserverpb.Auth" "UserList" needs Administrator;
    UserDelete = Unary "etcdserverpb.Auth" "UserDelete" needs Administrator;
    UserChangePassword = Unary "etcdserverpb.Auth" "UserChangePassword" needs Administrator;
    UserGrantRole = Unary "etcdserverpb.Auth" "UserGrantRole" needs Administrator;
    UserRevokeRole = Unary "etcdserverpb.Auth" "UserRevokeRole" needs Administrator;
    RoleAdd = Unary "etcdserverpb.Auth" "RoleAdd" needs Administrator;
    RoleGet = Unary "etcdserverpb.Auth" "RoleGet" needs AdministratorOrSelf;
    RoleList = Unary "etcdserverpb.Auth" "RoleList" needs Administrator;
    RoleDelete = Unary "etcdserverpb.Auth" "RoleDelete" needs Administrator;
    RoleGrantPermission = Unary "etcdserverpb.Auth" "RoleGrantPermission" needs Administrator;
    RoleRevokePermission = Unary "etcdserverpb.Auth" "RoleRevokePermission" needs Administrator;
    Lock = Unary "v3lockpb.Lock" "Lock" needs ReadAndWriteKeys;
    Unlock = Unary "v3lockpb.Lock" "Unlock" needs WriteKeys;
    Campaign = Unary "v3electionpb.Election" "Campaign" needs ReadAndWriteKeys;
    Proclaim = Unary "v3electionpb.Election" "Proclaim" needs ReadAndWriteKeys;
    Leader = Unary "v3electionpb.Election" "Leader" needs ReadKeys;
    Observe = ServerStream "v3electionpb.Election" "Observe" needs ReadKeys;
    Resign = Unary "v3electionpb.Election" "Resign" needs ReadAndWriteKeys;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_methods_position_is_its_number() {
        for (position, &method) in Method::ALL.iter().enumerate() {
            assert_eq!(method as usize, position);
        }
    }

    /// The list and the `.proto` files name the same methods with the same shapes.
    #[test]
    fn the_list_is_the_descriptors() {
        let set = prost_types_of_the_api();
        let mut described = Vec::new();
        for file in &set.file {
            for service in &file.service {
                let full_name = format!("{}.{}", file.package(), service.name());
                for method in &service.method {
                    let shape = match (method.client_streaming(), method.server_streaming()) {
                        (false, false) => Shape::Unary,
                        (false, true) => Shape::ServerStream,
                        (true, _) => Shape::BidiStream,
                    };
                    described.push((full_name.clone(), method.name().to_owned(), shape));
                }
            }
        }
        let mut listed: Vec<_> = Method::ALL
            .iter()
            .map(|m| (m.service().to_owned(), m.name().to_owned(), m.shape()))
            .collect();
        listed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        described.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        assert_eq!(listed, described);
    }

    /// A mistake here would let a caller do what etcd refuses, so the dangerous ones are named.
    #[test]
    fn what_concerns_the_whole_cluster_is_for_administrators() {
        let others = [
            Method::Status,
            Method::MemberList,
            Method::Alarm,
            Method::AuthStatus,
            Method::Authenticate,
            Method::UserGet,
            Method::RoleGet,
        ];
        for &method in Method::ALL {
            let of_cluster = ["Cluster", "Maintenance", "Auth"]
                .iter()
                .any(|name| method.service() == format!("etcdserverpb.{name}"));
            let expected = (of_cluster || method == Method::Compact) && !others.contains(&method);
            let is_for_administrators = method.permission() == Permission::Administrator;
            assert_eq!(is_for_administrators, expected, "{method:?}");
        }
    }

    fn prost_types_of_the_api() -> prost_types::FileDescriptorSet {
        prost::Message::decode(conclave_proto::FILE_DESCRIPTOR_SET).expect("made by our own build")
    }
}
