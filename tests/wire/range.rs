//! Reads: which keys, at which revision, how many.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::RangeRequest;
use harness::api::{OPEN, everything, get, keys, put_leased, range, revision_of, values};
use harness::{Node, refused};

suite![
    an_empty_store_is_at_revision_one,
    a_key_has_its_history_in_numbers,
    a_missing_key_is_an_empty_reply,
    an_interval_excludes_its_end,
    an_open_end_reads_to_the_last_key,
    a_zero_byte_twice_reads_everything,
    an_end_at_or_below_the_key_is_empty,
    a_key_that_continues_another_is_another,
    keys_are_ordered_as_bytes,
    an_empty_value_is_a_value,
    a_limit_cuts_and_says_more,
    a_limit_that_fits_says_no_more,
    a_negative_limit_is_none,
    count_only_counts,
    count_ignores_the_limit,
    keys_only_has_no_values,
    keys_only_hides_the_lease => "3.4 reads the whole record, so it shows the lease",
    a_past_revision_is_as_it_was,
    a_past_revision_shows_what_is_deleted_now,
    a_revision_below_one_is_the_latest,
    a_future_revision_is_refused,
    a_compacted_revision_is_refused,
    the_compaction_revision_itself_is_readable,
    the_header_names_cluster_member_and_term,
    the_header_has_the_current_revision_not_the_asked,
    a_serializable_read_answers_the_same,
    filters_bound_mod_revision,
    filters_bound_create_revision,
    filters_do_not_change_the_count,
    a_limit_applies_after_filters,
    an_empty_key_is_refused,
];

async fn an_empty_store_is_at_revision_one(node: Node) {
    let reply = node.range(everything()).await;
    assert_eq!(revision_of(&reply.header), 1);
    assert_eq!((reply.kvs.len(), reply.count, reply.more), (0, 0, false));
}

async fn a_key_has_its_history_in_numbers(node: Node) {
    node.put("a", "1").await;
    node.put("a", "2").await;
    node.put("b", "x").await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((&kv.key[..], &kv.value[..]), (&b"a"[..], &b"2"[..]));
    assert_eq!(
        (kv.create_revision, kv.mod_revision, kv.version, kv.lease),
        (2, 3, 2, 0)
    );

    node.delete("a").await;
    node.put("a", "again").await;
    let kv = node.get("a").await.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (6, 6, 1));
}

async fn a_missing_key_is_an_empty_reply(node: Node) {
    node.put("a", "1").await;
    let reply = node.range(get("b")).await;
    assert_eq!((reply.kvs.len(), reply.count, reply.more), (0, 0, false));
    assert_eq!(revision_of(&reply.header), 2);
}

async fn an_interval_excludes_its_end(node: Node) {
    abcd(&node).await;
    assert_eq!(keys(&node.range(range("b", "d")).await.kvs), ["b", "c"]);
    assert_eq!(keys(&node.range(range("aa", "bb")).await.kvs), ["b"]);
}

async fn an_open_end_reads_to_the_last_key(node: Node) {
    abcd(&node).await;
    node.put(&[0xff, 0xff][..], "last").await;
    let reply = node.range(range("c", OPEN)).await;
    assert_eq!(reply.count, 3);
    assert_eq!(values(&reply.kvs), ["3", "4", "last"]);
}

async fn a_zero_byte_twice_reads_everything(node: Node) {
    abcd(&node).await;
    assert_eq!(
        keys(&node.range(everything()).await.kvs),
        ["a", "b", "c", "d"]
    );
}

async fn an_end_at_or_below_the_key_is_empty(node: Node) {
    abcd(&node).await;
    for (key, end) in [("b", "b"), ("c", "b"), ("d", "a")] {
        let reply = node.range(range(key, end)).await;
        assert_eq!(
            (reply.kvs.len(), reply.count, reply.more),
            (0, 0, false),
            "{key}..{end}"
        );
    }
}

async fn a_key_that_continues_another_is_another(node: Node) {
    for key in [&b"a"[..], b"a\0", b"a\0\0", b"a\0b", b"a\x01", b"ab"] {
        node.put(key, key).await;
    }
    assert_eq!(node.value("a").await.unwrap(), "a");
    assert_eq!(node.range(range("a", "a\0")).await.count, 1);
    assert_eq!(node.range(range("a\0", "a\x01")).await.count, 3);
    assert_eq!(
        values(&node.range(range("a\0\0", "ab")).await.kvs),
        ["a\0\0", "a\0b", "a\x01"]
    );
}

