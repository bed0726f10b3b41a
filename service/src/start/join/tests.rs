//! Tests of the other members' answers and their effect.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::config::{self, Invocation};
use conclave_storage::{ClusterId, MemberId};

/// No pause, so that the tests do not wait.
const PATIENCE: Patience = Patience {
    round: Duration::from_secs(60),
    pause: Duration::ZERO,
    rounds: 4,
    misfits: 2,
};

const THREE: &str = "a=http://a:1,b=http://b:1,c=http://c:1";

fn config(name: &str, state: &str, initial_cluster: &str) -> Config {
    let arguments = [
        format!("--name={name}"),
        format!("--initial-advertise-peer-urls=http://{name}:1"),
        format!("--initial-cluster-state={state}"),
        format!("--initial-cluster={initial_cluster}"),
    ];
    match config::parse(arguments, []) {
        Ok(Invocation::Run(config, _)) => *config,
        other => panic!("not a configuration: {other:?}"),
    }
}

fn member(id: u64, name: &str, peer_url: &str) -> Member {
    Member {
        id,
        name: name.to_owned(),
        peer_urls: vec![peer_url.to_owned()],
        ..Member::default()
    }
}

/// A cluster `a`, `b`, both started, and `c`, which was added with the id 3.
fn waiting_for_c() -> Introduction {
    Introduction {
        cluster_id: 77,
        member_id: 1,
        members: vec![
            member(1, "a", "http://a:1"),
            member(2, "b", "http://b:1"),
            member(3, "", "http://c:1"),
        ],
        removed: Vec::new(),
        ..Introduction::default()
    }
}

/// The same before `c` was added.
fn without_c() -> Introduction {
    let mut introduction = waiting_for_c();
    introduction.members.pop();
    introduction
}

