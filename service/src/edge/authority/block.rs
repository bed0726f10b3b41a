//! Header blocks without `:authority`, as HPACK (RFC 7541) encodes them.
//!
//! A client may refer to a field of an earlier request by its index in the dynamic table. h2 keeps
//! that table too, but never sees an authority, so its table has the same entries except those. For
//! each entry of the client's table, [`Blocks`] knows how many authorities are newer, and lowers
//! every index by that number:
//!
//! ```text
//!   the client's table                h2's table
//!   62  te: trailers                  62  te: trailers
//!   63  :authority: #initially=[a]
//!   64  :path: /p                     63  :path: /p
//!
//!   the client sends  83 86 c0 bf be      POST, http, entries 64, 63 and 62
//!   h2 reads          83 86 bf be         POST, http, entries 63 and 62
//! ```
//!
//! h2's table has the client's entries, and possibly older ones: less is added to it, so it drops
//! an entry no earlier. To know when the client's table drops an entry takes only the sizes of
//! entries, so no name or value is kept, and of a string in Huffman code only the length is
//! decoded.

use std::collections::VecDeque;

/// Size of a dynamic table if the two sides negotiate none, as here.
const TABLE_BYTES_MAX: usize = 4096;
/// Bytes an entry counts beside its name and value.
const ENTRY_BYTES: usize = 32;

/// Limit of an integer's bytes after the first. Four can encode 2^28, more than any number in a
/// block. h2 has the same limit.
const INTEGER_BYTES_MAX: usize = 4;

/// The name, plain and in Huffman code. The code has one form for each text, padding included.
const AUTHORITY: &[u8] = b":authority";
const AUTHORITY_HUFFMAN: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// The index of `:authority` in the static table.
const AUTHORITY_INDEX: usize = 1;

/// Bytes of the names in the static table (RFC 7541, appendix A), from index 1 on.
const STATIC_NAME_BYTES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14,
    16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10,
    25, 17, 10, 4, 3, 16,
];

/// Symbols of the Huffman code (RFC 7541, appendix B) by the bits they take. The code is canonical,
/// so this is enough to know where each symbol ends. The end-of-string symbol is left out: it must
/// not appear.
const SYMBOLS: [(u32, u64); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 3),
];

/// For each row of [`SYMBOLS`]: 32 bits below this number begin with a symbol of that many bits, or
/// of fewer.
const SYMBOL_ENDS: [u64; SYMBOLS.len()] = {
    let mut ends = [0; SYMBOLS.len()];
    let (mut row, mut end) = (0, 0);
    while row < SYMBOLS.len() {
        let (bits, symbols) = SYMBOLS[row];
        end += symbols << (32 - bits);
        ends[row] = end;
        row += 1;
    }
    ends
};

/// The header blocks of one connection. See the example at the head of the module.
#[derive(Debug)]
pub(super) struct Blocks {
    /// The client's dynamic table, the newest entry first.
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
    /// Number of authorities added to the table, including dropped ones.
    authorities: u64,
}

/// An entry of the client's dynamic table.
#[derive(Debug)]
struct Entry {
    name_bytes: usize,
    size: usize,
    is_authority: bool,
    /// [`Blocks::authorities`] when the entry was put in, this one included.
    authorities: u64,
}

/// A field, or the name of one, that a block refers to.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Its index in h2's table. An authority in the dynamic table has none.
    index: usize,
    name_bytes: usize,
    is_authority: bool,
}

/// The rest of a block.
#[derive(Clone, Copy, Debug)]
struct Input<'a>(&'a [u8]);

/// A string in a block.
#[derive(Clone, Copy, Debug)]
struct Text<'a> {
    /// The string as the client encoded it, with its length.
    encoded: &'a [u8],
    bytes: &'a [u8],
    is_huffman: bool,
}

impl Default for Blocks {
    fn default() -> Blocks {
        Blocks {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_BYTES_MAX,
            authorities: 0,
        }
    }
}

impl Blocks {
    /// Appends `block` without its authorities to `output`, never more bytes than it has. `None` if
    /// HPACK does not allow the block. Then the connection has to end, since the client's table is
    /// unknown from then on.
    pub(super) fn without_authority(&mut self, block: &[u8], output: &mut Vec<u8>) -> Option<()> {
        let mut input = Input(block);
        let mut has_fields = false;
        while let Some(&first) = input.0.first() {
            let before = input.0;
            match first.leading_zeros() {
                0 => {
                    let field = self.known(input.integer(7)?)?;
                    if !field.is_authority {
                        write_integer(output, 0x80, 7, field.index);
                    }
                }
                1 => self.literal(first & 0xc0, 6, &mut input, output)?,
                2 => {
                    let size_max = input.integer(5)?;
                    if has_fields || size_max > TABLE_BYTES_MAX {
                        return None;
                    }
                    self.size_max = size_max;
                    self.shrink(size_max);
                    output.extend_from_slice(&before[..before.len() - input.0.len()]);
                    continue;
                }
                // Never to be indexed, or not indexed this time.
                _ => self.literal(first & 0xf0, 4, &mut input, output)?,
            }
            has_fields = true;
        }
        Some(())
    }