async fn keys_are_ordered_as_bytes(node: Node) {
    for key in [
        &[0xff][..],
        &[0x80],
        b"b",
        b"B",
        &[1],
        &[0, 0],
        b"ba",
        "é".as_bytes(),
    ] {
        node.put(key, "").await;
    }
    let reply = node.range(everything()).await;
    let found: Vec<_> = reply.kvs.iter().map(|kv| &kv.key[..]).collect();
    let expected: [&[u8]; 8] = [
        &[0, 0],
        &[1],
        b"B",
        b"b",
        b"ba",
        &[0x80],
        "é".as_bytes(),
        &[0xff],
    ];
    assert_eq!(found, expected);
}

async fn an_empty_value_is_a_value(node: Node) {
    node.put("a", "").await;
    assert_eq!(node.value("a").await.unwrap(), "");
}

async fn a_limit_cuts_and_says_more(node: Node) {
    abcd(&node).await;
    let reply = node
        .range(RangeRequest {
            limit: 3,
            ..everything()
        })
        .await;
    assert_eq!(keys(&reply.kvs), ["a", "b", "c"]);
    assert_eq!((reply.more, reply.count), (true, 4));
}

async fn a_limit_that_fits_says_no_more(node: Node) {
    abcd(&node).await;
    for limit in [4, 5, i64::MAX] {
        let reply = node
            .range(RangeRequest {
                limit,
                ..everything()
            })
            .await;
        assert_eq!((reply.kvs.len(), reply.more), (4, false), "limit {limit}");
    }
}

async fn a_negative_limit_is_none(node: Node) {
    abcd(&node).await;
    let reply = node
        .range(RangeRequest {
            limit: -1,
            ..everything()
        })
        .await;
    assert_eq!((reply.kvs.len(), reply.more), (4, false));
}

async fn count_only_counts(node: Node) {
    abcd(&node).await;
    let reply = node
        .range(RangeRequest {
            count_only: true,
            ..range("b", OPEN)
        })
        .await;
    assert_eq!((reply.kvs.len(), reply.count, reply.more), (0, 3, false));
    let past = RangeRequest {
        count_only: true,
        revision: 3,
        ..everything()
    };
    assert_eq!(node.range(past).await.count, 2);
}

async fn count_ignores_the_limit(node: Node) {
    abcd(&node).await;
    let reply = node
        .range(RangeRequest {
            limit: 1,
            ..range("b", OPEN)
        })
        .await;
    assert_eq!((keys(&reply.kvs), reply.count), (vec!["b".to_owned()], 3));
}

async fn keys_only_has_no_values(node: Node) {
    abcd(&node).await;
    let reply = node
        .range(RangeRequest {
            keys_only: true,
            ..everything()
        })
        .await;
    assert_eq!(keys(&reply.kvs), ["a", "b", "c", "d"]);
    assert!(reply.kvs.iter().all(|kv| kv.value.is_empty()));
    let numbers: Vec<_> = reply
        .kvs
        .iter()
        .map(|kv| (kv.mod_revision, kv.version))
        .collect();
    assert_eq!(numbers, [(2, 1), (3, 1), (4, 1), (5, 1)]);
}

async fn keys_only_hides_the_lease(node: Node) {
    node.grant(7, 600).await;
    node.put_with(put_leased("a", "1", 7)).await;
    let reply = node
        .range(RangeRequest {
            keys_only: true,
            ..get("a")
        })
        .await;
    assert_eq!(reply.kvs[0].lease, 0);
    let sorted = RangeRequest {
        keys_only: true,
        sort_target: 4,
        sort_order: 1,
        ..get("a")
    };
    assert_eq!(
        node.range(sorted).await.kvs[0].lease,
        7,
        "sorting by value reads the record"
    );
}

async fn a_past_revision_is_as_it_was(node: Node) {
    let first = node.put("a", "1").await;
    node.put("a", "2").await;
    node.put("b", "1").await;
    let reply = node
        .range(RangeRequest {
            revision: first,
            ..everything()
        })
        .await;
    assert_eq!(values(&reply.kvs), ["1"]);
    assert_eq!(
        (reply.count, reply.kvs[0].mod_revision, reply.kvs[0].version),
        (1, first, 1)
    );
    let before = node
        .range(RangeRequest {
            revision: 1,
            ..everything()
        })
        .await;
    assert_eq!(before.count, 0);
}

async fn a_past_revision_shows_what_is_deleted_now(node: Node) {
    let put = node.put("a", "1").await;
    let gone = node.delete("a").await;
    assert_eq!(
        node.range(RangeRequest {
            revision: put,
            ..get("a")
        })
        .await
        .count,
        1
    );
    assert_eq!(
        node.range(RangeRequest {
            revision: gone,
            ..get("a")
        })
        .await
        .count,
        0
    );
    assert_eq!(node.range(get("a")).await.count, 0);
}