/// The answers of each other member, round after round, by its first URL. A member without an
/// answer left cannot be reached.
#[derive(Default)]
struct Script(Mutex<BTreeMap<&'static str, Vec<Introduction>>>);

impl Script {
    fn says(self, url: &'static str, answers: &[Introduction]) -> Script {
        let mut latest_first = answers.to_vec();
        latest_first.reverse();
        self.0.lock().expect("no panics").insert(url, latest_first);
        self
    }

    async fn origin(&self, config: &Config) -> Result<Origin, JoinError> {
        origin(config, PATIENCE, |urls: Vec<MemberUrl>| {
            let mut answers = self.0.lock().expect("no panics");
            let next = answers.get_mut(urls[0].as_str()).and_then(Vec::pop);
            std::future::ready(next.ok_or_else(|| "connection refused".to_owned()))
        })
        .await
    }

    async fn refusal(&self, config: &Config) -> String {
        let refused = self.origin(config).await;
        refused.expect_err("it must not start").to_string()
    }
}

fn new_cluster() -> (Config, NewCluster) {
    let config = config("c", "new", THREE);
    let identity = ids::new_cluster(&config);
    (config, identity)
}

/// The answer of a member of the new cluster.
fn of_the_new_cluster(identity: &NewCluster) -> Introduction {
    Introduction {
        cluster_id: identity.cluster_id.0,
        member_id: 0,
        members: identity.members.clone(),
        removed: Vec::new(),
        ..Introduction::default()
    }
}

#[tokio::test]
async fn a_new_cluster_begins_though_nobody_answers() {
    let (config, identity) = new_cluster();
    let begun = Script::default().origin(&config).await;
    assert_eq!(begun, Ok(Origin::New(identity)));
    let alone = Config::default();
    let begun = Script::default().origin(&alone).await;
    assert_eq!(begun, Ok(Origin::New(ids::new_cluster(&alone))));
}

#[tokio::test]
async fn a_new_cluster_begins_with_those_that_have_begun() {
    let (config, identity) = new_cluster();
    let script = Script::default().says("http://a:1", &[of_the_new_cluster(&identity)]);
    assert_eq!(script.origin(&config).await, Ok(Origin::New(identity)));
}

/// A process that accepts connections and never answers must not keep a cluster from starting.
#[tokio::test]
async fn silence_is_no_objection() {
    let (config, identity) = new_cluster();
    let patience = Patience {
        round: Duration::from_millis(1),
        ..PATIENCE
    };
    let begun = origin(&config, patience, |_| std::future::pending()).await;
    assert_eq!(begun, Ok(Origin::New(identity)));
}

#[tokio::test]
async fn an_emptied_directory_does_not_begin_again() {
    let (config, identity) = new_cluster();
    let mut known = of_the_new_cluster(&identity);
    for member in &mut known.members {
        member.name = "started".to_owned();
    }
    let script = Script::default().says("http://b:1", &[known]);
    let id = identity.member_id.to_string();
    assert_eq!(
        script.refusal(&config).await,
        format!(
            "member {id} has already been bootstrapped, and c.conclave has no data of it: it \
             cannot run without its data. If the data is lost, replace the member: `etcdctl \
             member remove {id}`, `etcdctl member add c --peer-urls=http://c:1`, then empty \
             c.conclave and start it with --initial-cluster-state=existing and the \
             ETCD_INITIAL_CLUSTER line that `member add` printed"
        )
    );
}

#[tokio::test]
async fn a_removed_member_does_not_come_back() {
    let (config, identity) = new_cluster();
    let id = identity.member_id.0;
    let mut told = of_the_new_cluster(&identity);
    told.removed.push(id);
    let mut only_gone = of_the_new_cluster(&identity);
    only_gone.members.retain(|member| member.id != id);
    for answer in [told, only_gone] {
        let script = Script::default().says("http://a:1", &[answer]);
        let text = script.refusal(&config).await;
        assert!(
            text.starts_with("the member has been permanently removed from the cluster"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn members_of_another_cluster_are_named_if_they_are_too_many() {
    let (config, identity) = new_cluster();
    // A single member may be the one that is wrong.
    let script = Script::default().says("http://b:1", &[waiting_for_c()]);
    let origin = script.origin(&config).await;
    assert_eq!(origin, Ok(Origin::New(identity.clone())));
    let script = Script::default()
        .says("http://a:1", &[waiting_for_c()])
        .says("http://b:1", &[waiting_for_c()]);
    assert_eq!(
        script.refusal(&config).await,
        format!(
            "member \"a\" of --initial-cluster belongs to cluster 4d, and this member would \
             start cluster {}: give all members the same --initial-cluster and \
             --initial-cluster-token, or join with --initial-cluster-state=existing after `etcdctl \
             member add`",
            identity.cluster_id
        )
    );
}

#[tokio::test]
async fn one_that_was_added_finds_itself() {
    let config = config("c", "existing", THREE);
    let expected = Origin::Joined {
        cluster_id: ClusterId(77),
        member_id: MemberId(3),
        members: waiting_for_c().members,
    };
    let script = Script::default().says("http://b:1", &[waiting_for_c()]);
    assert_eq!(script.origin(&config).await, Ok(expected.clone()));
    // A member that is behind does not matter if another one is not.
    let script = Script::default()
        .says("http://a:1", &[without_c()])
        .says("http://b:1", &[waiting_for_c()]);
    assert_eq!(script.origin(&config).await, Ok(expected.clone()));
    // A member that is behind is asked again if no other one answers.
    let script = Script::default().says("http://a:1", &[without_c(), waiting_for_c()]);
    assert_eq!(script.origin(&config).await, Ok(expected));
}

/// One of the members was down while this member was removed, and added again under another id.
#[tokio::test]
async fn a_removed_id_is_not_taken_from_a_member_that_is_behind() {
    let config = config("c", "existing", THREE);
    let mut again = without_c();
    again.removed.push(3);
    let gone = again.clone();
    again.members.push(member(4, "", "http://c:1"));
    let behind = || Script::default().says("http://a:1", &[waiting_for_c()]);
    let script = behind().says("http://b:1", &[again]);
    let origin = script.origin(&config).await;
    assert!(
        matches!(
            origin,
            Ok(Origin::Joined {
                member_id: MemberId(4),
                ..
            })
        ),
        "{origin:?}"
    );
    let refusal = behind().says("http://b:1", &[gone]).refusal(&config).await;
    assert!(refusal.contains("permanently removed"), "{refusal}");
}

#[tokio::test]
async fn one_that_joins_needs_an_answer() {
    let three = config("c", "existing", THREE);
    assert_eq!(
        Script::default().refusal(&three).await,
        "cannot join the cluster: no member of --initial-cluster answers: a at http://a:1: \
         connection refused; b at http://b:1: connection refused"
    );
    let alone = config("c", "existing", "c=http://c:1");
    assert_eq!(
        Script::default().refusal(&alone).await,
        "--initial-cluster-state is existing, and --initial-cluster names no other member to ask: \
         use the ETCD_INITIAL_CLUSTER line that `etcdctl member add` printed"
    );
}

#[tokio::test]
async fn one_that_was_not_added_is_told_how() {
    let config = config("c", "existing", THREE);
    let script = Script::default().says("http://a:1", &[without_c(), without_c(), without_c()]);
    assert_eq!(
        script.refusal(&config).await,
        "member is not part of the cluster: add it with `etcdctl member add c \
         --peer-urls=http://c:1` first, then start it with the ETCD_INITIAL_CLUSTER line that this \
         command prints"
    );
}

#[tokio::test]
async fn a_list_that_differs_is_shown_beside_the_clusters() {
    let config = config("c", "existing", "a=http://a:1,c=http://c:1,d=http://d:1");
    let script = Script::default().says("http://a:1", &[waiting_for_c(), waiting_for_c()]);
    assert_eq!(
        script.refusal(&config).await,
        "--initial-cluster differs from the members of the cluster: only --initial-cluster has \
         http://d:1, only the cluster has http://b:1; --initial-cluster has http://a:1 http://c:1 \
         http://d:1, the cluster has http://a:1 http://b:1 http://c:1: use the \
         ETCD_INITIAL_CLUSTER line that `etcdctl member add` printed"
    );
}

#[tokio::test]
async fn one_that_has_run_does_not_join_again() {
    let config = config("c", "existing", THREE);
    let mut known = waiting_for_c();
    known.members[2].client_urls = vec!["http://c:2".to_owned()];
    let script = Script::default().says("http://a:1", &[known]);
    let text = script.refusal(&config).await;
    assert!(
        text.starts_with(
            "member 3 has already been bootstrapped, and c.conclave has no data of it"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn members_of_two_clusters_cannot_be_joined() {
    let config = config("c", "existing", THREE);
    let other = Introduction {
        cluster_id: 78,
        ..waiting_for_c()
    };
    let script = Script::default()
        .says("http://a:1", &[waiting_for_c()])
        .says("http://b:1", &[other]);
    assert_eq!(
        script.refusal(&config).await,
        "--initial-cluster names members of two clusters: a belongs to 4d and b to 4e"
    );
}
