//! HPACK as grpc-go writes it: whatever is new goes into the table.

use std::collections::VecDeque;

/// The size of a table that was not agreed on.
const TABLE_BYTES: usize = 4096;
/// What an entry counts beside its name and value.
const ENTRY_BYTES: usize = 32;
/// The first entry after the static ones.
const FIRST_ENTRY: usize = 62;

const AUTHORITY: usize = 1;
const PATH: usize = 4;

pub(super) struct Encoder {
    is_huffman: bool,
    /// Names and values; the newest first.
    table: VecDeque<(String, String)>,
    /// How often an authority was spelled out.
    pub(super) literal_authorities: usize,
}

impl Encoder {
    pub(super) fn new(is_huffman: bool) -> Encoder {
        Encoder {
            is_huffman,
            table: VecDeque::new(),
            literal_authorities: 0,
        }
    }

    /// The block of a request.
    pub(super) fn request(&mut self, authority: &str, path: &str, timeout: &str) -> Vec<u8> {
        // POST, http.
        let mut block = vec![0x83, 0x86];
        self.field(&mut block, (PATH, ":path"), path);
        self.field(&mut block, (AUTHORITY, ":authority"), authority);
        self.field(&mut block, (0, "te"), "trailers");
        self.field(&mut block, (0, "grpc-timeout"), timeout);
        block
    }

    fn field(&mut self, block: &mut Vec<u8>, (index, name): (usize, &str), value: &str) {
        let entry = (name.to_owned(), value.to_owned());
        if let Some(number) = self.table.iter().position(|other| *other == entry) {
            integer(block, 0x80, 7, FIRST_ENTRY + number);
            return;
        }
        self.literal_authorities += usize::from(index == AUTHORITY);
        integer(block, 0x40, 6, index);
        if index == 0 {
            self.string(block, name);
        }
        self.string(block, value);
        self.table.push_front(entry);
        let size = |(name, value): &(String, String)| name.len() + value.len() + ENTRY_BYTES;
        while self.table.iter().map(size).sum::<usize>() > TABLE_BYTES {
            self.table.pop_back();
        }
    }

    fn string(&self, block: &mut Vec<u8>, text: &str) {
        if self.is_huffman {
            let code = huffman(text);
            integer(block, 0x80, 7, code.len());
            block.extend(code);
        } else {
            integer(block, 0, 7, text.len());
            block.extend(text.bytes());
        }
    }
}

fn integer(block: &mut Vec<u8>, flags: u8, prefix_bits: u32, value: usize) {
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

/// A text in Huffman code.
pub(super) fn huffman(text: &str) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    for character in text.bytes() {
        let (code, length) = code_of(character);
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    let byte = |bits: &[bool]| {
        // What is missing is padded with ones.
        let bit = |number| u8::from(bits.get(number).copied().unwrap_or(true)) << (7 - number);
        (0..8).map(bit).sum()
    };
    bits.chunks(8).map(byte).collect()
}

/// Appendix B, as far as tests need it.
fn code_of(character: u8) -> (u32, u32) {
    match character {
        b'0' => (0x0, 5),
        b'1' => (0x1, 5),
        b'2' => (0x2, 5),
        b'a' => (0x3, 5),
        b'c' => (0x4, 5),
        b'e' => (0x5, 5),
        b'i' => (0x6, 5),
        b'o' => (0x7, 5),
        b's' => (0x8, 5),
        b't' => (0x9, 5),
        b'%' => (0x15, 6),
        b'-' => (0x16, 6),
        b'.' => (0x17, 6),
        b'/' => (0x18, 6),
        b'3'..=b'9' => (0x19 + u32::from(character - b'3'), 6),
        b'b' => (0x23, 6),
        b'd' => (0x24, 6),
        b'f'..=b'h' => (0x25 + u32::from(character - b'f'), 6),
        b'l'..=b'n' => (0x28 + u32::from(character - b'l'), 6),
        b'p' => (0x2b, 6),
        b'r' => (0x2c, 6),
        b'u' => (0x2d, 6),
        b':' => (0x5c, 7),
        b'B'..=b'W' => (0x5d + u32::from(character - b'B'), 7),
        b'j'..=b'k' => (0x74 + u32::from(character - b'j'), 7),
        b'v'..=b'z' => (0x77 + u32::from(character - b'v'), 7),
        b'[' => (0x1ffb, 13),
        b']' => (0x1ffc, 13),
        other => panic!("the code of {:?} is not here", char::from(other)),
    }
}
