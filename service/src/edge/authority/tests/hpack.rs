//! An HPACK encoder that makes a random choice wherever the encoding allows one.

use std::collections::VecDeque;

use rand::Rng as _;
use rand::rngs::StdRng;

/// The largest table a client may use.
const TABLE_BYTES_MAX: usize = 4096;
/// Bytes an entry counts beside its name and value.
const ENTRY_BYTES: usize = 32;
/// The first index after the static table.
const FIRST_ENTRY: usize = 62;

/// RFC 7541, appendix A: names, and values after a space.
const STATIC: &str = ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|\
    :scheme https|:status 200|:status 204|:status 206|:status 304|:status 400|:status 404|\
    :status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|\
    access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|\
    content-encoding|content-language|content-length|content-location|content-range|content-type|\
    cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|\
    if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|\
    proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|\
    strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate";

/// RFC 7541, appendix B: how many bits each byte takes.
const CODE_BITS: [u32; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// A header: its name and its value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// One client's half of a connection.
pub(super) struct Encoder {
    /// The code of each byte.
    codes: Vec<u32>,
    /// The static table.
    known: Vec<Field>,
    /// The dynamic table, the newest entry first.
    entries: VecDeque<Field>,
    size_max: usize,
    /// How often an authority was sent by its index in the dynamic table.
    pub(super) indexed_authorities: usize,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        let known = STATIC.split('|').map(|field| {
            let (name, value) = field.split_once(' ').unwrap_or((field, ""));
            (name.as_bytes().to_vec(), value.as_bytes().to_vec())
        });
        Encoder {
            codes: codes(),
            known: known.collect(),
            entries: VecDeque::new(),
            size_max: TABLE_BYTES_MAX,
            indexed_authorities: 0,
        }
    }

    /// The block of a request with these fields, in this order.
    pub(super) fn block(&mut self, fields: &[Field], random: &mut StdRng) -> Vec<u8> {
        let mut block = Vec::new();
        if random.random_ratio(1, 8) {
            for _ in 0..random.random_range(1..=2) {
                self.size_max = random.random_range(0..=TABLE_BYTES_MAX);
                integer(&mut block, 0x20, 5, self.size_max);
                self.shrink(self.size_max);
            }
        }
        for field in fields {
            self.field(&mut block, field, random);
        }
        block
    }

    fn field(&mut self, block: &mut Vec<u8>, field: &Field, random: &mut StdRng) {
        let whole = self.index(random, |other| other == field);
        if let Some(index) = whole.filter(|_| random.random_ratio(3, 4)) {
            let is_authority = field.0 == b":authority" && index >= FIRST_ENTRY;
            self.indexed_authorities += usize::from(is_authority);
            return integer(block, 0x80, 7, index);
        }
        let name = self.index(random, |other| other.0 == field.0);
        let name = name.filter(|_| random.random_ratio(3, 4));
        // With indexing, without indexing, or never indexed.
        let (flags, prefix_bits) =
            [(0x40, 6), (0x40, 6), (0, 4), (0x10, 4)][random.random_range(0..4)];
        integer(block, flags, prefix_bits, name.unwrap_or(0));
        if name.is_none() {
            self.text(block, &field.0, random);
        }
        self.text(block, &field.1, random);
        if flags == 0x40 {
            let size = size(field);
            self.shrink(self.size_max.saturating_sub(size));
            if size <= self.size_max {
                self.entries.push_front(field.clone());
            }
        }
    }

    /// The index of one of the fields that fit.
    fn index(&self, random: &mut StdRng, fits: impl Fn(&Field) -> bool) -> Option<usize> {
        let all = self.known.iter().chain(&self.entries).enumerate();
        let fitting: Vec<usize> = all
            .filter(|(_, field)| fits(field))
            .map(|(number, _)| number + 1)
            .collect();
        let number = random.random_range(0..fitting.len().max(1));
        fitting.get(number).copied()
    }

    fn shrink(&mut self, bytes: usize) {
        while self.entries.iter().map(size).sum::<usize>() > bytes {
            self.entries.pop_back();
        }
    }

    fn text(&self, block: &mut Vec<u8>, text: &[u8], random: &mut StdRng) {
        if random.random() {
            let code = self.huffman(text);
            integer(block, 0x80, 7, code.len());
            block.extend(code);
        } else {
            integer(block, 0, 7, text.len());
            block.extend(text);
        }
    }

    /// A text in Huffman code.
    fn huffman(&self, text: &[u8]) -> Vec<u8> {
        let bits: Vec<bool> = text
            .iter()
            .map(|&byte| usize::from(byte))
            .flat_map(|byte| (0..CODE_BITS[byte]).rev().map(move |bit| (byte, bit)))
            .map(|(byte, bit)| self.codes[byte] >> bit & 1 == 1)
            .collect();
        // The last byte is padded with ones.
        let bit = |bits: &[bool], number| {
            u8::from(bits.get(number).copied().unwrap_or(true)) << (7 - number)
        };
        let byte = |bits: &[bool]| (0..8).map(|number| bit(bits, number)).sum();
        bits.chunks(8).map(byte).collect()
    }
}

fn size((name, value): &Field) -> usize {
    name.len() + value.len() + ENTRY_BYTES
}

/// The code is canonical: codes of one length follow each other in the order of their bytes.
fn codes() -> Vec<u32> {
    let mut order: Vec<usize> = (0..CODE_BITS.len()).collect();
    order.sort_by_key(|&byte| CODE_BITS[byte]);
    let mut codes = vec![0; CODE_BITS.len()];
    let (mut next, mut bits) = (0, 0);
    for byte in order {
        next <<= CODE_BITS[byte] - bits;
        bits = CODE_BITS[byte];
        codes[byte] = next;
        next += 1;
    }
    codes
}

pub(super) fn integer(block: &mut Vec<u8>, flags: u8, prefix_bits: u32, value: usize) {
    let prefix_max = (1 << prefix_bits) - 1;
    let byte = |value: usize| u8::try_from(value).expect("masked");
    if value < prefix_max {
        block.push(flags | byte(value));
        return;
    }
    block.push(flags | byte(prefix_max));
    let mut rest = value - prefix_max;
    while rest >= 0x80 {
        block.push(0x80 | byte(rest & 0x7f));
        rest >>= 7;
    }
    block.push(byte(rest));
}
