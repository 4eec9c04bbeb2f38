//! Machine numbers as text: parsed and shown with their units.
//!
//! **Invariant.** `parse(unit, show(unit, v)) == v`. A quantity without its unit is refused.

use super::Widths;

/// What a machine number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Hertz,
    Bytes,
    BitsPerSecond,
    /// A plain number.
    Count,
    /// Cycles, a plain number.
    Cycles,
    /// Several plain numbers.
    List,
    /// Three plain numbers: half, single, mixed.
    Widths,
}

/// A machine number of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(u64),
    List(Vec<u32>),
    Widths(Widths),
}

impl Value {
    /// All numbers in it.
    pub(super) fn numbers(&self) -> Vec<u64> {
        match self {
            Value::Int(n) => vec![*n],
            Value::List(list) => list.iter().map(|&n| u64::from(n)).collect(),
            Value::Widths(w) => [w.half, w.single, w.mixed].map(u64::from).to_vec(),
        }
    }
}

/// A type that a field of `ArchSpec` can have.
pub(super) trait Field: Sized {
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Option<Self>;
}

impl Field for u64 {
    fn to_value(&self) -> Value {
        Value::Int(*self)
    }
    fn from_value(value: Value) -> Option<u64> {
        if let Value::Int(n) = value { Some(n) } else { None }
    }
}

impl Field for u32 {
    fn to_value(&self) -> Value {
        Value::Int(u64::from(*self))
    }
    fn from_value(value: Value) -> Option<u32> {
        u64::from_value(value).and_then(|n| u32::try_from(n).ok())
    }
}

impl Field for Vec<u32> {
    fn to_value(&self) -> Value {
        Value::List(self.clone())
    }
    fn from_value(value: Value) -> Option<Vec<u32>> {
        if let Value::List(list) = value { Some(list) } else { None }
    }
}

impl Field for Widths {
    fn to_value(&self) -> Value {
        Value::Widths(*self)
    }
    fn from_value(value: Value) -> Option<Widths> {
        if let Value::Widths(w) = value { Some(w) } else { None }
    }
}

impl Unit {
    /// Names of multiples, largest last.
    fn scales(self) -> &'static [(&'static str, u64)] {
        match self {
            Unit::Hertz => &[("Hz", 1), ("kHz", 1_000), ("MHz", 1_000_000), ("GHz", 1_000_000_000)],
            Unit::Bytes => &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
            Unit::BitsPerSecond => &[
                ("b/s", 1),
                ("kb/s", 1_000),
                ("Mb/s", 1_000_000),
                ("Gb/s", 1_000_000_000),
                ("Tb/s", 1_000_000_000_000),
            ],
            Unit::Count | Unit::Cycles | Unit::List | Unit::Widths => &[],
        }
    }

    /// How a value is written, by example.
    pub(super) fn example(self) -> &'static str {
        match self {
            Unit::Hertz => "a frequency such as 850MHz",
            Unit::Bytes => "a size such as 48KiB or 1024B",
            Unit::BitsPerSecond => "a bandwidth such as 1.2Tb/s",
            Unit::Count => "a whole number",
            Unit::Cycles => "a whole number of cycles",
            Unit::List => "whole numbers such as 6,6,4,4",
            Unit::Widths => "three whole numbers, half,single,mixed, such as 4,2,1",
        }
    }

    pub(super) fn parse(self, text: &str) -> Option<Value> {
        let text = text.trim();
        match self {
            Unit::Count | Unit::Cycles => whole(text).map(Value::Int),
            Unit::List => numbers(text).map(Value::List),
            Unit::Widths => match numbers(text)?[..] {
                [half, single, mixed] => Some(Value::Widths(Widths { half, single, mixed })),
                _ => None,
            },
            _ => {
                let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
                let (number, unit) = text.split_at(digits);
                let &(_, scale) = self.scales().iter().find(|(name, _)| *name == unit.trim_start())?;
                decimal(number, scale).map(Value::Int)
            }
        }
    }

    pub(super) fn show(self, value: &Value) -> String {
        match (value, self.scales()) {
            (Value::Int(n), scales @ [smallest, ..]) => {
                let fits = |&&(_, scale): &&(&str, u64)| *n >= scale && short(self, *n, scale).is_some();
                let &(name, scale) = scales.iter().rev().find(fits).unwrap_or(smallest);
                format!("{}{name}", short(self, *n, scale).unwrap_or_else(|| n.to_string()))
            }
            _ => value.numbers().iter().map(u64::to_string).collect::<Vec<_>>().join(","),
        }
    }
}

