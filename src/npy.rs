//! Arrays of numbers in NumPy's `.npy` files.
//!
//! **Invariant.** No bytes end in a panic, nor in more memory than a few times their length.
//! The format is a header, which is a Python dictionary of three keys, and the elements behind it
//! (numpy.lib.format). The library that reads it brings a parser generator and a C compiler for this one line.
//!
//! **Not here.** What the numbers are for (`sim_core::program::parse`).

use half::f16;
use sim_core::program::parse::Array;

/// Largest file, in bytes.
pub const LARGEST: u64 = 256 << 20;

/// The array in a file: whole numbers, floating-point numbers, or complex ones, which get one more
/// dimension of two.
///
/// # Errors
/// Why the bytes are no such array, in a sentence.
pub fn array(bytes: &[u8]) -> Result<Array, String> {
    let (header, data) = split(bytes).ok_or("it is no .npy file")?;
    let kind = text(header, "descr").ok_or("its header has no type; records are not read")?;
    let fortran = value(header, "fortran_order").is_some_and(|v| v.starts_with("True"));
    let mut shape = shape(header).ok_or("its header has no shape")?;
    let (read, size, parts) = element(kind).ok_or_else(|| format!("elements of type `{kind}` are not read"))?;
    let big = kind.starts_with('>');
    let count = shape.iter().try_fold(parts, |n: usize, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    if count.saturating_mul(size) > data.len() {
        return Err("it is shorter than its shape says".to_owned());
    }
    let one = |chunk: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(chunk);
        if big {
            bytes[..size].reverse();
        }
        read(bytes)
    };
    let mut elements: Vec<f64> = data[..count * size].chunks_exact(size).map(one).collect();
    if fortran {
        elements = last_fastest(&elements, &shape, parts);
    }
    shape.extend((parts == 2).then_some(2));
    Ok(Array { shape, elements, whole: kind.contains(['i', 'u', 'b']) })
}

/// A file with an array of records of 64-bit whole numbers: rows of so many records each, with the names of
/// their parts.
#[must_use]
pub fn records<const N: usize>(names: [&str; N], width: u64, records: impl Iterator<Item = [u64; N]>) -> Vec<u8> {
    let mut data = Vec::new();
    let mut count = 0u64;
    for record in records {
        record.iter().for_each(|number| data.extend(number.to_le_bytes()));
        count += 1;
    }
    let parts: Vec<String> = names.iter().map(|name| format!("('{name}', '<u8')")).collect();
    let shape = format!("({}, {width})", count.checked_div(width).unwrap_or(0));
    let head = format!("{{'descr': [{}], 'fortran_order': False, 'shape': {shape}, }}", parts.join(", "));
    // Elements begin at a multiple of 64 bytes; a line break ends the header.
    let length = (10 + head.len() + 1).next_multiple_of(64) - 10;
    let length16 = u16::try_from(length).expect("a header of a few names is short");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length16.to_le_bytes());
    bytes.extend(format!("{head:<width$}\n", width = length - 1).as_bytes());
    bytes.extend(data);
    bytes
}

/// Header and elements.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (len, from): (usize, usize) = match rest.first()? {
        1 => (usize::from(u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?)), 4),
        _ => (u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?) as usize, 6),
    };
    let header = rest.get(from..from.checked_add(len)?)?;
    Some((std::str::from_utf8(header).ok()?, &rest[from + len..]))
}

/// What stands behind a key of the dictionary, up to the end of the header.
fn value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let behind = header.split_once(&format!("'{key}'"))?.1;
    Some(behind.trim_start().strip_prefix(':')?.trim_start())
}

/// A text in quotes behind a key.
fn text<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    value(header, key)?.strip_prefix('\'')?.split('\'').next()
}

/// Numbers in parentheses.
fn shape(header: &str) -> Option<Vec<usize>> {
    let inside = value(header, "shape")?.strip_prefix('(')?.split(')').next()?;
    inside.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok()).collect()
}

/// How an element of up to eight little-endian bytes is read, its bytes, and how many make a number.
type Element = (fn([u8; 8]) -> f64, usize, usize);

