//! Types of elements, and how a number is held in each.

use serde::{Deserialize, Serialize};

/// Type of an element in memory or in a wavelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DType {
    /// IEEE binary16; two to a wavelet, the earlier one in the low half.
    F16,
    /// bfloat16; two to a wavelet, the earlier one in the low half.
    Bf16,
    /// IEEE binary32; one to a wavelet.
    F32,
}

impl DType {
    /// All types, in the order of their declaration.
    pub const ALL: [DType; 3] = [DType::F16, DType::Bf16, DType::F32];

    /// Size in memory, in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            DType::F16 | DType::Bf16 => 2,
            DType::F32 => 4,
        }
    }

    /// Elements that one wavelet carries.
    #[must_use]
    pub const fn per_wavelet(self) -> u32 {
        4 / self.bytes()
    }

    /// Wavelets that `len` elements take.
    #[must_use]
    pub const fn wavelets(self, len: u32) -> u32 {
        len.div_ceil(self.per_wavelet())
    }

    /// Its name in the text form, such as `f16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::F32 => "f32",
        }
    }

    /// The bits that hold a number, rounded to the nearest one of the type (ties to even); those of a
    /// 16-bit type are the low half.
    #[must_use]
    #[inline]
    pub fn encode(self, value: f32) -> u32 {
        match self {
            DType::F16 => u32::from(half::f16::from_f32(value).to_bits()),
            DType::Bf16 => u32::from(half::bf16::from_f32(value).to_bits()),
            DType::F32 => value.to_bits(),
        }
    }

    /// The number that bits hold, exactly; of a 16-bit type the low half counts.
    #[must_use]
    #[inline]
    pub fn decode(self, bits: u32) -> f32 {
        match self {
            DType::F16 => half::f16::from_bits(bits as u16).to_f32(),
            DType::Bf16 => half::bf16::from_bits(bits as u16).to_f32(),
            DType::F32 => f32::from_bits(bits),
        }
    }

    /// The number of the type that is nearest.
    #[must_use]
    pub fn round(self, value: f32) -> f32 {
        self.decode(self.encode(value))
    }

    /// Writes numbers, rounded, as adjacent elements from the start of `memory` (little-endian, V3).
    ///
    /// # Panics
    /// If `memory` is shorter than the elements.
    pub fn write(self, memory: &mut [u8], values: &[f32]) {
        let size = self.bytes() as usize;
        assert!(memory.len() >= values.len() * size, "{} elements leave {} bytes", values.len(), memory.len());
        for (element, &value) in memory.chunks_exact_mut(size).zip(values) {
            element.copy_from_slice(&self.encode(value).to_le_bytes()[..size]);
        }
    }

    /// Reads all of the adjacent elements in `memory`; bytes that are left over do not count.
    #[must_use]
    pub fn read(self, memory: &[u8]) -> Vec<f32> {
        let bits = |element: &[u8]| element.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte));
        memory.chunks_exact(self.bytes() as usize).map(|element| self.decode(bits(element))).collect()
    }
}

impl std::str::FromStr for DType {
    type Err = String;

    fn from_str(name: &str) -> Result<DType, String> {
        let known = DType::ALL.into_iter().find(|dtype| dtype.name() == name);
        known.ok_or_else(|| format!("`{name}` is not a type; known are f16, bf16 and f32"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit patterns from the definitions of the formats.
    #[test]
    fn numbers_have_their_bits() {
        assert_eq!(DType::ALL.map(|dtype| dtype.encode(1.5)), [0x3e00, 0x3fc0, 0x3fc0_0000]);
        assert_eq!(DType::ALL.map(|dtype| dtype.encode(-0.0)), [0x8000, 0x8000, 0x8000_0000]);
        assert_eq!(DType::F16.encode(65_520.0), 0x7c00, "half of the last step above 65504 rounds to infinity");
        assert_eq!(DType::F16.round(2049.0), 2048.0, "a tie goes to the even one");
        assert_eq!(DType::Bf16.decode(0xffff_3f80), 1.0, "only the low half counts");
        for dtype in DType::ALL {
            assert!(dtype.round(f32::NAN).is_nan());
            assert_eq!(dtype.name().parse(), Ok(dtype));
        }
        assert!("f64".parse::<DType>().is_err());
    }

    #[test]
    fn elements_in_memory_are_read_as_they_were_written() {
        for dtype in DType::ALL {
            let mut memory = [0xff; 13];
            dtype.write(&mut memory, &[1.0, -2.5, 0.25]);
            assert_eq!(dtype.read(&memory)[..3], [1.0, -2.5, 0.25]);
        }
        let mut memory = [0; 4];
        DType::F32.write(&mut memory, &[1.0]);
        assert_eq!(memory, [0, 0, 0x80, 0x3f], "little-endian");
    }
}
