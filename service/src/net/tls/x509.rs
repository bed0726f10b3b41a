//! Reads the two fields of a certificate that rustls does not expose: the subject's common name,
//! and the end of its validity.
//!
//! This is a DER reader that follows the one path it needs (RFC 5280, section 4.1). A full parser
//! would add a dozen crates, and `x509-parser` accepts fewer kinds of strings as a common name.
//! Little depends on the result: the name is compared after the chain has been verified, and the
//! date is only displayed.

use time::{Date, Month, OffsetDateTime};

/// Fields of a certificate; `None` for unreadable ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Common name of the subject: the last one, which is the most specific.
    pub(super) common_name: Option<String>,
    /// End of its validity.
    pub(super) ends: Option<OffsetDateTime>,
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

fn end(mut validity: Der<'_>) -> Option<OffsetDateTime> {
    let _begin = validity.next()?;
    let (tag, text) = validity.next()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            // RFC 5280, section 4.1.2.5.1.
            let year: i32 = text.get(..2)?.parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..)?,
            )
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, part(2)?).ok()?;
    let end = date.with_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(end.assume_utc())
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
            assert_eq!(facts.ends.map(OffsetDateTime::unix_timestamp), Some(ends));
        }
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
