//! Durations as Go writes them: `10m`, `1h30m`, `1.5s`, `300ms`, `0`.

use std::time::Duration;

const NANOS_PER_UNIT: &[(&str, u64)] = &[
    // Longer names first, so that `ms` is not read as `m`.
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// Parses a duration that is not negative. Returns `None` if the text is not a duration, or is
/// longer than 292 years.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let (part, after) = next_part(rest)?;
        nanos = nanos.checked_add(part)?;
        rest = after;
    }
    // Go counts in signed 64-bit nanoseconds; values that Go would refuse are refused here.
    (nanos <= i64::MAX as u64).then(|| Duration::from_nanos(nanos))
}

/// Parses one number with its unit. Returns the nanoseconds, and the rest of the text.
fn next_part(text: &str) -> Option<(u64, &str)> {
    let number_len = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .filter(|&length| length > 0)?;
    let (number, rest) = text.split_at(number_len);
    let (unit, nanos_per_unit) = NANOS_PER_UNIT
        .iter()
        .find(|(unit, _)| rest.starts_with(unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanos = whole.checked_mul(*nanos_per_unit)?;
    let mut scale = *nanos_per_unit;
    for digit in fraction.chars() {
        scale /= 10;
        nanos = nanos.checked_add(u64::from(digit.to_digit(10)?) * scale)?;
    }
    Some((nanos, &rest[unit.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("5s", 5_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("2h0m0s", 7_200_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("300ms", 300),
            ("1m1ms", 60_001),
            ("2000us", 2),
            ("2000µs", 2),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "5",
            "s",
            ".s",
            "1.2.3s",
            "-5s",
            "5 s",
            "5d",
            "10m5",
            "999999999h",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