/// `n / scale` with at most three decimals, if that is exact. Sizes have none.
fn short(unit: Unit, n: u64, scale: u64) -> Option<String> {
    let (whole, rest) = (n / scale, n % scale);
    if rest == 0 {
        return Some(whole.to_string());
    }
    if unit == Unit::Bytes || scale < 1_000 || rest % (scale / 1_000) != 0 {
        return None;
    }
    let decimals = format!("{:03}", rest / (scale / 1_000));
    Some(format!("{whole}.{}", decimals.trim_end_matches('0')))
}

fn whole(text: &str) -> Option<u64> {
    // `parse` alone would also take a plus sign.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split(',').map(|n| whole(n.trim()).and_then(|n| u32::try_from(n).ok())).collect()
}

/// `number · scale`, if it is a whole number.
fn decimal(number: &str, scale: u64) -> Option<u64> {
    let (int, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 12 {
        return None;
    }
    let unit = 10u128.pow(fraction.len() as u32);
    let scaled = (u128::from(whole(int)?) * unit + u128::from(whole(fraction)?)) * u128::from(scale);
    scaled.is_multiple_of(unit).then(|| u64::try_from(scaled / unit).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_mandatory_and_exact() {
        let int = |unit: Unit, text| match unit.parse(text) {
            Some(Value::Int(n)) => Some(n),
            _ => None,
        };
        assert_eq!(int(Unit::Bytes, "48KiB"), Some(49_152));
        assert_eq!(int(Unit::Bytes, "0.5 KiB"), Some(512));
        assert_eq!(int(Unit::Hertz, "1.1GHz"), Some(1_100_000_000));
        assert_eq!(int(Unit::BitsPerSecond, "1.2Tb/s"), Some(1_200_000_000_000));
        for bad in ["48", "48KB", "KiB", "", "-1KiB", "1.KiB", "0.0001KiB", "99999999999999999999B", "+1B", "1..2KiB"] {
            assert_eq!(Unit::Bytes.parse(bad), None, "{bad}");
        }
        assert_eq!(int(Unit::Cycles, "6"), Some(6));
        assert_eq!(Unit::Cycles.parse("6MHz"), None);
        assert_eq!(Unit::List.parse("6, 6,4"), Some(Value::List(vec![6, 6, 4])));
        assert_eq!(Unit::Widths.parse("4,2"), None);
    }

    #[test]
    fn values_are_shown_in_the_unit_that_fits() {
        assert_eq!(Unit::Hertz.show(&Value::Int(850_000_000)), "850MHz");
        assert_eq!(Unit::BitsPerSecond.show(&Value::Int(1_200_000_000_000)), "1.2Tb/s");
        assert_eq!(Unit::Bytes.show(&Value::Int(49_152)), "48KiB");
        assert_eq!(Unit::Bytes.show(&Value::Int(49_153)), "49153B");
        assert_eq!(Unit::Bytes.show(&Value::Int(0)), "0B");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(n in any::<u64>(), round in 0u32..15) {
            let n = n / 10u64.pow(round) * 10u64.pow(round);
            for unit in [Unit::Hertz, Unit::Bytes, Unit::BitsPerSecond, Unit::Count] {
                prop_assert_eq!(unit.parse(&unit.show(&Value::Int(n))), Some(Value::Int(n)));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}") {
            for unit in [Unit::Hertz, Unit::Bytes, Unit::List, Unit::Widths, Unit::Count] {
                let _ = unit.parse(&text);
            }
        }
    }
}
