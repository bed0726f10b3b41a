//! The `REMOVED` file: written in the member's folder when a voter has confirmed that this member
//! was removed from its cluster.
//!
//! Without it the member would ask again at its next start. But the voters that it knows may have
//! been removed meanwhile, and then nobody is left who could confirm the removal.

use std::fs;
use std::io;
use std::path::Path;

use crate::fault::Fault;
use crate::files;
use crate::ids::{ClusterId, MemberId};

const FILE: &str = "REMOVED";

/// Records that this member was removed from this cluster.
///
/// # Errors
/// [`Fault::Engine`] when the file cannot be written.
pub fn record_removal(
    member_dir: &Path,
    cluster: ClusterId,
    member: MemberId,
) -> Result<(), Fault> {
    let file = member_dir.join(FILE);
    files::write_whole(&file, line(cluster, member).as_bytes())?;
    files::sync_parent(&file)
}

/// Returns true if the removal of this member from this cluster is recorded. A record about another
/// member or cluster, as in a copied folder, does not count.
///
/// # Errors
/// [`Fault::Engine`] when the file is there and cannot be read.
pub fn is_removal_recorded(
    member_dir: &Path,
    cluster: ClusterId,
    member: MemberId,
) -> Result<bool, Fault> {
    let file = member_dir.join(FILE);
    match fs::read(&file) {
        Ok(contents) => Ok(contents == line(cluster, member).as_bytes()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Fault::io("read", &file, &e)),
    }
}

/// Removes the record, for a member that becomes the only one of a new cluster.
///
/// # Errors
/// [`Fault::Engine`] when the file is there and cannot be removed.
pub fn forget_removal(member_dir: &Path) -> Result<(), Fault> {
    let file = member_dir.join(FILE);
    match fs::remove_file(&file) {
        Ok(()) => files::sync_parent(&file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Fault::io("remove", &file, &e)),
    }
}

fn line(cluster: ClusterId, member: MemberId) -> String {
    format!("member {member} was removed from cluster {cluster}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_recorded_for_one_member_of_one_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, member) = (ClusterId(0xc1), MemberId(0xa));
        let is_recorded = |cluster, member| is_removal_recorded(dir.path(), cluster, member);
        assert!(!is_recorded(cluster, member).unwrap());
        record_removal(dir.path(), cluster, member).unwrap();
        assert!(is_recorded(cluster, member).unwrap());
        assert!(!is_recorded(cluster, MemberId(0xb)).unwrap());
        assert!(!is_recorded(ClusterId(0xc2), member).unwrap());
        forget_removal(dir.path()).unwrap();
        assert!(!is_recorded(cluster, member).unwrap());
        forget_removal(dir.path()).unwrap();
    }
}
