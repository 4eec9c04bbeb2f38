//! Values of expressions, and what operators and functions make of them.
//!
//! Whole numbers are exact and refuse to overflow; as soon as one operand is a fraction, the result is
//! one. Conditions are whole numbers: 0 is false, everything else true.
//!
//! **Invariant.** The same expression gives the same bits on every computer: functions come from `libm`,
//! not from the system.

use crate::util::random::{GAMMA, mix};

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// A whole number.
    Int(i128),
    /// A fraction, or a number too large for whole ones.
    Float(f64),
}

/// What is wrong with an operation, in words.
pub(super) type Evaluated = Result<Value, String>;

impl Value {
    /// As a fraction.
    pub(super) fn float(self) -> f64 {
        match self {
            Value::Int(n) => n as f64,
            Value::Float(f) => f,
        }
    }

    /// Whether it counts as true.
    pub(super) fn holds(self) -> bool {
        match self {
            Value::Int(n) => n != 0,
            Value::Float(f) => f != 0.0,
        }
    }

    /// As a whole number, where it is one.
    pub(super) fn whole(self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(n),
            Value::Float(_) => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(v) => write!(f, "{v:?}"),
        }
    }
}

/// Reads a number as `--param` gives it.
pub(super) fn literal(text: &str) -> Option<Value> {
    let text = text.trim();
    let whole = text.parse::<i128>().ok().filter(|n| n.unsigned_abs() < 1 << 64);
    whole.map(Value::Int).or_else(|| text.parse::<f64>().ok().filter(|v| v.is_finite()).map(Value::Float))
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// The result of `a operator b`.
pub(super) fn binary(op: Binary, a: Value, b: Value) -> Evaluated {
    match op {
        Binary::Or => Ok(truth(a.holds() || b.holds())),
        Binary::And => Ok(truth(a.holds() && b.holds())),
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem => match (a, b) {
            (Value::Int(a), Value::Int(b)) => whole(op, a, b),
            _ => fraction(op, a.float(), b.float()),
        },
        _ => Ok(truth(compared(op, a, b))),
    }
}

fn truth(holds: bool) -> Value {
    Value::Int(i128::from(holds))
}

fn compared(op: Binary, a: Value, b: Value) -> bool {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(&b)),
        _ => a.float().partial_cmp(&b.float()),
    };
    let Some(order) = order else { return op == Binary::Unequal };
    match op {
        Binary::Equal => order.is_eq(),
        Binary::Unequal => order.is_ne(),
        Binary::Less => order.is_lt(),
        Binary::AtMost => order.is_le(),
        Binary::Greater => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// Whole numbers: division rounds down, and the rest of a division by a positive number is not negative.
fn whole(op: Binary, a: i128, b: i128) -> Evaluated {
    let result = match op {
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::Div | Binary::Rem if b == 0 => return Err("division by zero".to_owned()),
        Binary::Div => a.checked_div_euclid(b),
        _ => a.checked_rem_euclid(b),
    };
    // A 64-bit number is the largest that a program has.
    let fits = result.filter(|n| n.unsigned_abs() < 1 << 100);
    fits.map(Value::Int).ok_or_else(|| "the result is out of range".to_owned())
}

fn fraction(op: Binary, a: f64, b: f64) -> Evaluated {
    Ok(Value::Float(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        _ => return Err("`%` takes whole numbers".to_owned()),
    }))
}

/// The number with the other sign.
pub(super) fn negative(a: Value) -> Value {
    match a {
        Value::Int(n) => Value::Int(-n),
        Value::Float(v) => Value::Float(-v),
    }
}

/// Functions with the number of values that they take; `min` and `max` take two or more.
pub(super) const FUNCTIONS: [(&str, usize); 22] = [
    ("min", 2),
    ("max", 2),
    ("abs", 1),
    ("ceildiv", 2),
    ("pow", 2),
    ("ilog2", 1),
    ("bitand", 2),
    ("bitor", 2),
    ("bitxor", 2),
    ("bitrev", 2),
    ("select", 3),
    ("not", 1),
    ("float", 1),
    ("int", 1),
    ("floor", 1),
    ("round", 1),
    ("sqrt", 1),
    ("exp", 1),
    ("log", 1),
    ("sin", 1),
    ("cos", 1),
    ("random", 2),
];

