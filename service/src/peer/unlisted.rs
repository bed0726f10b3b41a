//! Links to members that contact this one although its membership does not list them.
//!
//! A member that was down while others were added comes back with an outdated membership. The
//! present leader may not be in it, but must still get answers: a leader sends no entries, and no
//! snapshot, to a member that acknowledges nothing. Likewise, two members that were down at
//! different times could not elect a leader whose majority needs both. So the Hello of a stream
//! contains its sender's URLs, and this member makes a link to the sender, like the link to a
//! listed member.
//!
//! For example: 1 of {1, 2, 3} is down while 4 is added and becomes leader. 4 lists 1 and opens a
//! stream to it. 1 does not list 4, learns its URLs from the Hello, and dials them. Raft's answers
//! to 4 use that link, 1 catches up, and applies the entry that added 4: from then on 4 is a listed
//! member.
//!
//! This is safe because raft judges a message by its term and by the log, and never by the
//! receiver's configuration: a member grants its vote to a candidate that is not in its
//! configuration, and follows such a leader. (It does not *count* the votes and acknowledgements of
//! members that are not in it.) Messages from unlisted members were accepted before links to them
//! existed; the links only add the answers.
//!
//! # Invariants
//!
//! * A link to an unlisted member lives no longer than the stream whose Hello created it. When the
//!   membership lists the member, the link becomes an ordinary one with the membership's URLs; when
//!   the membership says that the member was removed, the link ends.
//! * There are at most [`UNLISTED_MAX`] of these links, and nothing about them is written to disk.
//! * URLs are limited and checked like those of `member add`. With peer TLS, only `https://` URLs
//!   are dialled, so the sender of a Hello cannot make this member leave TLS.
//! * The other end of the link identifies itself and is checked like any other ([`super::hello`]),
//!   and a member without data asks it the same question as all others ([`super::link`]).
//!
//! A *listed* member may have moved while this one was down. Its URLs in the membership are dialled
//! first, and then those it announces.

use std::sync::Arc;

use conclave_proto::command::Member;
use conclave_proto::peer::Hello;
use conclave_storage::{ClusterId, MemberId};

use super::network::Members;
use super::{Network, introduce};
use crate::config::MemberUrl;
use conclave_core::fatal::FatalError;
use conclave_core::limits;

/// Limit of links to unlisted members. A cluster of seven, each replaced while this member was
/// down, needs that many; without TLS, strangers can invent any number.
pub(super) const UNLISTED_MAX: usize = 16;

/// The URLs of a Hello that this member may dial.
fn usable(urls: &[String], with_tls: bool) -> Vec<MemberUrl> {
    let bytes: usize = urls.iter().map(String::len).sum();
    if urls.len() > limits::PEER_URLS_MAX || bytes > limits::PEER_URLS_BYTES_MAX {
        return Vec::new();
    }
    let parsed = urls.iter().filter_map(|text| MemberUrl::parse(text).ok());
    let is_usable = |url: &MemberUrl| {
        let may_be_dialled = url.check_dialled_by_members().is_ok();
        may_be_dialled && (url.is_tls() || !with_tls)
    };
    parsed.filter(is_usable).collect()
}

impl Network {
    /// Records the URLs of a member that has opened a stream.
    pub(super) fn learn_urls(&self, hello: &Hello, stream: u64) {
        let (common, id) = (&self.common, MemberId(hello.member_id));
        let urls = usable(&hello.peer_urls, common.settings.tls.is_some());
        let urls: Vec<String> = urls.iter().map(MemberUrl::to_string).collect();
        let is_answered = {
            let mut guard = self.members.lock();
            let inside = &mut *guard;
            let newest = inside.unlisted.get(&id).copied();
            if inside.removed.contains(&id) || newest.is_some_and(|newest| newest > stream) {
                return;
            }
            match inside.links.get(&id) {
                Some(link) if newest.is_none() => return link.set_announced(urls),
                _ => self.answer_unlisted(inside, id, &urls, stream),
            }
        };
        let member = id.to_string();
        let what = format!("{member} {is_answered}");
        if !self.unlisted.is_new(&what, common.clock.now()) {
            return;
        }
        match is_answered {
            true => tracing::info!(
                member,
                peer_urls = urls.join(","),
                "a member of the cluster that this one does not know yet is answered where it says \
                 it is reached"
            ),
            false => tracing::warn!(
                member,
                peer_urls = urls.join(","),
                "a member of the cluster that this one does not know yet cannot be answered: it \
                 gives no peer URL that this one may dial, or too many others do"
            ),
        }
    }

