//! A member whose owners take turns in the caller's thread, for a simulation.
//!
//! Each method is one turn of one owner, and none of them blocks. The caller decides who is next,
//! so the disk of a member is slow if its log writer gets no turn, and the member is paused if none
//! of its owners does. Calls on the member's handle are tasks of the tokio runtime in which its
//! owners were made.

use conclave_storage::Fault;
use conclave_storage::log::Log;

use crate::handle::Handle;
use crate::member::Owners;

/// The owners of one member, for a caller that gives out their turns.
pub struct Driven {
    owners: Owners,
}

impl Driven {
    /// Begins with the first turn of each owner.
    pub fn new(mut owners: Owners) -> Result<Driven, Fault> {
        owners.applier.begin();
        owners.driver.begin()?;
        Ok(Driven { owners })
    }

    /// All that a front may ask for.
    pub fn handle(&self) -> &Handle {
        self.owners.handle()
    }

    /// The driver takes in its mail, and ticks if it is time. False if it has stopped.
    pub fn drive(&mut self) -> Result<bool, Fault> {
        self.owners.driver.turn_now()
    }

    /// The log writer writes and syncs what is queued. False if there was nothing to do.
    pub fn write_log(&mut self) -> Result<bool, Fault> {
        self.owners.log_writer.turn_now()
    }

    /// The applier applies what is queued, or compacts. False if there was nothing to do.
    pub fn apply(&mut self) -> Result<bool, Fault> {
        self.owners.applier.turn_now()
    }

    /// The housekeeper flushes the state, if that is due. False if not.
    pub fn keep_house(&mut self) -> Result<bool, Fault> {
        self.owners.housekeeper.turn_now()
    }

    /// The watch hub runs the commands of the watchers, and delivers revisions to them. False if
    /// there was nothing to do.
    pub fn notify_watchers(&mut self) -> bool {
        self.owners.hub.turn_now()
    }

    /// The expiry proposes the end of leases that are due, or notes how that went. False if there
    /// was nothing to do.
    pub fn end_leases(&mut self) -> Result<bool, Fault> {
        self.owners.expiry.turn_now()
    }

    /// The raft log.
    pub fn log(&self) -> &Log {
        &self.owners.log_writer.log
    }

    /// Returns the fault or removal that ended the member, if it has ended.
    pub fn ended(&self) -> Option<crate::FatalError> {
        self.owners.fatal().reported()
    }
}

impl Drop for Driven {
    /// The member's process dies: nothing more happens in its name.
    fn drop(&mut self) {
        self.handle().stopping().cancel();
    }
}
