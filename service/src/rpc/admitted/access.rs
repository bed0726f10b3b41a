//! What an admitted request may do.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::command::Member;
use conclave_proto::etcdserverpb::{AlarmMember, ResponseHeader};
use conclave_storage::auth::permits::Permits;
use conclave_storage::auth::{Auth, AuthMark};
use conclave_storage::reader::{ReadError, Reader, Sizes};
use conclave_storage::{KeyRange, LeaseId, MemberId, Revision};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use conclave_core::clock::{Clock, Moment};
use conclave_core::command::LogCommand;
use conclave_core::handle::{self, Handle, ProposeError, Refused, Rejected, Remaining};
use conclave_core::leader_queries;
use conclave_core::long_reads::pieces::{Pieces, Sending, Sent};
use conclave_core::long_reads::{BuildTurn, Room, Unread};
use conclave_core::trace::Span;
use conclave_core::watch::{Subscription, WatchError};

use super::{Entrance, Guard};
use crate::audit::Note;
use crate::method::{Method, Permission};
use crate::metrics::Stats;
use crate::reconfiguration::{self, Changed};
use crate::rpc::audited::{AuditedCommand, Replied};
use crate::rpc::authenticator::Authenticator;
use crate::rpc::credential::Identified;
use crate::rpc::status;
use crate::rpc::stream::Ended;

/// Times that a command is proposed whose permission changed on its way.
const PROPOSALS_MAX: usize = 4;

/// The member, in the name of the caller of an admitted request. Cheap to clone, for what outlives
/// the call's own future.
#[derive(Clone)]
pub(in crate::rpc) struct Access {
    /// Proposes in the caller's name.
    pub(super) handle: Handle,
    pub(super) entrance: Arc<Entrance>,
    /// The mark under which the request was judged.
    pub(super) mark: AuthMark,
    pub(super) permission: Permission,
    /// What it takes to judge the request again. `None` if authentication was disabled.
    pub(super) guard: Option<Arc<Guard>>,
    /// The call's record for the audit log; `None` without an audit log.
    pub(super) note: Option<Arc<Note>>,
}

impl Access {
    /// Proposes a command and waits for its outcome. If users or roles have changed meanwhile,
    /// judges the request again, and then proposes the command again.
    pub(in crate::rpc) async fn propose<C: AuditedCommand + Clone>(
        &self,
        command: C,
    ) -> Result<C::Reply, Status> {
        let proposed = self.propose_again(command).await;
        self.note_reply(proposed.as_ref().ok());
        proposed
    }

    async fn propose_again<C: LogCommand + Clone>(&self, command: C) -> Result<C::Reply, Status> {
        let Some(guard) = &self.guard else {
            let proposed = self.noted(self.handle.propose(command)).await;
            return proposed.map_err(status::of_proposal);
        };
        let old = ProposeError::Rejected(Rejected(ApiError::AuthOldRevision));
        let mut handle = self.handle.clone();
        for _ in 1..PROPOSALS_MAX {
            match self.noted(handle.propose(command.clone())).await {
                Err(error) if error == old => handle = self.renewed(guard)?,
                proposed => return proposed.map_err(status::of_proposal),
            }
        }
        let proposed = self.noted(handle.propose(command)).await;
        proposed.map_err(status::of_proposal)
    }

    /// Waits for the outcome of a proposal. A call that ends before it, or that does not learn it,
    /// is recorded as one that may have been done.
    async fn noted<T>(
        &self,
        proposal: impl Future<Output = Result<T, ProposeError>>,
    ) -> Result<T, ProposeError> {
        let Some(note) = &self.note else {
            return proposal.await;
        };
        note.add(|facts| facts.is_proposed = true);
        let outcome = proposal.await;
        if !matches!(outcome, Err(ProposeError::Unknown(_))) {
            note.add(|facts| facts.is_proposed = false);
        }
        outcome
    }

    /// Proposes a command once, whatever its outcome.
    pub(in crate::rpc) async fn propose_once<C: AuditedCommand>(
        &self,
        command: C,
    ) -> Result<C::Reply, ProposeError> {
        let proposed = self.noted(self.handle.propose(command)).await;
        self.note_reply(proposed.as_ref().ok());
        proposed
    }

