//! The binary form of values in caches and checkpoints, in an envelope that is checked first.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic `wafersim` |
//! | 4 | version of the format |
//! | 8 | hash of the kind and of the version of the crate that laid the types out |
//! | 8 | length of the payload |
//! | 4 | CRC-32 of the payload |
//! | … | payload: fixed-width little-endian |
//!
//! **Invariant.** Bytes of any origin give a value or a [`CodecError`]: no panic, and no more
//! memory than a small multiple of their own size. This is the only file that names `bincode`,
//! and it reads slices with a limit only. Stored types hold no maps, no `usize`, no zero-sized
//! elements, and nothing recursive: loops are stored flat (`program/flat.rs`).
//! **Not here.** Files. Results that people keep are JSON.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

const MAGIC: [u8; 8] = *b"wafersim";
/// Version of the format; a reader refuses every other one.
pub const FORMAT: u32 = 1;
const HEADER: usize = 32;
/// Largest payload that is written or read.
pub const MAX_PAYLOAD: u64 = 1 << 30;

/// Why bytes are not the stored value that they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecError {
    /// Fewer bytes than the envelope says: wanted, found.
    Truncated(u64, u64),
    /// More bytes than the envelope says: wanted, found.
    Trailing(u64, u64),
    /// Not a file of ours.
    Magic,
    /// Of another version of the format.
    Version(u32),
    /// Of another kind, or of another version of the types.
    Schema,
    /// The payload is larger than [`MAX_PAYLOAD`].
    TooLarge(u64),
    /// The payload was damaged.
    Checksum,
    /// The payload does not describe a value of the type.
    Payload(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Truncated(want, found) => write!(f, "{found} bytes, but {want} were stored"),
            CodecError::Trailing(want, found) => write!(f, "{found} bytes, but only {want} were stored"),
            CodecError::Magic => write!(f, "not a file of wafersim"),
            CodecError::Version(v) => write!(f, "format version {v}; this is version {FORMAT}"),
            CodecError::Schema => write!(f, "another kind of content, or from another version of wafersim"),
            CodecError::TooLarge(len) => write!(f, "{len} bytes of content; at most {MAX_PAYLOAD} are possible"),
            CodecError::Checksum => write!(f, "the content was damaged (checksum)"),
            CodecError::Payload(why) => write!(f, "the content makes no sense: {why}"),
        }
    }
}

impl std::error::Error for CodecError {}

fn layout() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_little_endian().reject_trailing_bytes()
}

fn schema(kind: &str) -> [u8; 8] {
    let mut hash = blake3::Hasher::new();
    hash.update(kind.as_bytes()).update(&[0]).update(env!("CARGO_PKG_VERSION").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    first
}

/// Stores a value. `kind` names its type and layout, such as `program/1`.
///
/// # Panics
/// If the value takes more than [`MAX_PAYLOAD`] bytes.
#[must_use]
pub fn encode<T: Serialize>(kind: &str, value: &T) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    // With a limit the value would be gone through twice.
    layout().serialize_into(&mut out, value).expect("a value in memory has a binary form");
    let (len, sum) = ((out.len() - HEADER) as u64, crc32fast::hash(&out[HEADER..]));
    assert!(len <= MAX_PAYLOAD, "{len} bytes of content are more than is stored");
    let version = FORMAT.to_le_bytes();
    let header = [&MAGIC[..], &version, &schema(kind), &len.to_le_bytes(), &sum.to_le_bytes()].concat();
    out[..HEADER].copy_from_slice(&header);
    out
}

/// Reads a value that [`encode`] stored under the same kind.
///
/// # Errors
/// If the bytes are anything else.
pub fn decode<T: DeserializeOwned>(kind: &str, bytes: &[u8]) -> Result<T, CodecError> {
    let mut rest = bytes;
    let mut found = bytes.len() as u64;
    if take::<8>(&mut rest, found)? != MAGIC {
        return Err(CodecError::Magic);
    }
    let version = u32::from_le_bytes(take(&mut rest, found)?);
    if version != FORMAT {
        return Err(CodecError::Version(version));
    }
    if take::<8>(&mut rest, found)? != schema(kind) {
        return Err(CodecError::Schema);
    }
    let len = u64::from_le_bytes(take(&mut rest, found)?);
    let sum = u32::from_le_bytes(take(&mut rest, found)?);
    found -= HEADER as u64;
    match found {
        _ if len > MAX_PAYLOAD => return Err(CodecError::TooLarge(len)),
        _ if found < len => return Err(CodecError::Truncated(len, found)),
        _ if found > len => return Err(CodecError::Trailing(len, found)),
        _ if crc32fast::hash(rest) != sum => return Err(CodecError::Checksum),
        _ => {}
    }
    layout().with_limit(len).deserialize(rest).map_err(|e| CodecError::Payload(e.to_string()))
}