async fn a_revision_below_one_is_the_latest(node: Node) {
    node.put("a", "1").await;
    for revision in [0, -1, i64::MIN] {
        let reply = node
            .range(RangeRequest {
                revision,
                ..get("a")
            })
            .await;
        assert_eq!(reply.count, 1, "revision {revision}");
    }
}

async fn a_future_revision_is_refused(node: Node) {
    let now = node.put("a", "1").await;
    let request = RangeRequest {
        revision: now + 1,
        ..get("a")
    };
    refused(node.kv().range(request).await, ApiError::FutureRev);
}

async fn a_compacted_revision_is_refused(node: Node) {
    abcd(&node).await;
    node.compact(4).await;
    for revision in [1, 3] {
        let request = RangeRequest {
            revision,
            ..everything()
        };
        refused(node.kv().range(request).await, ApiError::Compacted);
        let count = RangeRequest {
            revision,
            count_only: true,
            ..everything()
        };
        refused(node.kv().range(count).await, ApiError::Compacted);
    }
}

async fn the_compaction_revision_itself_is_readable(node: Node) {
    abcd(&node).await;
    node.put("a", "new").await;
    node.compact(4).await;
    let reply = node
        .range(RangeRequest {
            revision: 4,
            ..everything()
        })
        .await;
    assert_eq!(values(&reply.kvs), ["1", "2", "3"]);
}

async fn the_header_names_cluster_member_and_term(node: Node) {
    let header = node.range(everything()).await.header.unwrap();
    assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term > 0);
    let other = node
        .kv()
        .put(harness::api::put("a", "1"))
        .await
        .unwrap()
        .into_inner();
    let other = other.header.unwrap();
    assert_eq!(
        (other.cluster_id, other.member_id),
        (header.cluster_id, header.member_id)
    );
}

async fn the_header_has_the_current_revision_not_the_asked(node: Node) {
    abcd(&node).await;
    let reply = node
        .range(RangeRequest {
            revision: 3,
            ..everything()
        })
        .await;
    assert_eq!(revision_of(&reply.header), 5);
}

async fn a_serializable_read_answers_the_same(node: Node) {
    abcd(&node).await;
    let linearizable = node.range(everything()).await;
    let serializable = node
        .range(RangeRequest {
            serializable: true,
            ..everything()
        })
        .await;
    assert_eq!(serializable, linearizable);
}

async fn filters_bound_mod_revision(node: Node) {
    abcd(&node).await;
    node.put("a", "new").await;
    let at_least = RangeRequest {
        min_mod_revision: 5,
        ..everything()
    };
    assert_eq!(keys(&node.range(at_least).await.kvs), ["a", "d"]);
    let at_most = RangeRequest {
        max_mod_revision: 4,
        ..everything()
    };
    assert_eq!(keys(&node.range(at_most).await.kvs), ["b", "c"]);
    let both = RangeRequest {
        min_mod_revision: 4,
        max_mod_revision: 5,
        ..everything()
    };
    assert_eq!(keys(&node.range(both).await.kvs), ["c", "d"]);
}

async fn filters_bound_create_revision(node: Node) {
    abcd(&node).await;
    node.put("a", "new").await;
    let at_least = RangeRequest {
        min_create_revision: 4,
        ..everything()
    };
    assert_eq!(keys(&node.range(at_least).await.kvs), ["c", "d"]);
    let at_most = RangeRequest {
        max_create_revision: 3,
        ..everything()
    };
    assert_eq!(keys(&node.range(at_most).await.kvs), ["a", "b"]);
}

async fn filters_do_not_change_the_count(node: Node) {
    abcd(&node).await;
    let reply = node
        .range(RangeRequest {
            min_mod_revision: 5,
            ..everything()
        })
        .await;
    assert_eq!((reply.kvs.len(), reply.count), (1, 4));
}

async fn a_limit_applies_after_filters(node: Node) {
    abcd(&node).await;
    let request = RangeRequest {
        min_mod_revision: 3,
        limit: 2,
        ..everything()
    };
    let reply = node.range(request).await;
    assert_eq!(
        (keys(&reply.kvs), reply.more),
        (vec!["b".to_owned(), "c".to_owned()], true)
    );
    let request = RangeRequest {
        min_mod_revision: 4,
        limit: 2,
        ..everything()
    };
    let reply = node.range(request).await;
    assert_eq!(
        (keys(&reply.kvs), reply.more),
        (vec!["c".to_owned(), "d".to_owned()], false)
    );
}

async fn an_empty_key_is_refused(node: Node) {
    refused(node.kv().range(get("")).await, ApiError::EmptyKey);
    refused(node.kv().range(range("", OPEN)).await, ApiError::EmptyKey);
}

/// Four keys, at revisions 2 to 5, with values 1 to 4.
async fn abcd(node: &Node) {
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
        node.put(key, value).await;
    }
}
