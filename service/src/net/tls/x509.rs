//! Reads the two fields of a certificate that rustls does not expose: the subject's common name,
//! and the end of its validity.
//!
//! This is a DER reader that follows the one path it needs (RFC 5280, section 4.1). A full parser
//! would add a dozen crates. Little depends on the result: the name is compared after the chain has
//! been verified, and the date is only displayed.

/// Fields of a certificate; `None` for unreadable ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Common name of the subject: the last one, which is the most specific.
    pub(super) common_name: Option<String>,
    /// End of its validity, in seconds since 1970.
    pub(super) ends: Option<i64>,
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version of a certificate, which may be missing.
const VERSION: u8 = 0xa0;

/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Reads a certificate.
pub(super) fn facts(certificate: &[u8]) -> Facts {
    let Some((validity, subject)) = validity_and_subject(certificate) else {
        return Facts::default();
    };
    Facts {
        common_name: common_name(subject),
        ends: end(validity),
    }
}

fn validity_and_subject(certificate: &[u8]) -> Option<(Der<'_>, Der<'_>)> {
    let mut signed = Der(certificate).expect(SEQUENCE)?.expect(SEQUENCE)?;
    let first = signed.next()?;
    if first.0 == VERSION {
        signed.next().filter(|(tag, _)| *tag == INTEGER)?;
    }
    let _algorithm = signed.expect(SEQUENCE)?;
    let _issuer = signed.expect(SEQUENCE)?;
    Some((signed.expect(SEQUENCE)?, signed.expect(SEQUENCE)?))
}

fn common_name(mut subject: Der<'_>) -> Option<String> {
    let mut found = None;
    while let Some(mut names) = subject.expect(SET) {
        while let Some(mut name) = names.expect(SEQUENCE) {
            if name.expect(OBJECT_IDENTIFIER)?.0 == COMMON_NAME {
                let (_, text) = name.next()?;
                found = String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    found
}

fn end(mut validity: Der<'_>) -> Option<i64> {
    let _begin = validity.next()?;
    let (tag, text) = validity.next()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            // RFC 5280, section 4.1.2.5.1.
            let year: i64 = text.get(..2)?.parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..)?,
            )
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970 (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of seconds since 1970 (his `civil_from_days`).
pub(super) fn civil(seconds: i64) -> (i64, u8, u8) {
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let narrow = |n: i64| u8::try_from(n).unwrap_or(1);
    (year, narrow(month), narrow(day))
}

/// The part of a DER encoding that has not been read.
#[derive(Clone, Copy, Debug)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, length, rest @ ..] = self.0 else {
            return None;
        };
        let (length, rest) = match usize::from(*length) {
            short @ 0..=0x7f => (short, rest),
            // Lengths of up to four bytes; zero bytes would be BER.
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The content of the next element, if it has this tag.
    fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        let (found, content) = self.next()?;
        (found == tag).then_some(Der(content))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(common_name: &str, year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "o");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.not_after = date_time_ymd(year, 3, 1);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn the_name_and_the_end_are_found() {
        for (year, ends) in [
            (2024, 1_709_251_200),
            (2049, 2_498_169_600),
            // From 2050 on the time has another form.
            (2051, 2_561_241_600),
        ] {
            let facts = facts(&certificate("member-1", year));
            assert_eq!(facts.common_name.as_deref(), Some("member-1"));
            assert_eq!(facts.ends, Some(ends));
            assert_eq!(civil(ends), (i64::from(year), 3, 1));
        }
        assert_eq!(civil(951_782_400), (2000, 2, 29));
    }

    #[test]
    fn what_is_cut_or_changed_is_no_panic() {
        let whole = certificate("m", 2030);
        for at in 0..whole.len() {
            let _ = facts(&whole[..at]);
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            let _ = facts(&changed);
        }
    }
}