    fn note_reply(&self, reply: Option<&impl Replied>) {
        if let (Some(note), Some(reply)) = (&self.note, reply) {
            note.add(|facts| reply.add_to(facts));
        }
    }

    /// Judges the request again, and returns a handle in the name of the caller as it is now. The
    /// rejection was applied here, so the change that caused it is known here.
    fn renewed(&self, guard: &Guard) -> Result<Handle, Status> {
        let Entrance {
            handle,
            authenticator,
            ..
        } = &*self.entrance;
        let identified = guard.credential.as_ref().map(|credential| {
            // A token of before a change of password is void.
            credential.identify(handle, authenticator)
        });
        let caller = identified.transpose().map_err(status::of_api)?;
        let has_revision = |caller: &Identified| caller.auth_revision.is_some();
        if caller.as_ref().is_none_or(has_revision) {
            return Err(status::of_api(ApiError::AuthOldRevision));
        }
        let auth = handle.reader().auth();
        guard.judge(&auth).map_err(status::of_api)?;
        let handle = handle.in_the_name_of(guard.caller_at(&auth));
        Ok(handle.inside(self.span().clone()))
    }

    /// Returns the call's span.
    pub(in crate::rpc) fn span(&self) -> &Span {
        self.handle.span()
    }

    /// Waits until the local state is as new as this call, and judges the request by it.
    pub(in crate::rpc) async fn linearize(&self) -> Result<(), Refused> {
        self.handle.linearize().await?;
        self.confirm().map_err(Refused)
    }

    /// Judges the request again if users or roles have changed since it was admitted. What was read
    /// before may be returned after this.
    pub(in crate::rpc) fn confirm(&self) -> Result<(), ApiError> {
        let mark = self.entrance.mark();
        if mark == self.mark || !mark.is_enabled() {
            return Ok(());
        }
        match &self.guard {
            // Such as a login.
            None if self.permission == Permission::Nothing => Ok(()),
            None => Err(ApiError::UserEmpty),
            Some(guard) => guard.judge(&self.handle.reader().auth()),
        }
    }

    /// Judges keys that were looked up for the request, such as those of a lease.
    pub(in crate::rpc) fn judge_keys(
        &self,
        judge: impl FnOnce(Permits<'_>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        if !self.entrance.mark().is_enabled() {
            return Ok(());
        }
        let guard = self.guard.as_ref().ok_or(ApiError::UserEmpty)?;
        let auth = self.handle.reader().auth();
        judge(guard.asker(&auth).permits()?)
    }

    /// Returns true if the keys of leases need no judgement.
    fn may_do_everything(&self) -> bool {
        let judged = self.judge_keys(|permits| match permits.is_everything() {
            true => Ok(()),
            false => Err(ApiError::PermissionDenied),
        });
        judged.is_ok()
    }

    /// Adds to a read that its result may be returned.
    fn confirmed<T, F>(&self, look: F) -> impl Fn(&Reader) -> Result<T, ReadError> + use<T, F>
    where
        F: Fn(&Reader) -> Result<T, ReadError>,
    {
        let access = self.clone();
        move |reader| {
            let found = look(reader)?;
            access.confirm()?;
            Ok(found)
        }
    }

