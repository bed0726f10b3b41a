//! The spans of a request, on every member that works on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use conclave_proto::peer::TraceContext;

use super::cluster::quick;
use super::network::{Cluster, eventually, id};
use super::*;
use crate::clock::Stopwatch;
use crate::trace::{Recorder, Span, Value};

/// A recorder whose spans can be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Book(Arc<Mutex<Vec<Note>>>);

#[derive(Debug)]
struct Note {
    name: &'static str,
    parent: Option<usize>,
    attributes: BTreeMap<&'static str, Value>,
    is_failed: bool,
    is_open: bool,
}

/// One span of a book.
#[derive(Debug)]
struct Pen {
    book: Book,
    number: usize,
}

impl Book {
    pub(super) fn begin(&self, name: &'static str, parent: Option<usize>) -> Span {
        let mut notes = self.0.lock().expect("no test panics inside");
        let number = notes.len();
        notes.push(Note {
            name,
            parent,
            attributes: BTreeMap::new(),
            is_failed: false,
            is_open: true,
        });
        let book = self.clone();
        Span::of(Arc::new(Pen { book, number }))
    }

    /// Continues the span whose number is in the context.
    pub(super) fn resume(&self, name: &'static str, context: &TraceContext) -> Span {
        let parent = context.traceparent.parse().expect("one of ours");
        self.begin(name, Some(parent))
    }

    /// The spans below a root of this name, indented and sorted, once all have ended.
    async fn tree(&self, root: &str) -> String {
        eventually("the end of all spans", || {
            let notes = self.0.lock().expect("no test panics inside");
            let is_over = notes.iter().all(|note| !note.is_open);
            let is_root = |note: &&Note| note.parent.is_none() && note.name == root;
            is_over.then(|| {
                let root = notes.iter().position(|note| is_root(&note)).expect("begun");
                let mut tree = String::new();
                draw(&notes, root, 0, &mut tree);
                tree
            })
        })
        .await
    }

    /// The first spans are those of elections, one of which this member has won.
    fn expect_elections(&self, count: usize, winner: Value) {
        let notes = self.0.lock().expect("no test panics inside");
        let elections = &notes[..count];
        assert!(elections.iter().all(|note| note.name == "election"));
        let won = |note: &Note| note.attributes.get("member") == Some(&winner);
        assert!(elections.iter().any(won));
    }

    fn with<T>(&self, number: usize, change: impl FnOnce(&mut Note) -> T) -> T {
        change(&mut self.0.lock().expect("no test panics inside")[number])
    }
}

fn draw(notes: &[Note], number: usize, depth: usize, tree: &mut String) {
    let note = &notes[number];
    let attributes: Vec<_> = note.attributes.keys().copied().collect();
    let failed = if note.is_failed { " failed" } else { "" };
    let indent = " ".repeat(2 * depth);
    let attributes = attributes.join(" ");
    let line = format!("{indent}{}: {attributes}{failed}", note.name);
    writeln!(tree, "{}", line.trim_end_matches(": ")).expect("to memory");
    let mut children: Vec<_> = (0..notes.len())
        .filter(|child| notes[*child].parent == Some(number))
        .collect();
    children.sort_by_key(|child| notes[*child].name);
    for child in children {
        draw(notes, child, depth + 1, tree);
    }
}

impl Recorder for Pen {
    fn child(&self, name: &'static str, _since: Option<Stopwatch>) -> Span {
        self.book.begin(name, Some(self.number))
    }

    fn set(&self, attribute: &'static str, value: Value) {
        self.book
            .with(self.number, |note| note.attributes.insert(attribute, value));
    }

    fn fail(&self) {
        self.book.with(self.number, |note| note.is_failed = true);
    }

    fn context(&self) -> TraceContext {
        TraceContext {
            traceparent: self.number.to_string(),
            tracestate: String::new(),
        }
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.book.with(self.number, |note| note.is_open = false);
    }
}

/// Puts a key through a member, as a call that is traced.
async fn traced_put(handle: &Handle, book: &Book, call: &'static str) {
    let handle = handle.clone().inside(book.begin(call, None));
    handle.propose(put("k", "v")).await.expect("acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_is_traced_from_the_proposal_to_the_reply() {
    let member = Disks::default().start();
    let book = Book::default();
    traced_put(member.handle(), &book, "call").await;
    let expected = "call\n  \
          propose: index request.bytes term\n    \
            append: synced\n    \
            apply: index\n    \
            reply: revision\n";
    assert_eq!(book.tree("call").await, expected);
    member.stop().await.expect("no fault");
}

/// The leader's part is inside the follower's.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_through_a_follower_is_traced_on_the_leader_too() {
    let cluster = Cluster::start(3, quick());
    let leader = cluster.leader(Term::NONE).await;
    let follower = cluster.others(leader)[0];
    let book = &cluster.refused.book;
    let before = {
        follower.propose(put("k", "v")).await.expect("acknowledged");
        book.tree("election").await;
        book.0.lock().expect("no test panics inside").len()
    };
    traced_put(leader, book, "by the leader").await;
    let expected = "by the leader\n  \
          propose: index request.bytes term\n    \
            append: synced\n    \
            apply: index\n    \
            replicate: member\n    \
            replicate: member\n    \
            reply: revision\n";
    assert_eq!(book.tree("by the leader").await, expected);
    traced_put(follower, book, "by a follower").await;
    let expected = "by a follower\n  \
          propose: request.bytes\n    \
            apply: index\n    \
            forward: member\n      \
              lead: index member term\n        \
                append: synced\n        \
                replicate: member\n        \
                replicate: member\n    \
            reply: revision\n";
    assert_eq!(book.tree("by a follower").await, expected);
    // The put that was not traced has none.
    let elected = Value::Member(id(leader));
    book.expect_elections(before, elected);
    cluster.stop().await;
}

/// A member that is away must not hold the spans for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_member_that_is_away_fails() {
    let cluster = Cluster::start(3, quick());
    let leader = cluster.leader(Term::NONE).await;
    let away = cluster.others(leader)[0];
    cluster.network.cut_off(id(away));
    let book = Book::default();
    traced_put(leader, &book, "call").await;
    let tree = book.tree("call").await;
    assert!(tree.contains("replicate: member\n"), "{tree}");
    assert!(tree.contains("replicate: member failed\n"), "{tree}");
    cluster.network.heal();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_traced_while_it_waits() {
    let cluster = Cluster::start(3, quick());
    let leader = cluster.leader(Term::NONE).await;
    let book = Book::default();
    let reading = leader.clone().inside(book.begin("call", None));
    reading.linearize().await.expect("there is a leader");
    drop(reading);
    assert_eq!(book.tree("call").await, "call\n  linearize\n");
    cluster.stop().await;
}
