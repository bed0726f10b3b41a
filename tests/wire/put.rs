//! Putting one key.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::PutRequest;
use harness::api::{get, put, put_leased, revision_of};
use harness::{Node, refused};

suite![
    each_put_is_a_revision,
    the_same_value_again_is_a_revision,
    prev_kv_is_what_was_there,
    prev_kv_of_a_new_key_is_absent,
    a_value_is_any_bytes,
    ignore_value_keeps_the_value,
    ignore_value_can_change_the_lease,
    ignore_value_with_a_value_is_refused,
    ignore_value_of_a_missing_key_is_refused,
    ignore_lease_keeps_the_lease,
    ignore_lease_with_a_lease_is_refused,
    ignore_lease_of_a_missing_key_is_refused,
    both_ignored_touches_the_key,
    an_unknown_lease_is_refused,
    a_lease_is_attached_and_detached,
    an_empty_key_is_refused,
    a_refused_put_is_no_revision,
    a_large_value_fits,
    a_request_above_the_limit_is_refused,
    the_limit_is_a_flag["--max-request-bytes=2000"],
];

async fn each_put_is_a_revision(node: Node) {
    let reply = node.kv().put(put("a", "1")).await.unwrap().into_inner();
    assert_eq!(revision_of(&reply.header), 2);
    assert_eq!(reply.prev_kv, None);
    assert_eq!(node.put("b", "1").await, 3);
}

async fn the_same_value_again_is_a_revision(node: Node) {
    node.put("a", "1").await;
    assert_eq!(node.put("a", "1").await, 3);
    assert_eq!(node.get("a").await.unwrap().version, 2);
}

async fn prev_kv_is_what_was_there(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    let request = PutRequest {
        prev_kv: true,
        ..put("a", "2")
    };
    let prev = node
        .kv()
        .put(request)
        .await
        .unwrap()
        .into_inner()
        .prev_kv
        .unwrap();
    assert_eq!(
        (&prev.value[..], prev.mod_revision, prev.version),
        (&b"1"[..], 2, 1)
    );
    assert_eq!((prev.create_revision, prev.lease), (2, 7));
}

async fn prev_kv_of_a_new_key_is_absent(node: Node) {
    let request = PutRequest {
        prev_kv: true,
        ..put("a", "1")
    };
    assert_eq!(
        node.kv()
            .put(request.clone())
            .await
            .unwrap()
            .into_inner()
            .prev_kv,
        None
    );
    node.delete("a").await;
    assert_eq!(
        node.kv().put(request).await.unwrap().into_inner().prev_kv,
        None
    );
}

async fn a_value_is_any_bytes(node: Node) {
    let bytes: Vec<u8> = (0..=255).collect();
    node.put(bytes.clone(), bytes.clone()).await;
    assert_eq!(node.get(bytes.clone()).await.unwrap().value, bytes);
}

async fn ignore_value_keeps_the_value(node: Node) {
    node.put("a", "1").await;
    node.put_with(PutRequest {
        ignore_value: true,
        ..put("a", "")
    })
    .await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((&kv.value[..], kv.version), (&b"1"[..], 2));
}

async fn ignore_value_can_change_the_lease(node: Node) {
    node.grant(7, 600).await;
    node.put("a", "1").await;
    node.put_with(PutRequest {
        ignore_value: true,
        ..put_leased("a", "", 7)
    })
    .await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((&kv.value[..], kv.lease), (&b"1"[..], 7));
}

async fn ignore_value_with_a_value_is_refused(node: Node) {
    node.put("a", "1").await;
    let request = PutRequest {
        ignore_value: true,
        ..put("a", "2")
    };
    refused(node.kv().put(request).await, ApiError::ValueProvided);
}

async fn ignore_value_of_a_missing_key_is_refused(node: Node) {
    let request = PutRequest {
        ignore_value: true,
        ..put("a", "")
    };
    refused(node.kv().put(request.clone()).await, ApiError::KeyNotFound);
    node.put("a", "1").await;
    node.delete("a").await;
    refused(node.kv().put(request).await, ApiError::KeyNotFound);
}

async fn ignore_lease_keeps_the_lease(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    node.put_with(PutRequest {
        ignore_lease: true,
        ..put("a", "2")
    })
    .await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((&kv.value[..], kv.lease), (&b"2"[..], 7));
}

async fn ignore_lease_with_a_lease_is_refused(node: Node) {
    node.grant(7, 600).await;
    node.put("a", "1").await;
    let request = PutRequest {
        ignore_lease: true,
        ..put_leased("a", "2", 7)
    };
    refused(node.kv().put(request).await, ApiError::LeaseProvided);
}

async fn ignore_lease_of_a_missing_key_is_refused(node: Node) {
    let request = PutRequest {
        ignore_lease: true,
        ..put("a", "1")
    };
    refused(node.kv().put(request).await, ApiError::KeyNotFound);
}

async fn both_ignored_touches_the_key(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    let touch = PutRequest {
        ignore_value: true,
        ignore_lease: true,
        ..put("a", "")
    };
    node.put_with(touch).await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((&kv.value[..], kv.lease, kv.version), (&b"1"[..], 7, 2));
}

async fn an_unknown_lease_is_refused(node: Node) {
    refused(
        node.kv().put(put_leased("a", "1", 9)).await,
        ApiError::LeaseNotFound,
    );
    refused(
        node.kv().put(put_leased("a", "1", -1)).await,
        ApiError::LeaseNotFound,
    );
    assert_eq!(node.get("a").await, None);
}

async fn a_lease_is_attached_and_detached(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    assert_eq!(node.get("a").await.unwrap().lease, 7);
    node.put("a", "2").await;
    assert_eq!(node.get("a").await.unwrap().lease, 0);
}

async fn an_empty_key_is_refused(node: Node) {
    refused(node.kv().put(put("", "1")).await, ApiError::EmptyKey);
}

async fn a_refused_put_is_no_revision(node: Node) {
    refused(
        node.kv().put(put_leased("a", "1", 9)).await,
        ApiError::LeaseNotFound,
    );
    let missing = PutRequest {
        ignore_value: true,
        ..put("a", "")
    };
    refused(node.kv().put(missing).await, ApiError::KeyNotFound);
    let reply = node.range(get("a")).await;
    assert_eq!((revision_of(&reply.header), reply.count), (1, 0));
}

async fn a_large_value_fits(node: Node) {
    let value = vec![b'x'; 1_500_000];
    node.put("a", value.clone()).await;
    assert_eq!(node.get("a").await.unwrap().value, value);
}

async fn a_request_above_the_limit_is_refused(node: Node) {
    let request = put("a", vec![b'x'; 1_572_864]);
    refused(node.kv().put(request).await, ApiError::RequestTooLarge);
    assert_eq!(node.revision().await, 1);
}

async fn the_limit_is_a_flag(node: Node) {
    node.put("a", vec![b'x'; 1_500]).await;
    refused(
        node.kv().put(put("a", vec![b'x'; 2_000])).await,
        ApiError::RequestTooLarge,
    );
}
