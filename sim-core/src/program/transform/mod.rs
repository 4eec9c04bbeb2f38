//! Programs made from programs: parts of a mesh, a mesh without some of its lines, a program without
//! what timing cannot depend on, a program without names; and which lines of a mesh are equal.
//!
//! A transform that forgets a field gives wrong cycles without an error: if rows were compared without
//! their filters, rows with different filters would be folded into one. So everything that copies,
//! compares or reduces a whole program lives here, and takes every type of the program apart
//! completely: structs without `..`, enums without `_`. A field that a transform keeps as it is, or
//! that it ignores on purpose, is bound to `_` by name.
//!
//! **Adding a mechanism.** A new field or variant of [`Program`](super::Program) or of a type in it
//! makes this folder fail to compile until each file has decided:
//! - `select`: what of it is left where PEs are left out, and where it moves to;
//! - `lines`: what of it belongs to one row or column, so that equal lines start in equal states;
//! - `timing`: whether the time of a run can depend on it (if in doubt: yes, and nothing is to be done);
//! - `deciding`: whether it reads or writes address registers;
//! - `names`: whether it is a name for people.
//!
//! **Invariant.** No pattern of this folder on a type of the program has `..` or a catch-all `_`, and
//! nothing is filled up with defaults.
//! **Not here.** The text form, which a round trip over arbitrary programs holds complete (`parse`), the
//! binary form (serde), and checks (`verify`).

mod deciding;
mod hash;
mod lines;
mod names;
mod select;
mod timing;

pub use deciding::Deciding;
pub use hash::{content_hash, content_hash_hex, content_hash_mut};
pub use lines::{line_kinds, port_lines};
pub use select::{Cut, Window, clip, without};
pub use timing::{depends_on_values, timing_key, timing_only};
