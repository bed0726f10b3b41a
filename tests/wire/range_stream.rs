//! `RangeStream`: a range in pieces.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::RangeRequest;
use conclave_proto::etcdserverpb::RangeResponse;
use harness::api::{OPEN, everything, get, keys, range, values};
use harness::{Node, fails, refused, within};
use tonic::{Code, Status};

suite![
    the_pieces_are_the_range => "came with 3.7",
    an_empty_range_is_one_piece => "came with 3.7",
    a_large_range_comes_in_pieces => "came with 3.7",
    a_limit_cuts_and_says_more => "came with 3.7",
    count_only_is_one_piece => "came with 3.7",
    keys_only_has_no_values => "came with 3.7",
    a_past_revision_is_as_it_was => "came with 3.7",
    the_revision_is_that_of_the_start => "came with 3.7",
    order_and_filters_are_not_implemented => "came with 3.7",
    key_order_is_the_order => "came with 3.7",
    a_target_without_an_order_sorts_a_few => "came with 3.7",
    what_would_be_sorted_wrongly_is_refused => "came with 3.7",
    bad_requests_are_refused => "came with 3.7",
    bad_revisions_are_refused => "came with 3.7",
];

async fn the_pieces_are_the_range(node: Node) {
    for key in ["a", "b", "c"] {
        node.put(key, key).await;
    }
    for request in [
        everything(),
        range("b", OPEN),
        get("a"),
        get("x"),
        range("c", "a"),
    ] {
        let merged = merge(stream(&node, request.clone()).await.unwrap());
        assert_eq!(merged, node.range(request).await);
    }
}

async fn an_empty_range_is_one_piece(node: Node) {
    let pieces = stream(&node, everything()).await.unwrap();
    assert_eq!(pieces.len(), 1);
    assert!(pieces[0].header.is_some() && pieces[0].count == 0);
}

async fn a_large_range_comes_in_pieces(node: Node) {
    for index in 0..1_000 {
        node.put(format!("k{index:04}"), vec![b'x'; 1024]).await;
    }
    let pieces = stream(&node, everything()).await.unwrap();
    assert!(pieces.len() > 1);
    let (last, before) = pieces.split_last().unwrap();
    assert!(
        before
            .iter()
            .all(|piece| piece.header.is_none() && piece.count == 0 && !piece.more)
    );
    assert!(last.header.is_some() && last.count == 1_000);
    assert_eq!(merge(pieces), node.range(everything()).await);
}

async fn a_limit_cuts_and_says_more(node: Node) {
    for index in 0..50 {
        node.put(format!("k{index:04}"), "x").await;
    }
    let request = RangeRequest {
        limit: 20,
        ..everything()
    };
    let merged = merge(stream(&node, request).await.unwrap());
    assert_eq!(
        (merged.kvs.len(), merged.more, merged.count),
        (20, true, 50)
    );
    let request = RangeRequest {
        limit: 50,
        ..everything()
    };
    assert!(!merge(stream(&node, request).await.unwrap()).more);
}

async fn count_only_is_one_piece(node: Node) {
    for index in 0..50 {
        node.put(format!("k{index:04}"), "x").await;
    }
    let request = RangeRequest {
        count_only: true,
        ..everything()
    };
    let pieces = stream(&node, request).await.unwrap();
    assert_eq!(pieces.len(), 1);
    assert_eq!((pieces[0].count, pieces[0].kvs.len()), (50, 0));
}

async fn keys_only_has_no_values(node: Node) {
    node.put("a", "1").await;
    let request = RangeRequest {
        keys_only: true,
        ..everything()
    };
    let merged = merge(stream(&node, request).await.unwrap());
    assert_eq!(
        (keys(&merged.kvs), values(&merged.kvs)),
        (vec!["a".into()], vec!["".into()])
    );
}

async fn a_past_revision_is_as_it_was(node: Node) {
    let first = node.put("a", "1").await;
    node.put("a", "2").await;
    let request = RangeRequest {
        revision: first,
        ..everything()
    };
    let merged = merge(stream(&node, request.clone()).await.unwrap());
    assert_eq!(values(&merged.kvs), ["1"]);
    assert_eq!(merged, node.range(request).await);
}

/// No piece contains what is written while the pieces are read.
async fn the_revision_is_that_of_the_start(node: Node) {
    for index in 0..2_000 {
        node.put(format!("k{index:04}"), vec![b'x'; 1024]).await;
    }
    let before = node.revision().await;
    let mut stub = node.kv();
    let mut pieces = within("a stream", stub.range_stream(everything()))
        .await
        .unwrap()
        .into_inner();
    let mut merged = piece(pieces.message().await.unwrap().unwrap());
    node.put("k1999", "changed").await;
    node.put("l", "new").await;
    node.delete("k1998").await;
    while let Some(next) = within("a piece", pieces.message()).await.unwrap() {
        merged = merge(vec![merged, piece(next)]);
    }
    assert_eq!((merged.kvs.len(), merged.count), (2_000, 2_000));
    assert!(merged.kvs.iter().all(|kv| kv.mod_revision <= before));
}