fn take<const N: usize>(rest: &mut &[u8], found: u64) -> Result<[u8; N], CodecError> {
    let (first, behind) = rest.split_first_chunk().ok_or(CodecError::Truncated(HEADER as u64, found))?;
    *rest = behind;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::arbitrary::program;
    use crate::program::{Program, parse};
    use proptest::prelude::*;

    fn example() -> Program {
        let text = "program p\ngrid 4x2\nimage a {\nmem y f32[4] @8 = 1, 2\ntask t local active {\nloop 3 {\nloop 2 {\njoin t0\n}\na0 = 5\n}\n}\n}\nplace a x=0 y=0\n";
        parse(text, "t").unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Program, CodecError> {
        decode("program", bytes)
    }

    /// An envelope in order around a payload that is not.
    fn wrapped(payload: &[u8]) -> Vec<u8> {
        let mut bytes = encode("program", &0u8);
        bytes.truncate(HEADER - 12);
        bytes.extend((payload.len() as u64).to_le_bytes());
        bytes.extend(crc32fast::hash(payload).to_le_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn cut_anywhere_it_is_refused() {
        let bytes = encode("program", &example());
        assert_eq!(read(&bytes), Ok(example()));
        for n in 0..bytes.len() {
            assert!(matches!(read(&bytes[..n]), Err(CodecError::Truncated(..))), "{n}");
        }
        assert!(matches!(read(&[bytes, vec![0]].concat()), Err(CodecError::Trailing(..))));
    }

    #[test]
    fn no_bit_may_flip() {
        let bytes = encode("program", &example());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad).is_err(), "{bit}");
        }
    }

    #[test]
    fn other_versions_and_kinds_are_refused() {
        let mut bytes = encode("program", &example());
        assert_eq!(decode::<Program>("image", &bytes), Err(CodecError::Schema));
        bytes[8] += 1;
        assert_eq!(read(&bytes), Err(CodecError::Version(FORMAT + 1)));
        bytes[0] = b'W';
        assert_eq!(read(&bytes), Err(CodecError::Magic));
    }

    #[test]
    fn huge_lengths_allocate_nothing() {
        let mut bytes = encode("program", &example());
        bytes[20..28].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(read(&bytes), Err(CodecError::TooLarge(u64::MAX)));
        for claim in [u64::MAX, 1 << 40, 1 << 20] {
            assert!(matches!(read(&wrapped(&claim.to_le_bytes())), Err(CodecError::Payload(_))));
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        // name, grid, one image: name, inputs, outputs, buffers, FIFOs, one task: name, trigger, flags.
        let mut payload = Vec::new();
        payload.extend([0u8; 9]);
        payload.extend(1u64.to_le_bytes());
        payload.extend([0u8; 40]);
        payload.extend(1u64.to_le_bytes());
        payload.extend([0u8; 14]);
        let levels = 100_000u64;
        payload.extend(levels.to_le_bytes());
        for _ in 0..levels {
            payload.extend(3u32.to_le_bytes());
            payload.extend(2u32.to_le_bytes());
        }
        payload.extend([0u8; 24]);
        let Err(CodecError::Payload(why)) = read(&wrapped(&payload)) else { panic!("read") };
        assert!(why.contains("nested too deep"), "{why}");
    }

    proptest! {
        #[test]
        fn a_program_is_read_back(p in program()) {
            prop_assert_eq!(read(&encode("program", &p)), Ok(p));
        }

        #[test]
        fn no_payload_makes_it_panic(p in program(), edits in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
            let mut payload = encode("program", &p)[HEADER..].to_vec();
            for (at, byte) in edits {
                let at = at % payload.len();
                payload[at] = byte;
            }
            let _ = read(&wrapped(&payload));
        }
    }
}