fn element(kind: &str) -> Option<Element> {
    let single: fn([u8; 8]) -> f64 = |b| f64::from(f32::from_bits(u64::from_le_bytes(b) as u32));
    let double: fn([u8; 8]) -> f64 = |b| f64::from_bits(u64::from_le_bytes(b));
    Some(match kind.trim_start_matches(['<', '>', '|', '=']) {
        "i1" => (|b| f64::from(u64::from_le_bytes(b) as i8), 1, 1),
        "i2" => (|b| f64::from(u64::from_le_bytes(b) as i16), 2, 1),
        "i4" => (|b| f64::from(u64::from_le_bytes(b) as i32), 4, 1),
        "i8" => (|b| u64::from_le_bytes(b) as i64 as f64, 8, 1),
        "u1" | "b1" => (|b| f64::from(b[0]), 1, 1),
        "u2" => (|b| f64::from(u64::from_le_bytes(b) as u16), 2, 1),
        "u4" => (|b| f64::from(u64::from_le_bytes(b) as u32), 4, 1),
        "u8" => (|b| u64::from_le_bytes(b) as f64, 8, 1),
        "f2" => (|b| f64::from(f16::from_bits(u64::from_le_bytes(b) as u16)), 2, 1),
        "f4" => (single, 4, 1),
        "f8" => (double, 8, 1),
        "c8" => (single, 4, 2),
        "c16" => (double, 8, 2),
        _ => return None,
    })
}

/// Elements of which the first dimension runs fastest, with the last one running fastest.
fn last_fastest(elements: &[f64], shape: &[usize], parts: usize) -> Vec<f64> {
    let count = elements.len() / parts;
    let mut sorted = Vec::with_capacity(elements.len());
    for place in 0..count {
        let (mut rest, mut stride, mut from) = (place, count, 0);
        for &size in shape.iter().rev() {
            stride /= size;
            from += rest % size * stride;
            rest /= size;
        }
        sorted.extend_from_slice(&elements[from * parts..from * parts + parts]);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as NumPy writes it.
    fn file(kind: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let head = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape}), }}");
        let padded = format!("{head:<117}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((padded.len() as u16).to_le_bytes());
        bytes.extend(padded.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn numbers_come_with_the_last_dimension_fastest() {
        let data: Vec<u8> = [1i16, 2, 3, 4, 5, 6].iter().flat_map(|n| n.to_le_bytes()).collect();
        let c = array(&file("<i2", "False", "2, 3", &data)).unwrap();
        assert_eq!(c, Array { shape: vec![2, 3], elements: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], whole: true });
        let f = array(&file("<i2", "True", "2, 3", &data)).unwrap();
        assert_eq!(f.elements, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let data: Vec<u8> = [0.5f32, -1.5].iter().flat_map(|n| n.to_le_bytes()).collect();
        let z = array(&file("<c8", "False", "1,", &data)).unwrap();
        assert_eq!(z, Array { shape: vec![1, 2], elements: vec![0.5, -1.5], whole: false });
    }

    #[test]
    fn records_begin_behind_a_padded_header() {
        let bytes = records(["a", "b"], 2, [[1, 2], [3, 4]].into_iter());
        let (header, data) = split(&bytes).unwrap();
        assert_eq!((bytes.len() - data.len()) % 64, 0);
        assert!(header.ends_with('\n'));
        assert_eq!(shape(header), Some(vec![1, 2]));
        assert!(header.starts_with("{'descr': [('a', '<u8'), ('b', '<u8')], 'fortran_order': False"));
        assert_eq!(data, [1u64, 2, 3, 4].map(u64::to_le_bytes).concat());
    }

    #[test]
    fn hostile_files_are_refused() {
        assert!(array(b"").is_err());
        assert!(array(&file("<f4", "False", "4000000000, 4000000000", &[0; 8])).is_err());
        assert!(array(&file("<f4", "False", "3,", &[0; 8])).is_err());
        assert!(array(&file("<U4", "False", "1,", &[0; 16])).is_err());
    }
}
