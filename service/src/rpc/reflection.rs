//! gRPC server reflection, which etcd lacks: `grpcurl list` and `describe` work without `.proto`
//! files.
//!
//! Served as `v1` and as `v1alpha`, since older tools know the latter only. What is described is
//! the public API and the health service, not the protocol between members.

use tonic_reflection::server::{Builder, Error, v1, v1alpha};

fn builder<'a>() -> Builder<'a> {
    Builder::configure()
        .register_encoded_file_descriptor_set(conclave_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// The service under its present name.
pub(crate) fn server_v1() -> Result<v1::ServerReflectionServer<impl v1::ServerReflection>, Error> {
    builder().build_v1()
}

/// The service under its former name.
pub(crate) fn server_v1alpha()
-> Result<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>, Error> {
    builder().build_v1alpha()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_are_whole() {
        assert!(server_v1().is_ok());
        assert!(server_v1alpha().is_ok());
    }
}