    /// Ensures that there is a link to an unlisted member. Returns false if there can be none.
    fn answer_unlisted(
        &self,
        inside: &mut Members,
        id: MemberId,
        urls: &[String],
        stream: u64,
    ) -> bool {
        if let Some(link) = inside.links.get(&id) {
            if urls.is_empty() || link.urls() == urls {
                inside.unlisted.insert(id, stream);
                return true;
            }
            link.end();
        } else if urls.is_empty() || !self.make_room(inside) {
            return false;
        }
        inside.unlisted.insert(id, stream);
        self.begin_link(inside, id, urls, None);
        true
    }

    /// Returns true if there is space for one more link, after removing an unconnected one if
    /// necessary.
    fn make_room(&self, inside: &mut Members) -> bool {
        if inside.unlisted.len() < UNLISTED_MAX {
            return true;
        }
        let is_idle = |id: &MemberId| match inside.links.get(id) {
            Some(link) => link.connected_since().is_none(),
            None => true,
        };
        let idle = inside.unlisted.iter().filter(|(id, _)| is_idle(id));
        let oldest = idle.min_by_key(|(_, stream)| **stream).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.drop_unlisted(inside, id);
        }
        oldest.is_some()
    }

    /// Discards the URLs and the link that were learned from a stream, at its end.
    pub(super) fn forget_urls(&self, id: MemberId, stream: u64) {
        let mut inside = self.members.lock();
        if inside.unlisted.get(&id) == Some(&stream) {
            self.drop_unlisted(&mut inside, id);
        }
    }

    /// Handles a member of this cluster that means another member and has reached this one. This
    /// member may have been removed, added again under another id, and started on its old data. If
    /// none of the members it lists is left, only the caller can report the removal.
    pub(super) fn ask_whether_removed(self: &Arc<Self>, hello: &Hello) {
        let (common, caller) = (&self.common, MemberId(hello.member_id));
        let settings = &common.settings;
        let means_another = ClusterId(hello.cluster_id) == settings.cluster_id
            && MemberId(hello.to_member_id) != settings.member_id
            && caller != settings.member_id;
        // A member with a link gets to know this when it is dialled.
        if !means_another || self.link(caller).is_some() {
            return;
        }
        let urls = usable(&hello.peer_urls, settings.tls.is_some());
        let asked = format!("asked {caller}");
        if urls.is_empty() || !self.unlisted.is_new(&asked, common.clock.now()) {
            return;
        }
        let network = Arc::clone(self);
        common.spawn(async move {
            let common = &network.common;
            let (cluster_id, own) = (common.settings.cluster_id, common.settings.member_id);
            let settings = &common.settings;
            let (tls, patience) = (settings.tls.clone(), settings.patience());
            let answer = tokio::select! {
                answer = introduce(&urls, tls, settings.local_address, patience) => answer,
                () = common.stopping.cancelled() => return,
            };
            // Only a voter may report the removal; see [`Network::refusal`].
            let is_voter = |member: &Member| MemberId(member.id) == caller && !member.is_learner;
            match answer {
                Ok(theirs)
                    if ClusterId(theirs.cluster_id) == cluster_id
                        && theirs.removed.contains(&own.0)
                        && theirs.members.iter().any(is_voter) =>
                {
                    common.fatal.report(FatalError::Removed);
                }
                Ok(_) => {}
                Err(_) => network.unlisted.forget(&asked),
            }
        });
    }

    fn drop_unlisted(&self, inside: &mut Members, id: MemberId) {
        inside.unlisted.remove(&id);
        inside.stats.remove(&id);
        if let Some(link) = inside.links.remove(&id) {
            link.end();
        }
        self.common.stats.forget(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_a_hello_are_bounded_and_checked() {
        let checked = |texts: &[&str], with_tls: bool| -> Vec<String> {
            let urls: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            let usable = usable(&urls, with_tls);
            usable.iter().map(MemberUrl::to_string).collect()
        };
        let all = [
            "http://a:1",
            "https://a:2",
            "unix:///a",
            "no URL",
            "http://",
        ];
        assert_eq!(checked(&all, false), ["http://a:1", "https://a:2"]);
        assert_eq!(checked(&all, true), ["https://a:2"]);
        let many = vec!["http://a:1"; limits::PEER_URLS_MAX + 1];
        assert!(checked(&many, false).is_empty());
        let long = format!("http://{}:1", "a".repeat(limits::PEER_URLS_BYTES_MAX));
        assert!(checked(&[&long], false).is_empty());
    }
}
