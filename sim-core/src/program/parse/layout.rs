//! How a text is laid out: `wafersim fmt`.
//!
//! Lines stay lines, and comments stay where they are. Blocks are indented by two spaces, runs of spaces
//! become one, and empty lines do not follow each other. Whether there is a space around `+`, `=` or `(`
//! is the author's. A step that is written as `/` becomes `step`.
//!
//! **Invariant.** A text and what is made of it mean the same, and what is laid out stays as it is.

use super::lex::{Tok, Token, lex};
use std::collections::BTreeSet;

/// Most tokens of an end of a range behind which a step is looked for.
const LONGEST: usize = 1000;

/// A text, laid out.
///
/// ```
/// let text = "image p{\nmem  a f32 [4]// four\n\n\n}";
/// assert_eq!(sim_core::program::parse::format(text), "image p {\n  mem a f32[4]  // four\n\n}\n");
/// ```
#[must_use]
pub fn format(text: &str) -> String {
    let tokens = lex(text, 0);
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut next, mut start, mut empty) = (0usize, 0, 0, true);
    for line in text.split('\n') {
        let end = start + line.len();
        let first = next;
        while tokens.get(next).is_some_and(|t| t.at < end || t.at == end && t.tok != Tok::Line) {
            next += 1;
        }
        let own = &tokens[first..next];
        // The end of the line is a token, too.
        next += usize::from(tokens.get(next).is_some_and(|t| t.tok == Tok::Line && t.at == end));
        let shown = laid_out(text, own, (start, end), &mut depth);
        start = end + 1;
        if shown.is_empty() && empty {
            continue;
        }
        empty = shown.is_empty();
        out += &shown;
        out.push('\n');
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    if out == "\n" { String::new() } else { out }
}

/// One line with its indentation; `depth` is how many blocks are open.
fn laid_out(text: &str, tokens: &[Token<'_>], (start, end): (usize, usize), depth: &mut usize) -> String {
    let closing = tokens.iter().take_while(|t| t.tok == Tok::Punct("}")).count();
    let indent = "  ".repeat(depth.saturating_sub(closing));
    for token in tokens {
        match token.tok {
            Tok::Punct("{") => *depth += 1,
            Tok::Punct("}") => *depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    let code = code(text, tokens, end);
    let behind = tokens.last().map_or(start, |t| t.at + piece(text, t, end).len());
    let comment = text[behind..end].trim();
    match (code.is_empty(), comment.is_empty()) {
        (true, true) => String::new(),
        (false, true) => indent + &code,
        (true, false) => indent + comment,
        (false, false) => {
            let line = indent + &code;
            let column = text[start..end].find(comment).map_or(0, |at| text[start..start + at].chars().count());
            let gap = column.saturating_sub(line.chars().count()).max(2);
            line + &" ".repeat(gap) + comment
        }
    }
}

/// A token as it is written.
fn piece<'t>(text: &'t str, token: &Token<'_>, end: usize) -> &'t str {
    let len = match token.tok {
        Tok::Quoted(inner) => inner.len() + 2,
        Tok::Word(s) | Tok::Number(s) | Tok::Punct(s) | Tok::Bad(s) => s.len(),
        Tok::Line => 0,
    };
    &text[token.at..(token.at + len).min(end)]
}

/// Tokens with the spaces between them.
fn code(text: &str, tokens: &[Token<'_>], end: usize) -> String {
    let mut out = String::new();
    let mut brackets = 0usize;
    let steps = steps(tokens);
    for (i, token) in tokens.iter().enumerate() {
        if let Some(before) = i.checked_sub(1).map(|i| &tokens[i]) {
            let written = token.at > before.at + piece(text, before, end).len();
            out += if !out.ends_with(' ') && space(before.tok, token.tok, brackets, written) { " " } else { "" };
        }
        match token.tok {
            Tok::Punct("[" | "(") => brackets += 1,
            Tok::Punct("]" | ")") => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        if steps.contains(&i) {
            out += if out.ends_with(' ') { "step " } else { " step " };
        } else {
            out += piece(text, token, end);
        }
    }
    out
}

/// Which tokens are a `/` that is the step of a range.
fn steps(tokens: &[Token<'_>]) -> BTreeSet<usize> {
    let ranges = (0..tokens.len()).filter(|&i| tokens[i].tok == Tok::Punct(".."));
    ranges.filter_map(|i| step(tokens, i + 1)).collect()
}

/// The `/` behind the sum that begins at a token.
fn step(tokens: &[Token<'_>], from: usize) -> Option<usize> {
    // Whether an operand ended, and how many brackets are open.
    let (mut operand, mut open) = (false, 0usize);
    for (i, token) in tokens.iter().enumerate().skip(from).take(LONGEST) {
        match token.tok {
            // Behind a name, the operands of a function or the indices of an array.
            Tok::Punct("(") if open > 0 || !operand || matches!(tokens[i - 1].tok, Tok::Word(_)) => open += 1,
            Tok::Punct("[") if open > 0 || matches!(tokens[i - 1].tok, Tok::Word(_)) => open += 1,
            Tok::Punct(")" | "]") if open > 0 => {
                open -= 1;
                operand = true;
            }
            _ if open > 0 => {}
            Tok::Punct("/") if operand => {
                return Some(i).filter(|i| tokens.get(i + 1).is_some_and(|t| t.tok != Tok::Punct("=")));
            }
            Tok::Punct("-" | "+" | "*" | "%") => operand = false,
            Tok::Word(_) | Tok::Number(_) if !operand => operand = true,
            _ => return None,
        }
    }
    None
}

/// Whether a space stands between two tokens; `written`: whether one does in the text.
fn space(before: Tok<'_>, after: Tok<'_>, brackets: usize, written: bool) -> bool {
    match (before, after) {
        // A word and a number would become another word.
        (Tok::Bad(_), _) | (_, Tok::Bad(_)) => written,
        (_, Tok::Punct("," | ";" | ":" | ")" | "]")) => false,
        (Tok::Punct("(" | "[" | "$" | "#"), _) | (_, Tok::Punct("$")) => false,
        (Tok::Punct("{"), Tok::Punct("}")) => written,
        (Tok::Punct(","), _) if brackets > 0 => written,
        (Tok::Punct("{" | "}" | "," | ";" | "|"), _) | (_, Tok::Punct("{" | "}" | "|")) => true,
        (Tok::Punct(":"), _) => brackets == 0,
        (Tok::Punct("->" | "<-" | "==" | "!=" | "<=" | ">="), _)
        | (_, Tok::Punct("->" | "<-" | "==" | "!=" | "<=" | ">=")) => true,
        (Tok::Word(_) | Tok::Punct(")"), Tok::Punct("[")) => false,
        _ => written,
    }
}
