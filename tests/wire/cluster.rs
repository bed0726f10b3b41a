//! Cluster: the membership.

use conclave_proto::etcdserverpb::MemberListRequest;
use harness::Node;

suite![
    the_only_member_is_listed,
    the_list_is_the_same_both_ways,
    the_name_is_a_flag["--name=default"],
    urls_are_as_advertised["--advertise-client-urls=http://one.test:2379,http://two.test:2379"],
];

async fn the_only_member_is_listed(node: Node) {
    let reply = node
        .cluster()
        .member_list(MemberListRequest { linearizable: true })
        .await;
    let reply = reply.unwrap().into_inner();
    let header = reply.header.unwrap();
    assert_eq!(
        header.revision, 0,
        "membership is not part of the history of keys"
    );
    let [member] = &reply.members[..] else {
        panic!("{:?}", reply.members)
    };
    assert_eq!(member.id, header.member_id);
    assert!(!member.peer_urls.is_empty() && !member.client_urls.is_empty());
    assert!(!member.is_learner);
}

async fn the_list_is_the_same_both_ways(node: Node) {
    let list = |linearizable| {
        let mut stub = node.cluster();
        async move { stub.member_list(MemberListRequest { linearizable }).await }
    };
    let linearizable = list(true).await.unwrap().into_inner();
    assert_eq!(list(false).await.unwrap().into_inner(), linearizable);
}

async fn the_name_is_a_flag(node: Node) {
    assert_eq!(member(&node).await.name, "default");
}

async fn urls_are_as_advertised(node: Node) {
    let expected = ["http://one.test:2379", "http://two.test:2379"];
    assert_eq!(member(&node).await.client_urls, expected);
}

async fn member(node: &Node) -> conclave_proto::etcdserverpb::Member {
    let reply = node
        .cluster()
        .member_list(MemberListRequest {
            linearizable: false,
        })
        .await;
    reply.unwrap().into_inner().members.remove(0)
}