    /// Reads the local state in the call's own task. The read must be short.
    pub(in crate::rpc) fn look<T>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let found = look(self.handle.reader())?;
        self.confirm()?;
        Ok(found)
    }

    /// Reads the local state for as long as it takes, on threads that may block. The result must be
    /// small.
    pub(in crate::rpc) async fn read<T: Send + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + Sync + 'static,
    ) -> Result<T, Status> {
        let read = self.handle.reads().read(self.confirmed(look)).await;
        read.map_err(status::of_unread)
    }

    /// Tries a read in the call's own task, within the budget of a brief read. Returns `None` if it
    /// exceeds it.
    pub(in crate::rpc) fn brief<T>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        self.handle.reads().brief(self.confirmed(look))
    }

    /// Tries a read within the budget of a quick read. Returns `None` if it exceeds it.
    pub(in crate::rpc) async fn quick<T: Send + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Option<T>, Unread> {
        self.handle.reads().quick(self.confirmed(look)).await
    }

    /// Runs a read of any length, with a small result.
    pub(in crate::rpc) async fn long<T: Send + 'static>(
        &self,
        look: impl Fn(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Unread> {
        self.handle.reads().long(self.confirmed(look)).await
    }

    /// Waits for the permit to build a whole reply.
    pub(in crate::rpc) async fn build_turn(&self) -> BuildTurn {
        self.handle.reads().build_turn().await
    }

    /// Sends a reply in pieces that was built whole. `encode` does not read.
    pub(in crate::rpc) async fn whole(
        &self,
        turn: BuildTurn,
        encode: impl FnOnce() -> Vec<u8> + Send + 'static,
    ) -> Result<Pieces, Unread> {
        let reads = self.handle.reads();
        reads.whole(turn, move |_| Ok(encode())).await
    }

    /// Takes room for a reply until it is sent, if there is some.
    pub(in crate::rpc) fn room(&self, size_bytes: usize) -> Option<Room> {
        self.handle.reads().room(size_bytes)
    }

    /// Like [`Access::room`] for a piece of a stream.
    pub(in crate::rpc) fn room_in_stream(&self, size_bytes: usize) -> Option<Room> {
        self.handle.reads().room_in_stream(size_bytes)
    }

    /// Waits for room for a piece of a stream.
    pub(in crate::rpc) async fn wait_for_room_in_stream(&self, size_bytes: usize) -> Room {
        let reads = self.handle.reads();
        reads.wait_for_room_in_stream(size_bytes).await
    }

    /// Sends a reply as it is read, in pieces unless it is short. `work` must call
    /// [`Access::confirm`] after the state is frozen and before it sends anything.
    pub(in crate::rpc) async fn pieces<W>(&self, work: W) -> Result<Sent, Unread>
    where
        W: Fn(&Reader, &mut Sending) -> Result<(), ReadError> + Clone + Send + 'static,
    {
        self.handle.reads().pieces(work).await
    }

    /// Subscribes to the changes of keys that the request was judged by. What is passed on to the
    /// client must be confirmed.
    pub(in crate::rpc) async fn subscribe(
        &self,
        range: KeyRange,
        from: Revision,
    ) -> Result<Subscription, WatchError> {
        self.handle.watches().subscribe(range, from).await
    }

    /// Renews a lease, wherever the leader is, if its keys may be written. `None` if there is no
    /// such lease.
    pub(in crate::rpc) async fn keep_alive(&self, id: LeaseId) -> Result<Option<i64>, Status> {
        if !self.may_do_everything() {
            let keys = self.read(move |reader| reader.lease_keys(id)).await?;
            let judged = self.judge_keys(|permits| permits.write_all(keys));
            judged.map_err(status::of_api)?;
        }
        let renewed = leader_queries::keep_alive(&self.handle, id).await;
        renewed.map_err(status::of_lease)
    }

    /// Returns the time a lease has left, wherever the leader is. `None` if there is no such lease.
    pub(in crate::rpc) async fn time_to_live(
        &self,
        id: LeaseId,
    ) -> Result<Option<Remaining>, Status> {
        let left = leader_queries::time_to_live(&self.handle, id).await;
        left.map_err(status::of_lease)
    }

    /// Returns the keys of a lease, if they all may be read.
    pub(in crate::rpc) fn lease_keys(
        &self,
        reader: &Reader,
        id: LeaseId,
    ) -> Result<Vec<Bytes>, ReadError> {
        let keys = reader.lease_keys(id)?;
        self.judge_keys(|permits| permits.read_all(keys.clone()))?;
        Ok(keys)
    }

    /// Checks that the keys of all leases may be read.
    pub(in crate::rpc) fn judge_all_leases(&self, reader: &Reader) -> Result<(), ReadError> {
        if !self.may_do_everything() {
            let keys = reader.attached_keys()?;
            self.judge_keys(|permits| permits.read_all(keys))?;
        }
        Ok(())
    }

    /// Returns users, roles and permissions.
    pub(in crate::rpc) fn auth(&self) -> Arc<Auth> {
        self.handle.reader().auth()
    }

    /// Returns the part of the server that checks passwords and makes tokens.
    pub(in crate::rpc) fn authenticator(&self) -> &Authenticator {
        &self.entrance.authenticator
    }

    /// Returns the clock, for bounds on logins and the times of tokens.
    pub(in crate::rpc) fn clock(&self) -> &dyn Clock {
        &**self.handle.clock()
    }

    /// Returns the members, by id.
    pub(in crate::rpc) fn members(&self) -> Vec<Member> {
        self.handle.reader().members()
    }

    /// Returns the raised alarms.
    pub(in crate::rpc) fn alarms(&self) -> Vec<AlarmMember> {
        self.handle.reader().alarms()
    }

    /// Returns the size of the state.
    pub(in crate::rpc) fn sizes(&self) -> Sizes {
        self.handle.reader().sizes()
    }

    /// Returns the time at which a lease ends, if this member knows it.
    pub(in crate::rpc) fn lease_ends_at(&self, id: LeaseId) -> Option<Moment> {
        self.handle.leases().ends_at(id)
    }

    /// Adds a member; returns it, and all members.
    pub(in crate::rpc) async fn add_member(
        &self,
        peer_urls: &[String],
        is_learner: bool,
    ) -> Result<(Member, Vec<Member>), ProposeError> {
        self.noted(reconfiguration::add(&self.handle, peer_urls, is_learner))
            .await
    }

    /// Makes a learner a voter.
    pub(in crate::rpc) async fn promote_member(&self, id: MemberId) -> Changed {
        self.noted(reconfiguration::promote(&self.handle, id)).await
    }

    /// Removes a member.
    pub(in crate::rpc) async fn remove_member(&self, id: MemberId) -> Changed {
        self.noted(reconfiguration::remove(&self.handle, id)).await
    }

    /// Changes the URLs of a member.
    pub(in crate::rpc) async fn update_member(
        &self,
        id: MemberId,
        peer_urls: &[String],
    ) -> Changed {
        self.noted(reconfiguration::update(&self.handle, id, peer_urls))
            .await
    }

    /// Transfers leadership to this voter.
    pub(in crate::rpc) async fn transfer_leadership(&self, to: MemberId) -> Result<(), ApiError> {
        self.handle.transfer_leadership(Some(to)).await
    }

    /// Reclaims the space of deleted keys.
    pub(in crate::rpc) async fn reclaim(&self) -> Result<(), Status> {
        self.handle.reclaim().await.map_err(status::of_fault)
    }

    /// Waits until the physical part of a compaction is done.
    pub(in crate::rpc) async fn wait_compaction(&self, revision: Revision) -> Result<(), Refused> {
        self.handle.wait_compaction(revision).await
    }

    /// Returns the member's current status.
    pub(in crate::rpc) fn status(&self) -> handle::Status {
        self.handle.status()
    }

    /// Returns the limits that a request is checked against before it is proposed.
    pub(in crate::rpc) fn settings(&self) -> &handle::Settings {
        self.handle.settings()
    }

    /// Returns the token that is cancelled when the server begins to stop.
    pub(in crate::rpc) fn stopping(&self) -> &CancellationToken {
        self.handle.stopping()
    }

    /// Returns the counters of what calls ask for.
    pub(in crate::rpc) fn stats(&self) -> &Stats {
        &self.entrance.stats
    }

    /// Builds a header with this revision.
    pub(in crate::rpc) fn header(&self, revision: Revision) -> ResponseHeader {
        if let Some(note) = &self.note {
            note.add(|facts| facts.revision = revision.0);
        }
        self.handle.header(revision)
    }

    /// Builds a header with the revision applied last.
    pub(in crate::rpc) fn header_now(&self) -> Option<ResponseHeader> {
        Some(self.header(self.handle.reader().applied().revision))
    }

    /// Completes a header to which the state machine or a read gave its revision.
    pub(in crate::rpc) fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.header(Revision(revision)));
    }

    /// Makes `items` the response stream of a call.
    pub(in crate::rpc) fn stream<S>(
        &self,
        method: Method,
        metadata: &MetadataMap,
        items: S,
    ) -> Response<Ended<S>> {
        self.entrance.stream(method, metadata, items)
    }
}
