//! How the body of a task is stored: as a list in which a loop is a begin and an end.
//!
//! **Invariant.** Reading a stored body does not recurse, so hostile bytes cannot exhaust the
//! host's stack; loops deeper than [`super::parse::MAX_DEPTH`] are refused.

use super::parse::MAX_DEPTH;
use super::{AddrOp, Async, Control, Instr, TaskId, VecOp};
use crate::coord::Color;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;

/// An element of the list: an instruction, or the begin or the end of a loop.
#[derive(Serialize, Deserialize)]
enum Flat<'a> {
    Vec(Cow<'a, VecOp>),
    Async(Cow<'a, Async>),
    Join(u8),
    Begin(u32),
    End,
    Addr(Cow<'a, AddrOp>),
    Activate(TaskId),
    Block(TaskId),
    Unblock(TaskId),
    Control(Color, Control),
    Open(Color),
}

/// Stores the body of a task as a list without nesting.
pub(super) fn serialize<S: Serializer>(body: &[Instr], to: S) -> Result<S::Ok, S::Error> {
    let mut flat = Vec::new();
    let mut open = vec![body.iter()];
    while let Some(top) = open.last_mut() {
        let Some(instr) = top.next() else {
            open.pop();
            if !open.is_empty() {
                flat.push(Flat::End);
            }
            continue;
        };
        flat.push(match instr {
            Instr::Vec(op) => Flat::Vec(Cow::Borrowed(op)),
            Instr::Async(op) => Flat::Async(Cow::Borrowed(op)),
            Instr::Join(thread) => Flat::Join(*thread),
            Instr::Loop { count, .. } => Flat::Begin(*count),
            Instr::Addr(op) => Flat::Addr(Cow::Borrowed(op)),
            Instr::Activate(task) => Flat::Activate(*task),
            Instr::Block(task) => Flat::Block(*task),
            Instr::Unblock(task) => Flat::Unblock(*task),
            Instr::Control(color, control) => Flat::Control(*color, control.clone()),
            Instr::Open(color) => Flat::Open(*color),
        });
        if let Instr::Loop { body, .. } = instr {
            open.push(body.iter());
        }
    }
    flat.serialize(to)
}

/// Reads the body of a task from such a list.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Instr>, D::Error> {
    let mut open: Vec<(u32, Vec<Instr>)> = Vec::new();
    let mut body = Vec::new();
    for flat in Vec::<Flat>::deserialize(from)? {
        let instr = match flat {
            Flat::Begin(count) => {
                if open.len() == MAX_DEPTH {
                    return Err(D::Error::custom("loops are nested too deep"));
                }
                open.push((count, std::mem::take(&mut body)));
                continue;
            }
            Flat::End => {
                let (count, around) =
                    open.pop().ok_or_else(|| D::Error::custom("the end of a loop that never began"))?;
                Instr::Loop { count, body: std::mem::replace(&mut body, around) }
            }
            Flat::Vec(op) => Instr::Vec(op.into_owned()),
            Flat::Async(op) => Instr::Async(op.into_owned()),
            Flat::Join(thread) => Instr::Join(thread),
            Flat::Addr(op) => Instr::Addr(op.into_owned()),
            Flat::Activate(task) => Instr::Activate(task),
            Flat::Block(task) => Instr::Block(task),
            Flat::Unblock(task) => Instr::Unblock(task),
            Flat::Control(color, control) => Instr::Control(color, control),
            Flat::Open(color) => Instr::Open(color),
        };
        body.push(instr);
    }
    if open.is_empty() { Ok(body) } else { Err(D::Error::custom("a loop without an end")) }
}
