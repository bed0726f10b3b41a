//! The authority in a block of headers, as HPACK (RFC 7541) writes it.
//!
//! To find it takes the lengths of what is before it, not what it says: no dynamic table. To walk
//! through a string in Huffman code takes the lengths of the codes, and no table of symbols either:
//! the code is canonical, so the size of a code tells its length.
//!
//! A name that could be replaced by a shorter one would change the size of its entry in the dynamic
//! table, so each character that must not be there is replaced by one whose code is as long:
//!
//! ```text
//! http://127.0.0.1:2379   ->   httpx--127.0.0.1x2379
//! /run/conclave.sock      ->   -run-conclave.sock
//! %2Frun%2Fconclave.sock  ->   -2Frun-2Fconclave.sock
//! ```
//!
//! The colons go as well: a name can have one, before its port, and a URL has two.

use std::ops::Range;

/// `:authority` in HPACK's static table.
const AUTHORITY: usize = 1;

/// Bytes of an integer after the first. Four say 2^28, and nothing in a block is so large.
const INTEGER_BYTES_MAX: usize = 4;

/// A string in a block.
#[derive(Debug)]
struct Text {
    bytes: Range<usize>,
    is_huffman: bool,
}

/// A character in Huffman code (RFC 7541, appendix B): so many of the lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code {
    bits: u32,
    code: u32,
}

const SLASH: Code = Code {
    bits: 6,
    code: 0x18,
};
const PERCENT: Code = Code {
    bits: 6,
    code: 0x15,
};
const HYPHEN: Code = Code {
    bits: 6,
    code: 0x16,
};
const COLON: Code = Code {
    bits: 7,
    code: 0x5c,
};
const LETTER_X: Code = Code {
    bits: 7,
    code: 0x79,
};

/// The lengths of codes. Sixteen bits below the first number begin with a code of at most so many
/// bits. Longer than the last are codes of characters that no authority has.
const CODE_BITS: [(u32, u32); 10] = [
    (0x0a << 11, 5),
    (0x2e << 10, 6),
    (0x7c << 9, 7),
    (0xfe << 8, 8),
    (0x3fd << 6, 10),
    (0x7fd << 5, 11),
    (0xffc << 4, 12),
    (0x1ffe << 3, 13),
    (0x3ffe << 2, 14),
    (0x7fff << 1, 15),
];

/// Makes the authority in a block one that can be parsed. Says whether it had to.
pub(super) fn mend(block: &mut [u8]) -> bool {
    let Some(Text { bytes, is_huffman }) = authority(block) else {
        return false;
    };
    if is_huffman {
        mend_huffman(&mut block[bytes])
    } else {
        mend_plain(&mut block[bytes])
    }
}

fn mend_plain(text: &mut [u8]) -> bool {
    if !text.iter().any(|byte| matches!(byte, b'/' | b'%')) {
        return false;
    }
    for byte in text {
        *byte = match *byte {
            b'/' | b'%' => b'-',
            b':' => b'x',
            other => other,
        };
    }
    true
}

fn mend_huffman(text: &mut [u8]) -> bool {
    if !codes(text).any(|(_, code)| matches!(code, SLASH | PERCENT)) {
        return false;
    }
    let mut at = 0;
    while let Some(code) = code_at(text, at) {
        match code {
            SLASH | PERCENT => replace(text, at, code, HYPHEN),
            COLON => replace(text, at, code, LETTER_X),
            _ => {}
        }
        at += code.bits as usize;
    }
    true
}

/// The codes in a text, each with the bit where it begins.
fn codes(text: &[u8]) -> impl Iterator<Item = (usize, Code)> {
    let code = |at| code_at(text, at).map(|code| (at, code));
    std::iter::successors(code(0), move |&(at, last)| code(at + last.bits as usize))
}

/// The code that begins at this bit, if one does.
fn code_at(text: &[u8], at: usize) -> Option<Code> {
    // As if the text were padded for ever. It is padded with ones, which are no code of ours.
    let byte = |number: usize| u32::from(*text.get(at / 8 + number).unwrap_or(&0xff));
    let sixteen = ((byte(0) << 16 | byte(1) << 8 | byte(2)) << (at % 8) >> 8) & 0xffff;
    let &(_, bits) = CODE_BITS.iter().find(|&&(end, _)| sixteen < end)?;
    let code = sixteen >> (16 - bits);
    (at + bits as usize <= 8 * text.len()).then_some(Code { bits, code })
}

/// Writes `new` over `old`, which begins at this bit and is as long.
fn replace(text: &mut [u8], at: usize, old: Code, new: Code) {
    // Seven bits at most, so they are within two bytes.
    let differing = (old.code ^ new.code) << (16 - old.bits) >> (at % 8);
    let [_, _, first, second] = differing.to_be_bytes();
    let two = text[at / 8..].iter_mut().zip([first, second]);
    two.for_each(|(byte, differing)| *byte ^= differing);
}

/// Where the authority is, if it is spelled out here.
fn authority(block: &[u8]) -> Option<Text> {
    let mut at = 0;
    loop {
        // Section 6: what it is, and how many bits of this byte belong to its index.
        let (is_literal, prefix_bits) = match block.get(at)?.leading_zeros() {
            0 => (false, 7), // a field of the table
            1 => (true, 6),  // a field that goes into the table
            2 => (false, 5), // a new size of the table
            _ => (true, 4),  // a field that does not go into the table
        };
        let index;
        (index, at) = integer(block, at, prefix_bits)?;
        if !is_literal {
            continue;
        }
        if index == 0 {
            at = string(block, at)?.bytes.end;
        }
        let value = string(block, at)?;
        if index == AUTHORITY {
            return Some(value);
        }
        at = value.bytes.end;
    }
}

/// The string that begins here (section 5.2).
fn string(block: &[u8], at: usize) -> Option<Text> {
    let is_huffman = block.get(at)? & 0x80 != 0;
    let (length, start) = integer(block, at, 7)?;
    let bytes = start..start + length;
    block.get(bytes.clone())?;
    Some(Text { bytes, is_huffman })
}

/// The integer that begins here, in so many bits, and where it ends (section 5.1).
fn integer(block: &[u8], at: usize, prefix_bits: u32) -> Option<(usize, usize)> {
    let prefix_max = (1 << prefix_bits) - 1;
    let mut value = usize::from(*block.get(at)?) & prefix_max;
    let after = at + 1;
    if value < prefix_max {
        return Some((value, after));
    }
    for (number, byte) in block[after..].iter().take(INTEGER_BYTES_MAX).enumerate() {
        value += usize::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Some((value, after + number + 1));
        }
    }
    None
}
