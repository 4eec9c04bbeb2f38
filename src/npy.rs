//! Arrays of numbers in NumPy's `.npy` files.
//!
//! **Invariant.** No bytes end in a panic, nor in more memory than a few times their length.
//! **Not here.** What the numbers are for (`sim_core::program::parse`).

use npyz::{DType, NpyFile, Order, TypeChar};
use sim_core::program::parse::Array;

/// Largest file, in bytes.
pub const LARGEST: u64 = 256 << 20;

/// The array in a file: whole numbers, floating-point numbers, or complex ones, which get one more
/// dimension of two.
///
/// # Errors
/// Why the bytes are no such array, in a sentence.
pub fn array(bytes: &[u8]) -> Result<Array, String> {
    let file = NpyFile::new(bytes).map_err(|e| format!("it is no .npy file: {e}"))?;
    let DType::Plain(kind) = file.dtype() else { return Err("its elements are records".to_owned()) };
    let mut shape = file.shape().iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    let (char, size) = (kind.type_char(), kind.size_field());
    let bytes_each = usize::try_from(size).unwrap_or(usize::MAX);
    if shape.len() != file.shape().len() || count.saturating_mul(bytes_each) > bytes.len() {
        return Err("it is shorter than its shape says".to_owned());
    }
    let order = file.order();
    let (mut elements, whole) = match (char, size) {
        (TypeChar::Int, 1) => (numbers::<i8>(file, f64::from)?, true),
        (TypeChar::Int, 2) => (numbers::<i16>(file, f64::from)?, true),
        (TypeChar::Int, 4) => (numbers::<i32>(file, f64::from)?, true),
        (TypeChar::Int, 8) => (numbers::<i64>(file, |n| n as f64)?, true),
        (TypeChar::Uint, 1) => (numbers::<u8>(file, f64::from)?, true),
        (TypeChar::Uint, 2) => (numbers::<u16>(file, f64::from)?, true),
        (TypeChar::Uint, 4) => (numbers::<u32>(file, f64::from)?, true),
        (TypeChar::Uint, 8) => (numbers::<u64>(file, |n| n as f64)?, true),
        (TypeChar::Bool, _) => (numbers::<bool>(file, |b| f64::from(u8::from(b)))?, true),
        (TypeChar::Float, 2) => (numbers::<half::f16>(file, f64::from)?, false),
        (TypeChar::Float, 4) => (numbers::<f32>(file, f64::from)?, false),
        (TypeChar::Float, 8) => (numbers::<f64>(file, |n| n)?, false),
        (TypeChar::Complex, 8) => (complex::<f32>(file, f64::from)?, false),
        (TypeChar::Complex, 16) => (complex::<f64>(file, |n| n)?, false),
        _ => return Err(format!("its elements are of a type that is not read: {kind}")),
    };
    let parts = if char == TypeChar::Complex { 2 } else { 1 };
    if order == Order::Fortran {
        elements = last_fastest(&elements, &shape, parts);
    }
    shape.extend((parts == 2).then_some(2));
    Ok(Array { shape, elements, whole })
}

fn numbers<T: npyz::Deserialize>(file: NpyFile<&[u8]>, number: impl Fn(T) -> f64) -> Result<Vec<f64>, String> {
    let elements = file.data::<T>().map_err(|e| e.to_string())?;
    elements.map(|e| e.map(&number).map_err(|e| e.to_string())).collect()
}

fn complex<T: Copy>(file: NpyFile<&[u8]>, number: impl Fn(T) -> f64) -> Result<Vec<f64>, String>
where
    num_complex::Complex<T>: npyz::Deserialize,
{
    let mut all = Vec::new();
    for element in file.data::<num_complex::Complex<T>>().map_err(|e| e.to_string())? {
        let element = element.map_err(|e| e.to_string())?;
        all.extend([number(element.re), number(element.im)]);
    }
    Ok(all)
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
    fn hostile_files_are_refused() {
        assert!(array(b"").is_err());
        assert!(array(&file("<f4", "False", "4000000000, 4000000000", &[0; 8])).is_err());
        assert!(array(&file("<f4", "False", "3,", &[0; 8])).is_err());
        assert!(array(&file("<U4", "False", "1,", &[0; 16])).is_err());
    }
}
