//! Reads the fields of a certificate that rustls does not expose: the subject's common name, its
//! validity, and whether it is a CA's; and what is signed in a list of revoked certificates.
//!
//! This is a DER reader that follows the one path it needs (RFC 5280, section 4.1). A full parser
//! would add a dozen crates, and `x509-parser` accepts fewer kinds of strings as a common name.
//! Nothing that a stranger sends depends on it alone: the name is compared after the chain has been
//! verified, and the other fields are used of the operator's own files.

use time::{Date, Month, OffsetDateTime};

/// Fields of a certificate; `None` for unreadable ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Common name of the subject: the last one, which is the most specific.
    pub(super) common_name: Option<String>,
    /// Begin of its validity.
    pub(super) begins: Option<OffsetDateTime>,
    /// End of its validity.
    pub(super) ends: Option<OffsetDateTime>,
    /// Whether it may sign others, and how many CAs may be between it and the certificate of an
    /// end; `None` for no limit.
    pub(super) is_ca: bool,
    pub(super) path_len: Option<usize>,
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version of a certificate, which may be missing.
const VERSION: u8 = 0xa0;
/// The extensions, which are the last field.
const EXTENSIONS: u8 = 0xa3;

/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Reads a certificate.
pub(super) fn facts(certificate: &[u8]) -> Facts {
    read(certificate).unwrap_or_default()
}

fn read(certificate: &[u8]) -> Option<Facts> {
    let mut signed = Der(certificate).expect(SEQUENCE)?.expect(SEQUENCE)?;
    let first = signed.next()?;
    let has_version = first.0 == VERSION;
    if has_version {
        signed.next().filter(|(tag, _)| *tag == INTEGER)?;
    }
    let _algorithm = signed.expect(SEQUENCE)?;
    let _issuer = signed.expect(SEQUENCE)?;
    let mut validity = signed.expect(SEQUENCE)?;
    let subject = signed.expect(SEQUENCE)?;
    // Version 1 is not written, and has no extensions: an old CA's certificate can have it.
    let (is_ca, path_len) = match has_version {
        true => basic_constraints(signed).unwrap_or_default(),
        false => (true, None),
    };
    Some(Facts {
        common_name: common_name(subject),
        begins: time(&mut validity),
        ends: time(&mut validity),
        is_ca,
        path_len,
    })
}

/// Reads what follows the subject.
fn basic_constraints(mut rest: Der<'_>) -> Option<(bool, Option<usize>)> {
    let mut extensions = loop {
        let (tag, content) = rest.next()?;
        if tag == EXTENSIONS {
            break Der(content).expect(SEQUENCE)?;
        }
    };
    while let Some(mut extension) = extensions.expect(SEQUENCE) {
        if extension.expect(OBJECT_IDENTIFIER)?.0 != BASIC_CONSTRAINTS {
            continue;
        }
        let (mut tag, mut content) = extension.next()?;
        if tag == BOOLEAN {
            // Whether the extension is critical.
            (tag, content) = extension.next()?;
        }
        let mut constraints = Der(content)
            .expect(SEQUENCE)
            .filter(|_| tag == OCTET_STRING)?;
        let is_ca = constraints
            .expect(BOOLEAN)
            .is_some_and(|value| value.0 != [0]);
        let path_len = constraints.expect(INTEGER);
        // A length that does not fit into a byte is longer than any chain.
        let path_len = path_len.and_then(|length| match length.0 {
            [length] => Some(usize::from(*length)),
            _ => None,
        });
        return Some((is_ca, path_len));
    }
    None
}

/// The signed part of a list of revoked certificates, and its signature.
pub(super) struct Signed<'a> {
    pub(super) message: &'a [u8],
    /// The content of the algorithm's identifier.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// Reads the parts of a list of revoked certificates (RFC 5280, section 5.1).
pub(super) fn signed(list: &[u8]) -> Option<Signed<'_>> {
    let mut parts = Der(list).expect(SEQUENCE)?;
    let all = parts.0;
    parts.expect(SEQUENCE)?;
    let message = &all[..all.len() - parts.0.len()];
    let algorithm = parts.expect(SEQUENCE)?.0;
    // A string of bits begins with the number of bits of its last byte that do not count.
    let signature = parts.expect(BIT_STRING)?.0.strip_prefix(&[0])?;
    Some(Signed {
        message,
        algorithm,
        signature,
    })
}

/// Returns the common name in the content of a subject or issuer.
pub(super) fn name_in(content: &[u8]) -> Option<String> {
    common_name(Der(content))
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

fn time(validity: &mut Der<'_>) -> Option<OffsetDateTime> {
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
    let time = date.with_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(time.assume_utc())
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
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(common_name: &str, year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "o");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.not_before = date_time_ymd(2020, 1, 1);
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
            let seconds = [facts.begins, facts.ends].map(|at| at.expect("a time").unix_timestamp());
            assert_eq!(seconds, [1_577_836_800, ends]);
        }
    }

    #[test]
    fn who_is_a_ca_is_found() {
        for (constraints, expected) in [
            (IsCa::NoCa, (false, None)),
            (IsCa::ExplicitNoCa, (false, None)),
            (IsCa::Ca(BasicConstraints::Unconstrained), (true, None)),
            (IsCa::Ca(BasicConstraints::Constrained(0)), (true, Some(0))),
            (IsCa::Ca(BasicConstraints::Constrained(3)), (true, Some(3))),
        ] {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
            params.is_ca = constraints;
            let key = KeyPair::generate().expect("a key");
            let facts = facts(params.self_signed(&key).expect("signed").der());
            assert_eq!((facts.is_ca, facts.path_len), expected);
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