    /// Processes a literal field, which spells out at least its value. The lowest `prefix_bits` of
    /// its first byte are the name's index, or 0; `kind` is the bits above.
    fn literal(
        &mut self,
        kind: u8,
        prefix_bits: u32,
        input: &mut Input<'_>,
        output: &mut Vec<u8>,
    ) -> Option<()> {
        let (name, spelled) = match input.integer(prefix_bits)? {
            0 => {
                let text = input.text()?;
                let name = Known {
                    index: 0,
                    name_bytes: text.decoded_bytes()?,
                    is_authority: text.bytes == text.authority(),
                };
                (name, Some(text))
            }
            index => (self.known(index)?, None),
        };
        let value = input.text()?;
        if kind == 0x40 {
            self.insert(name, value.decoded_bytes()?);
        }
        if !name.is_authority {
            write_integer(output, kind, prefix_bits, name.index);
            if let Some(name) = spelled {
                output.extend_from_slice(name.encoded);
            }
            output.extend_from_slice(value.encoded);
        }
        Some(())
    }

    fn known(&self, index: usize) -> Option<Known> {
        let number = index.checked_sub(1)?;
        if let Some(&name_bytes) = STATIC_NAME_BYTES.get(number) {
            return Some(Known {
                index,
                name_bytes: usize::from(name_bytes),
                is_authority: index == AUTHORITY_INDEX,
            });
        }
        let entry = self.entries.get(number - STATIC_NAME_BYTES.len())?;
        // At most the number of entries, because every newer authority is still in the table.
        let newer_authorities = (self.authorities - entry.authorities) as usize;
        Some(Known {
            index: index - newer_authorities,
            name_bytes: entry.name_bytes,
            is_authority: entry.is_authority,
        })
    }

    fn insert(&mut self, name: Known, value_bytes: usize) {
        let size = name.name_bytes + value_bytes + ENTRY_BYTES;
        self.authorities += u64::from(name.is_authority);
        self.shrink(self.size_max.saturating_sub(size));
        // An entry that is larger than the table leaves it empty.
        if size <= self.size_max {
            self.size += size;
            self.entries.push_front(Entry {
                name_bytes: name.name_bytes,
                size,
                is_authority: name.is_authority,
                authorities: self.authorities,
            });
        }
    }

    /// Drops the oldest entries until the others have no more than `size` bytes.
    fn shrink(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size;
        }
    }
}

impl<'a> Input<'a> {
    fn split(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    /// The integer that begins with the lowest bits of the next byte (section 5.1).
    fn integer(&mut self, prefix_bits: u32) -> Option<usize> {
        let prefix_max = (1 << prefix_bits) - 1;
        let mut value = usize::from(self.split(1)?[0]) & prefix_max;
        if value < prefix_max {
            return Some(value);
        }
        for number in 0..INTEGER_BYTES_MAX {
            let byte = self.split(1)?[0];
            value += usize::from(byte & 0x7f) << (7 * number);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The string that comes next (section 5.2).
    fn text(&mut self) -> Option<Text<'a>> {
        let encoded = self.0;
        let is_huffman = encoded.first()? & 0x80 != 0;
        let count = self.integer(7)?;
        let bytes = self.split(count)?;
        Some(Text {
            encoded: &encoded[..encoded.len() - self.0.len()],
            bytes,
            is_huffman,
        })
    }
}

impl Text<'_> {
    /// The name of an authority in this text's code.
    fn authority(&self) -> &'static [u8] {
        match self.is_huffman {
            true => AUTHORITY_HUFFMAN,
            false => AUTHORITY,
        }
    }

    fn decoded_bytes(&self) -> Option<usize> {
        match self.is_huffman {
            true => symbols(self.bytes),
            false => Some(self.bytes.len()),
        }
    }
}

/// The number of symbols in a text in Huffman code.
fn symbols(text: &[u8]) -> Option<usize> {
    let mut bytes = text.iter();
    // The highest bits of `window` were read and belong to no symbol yet. Ones follow, as if the
    // text had endless padding.
    let (mut window, mut bits) = (u64::MAX, 0_u32);
    let mut count = 0;
    loop {
        while bits <= 56
            && let Some(&byte) = bytes.next()
        {
            window ^= u64::from(!byte) << (56 - bits);
            bits += 8;
        }
        // Padding is fewer than 8 ones, and no symbol that short consists of ones only.
        if bits < 8 && window == u64::MAX {
            return Some(count);
        }
        let row = SYMBOL_ENDS.iter().position(|&end| window >> 32 < end)?;
        let (symbol_bits, _) = SYMBOLS[row];
        bits = bits.checked_sub(symbol_bits)?;
        window = window << symbol_bits | ((1 << symbol_bits) - 1);
        count += 1;
    }
}

/// Writes an integer into the lowest bits of a byte with these `flags`, and into as many further
/// bytes as it needs.
fn write_integer(output: &mut Vec<u8>, flags: u8, prefix_bits: u32, value: usize) {
    let prefix_max = (1 << prefix_bits) - 1;
    if value < prefix_max {
        output.push(flags | value as u8);
        return;
    }
    output.push(flags | prefix_max as u8);
    let mut rest = value - prefix_max;
    while rest >= 0x80 {
        output.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    output.push(rest as u8);
}
