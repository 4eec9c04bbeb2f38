//! Tokens of the text form, each with its position.
//!
//! **Invariant.** Lexing ends on any input; what is no token becomes [`Tok::Bad`].

use crate::program::text::is_word_char;

/// A token; text is a slice of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tok<'a> {
    /// A name or keyword.
    Word(&'a str),
    /// An unsigned number: digits, perhaps a fraction and an exponent; or `0x…`.
    Number(&'a str),
    /// A quoted name with its escapes, without the quotes.
    Quoted(&'a str),
    /// `->`, `<-`, `..`, a comparison, or one character.
    Punct(&'a str),
    /// End of a line.
    Line,
    /// Something that is no token.
    Bad(&'a str),
}

/// A token and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) tok: Tok<'a>,
    /// Byte offset in all texts that are read, one behind the other.
    pub(super) at: usize,
}

/// What is written with two characters.
const PAIRS: [&str; 7] = ["->", "<-", "..", "==", "!=", "<=", ">="];

/// Length of the word that the text starts with. Two dots end it: `n..m` is a range.
fn word(text: &str) -> usize {
    let end = text.find(|c| !is_word_char(c)).unwrap_or(text.len());
    text[..end].find("..").unwrap_or(end)
}

/// All tokens of a text, which begins at byte `base` of all texts. They end with [`Tok::Line`].
pub(super) fn lex(text: &str, base: usize) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let len = match c {
            '\n' => 1,
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            _ if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            c if c.is_ascii_digit() => number(rest),
            c if is_word_char(c) && c != '.' => word(rest),
            '"' => quoted(rest),
            _ if PAIRS.iter().any(|p| rest.starts_with(p)) => 2,
            c => c.len_utf8(),
        };
        let piece = &rest[..len];
        let tok = match c {
            '\n' => Tok::Line,
            '0'..='9' => Tok::Number(piece),
            '"' if len > 1 && piece.ends_with('"') => Tok::Quoted(&piece[1..len - 1]),
            c if is_word_char(c) && c != '.' => Tok::Word(piece),
            '.' | '!' if len == 1 => Tok::Bad(piece),
            '{' | '}' | '[' | ']' | '(' | ')' | ':' | ';' | ',' | '@' | '$' | '+' | '-' | '=' | '/' | '#' | '%'
            | '*' | '|' | '<' | '>' | '.' | '!' => Tok::Punct(piece),
            _ => Tok::Bad(piece),
        };
        tokens.push(Token { tok, at: base + at });
        at += len;
    }
    tokens.push(Token { tok: Tok::Line, at: base + text.len() });
    tokens
}

/// Length of the number that the text starts with. `4x2` is a number and a word, `0..4` a number,
/// two dots and a number.
fn number(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let bytes = text.as_bytes();
    if text.starts_with("0x") && bytes.get(2).is_some_and(u8::is_ascii_hexdigit) {
        return 2 + text[2..].bytes().take_while(u8::is_ascii_hexdigit).count();
    }
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') && digits(len + 1) > 0 {
        len += 1 + digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        if text.is_char_boundary(len + 1 + sign) && digits(len + 1 + sign) > 0 {
            len += 1 + sign + digits(len + 1 + sign);
        }
    }
    len
}

/// Length of the quoted text at the start, up to the end of the line if it does not end.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return i,
            '"' if !escaped => return i + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// A quoted name without its escapes.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            c @ ('"' | '\\') => out.push(c),
            'u' => {
                let (hex, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                chars = rest.chars();
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Whether a word is one of the machine's own, such as `a3` or `c0`.
pub(super) fn is_register(word: &str) -> bool {
    let digits = word.strip_prefix(['a', 'c', 'q', 'r', 't']);
    digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
}
