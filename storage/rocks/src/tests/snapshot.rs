//! A snapshot of a state on RocksDB.

use std::path::Path;
use std::sync::Arc;

use conclave_proto::command::Member;
use conclave_storage::engine::Engine;
use conclave_storage::machine::{GENESIS, Genesis, Limits, Machine};
use conclave_storage::snapshot::take;
use conclave_storage::{ClusterId, Fault, Index, Term, layout};

use crate::{RocksEngine, RocksOptions};

fn open(dir: &Path) -> Result<Arc<dyn Engine>, Fault> {
    let options = RocksOptions::state(1 << 20);
    Ok(Arc::new(RocksEngine::open(
        dir,
        layout::STATE_SPACES,
        options,
    )?))
}

#[test]
fn a_copy_knows_where_it_is_and_replaces_another_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let genesis = Genesis {
        cluster_id: ClusterId(7),
        members: vec![Member {
            id: 1,
            ..Member::default()
        }],
    };
    let engine = open(&dir.path().join("source")).expect("opens");
    let (mut source, _) = Machine::open(Arc::clone(&engine), Limits::default()).expect("opens");
    source.bootstrap(&genesis).expect("begins");
    source
        .apply(Index(2), Term(1), &bytes::Bytes::new())
        .expect("applies");
    source.commit().expect("commits");
    let copy = dir.path().join("copy");
    let snapshot = take(&*engine, &copy, open).expect("copies");
    assert_eq!((snapshot.index, snapshot.term), (Index(2), Term(1)));
    assert_eq!(snapshot.members, genesis.members);
    assert!(snapshot.files.iter().any(|(name, _)| name == "CURRENT"));

    let other = open(&dir.path().join("other")).expect("opens");
    let (mut machine, reader) = Machine::open(other, Limits::default()).expect("opens");
    machine.bootstrap(&genesis).expect("begins");
    assert_eq!(reader.applied().index, GENESIS.0);
    machine
        .replace(open(&copy).expect("opens"))
        .expect("replaces");
    assert_eq!(reader.applied().index, Index(2));
}
