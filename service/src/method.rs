//! The methods of the public API as a closed list, so that whatever depends on the method
//! (counters, what a learner serves) is an array lookup or a match the compiler checks, never a
//! comparison of path strings.

/// How messages flow, as the label `grpc_type` spells it.
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
    /// The label's value.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::BidiStream => "bidi_stream",
        }
    }
}

macro_rules! methods {
    ($($variant:ident = $shape:ident $service:literal $name:literal;)+) => {
        /// A method of the public API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Method {
            $(#[doc = concat!("`", $service, "/", $name, "`.")] $variant,)+
        }

        impl Method {
            /// Every method; a method's position is its number, `method as usize`.
            pub(crate) const ALL: &[Method] = &[$(Method::$variant,)+];

            /// How its messages flow.
            pub(crate) const fn shape(self) -> Shape {
                match self {
                    $(Method::$variant => Shape::$shape,)+
                }
            }

            /// The full name of its service.
            pub(crate) const fn service(self) -> &'static str {
                match self {
                    $(Method::$variant => $service,)+
                }
            }

            /// Its name within the service.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Method::$variant => $name,)+
                }
            }
        }
    };
}

methods! {
    Range = Unary "etcdserverpb.KV" "Range";
    RangeStream = ServerStream "etcdserverpb.KV" "RangeStream";
    Put = Unary "etcdserverpb.KV" "Put";
    DeleteRange = Unary "etcdserverpb.KV" "DeleteRange";
    Txn = Unary "etcdserverpb.KV" "Txn";
    Compact = Unary "etcdserverpb.KV" "Compact";
    Watch = BidiStream "etcdserverpb.Watch" "Watch";
    LeaseGrant = Unary "etcdserverpb.Lease" "LeaseGrant";
    LeaseRevoke = Unary "etcdserverpb.Lease" "LeaseRevoke";
    LeaseKeepAlive = BidiStream "etcdserverpb.Lease" "LeaseKeepAlive";
    LeaseTimeToLive = Unary "etcdserverpb.Lease" "LeaseTimeToLive";
    LeaseLeases = Unary "etcdserverpb.Lease" "LeaseLeases";
    MemberAdd = Unary "etcdserverpb.Cluster" "MemberAdd";
    MemberRemove = Unary "etcdserverpb.Cluster" "MemberRemove";
    MemberUpdate = Unary "etcdserverpb.Cluster" "MemberUpdate";
    MemberList = Unary "etcdserverpb.Cluster" "MemberList";
    MemberPromote = Unary "etcdserverpb.Cluster" "MemberPromote";
    Alarm = Unary "etcdserverpb.Maintenance" "Alarm";
    Status = Unary "etcdserverpb.Maintenance" "Status";
    Defragment = Unary "etcdserverpb.Maintenance" "Defragment";
    Hash = Unary "etcdserverpb.Maintenance" "Hash";
    HashKv = Unary "etcdserverpb.Maintenance" "HashKV";
    Snapshot = ServerStream "etcdserverpb.Maintenance" "Snapshot";
    MoveLeader = Unary "etcdserverpb.Maintenance" "MoveLeader";
    Downgrade = Unary "etcdserverpb.Maintenance" "Downgrade";
    AuthEnable = Unary "etcdserverpb.Auth" "AuthEnable";
    AuthDisable = Unary "etcdserverpb.Auth" "AuthDisable";
    AuthStatus = Unary "etcdserverpb.Auth" "AuthStatus";
    Authenticate = Unary "etcdserverpb.Auth" "Authenticate";
    UserAdd = Unary "etcdserverpb.Auth" "UserAdd";
    UserGet = Unary "etcdserverpb.Auth" "UserGet";
    UserList = Unary "etcdserverpb.Auth" "UserList";
    UserDelete = Unary "etcdserverpb.Auth" "UserDelete";
    UserChangePassword = Unary "etcdserverpb.Auth" "UserChangePassword";
    UserGrantRole = Unary "etcdserverpb.Auth" "UserGrantRole";
    UserRevokeRole = Unary "etcdserverpb.Auth" "UserRevokeRole";
    RoleAdd = Unary "etcdserverpb.Auth" "RoleAdd";
    RoleGet = Unary "etcdserverpb.Auth" "RoleGet";
    RoleList = Unary "etcdserverpb.Auth" "RoleList";
    RoleDelete = Unary "etcdserverpb.Auth" "RoleDelete";
    RoleGrantPermission = Unary "etcdserverpb.Auth" "RoleGrantPermission";
    RoleRevokePermission = Unary "etcdserverpb.Auth" "RoleRevokePermission";
    Lock = Unary "v3lockpb.Lock" "Lock";
    Unlock = Unary "v3lockpb.Lock" "Unlock";
    Campaign = Unary "v3electionpb.Election" "Campaign";
    Proclaim = Unary "v3electionpb.Election" "Proclaim";
    Leader = Unary "v3electionpb.Election" "Leader";
    Observe = ServerStream "v3electionpb.Election" "Observe";
    Resign = Unary "v3electionpb.Election" "Resign";
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

    fn prost_types_of_the_api() -> prost_types::FileDescriptorSet {
        prost::Message::decode(conclave_proto::FILE_DESCRIPTOR_SET).expect("made by our own build")
    }
}
