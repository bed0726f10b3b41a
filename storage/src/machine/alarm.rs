//! Alarms: a member is out of space, or its state differs from that of the others. While an alarm
//! is raised, the cluster refuses the writes that would make it worse.

use std::collections::BTreeSet;

use conclave_proto::errors::ApiError;
use conclave_proto::etcdserverpb::alarm_request::AlarmAction;
use conclave_proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType};

use crate::engine::{Batch, Direction, Read};
use crate::fault::Fault;
use crate::ids::MemberId;
use crate::layout;
use crate::mvcc::record::damaged;

/// The raised alarms, as pairs of type and member. There are at most a few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms(BTreeSet<(i32, MemberId)>);

impl Alarms {
    pub(crate) fn read(read: &dyn Read) -> Result<Alarms, Fault> {
        let mut scan = read.scan(layout::ALARM, &[], None, Direction::Forward)?;
        let mut alarms = BTreeSet::new();
        while let Some((row, _)) = scan.next()? {
            let alarm = layout::split_alarm_key(row);
            alarms.insert(alarm.ok_or_else(|| damaged(format!("alarm: a row {row:02x?}")))?);
        }
        Ok(Alarms(alarms))
    }

    pub(crate) fn list(&self) -> Vec<AlarmMember> {
        self.0
            .iter()
            .map(|&(alarm, member)| AlarmMember {
                member_id: member.0,
                alarm,
            })
            .collect()
    }

    /// Executes a request. Returns the alarms that it selected, and true if it changed any.
    pub(crate) fn handle(
        &mut self,
        request: &AlarmRequest,
        batch: &mut Batch,
    ) -> (Vec<AlarmMember>, bool) {
        let (alarm, member) = (request.alarm, MemberId(request.member_id));
        let row = layout::alarm_key(alarm, member);
        let changed = match request.action() {
            AlarmAction::Get => {
                let any = request.alarm() == AlarmType::None;
                let wanted = |of: &AlarmMember| any || of.alarm == alarm;
                return (self.list().into_iter().filter(wanted).collect(), false);
            }
            AlarmAction::Activate if request.alarm() == AlarmType::None => {
                return (Vec::new(), false);
            }
            AlarmAction::Activate => {
                batch.put(layout::ALARM, row, Vec::new());
                self.0.insert((alarm, member))
            }
            AlarmAction::Deactivate if !self.0.remove(&(alarm, member)) => {
                return (Vec::new(), false);
            }
            AlarmAction::Deactivate => {
                batch.delete(layout::ALARM, row);
                true
            }
        };
        let selected = AlarmMember {
            member_id: member.0,
            alarm,
        };
        (vec![selected], changed)
    }

    /// Refuses commands that take space, and everything that [`Alarms::check_write`] refuses.
    pub(crate) fn check_growth(&self) -> Result<(), ApiError> {
        self.check_write()?;
        if self.raised(AlarmType::Nospace) {
            Err(ApiError::NoSpace)
        } else {
            Ok(())
        }
    }

    /// Refuses writes while the states of members may differ.
    pub(crate) fn check_write(&self) -> Result<(), ApiError> {
        if self.raised(AlarmType::Corrupt) {
            Err(ApiError::Corrupt)
        } else {
            Ok(())
        }
    }

    fn raised(&self, alarm: AlarmType) -> bool {
        self.0.iter().any(|&(raised, _)| raised == alarm as i32)
    }
}
