//! The descriptor set against `contract.txt`: every package, message, field, enum and method that
//! etcd's clients rely on, and nothing else.

use conclave_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto,
};

fn files() -> Vec<FileDescriptorProto> {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)
        .expect("a descriptor set")
        .file
}

#[test]
fn the_descriptor_set_is_the_contract() {
    let mut ours: Vec<String> = files().iter().flat_map(file_lines).collect();
    ours.sort();
    let contract = include_str!("contract.txt");
    let theirs: Vec<&str> = contract.lines().filter(|l| !l.starts_with('#')).collect();

    let missing: Vec<_> = theirs
        .iter()
        .filter(|l| !ours.iter().any(|o| o == *l))
        .collect();
    let surplus: Vec<_> = ours
        .iter()
        .filter(|l| !theirs.contains(&l.as_str()))
        .collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing {missing:#?}\nsurplus {surplus:#?}"
    );
    assert_eq!(
        ours.len(),
        theirs.len(),
        "a line occurs twice in contract.txt"
    );
}

#[test]
fn the_descriptor_set_holds_the_public_packages_and_49_methods() {
    let files = files();
    let mut packages: Vec<_> = files.iter().map(|f| f.package()).collect();
    packages.sort_unstable();
    assert_eq!(
        packages,
        [
            "authpb",
            "etcdserverpb",
            "mvccpb",
            "v3electionpb",
            "v3lockpb"
        ]
    );

    let mut methods: Vec<_> = files
        .iter()
        .flat_map(|f| &f.service)
        .map(|s| (s.name(), s.method.len()))
        .collect();
    methods.sort_unstable();
    assert_eq!(
        methods,
        [
            ("Auth", 17),
            ("Cluster", 5),
            ("Election", 5),
            ("KV", 6),
            ("Lease", 5),
            ("Lock", 2),
            ("Maintenance", 8),
            ("Watch", 1),
        ]
    );
    assert_eq!(methods.iter().map(|(_, n)| n).sum::<usize>(), 49);
}

/// A reflection server needs every import of a file in the set, each before its first use.
#[test]
fn imports_come_before_their_users() {
    let mut seen = Vec::new();
    for file in files() {
        for import in &file.dependency {
            assert!(seen.contains(import), "{} before {import}", file.name());
        }
        seen.push(file.name().to_owned());
    }
}

fn file_lines(file: &FileDescriptorProto) -> Vec<String> {
    assert_eq!(file.syntax(), "proto3");
    let package = file.package();
    let messages = file
        .message_type
        .iter()
        .flat_map(|m| message_lines(package, m));
    let enums = file.enum_type.iter().map(|e| enum_line(package, e));
    let methods = file.service.iter().flat_map(|s| service_lines(package, s));
    messages.chain(enums).chain(methods).collect()
}

fn message_lines(scope: &str, message: &DescriptorProto) -> Vec<String> {
    assert!(
        message.nested_type.is_empty(),
        "the contract has no nested messages"
    );
    let name = format!("{scope}.{}", message.name());
    let mut fields: Vec<_> = message.field.iter().collect();
    fields.sort_by_key(|f| f.number());
    let fields: Vec<_> = fields.iter().map(|f| field(message, f)).collect();
    let enums = message.enum_type.iter().map(|e| enum_line(&name, e));
    std::iter::once(braces("message", &name, &fields))
        .chain(enums)
        .collect()
}

fn field(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let repeated = if field.label() == Label::Repeated {
        "[]"
    } else {
        ""
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    let oneof = field
        .oneof_index
        .map(|i| format!(" ({})", message.oneof_decl[i as usize].name()));
    let oneof = oneof.unwrap_or_default();
    format!(
        "{} {} {repeated}{kind}{oneof}",
        field.number(),
        field.name()
    )
}

fn enum_line(scope: &str, item: &EnumDescriptorProto) -> String {
    let values: Vec<_> = item
        .value
        .iter()
        .map(|v| format!("{}={}", v.name(), v.number()))
        .collect();
    braces("enum", &format!("{scope}.{}", item.name()), &values)
}

fn braces(what: &str, name: &str, parts: &[String]) -> String {
    match parts {
        [] => format!("{what} {name} {{ }}"),
        _ => format!("{what} {name} {{ {} }}", parts.join("; ")),
    }
}

fn service_lines(package: &str, service: &ServiceDescriptorProto) -> Vec<String> {
    let stream = |on: bool| if on { "stream " } else { "" };
    let line = |m: &prost_types::MethodDescriptorProto| {
        format!(
            "rpc {package}.{}/{}({}{}) -> {}{}",
            service.name(),
            m.name(),
            stream(m.client_streaming()),
            m.input_type().trim_start_matches('.'),
            stream(m.server_streaming()),
            m.output_type().trim_start_matches('.'),
        )
    };
    service.method.iter().map(line).collect()
}
