//! Pictures of a few distorted characters, for people to read.
//!
//! No input but chance, no I/O: whoever asks brings the random bytes and keeps the solution.

mod draw;
mod glyphs;
mod png;

/// The most characters that a picture has.
pub const MOST_CHARACTERS: usize = 8;

/// A picture and what it says.
pub struct Puzzle {
    /// The characters, in upper case.
    pub solution: String,
    /// A PNG file.
    pub png: Vec<u8>,
}

/// A picture of one character for each byte of `secret`, which decides what is to be read; `seed` decides how it looks. Both
/// are random, and `seed` tells nothing about `secret`.
pub fn draw(secret: &[u8], seed: u64) -> Puzzle {
    let text = glyphs::spell(secret);
    Puzzle { solution: text.iter().map(|glyph| glyph.character).collect(), png: draw::draw(&text, seed) }
}
