//! Compiles the `.proto` files: protox parses them (without `protoc`), prost and tonic generate
//! Rust into `OUT_DIR`.
//!
//! One parse produces two descriptor sets. The one published for reflection and the JSON gateway
//! has the files as written, without the `conclave` packages. The one for code generation has
//! `peerURLs` and `clientURLs` respelled, since prost would turn `peerURLs` into `peer_ur_ls`;
//! field names are not on the wire, so this changes Rust only.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use prost::Message as _;
use protox::prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};

const FILES: [&str; 7] = [
    "etcd/kv.proto",
    "etcd/auth.proto",
    "etcd/rpc.proto",
    "etcd/lock.proto",
    "etcd/election.proto",
    "conclave/command.proto",
    "conclave/peer.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for folder in ["etcd", "conclave"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
    let mut files = protox::compile(FILES, ["."])?;

    let public = FileDescriptorSet {
        file: files
            .file
            .iter()
            .filter(|f| is_public(f))
            .map(with_comments_only)
            .collect(),
    };
    fs::write(out_dir.join("etcd.descriptors"), public.encode_to_vec())?;

    for file in &mut files.file {
        respell_urls(file);
    }
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .build_transport(false)
        .bytes(".")
        // Written by hand: `src/txn.rs` has the reason.
        .extern_path(".etcdserverpb.TxnRequest", "crate::txn::TxnRequest")
        .compile_fds(files)?;
    Ok(())
}

fn is_public(file: &FileDescriptorProto) -> bool {
    !file.package().starts_with("conclave")
}

/// Keeps the comments, which `grpcurl describe` shows, and drops the position of every token, which
/// no tool uses and which would be most of the set.
fn with_comments_only(file: &FileDescriptorProto) -> FileDescriptorProto {
    let mut file = file.clone();
    if let Some(info) = &mut file.source_code_info {
        info.location
            .retain(|l| l.leading_comments.is_some() || l.trailing_comments.is_some());
    }
    file
}

fn respell_urls(file: &mut FileDescriptorProto) {
    for field in file
        .message_type
        .iter_mut()
        .flat_map(|message| &mut message.field)
    {
        if let Some(stem) = field.name().strip_suffix("URLs") {
            field.name = Some(format!("{stem}_urls"));
        }
    }
}
