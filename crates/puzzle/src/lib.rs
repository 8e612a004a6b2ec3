//! Pictures of a few distorted characters, for people to read.
//!
//! The crate does no I/O and has no randomness of its own: the caller brings random bytes and keeps the solution.

mod draw;
mod glyphs;
mod png;

/// The most characters that a picture has.
pub const MOST_CHARACTERS: usize = 8;

/// A picture and its solution.
pub struct Puzzle {
    /// The characters, in upper case.
    pub solution: String,
    /// A PNG file.
    pub png: Vec<u8>,
}

/// Draws a picture with one character for each byte of `secret`.
///
/// `secret` decides the characters and `seed` their looks. Both must be random, and `seed` must not depend on `secret`.
pub fn draw(secret: &[u8], seed: u64) -> Puzzle {
    let text = glyphs::spell(secret);
    Puzzle { solution: text.iter().map(|glyph| glyph.character).collect(), png: draw::draw(&text, seed) }
}
