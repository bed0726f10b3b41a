//! Reflection, as `grpcurl` uses it: by a client without our message definitions.

use std::collections::{BTreeMap, BTreeSet};

use harness::{Node, within};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorProto};
use tonic_reflection::pb::{v1, v1alpha};

suite![
    services_are_listed => "has no reflection",
    every_method_is_described => "has no reflection",
    a_file_is_found_by_its_name => "has no reflection",
    what_is_not_there_is_not_found => "has no reflection",
    the_alpha_version_answers_the_same => "has no reflection",
];

const SERVICES: &[(&str, usize)] = &[
    ("etcdserverpb.Auth", 17),
    ("etcdserverpb.Cluster", 5),
    ("etcdserverpb.KV", 6),
    ("etcdserverpb.Lease", 5),
    ("etcdserverpb.Maintenance", 8),
    ("etcdserverpb.Watch", 1),
    ("v3electionpb.Election", 5),
    ("v3lockpb.Lock", 2),
];

async fn services_are_listed(node: Node) {
    let listed = services(&node).await;
    for (service, _) in SERVICES {
        assert!(
            listed.iter().any(|name| name == service),
            "{service} is not in {listed:?}"
        );
    }
    assert!(listed.iter().any(|name| name == "grpc.health.v1.Health"));
    assert!(
        !listed.iter().any(|name| name.contains("conclave")),
        "the protocol between members is not published"
    );
}

/// Every method of every service is described, with all its messages down to the last field.
async fn every_method_is_described(node: Node) {
    for (service, methods) in SERVICES {
        let files = files(&node, ask::FileContainingSymbol((*service).to_owned())).await;
        let described = methods_of(&files, service);
        assert_eq!(described.len(), *methods, "{service}: {described:?}");
        let known = with_imports(&node, files).await;
        let messages = messages_of(&known);
        for (method, input, output) in described {
            for message in [input, output] {
                assert!(
                    messages.contains(&message),
                    "{service}/{method} needs {message}"
                );
            }
        }
        for field_type in field_types(&known) {
            assert!(
                messages.contains(&field_type),
                "a field of {service} is {field_type}"
            );
        }
    }
}

async fn a_file_is_found_by_its_name(node: Node) {
    let of_kv = files(&node, ask::FileContainingSymbol("etcdserverpb.KV".into())).await;
    let name = of_kv[0].name().to_owned();
    let by_name = files(&node, ask::FileByFilename(name)).await;
    assert_eq!(by_name[0], of_kv[0]);
    let of_method = files(
        &node,
        ask::FileContainingSymbol("etcdserverpb.KV.Range".into()),
    )
    .await;
    assert_eq!(of_method[0], of_kv[0]);
}

async fn what_is_not_there_is_not_found(node: Node) {
    use v1::server_reflection_response::MessageResponse;
    for question in [
        ask::FileContainingSymbol("nobody.Knows".into()),
        ask::FileByFilename("nowhere.proto".into()),
    ] {
        // Tools accept both: an error response, or the end of the stream with an error.
        let code = match v1_result(&node, question).await {
            Ok(MessageResponse::ErrorResponse(error)) => error.error_code,
            Ok(other) => panic!("{other:?}"),
            Err(status) => status.code() as i32,
        };
        assert_eq!(code, tonic::Code::NotFound as i32);
    }
}

async fn the_alpha_version_answers_the_same(node: Node) {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut stub = v1alpha::server_reflection_client::ServerReflectionClient::new(node.channel());
    let call = stub.server_reflection_info(tokio_stream::iter([request]));
    let mut replies = within("reflection", call).await.unwrap().into_inner();
    let reply = within("reflection", replies.message())
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("{reply:?}")
    };
    let others = |name: &String| !name.starts_with("grpc.reflection.");
    let alpha = list.service.into_iter().map(|service| service.name);
    let alpha: BTreeSet<_> = alpha.filter(others).collect();
    let of_v1: BTreeSet<_> = services(&node).await.into_iter().filter(others).collect();
    assert_eq!(alpha, of_v1);
}

use v1::server_reflection_request::MessageRequest as ask;

async fn services(node: &Node) -> Vec<String> {
    use v1::server_reflection_response::MessageResponse;
    match v1_answer(node, ask::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect(),
        other => panic!("{other:?}"),
    }
}

async fn files(node: &Node, question: ask) -> Vec<FileDescriptorProto> {
    use v1::server_reflection_response::MessageResponse;
    match v1_answer(node, question).await {
        MessageResponse::FileDescriptorResponse(files) => files
            .file_descriptor_proto
            .iter()
            .map(|file| FileDescriptorProto::decode(&file[..]).unwrap())
            .collect(),
        other => panic!("{other:?}"),
    }
}

async fn v1_answer(node: &Node, question: ask) -> v1::server_reflection_response::MessageResponse {
    v1_result(node, question).await.unwrap()
}

async fn v1_result(
    node: &Node,
    question: ask,
) -> Result<v1::server_reflection_response::MessageResponse, tonic::Status> {
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut stub = v1::server_reflection_client::ServerReflectionClient::new(node.channel());
    let call = stub.server_reflection_info(tokio_stream::iter([request]));
    let mut replies = within("reflection", call).await?.into_inner();
    let reply = within("reflection", replies.message()).await?.unwrap();
    Ok(reply.message_response.unwrap())
}

/// The files and all their imports, requested by name as a client must.
async fn with_imports(
    node: &Node,
    files_known: Vec<FileDescriptorProto>,
) -> Vec<FileDescriptorProto> {
    let mut known: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let mut waiting = files_known;
    while let Some(file) = waiting.pop() {
        for import in &file.dependency {
            if !known.contains_key(import) {
                waiting.extend(files(node, ask::FileByFilename(import.clone())).await);
            }
        }
        known.insert(file.name().to_owned(), file);
    }
    known.into_values().collect()
}

/// Name, input and output of each method.
fn methods_of(files: &[FileDescriptorProto], service: &str) -> Vec<(String, String, String)> {
    let (package, name) = service.rsplit_once('.').unwrap();
    files
        .iter()
        .filter(|file| file.package() == package)
        .flat_map(|file| &file.service)
        .filter(|described| described.name() == name)
        .flat_map(|described| &described.method)
        .map(|method| {
            let plain = |text: &str| text.trim_start_matches('.').to_owned();
            (
                method.name().to_owned(),
                plain(method.input_type()),
                plain(method.output_type()),
            )
        })
        .collect()
}

/// The full names of all messages and enums, nested ones too.
fn messages_of(files: &[FileDescriptorProto]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files {
        names.extend(
            file.enum_type
                .iter()
                .map(|e| format!("{}.{}", file.package(), e.name())),
        );
        for message in &file.message_type {
            add_message(&mut names, file.package(), message);
        }
    }
    names
}

fn add_message(names: &mut BTreeSet<String>, outer: &str, message: &DescriptorProto) {
    let name = format!("{outer}.{}", message.name());
    names.extend(
        message
            .enum_type
            .iter()
            .map(|e| format!("{name}.{}", e.name())),
    );
    for nested in &message.nested_type {
        add_message(names, &name, nested);
    }
    names.insert(name);
}

/// The message and enum types of fields.
fn field_types(files: &[FileDescriptorProto]) -> BTreeSet<String> {
    let messages = files.iter().flat_map(|file| &file.message_type);
    let fields = messages.flat_map(|message| &message.field);
    let named = fields.filter(|field| !field.type_name().is_empty());
    named
        .map(|field| field.type_name().trim_start_matches('.').to_owned())
        .collect()
}
