//! Hashes of programs: two programs with the same hash mean the same.
//!
//! Outcomes are kept under such a hash, and launches whose programs have the same one are executed
//! once. What counts is what a program does, so names that are for people only are left out.
//!
//! **Not here.** What of a program its timing can depend on (`transform::timing`).

use super::names::names;
use crate::codec::encode;
use crate::program::Program;

/// BLAKE3 of a program's meaning: names of the program, its images, buffers and tasks do not
/// count. Names of edge streams do, since the host finds values by them.
#[must_use]
pub fn content_hash(program: &Program) -> [u8; 32] {
    content_hash_mut(&mut program.clone())
}

/// [`content_hash`] without a copy: names are taken out meanwhile.
#[must_use]
pub fn content_hash_mut(program: &mut Program) -> [u8; 32] {
    let taken: Vec<String> = names(program).into_iter().map(std::mem::take).collect();
    let hash = *blake3::hash(&encode("program", program)).as_bytes();
    names(program).into_iter().zip(taken).for_each(|(name, was)| *name = was);
    hash
}

/// [`content_hash`] in hexadecimal.
#[must_use]
pub fn content_hash_hex(program: &Program) -> String {
    blake3::Hash::from_bytes(content_hash(program)).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse;

    #[test]
    fn the_hash_is_of_the_meaning() {
        let mut p = parse("program p\ngrid 4x2\nimage a {\nmem y f32[4] @8 = 1, 2\ntask t local active {\njoin t0\n}\n}\nplace a x=0 y=0\n", "t").unwrap();
        let hash = content_hash_hex(&p);
        p.name = "q".into();
        p.images[0].tasks[0].name = "u".into();
        assert_eq!(content_hash_hex(&p), hash);
        let named = p.clone();
        assert_eq!(content_hash_mut(&mut p), content_hash(&named));
        assert_eq!(p, named, "names are put back");
        p.placements[0].region.x.start = 1;
        assert_ne!(content_hash_hex(&p), hash);
        assert_eq!(hash.len(), 64);
    }
}
