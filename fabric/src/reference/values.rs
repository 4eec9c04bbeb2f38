//! Arithmetic on one element (V2), and elements in memory (V3).
//!
//! **Invariant.** A memory is only accessed inside; everything else is a [`MemoryFault`].
//! **Not here.** Which elements (`vector`).

use sim_core::program::{DType, Op};

/// An access outside of the memory: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryFault(pub(super) i64);

/// Bits of one element and their type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub(super) bits: u32,
    pub(super) dtype: DType,
}

impl Value {
    /// A binary32.
    pub(super) fn single(bits: u32) -> Value {
        Value { bits, dtype: DType::F32 }
    }

    /// The value as bits of a binary32; exact.
    pub(super) fn widen(self) -> u32 {
        self.dtype.decode(self.bits).to_bits()
    }
}

/// The bits of a binary32, rounded to `dtype` (nearest even).
pub(super) fn round(bits: u32, dtype: DType) -> u32 {
    dtype.encode(f32::from_bits(bits))
}

/// V2: `op` on the sources `s` (of which there are as many as it takes), rounded to `dtype`.
pub(super) fn compute(op: Op, s: &[Value; 3], dtype: DType) -> u32 {
    if op == Op::Mov && s[0].dtype == dtype {
        return s[0].bits; // nothing to convert: the bits stay
    }
    let bits = s.map(Value::widen);
    let [a, b, c] = bits.map(f32::from_bits);
    let result = match op {
        Op::Mov => a,
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        Op::Fmac => b.mul_add(c, a),
        Op::Scale => return scale(a, b, dtype),
        Op::BitSub => return round(bits[0].wrapping_sub(bits[1]), dtype),
    };
    round(result.to_bits(), dtype)
}

/// V2: `a · 2^n` with `n` = `b` rounded to the nearest integer, exactly, and then rounded once.
fn scale(a: f32, b: f32, dtype: DType) -> u32 {
    if b.is_nan() {
        return round(f32::NAN.to_bits(), dtype);
    }
    // Beyond 400 every finite result is zero or infinite; within, binary64 is exact.
    let n = b.round_ties_even().clamp(-400.0, 400.0) as i64;
    let power = f64::from_bits(((1023 + n) as u64) << 52);
    let exact = f64::from(a) * power;
    let nearest = exact as f32;
    if dtype == DType::F32 || f64::from(nearest) == exact || !nearest.is_finite() {
        return round(nearest.to_bits(), dtype);
    }
    // Round to odd: of the two neighbours the one with the odd last bit. It carries enough for
    // the rounding to 16 bits to be the only one that counts.
    let bits = nearest.to_bits();
    let odd = if bits & 1 == 1 {
        bits
    } else if f64::from(nearest).abs() < exact.abs() {
        bits + 1
    } else {
        bits - 1
    };
    round(odd, dtype)
}

/// The element at byte `address`.
pub(super) fn load(memory: &[u8], address: i64, dtype: DType) -> Result<u32, MemoryFault> {
    let bytes = &memory[place(memory, address, dtype)?];
    let low = u32::from(bytes[0]) | u32::from(bytes[1]) << 8;
    Ok(match dtype {
        DType::F16 | DType::Bf16 => low,
        DType::F32 => low | u32::from(bytes[2]) << 16 | u32::from(bytes[3]) << 24,
    })
}

/// Puts an element to byte `address`.
pub(super) fn store(memory: &mut [u8], address: i64, dtype: DType, bits: u32) -> Result<(), MemoryFault> {
    let place = place(memory, address, dtype)?;
    for (byte, value) in memory[place].iter_mut().zip(bits.to_le_bytes()) {
        *byte = value;
    }
    Ok(())
}

fn place(memory: &[u8], address: i64, dtype: DType) -> Result<std::ops::Range<usize>, MemoryFault> {
    let first = usize::try_from(address).map_err(|_| MemoryFault(address))?;
    let end = first.checked_add(dtype.bytes() as usize).ok_or(MemoryFault(address))?;
    if end <= memory.len() { Ok(first..end) } else { Err(MemoryFault(address)) }
}
