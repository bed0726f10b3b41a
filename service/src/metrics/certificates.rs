//! Gauges of the certificates, read at each scrape. They show unusable files also while nobody
//! connects, since the files are checked at all times.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts};

use crate::net::tls::{Condition, Tls};
use conclave_core::clock::{Clock as _, SystemClock};

const MS_PER_DAY: f64 = 86_400_000.0;

/// The gauges of all sets of certificates.
pub(super) struct Certificates {
    sets: Vec<Arc<Tls>>,
    days: GaugeVec,
    failed: IntGaugeVec,
}

impl Certificates {
    pub(super) fn new(sets: Vec<Arc<Tls>>) -> prometheus::Result<Certificates> {
        Ok(Certificates {
            sets,
            days: GaugeVec::new(
                Opts::new(
                    "conclave_tls_certificate_expiry_days",
                    "Days until the first certificate in the file of this flag expires.",
                ),
                &["flag"],
            )?,
            failed: IntGaugeVec::new(
                Opts::new(
                    "conclave_tls_reload_failed",
                    "Whether certificates have changed and cannot be used, so that the former \
                     ones stay: 1 is yes.",
                ),
                &["connections"],
            )?,
        })
    }

    fn read(&self, condition: &Condition, now_ms: i64) {
        for &(flag, end) in &condition.ends {
            let left_ms = end.saturating_mul(1_000).saturating_sub(now_ms);
            let days = self.days.with_label_values(&[flag]);
            days.set(left_ms as f64 / MS_PER_DAY);
        }
        let failed = self.failed.with_label_values(&[condition.users]);
        failed.set(i64::from(condition.has_failed));
    }
}

impl Collector for Certificates {
    fn desc(&self) -> Vec<&Desc> {
        [self.days.desc(), self.failed.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now_ms = SystemClock::new().wall_ms();
        for tls in &self.sets {
            self.read(&tls.condition(), now_ms);
        }
        [self.days.collect(), self.failed.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_down_below_zero() {
        let gauges = Certificates::new(Vec::new()).expect("valid names");
        let condition = Condition {
            users: "clients",
            ends: vec![("cert-file", 864_000), ("trusted-ca-file", 0)],
            has_failed: true,
        };
        gauges.read(&condition, 129_600_000);
        let days = |flag| gauges.days.with_label_values(&[flag]).get();
        assert_eq!((days("cert-file"), days("trusted-ca-file")), (8.5, -1.5));
        assert_eq!(gauges.failed.with_label_values(&["clients"]).get(), 1);
    }
}