async fn order_and_filters_are_not_implemented(node: Node) {
    let requests = [
        RangeRequest {
            sort_order: 2,
            ..everything()
        },
        RangeRequest {
            sort_target: 3,
            sort_order: 1,
            ..everything()
        },
        RangeRequest {
            min_mod_revision: 1,
            ..everything()
        },
        RangeRequest {
            max_mod_revision: 1,
            ..everything()
        },
        RangeRequest {
            min_create_revision: 1,
            ..everything()
        },
        RangeRequest {
            max_create_revision: 1,
            ..everything()
        },
    ];
    for request in requests {
        fails(stream(&node, request).await, Code::Unimplemented, "");
    }
}

async fn key_order_is_the_order(node: Node) {
    node.put("b", "1").await;
    node.put("a", "1").await;
    let request = RangeRequest {
        sort_order: 1,
        ..everything()
    };
    let merged = merge(stream(&node, request).await.unwrap());
    assert_eq!(keys(&merged.kvs), ["a", "b"]);
}

/// As with `Range`, a target without an order means ascending.
async fn a_target_without_an_order_sorts_a_few(node: Node) {
    ten_keys(&node).await;
    for sort_target in 0..=4 {
        let request = RangeRequest {
            sort_target,
            ..everything()
        };
        for request in [
            request.clone(),
            RangeRequest {
                limit: 10,
                ..request.clone()
            },
            RangeRequest {
                keys_only: true,
                ..request.clone()
            },
            RangeRequest {
                count_only: true,
                ..request.clone()
            },
            RangeRequest {
                key: "k3".into(),
                range_end: "".into(),
                ..request.clone()
            },
            RangeRequest {
                key: "x".into(),
                ..request
            },
        ] {
            let pieces = stream(&node, request.clone()).await.unwrap();
            assert_eq!(pieces.len(), 1);
            assert_eq!(merge(pieces), node.range(request).await);
        }
    }
    let by_value = RangeRequest {
        sort_target: 4,
        ..everything()
    };
    let merged = merge(stream(&node, by_value).await.unwrap());
    assert!(values(&merged.kvs).is_sorted() && !keys(&merged.kvs).is_sorted());
}

/// etcd omits keys here, or counts them wrongly.
async fn what_would_be_sorted_wrongly_is_refused(node: Node) {
    ten_keys(&node).await;
    let request = RangeRequest {
        sort_target: 3,
        ..everything()
    };
    let cut = RangeRequest {
        limit: 9,
        ..request.clone()
    };
    fails(stream(&node, cut).await, Code::Unimplemented, "use Range");
    node.put("one more", "").await;
    let refused = stream(&node, request.clone()).await;
    fails(refused, Code::Unimplemented, "sorts up to ten keys");
    let counted = RangeRequest {
        count_only: true,
        ..request
    };
    assert_eq!(merge(stream(&node, counted).await.unwrap()).count, 11);
}

/// Ten keys that every target sorts differently from their names.
async fn ten_keys(node: &Node) {
    for index in (0..10).rev() {
        let value = format!("v{}", (index * 7) % 10);
        for _ in 0..=(index % 3) {
            node.put(format!("k{index}"), value.clone()).await;
        }
    }
}

async fn bad_requests_are_refused(node: Node) {
    refused(stream(&node, get("")).await, ApiError::EmptyKey);
    let request = RangeRequest {
        sort_target: 9,
        ..everything()
    };
    refused(stream(&node, request).await, ApiError::InvalidSortOption);
}

async fn bad_revisions_are_refused(node: Node) {
    for value in ["1", "2", "3"] {
        node.put("a", value).await;
    }
    node.compact(3).await;
    let at = |revision| RangeRequest {
        revision,
        ..everything()
    };
    refused(stream(&node, at(2)).await, ApiError::Compacted);
    refused(stream(&node, at(9)).await, ApiError::FutureRev);
}

async fn stream(node: &Node, request: RangeRequest) -> Result<Vec<RangeResponse>, Status> {
    let mut stub = node.kv();
    let mut pieces = within("a stream", stub.range_stream(request))
        .await?
        .into_inner();
    let mut all = Vec::new();
    while let Some(next) = within("a piece", pieces.message()).await? {
        all.push(piece(next));
    }
    Ok(all)
}

fn piece(response: conclave_proto::etcdserverpb::RangeStreamResponse) -> RangeResponse {
    response
        .range_response
        .expect("a piece is a range response")
}

/// Merges pieces as protobuf merges messages: lists are concatenated, and the last value of any
/// other field counts.
fn merge(pieces: Vec<RangeResponse>) -> RangeResponse {
    let mut merged = RangeResponse::default();
    for piece in pieces {
        merged.kvs.extend(piece.kvs);
        merged.header = piece.header.or(merged.header);
        merged.more |= piece.more;
        merged.count = if piece.count == 0 {
            merged.count
        } else {
            piece.count
        };
    }
    merged
}