/// Functions of buffers, whose operand is a name.
pub(super) const OF_BUFFERS: [&str; 3] = ["addr", "len", "bytes"];
/// The function that asks for the machine.
pub(super) const OF_MACHINE: &str = "arch";

/// The result of a function that exists, of as many values as it takes.
pub(super) fn call(name: &str, a: &[Value]) -> Evaluated {
    match name {
        "min" => Ok(a[1..].iter().fold(a[0], |m, &v| if compared(Binary::Less, v, m) { v } else { m })),
        "max" => Ok(a[1..].iter().fold(a[0], |m, &v| if compared(Binary::Greater, v, m) { v } else { m })),
        "abs" => Ok(if compared(Binary::Less, a[0], Value::Int(0)) { negative(a[0]) } else { a[0] }),
        "select" => Ok(if a[0].holds() { a[1] } else { a[2] }),
        "not" => Ok(truth(!a[0].holds())),
        "float" => Ok(Value::Float(a[0].float())),
        "int" | "floor" => rounded(libm::floor(a[0].float()), a[0]),
        "round" => rounded(libm::rint(a[0].float()), a[0]),
        "sqrt" => Ok(Value::Float(libm::sqrt(a[0].float()))),
        "exp" => Ok(Value::Float(libm::exp(a[0].float()))),
        "log" => Ok(Value::Float(libm::log(a[0].float()))),
        "sin" => Ok(Value::Float(libm::sin(a[0].float()))),
        "cos" => Ok(Value::Float(libm::cos(a[0].float()))),
        "pow" => power(a[0], a[1]),
        _ => whole_call(name, a),
    }
}

fn rounded(to: f64, of: Value) -> Evaluated {
    match of {
        Value::Int(n) => Ok(Value::Int(n)),
        Value::Float(_) if to.abs() < 1e18 => Ok(Value::Int(to as i128)),
        Value::Float(_) => Err("the result is out of range".to_owned()),
    }
}

fn power(a: Value, b: Value) -> Evaluated {
    if let (Value::Int(base), Value::Int(n)) = (a, b)
        && let Ok(n) = u32::try_from(n)
    {
        let fits = base.checked_pow(n).filter(|n| n.unsigned_abs() < 1 << 100);
        return fits.map(Value::Int).ok_or_else(|| "the result is out of range".to_owned());
    }
    Ok(Value::Float(libm::pow(a.float(), b.float())))
}

/// Functions that take whole numbers only.
fn whole_call(name: &str, values: &[Value]) -> Evaluated {
    let numbers: Option<Vec<i128>> = values.iter().map(|v| v.whole()).collect();
    let a = numbers.ok_or_else(|| format!("`{name}` takes whole numbers"))?;
    let result = match name {
        "ceildiv" if a[1] == 0 => return Err("division by zero".to_owned()),
        "ceildiv" => -(-a[0]).div_euclid(a[1]),
        "ilog2" if a[0] < 1 => return Err(format!("`ilog2` of {}", a[0])),
        "ilog2" => i128::from(a[0].ilog2()),
        "bitand" => a[0] & a[1],
        "bitor" => a[0] | a[1],
        "bitxor" => a[0] ^ a[1],
        "random" => return Ok(Value::Float(random(a[0], a[1]))),
        _ => return reversed(a[0], a[1]),
    };
    Ok(Value::Int(result))
}

/// The lowest `bits` bits of a number from the last to the first.
fn reversed(number: i128, bits: i128) -> Evaluated {
    if !(0..=63).contains(&bits) || number < 0 {
        return Err(format!("`bitrev` of {number} with {bits} bits; 0 to 63 bits are possible"));
    }
    Ok(Value::Int((0..bits).fold(0, |r, bit| r << 1 | (number >> bit) & 1)))
}

/// A number from 0 up to 1 that looks like chance and is a function of seed and index.
fn random(seed: i128, index: i128) -> f64 {
    let bits = mix(mix(seed as u64).wrapping_add((index as u64).wrapping_mul(GAMMA)));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Whether the language has a function with this name.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|f| f.0 == name) || OF_BUFFERS.contains(&name) || name == OF_MACHINE || name == "sum"
}

/// A function has another number of operands than it takes.
pub(super) fn takes(name: &str, takes: usize, has: usize) -> String {
    format!("`{}` takes {takes} value{} and has {has}", name, if takes == 1 { "" } else { "s" })
}
