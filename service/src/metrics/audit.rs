//! Counts of the audit log.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// Lines of the audit log, by what became of them. Clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct AuditStats {
    /// Lines that were written.
    pub(crate) written: IntCounter,
    /// Lines lost because too many waited for the writer.
    pub(crate) queue_full: IntCounter,
    /// Lines lost because the output took none.
    pub(crate) not_written: IntCounter,
    lost: IntCounterVec,
}

impl AuditStats {
    /// Returns the counts, at zero.
    pub(crate) fn new() -> prometheus::Result<AuditStats> {
        let lost = Opts::new(
            "conclave_audit_lines_lost_total",
            "Lines of the audit log that were not written, by the reason.",
        );
        let lost = IntCounterVec::new(lost, &["reason"])?;
        Ok(AuditStats {
            written: IntCounter::new(
                "conclave_audit_lines_written_total",
                "Lines of the audit log that were written.",
            )?,
            queue_full: lost.with_label_values(&["queue_full"]),
            not_written: lost.with_label_values(&["write_failed"]),
            lost,
        })
    }

    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.written.clone()), Box::new(self.lost.clone())]
    }
}
