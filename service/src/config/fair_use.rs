//! Limits on what one client may use.

use std::num::NonZeroU64;

use super::ConfigError;
use super::check::number;
use super::raw::FairUseFlags;
use crate::fair_use::{Limits, Settings};

pub(super) fn check_fair_use(flags: &FairUseFlags) -> Result<Settings, ConfigError> {
    let limit = |flag, text: &str| number(flag, text, 0..=u64::MAX).map(NonZeroU64::new);
    let requests = &flags.max_requests_per_second_per_user;
    let bytes = &flags.max_bytes_per_second_per_user;
    let per_user = Limits {
        requests_per_second: limit("max-requests-per-second-per-user", requests)?,
        bytes_per_second: limit("max-bytes-per-second-per-user", bytes)?,
        streams: limit("max-streams-per-user", &flags.max_streams_per_user)?,
        watches: limit("max-watches-per-user", &flags.max_watches_per_user)?,
    };
    let requests = &flags.max_requests_per_second_per_address;
    let bytes = &flags.max_bytes_per_second_per_address;
    let per_address = Limits {
        requests_per_second: limit("max-requests-per-second-per-address", requests)?,
        bytes_per_second: limit("max-bytes-per-second-per-address", bytes)?,
        streams: limit("max-streams-per-address", &flags.max_streams_per_address)?,
        watches: limit("max-watches-per-address", &flags.max_watches_per_address)?,
    };
    Ok(Settings {
        per_user,
        per_address,
    })
}
