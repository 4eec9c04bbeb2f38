//! Advice after a misspelt name: the known name that is most like it.
//!
//! ```
//! use sim_core::util::suggest::{did_you_mean, distance};
//! let advice = |name: &str| did_you_mean(["pe.sram", "pe.stack"], |known| distance(name, known));
//! assert_eq!(advice("pe.srma"), Some("did you mean `pe.sram`?".to_owned()));
//! assert_eq!(advice("something"), None);
//! ```

/// Longer names are cut before they are compared, since the time grows with the product of lengths.
const COMPARED: usize = 100;

/// Number of characters to insert, remove or replace to get from one name to the other (Levenshtein's
/// distance), of the first 100 characters of each.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let cut = |text: &str| text.chars().take(COMPARED).collect::<String>();
    strsim::levenshtein(&cut(a), &cut(b))
}

/// `did you mean …?` with the known name of the least distance, the first of several; None if none is
/// near: if more than two of its characters, and more than a third of them, would have to change, or all.
#[must_use]
pub fn did_you_mean<'a>(known: impl IntoIterator<Item = &'a str>, distance: impl Fn(&str) -> usize) -> Option<String> {
    let (changes, near) = known.into_iter().map(|known| (distance(known), known)).min_by_key(|near| near.0)?;
    (changes <= 2.max(near.len() / 3) && changes < 2.max(near.len())).then(|| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_characters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("gpt", "gpt"), 0);
        assert_eq!(distance(&"a".repeat(100_000), "b"), 100, "a hostile name costs no time");
    }
}
