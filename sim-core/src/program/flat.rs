//! How the body of a task is stored: as a list in which a loop or a branch is a begin and an end.
//!
//! **Invariant.** Reading a stored body does not recurse, so hostile bytes cannot exhaust the
//! host's stack; loops deeper than [`super::parse::MAX_DEPTH`] are refused.

use super::parse::MAX_DEPTH;
use super::{AddrOp, AddrReg, Async, AsyncControl, Cond, Control, Instr, Int, ScalarOp, TaskId, VecOp};
use crate::coord::Color;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;

/// An element of the list: an instruction, or the begin, the middle or the end of a loop or branch.
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
    AsyncControl(Cow<'a, AsyncControl>),
    Scalar(ScalarOp),
    If(Cond),
    Else,
    While(Cond),
    Repeat(AddrReg),
    Filter(Color, [Int; 3]),
    Turn(Color, Int, bool),
    Return,
}

/// What was begun and not yet ended.
enum Open {
    Loop(u32),
    Then(Cond),
    Otherwise(Cond, Vec<Instr>),
    While(Cond),
    Repeat(AddrReg),
}

impl Open {
    /// The instruction, with its last body.
    fn ended(self, body: Vec<Instr>) -> Instr {
        match self {
            Open::Loop(count) => Instr::Loop { count, body },
            Open::Then(cond) => Instr::If { cond, then: body, otherwise: Vec::new() },
            Open::Otherwise(cond, then) => Instr::If { cond, then, otherwise: body },
            Open::While(cond) => Instr::While { cond, body },
            Open::Repeat(count) => Instr::Repeat { count, body },
        }
    }
}

/// What is open while a body is stored: an end, or the middle of a branch.
enum Rest<'a> {
    Body(std::slice::Iter<'a, Instr>),
    Else,
    End,
}

/// The element that an instruction begins with.
fn begin(instr: &Instr) -> Flat<'_> {
    match instr {
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
        Instr::AsyncControl(send) => Flat::AsyncControl(Cow::Borrowed(send)),
        Instr::Scalar(op) => Flat::Scalar(*op),
        Instr::If { cond, .. } => Flat::If(*cond),
        Instr::While { cond, .. } => Flat::While(*cond),
        Instr::Repeat { count, .. } => Flat::Repeat(*count),
        Instr::Filter { color, start, pass, period } => Flat::Filter(*color, [*start, *pass, *period]),
        Instr::Turn { color, position, open } => Flat::Turn(*color, *position, *open),
        Instr::Return => Flat::Return,
    }
}

/// Stores the body of a task as a list without nesting.
pub(super) fn serialize<S: Serializer>(body: &[Instr], to: S) -> Result<S::Ok, S::Error> {
    let mut flat = Vec::new();
    let mut open = vec![Rest::Body(body.iter())];
    while let Some(top) = open.pop() {
        match top {
            Rest::Else => flat.push(Flat::Else),
            Rest::End => flat.push(Flat::End),
            Rest::Body(mut rest) => {
                let Some(instr) = rest.next() else { continue };
                open.push(Rest::Body(rest));
                flat.push(begin(instr));
                if matches!(flat.last(), Some(Flat::Begin(_) | Flat::If(_) | Flat::While(_) | Flat::Repeat(_))) {
                    let [first, second] = instr.bodies();
                    open.push(Rest::End);
                    if !second.is_empty() {
                        open.extend([Rest::Body(second.iter()), Rest::Else]);
                    }
                    open.push(Rest::Body(first.iter()));
                }
            }
        }
    }
    flat.serialize(to)
}

/// Reads the body of a task from such a list.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Instr>, D::Error> {
    let mut open: Vec<(Open, Vec<Instr>)> = Vec::new();
    let mut body = Vec::new();
    let lost = || D::Error::custom("the end of a loop or branch that never began");
    for flat in Vec::<Flat>::deserialize(from)? {
        let begun = match flat {
            Flat::Begin(count) => Open::Loop(count),
            Flat::If(cond) => Open::Then(cond),
            Flat::While(cond) => Open::While(cond),
            Flat::Repeat(count) => Open::Repeat(count),
            Flat::Else => {
                let Some((Open::Then(cond), around)) = open.pop() else { return Err(lost()) };
                open.push((Open::Otherwise(cond, std::mem::take(&mut body)), around));
                continue;
            }
            Flat::End => {
                let (begun, around) = open.pop().ok_or_else(lost)?;
                let instr = begun.ended(std::mem::replace(&mut body, around));
                body.push(instr);
                continue;
            }
            other => {
                body.push(leaf(other));
                continue;
            }
        };
        if open.len() == MAX_DEPTH {
            return Err(D::Error::custom("loops or branches are nested too deep"));
        }
        open.push((begun, std::mem::take(&mut body)));
    }
    if open.is_empty() { Ok(body) } else { Err(D::Error::custom("a loop or branch without an end")) }
}

/// An instruction without a body.
fn leaf(flat: Flat<'_>) -> Instr {
    match flat {
        Flat::Vec(op) => Instr::Vec(op.into_owned()),
        Flat::Async(op) => Instr::Async(op.into_owned()),
        Flat::Join(thread) => Instr::Join(thread),
        Flat::Addr(op) => Instr::Addr(op.into_owned()),
        Flat::Activate(task) => Instr::Activate(task),
        Flat::Block(task) => Instr::Block(task),
        Flat::Unblock(task) => Instr::Unblock(task),
        Flat::Control(color, control) => Instr::Control(color, control),
        Flat::Open(color) => Instr::Open(color),
        Flat::AsyncControl(send) => Instr::AsyncControl(send.into_owned()),
        Flat::Scalar(op) => Instr::Scalar(op),
        Flat::Filter(color, [start, pass, period]) => Instr::Filter { color, start, pass, period },
        Flat::Turn(color, position, open) => Instr::Turn { color, position, open },
        Flat::Return => Instr::Return,
        Flat::Begin(_) | Flat::End | Flat::If(_) | Flat::Else | Flat::While(_) | Flat::Repeat(_) => {
            unreachable!("begins and ends are no instructions by themselves")
        }
    }
}
