//! The characters of a picture, as strokes of a pen.
//!
//! Letters and digits that look alike when bent are left out. Somebody who read a hundred pictures took 4 for A, 7 for T or
//! J, and M, N and W for each other; so of these only A, T, J and M are left. The J has no bar, with which it read as 3.

/// A part of a character, in a box one unit high with y downwards.
pub enum Stroke {
    /// Straight pieces from point to point.
    Line(&'static [(f32, f32)]),
    /// A part of an ellipse: centre, radii, and two angles in degrees, clockwise from the right.
    Arc { centre: (f32, f32), radii: (f32, f32), from: f32, to: f32 },
}

use Stroke::{Arc, Line};

/// A character and its strokes.
pub struct Glyph {
    pub character: char,
    pub width: f32,
    pub strokes: &'static [Stroke],
}

const fn glyph(character: char, width: f32, strokes: &'static [Stroke]) -> Glyph {
    Glyph { character, width, strokes }
}

pub const GLYPHS: [Glyph; 16] = [
    glyph('A', 0.72, &[Line(&[(0.0, 1.0), (0.36, 0.0), (0.72, 1.0)]), Line(&[(0.14, 0.66), (0.58, 0.66)])]),
    glyph('C', 0.68, &[Arc { centre: (0.4, 0.5), radii: (0.4, 0.5), from: 48.0, to: 312.0 }]),
    glyph(
        'E',
        0.58,
        &[Line(&[(0.58, 0.0), (0.0, 0.0), (0.0, 1.0), (0.58, 1.0)]), Line(&[(0.0, 0.48), (0.48, 0.48)])],
    ),
    glyph(
        'H',
        0.64,
        &[
            Line(&[(0.0, 0.0), (0.0, 1.0)]),
            Line(&[(0.64, 0.0), (0.64, 1.0)]),
            Line(&[(0.0, 0.5), (0.64, 0.5)]),
        ],
    ),
    glyph(
        'J',
        0.52,
        &[
            Line(&[(0.52, 0.0), (0.52, 0.7)]),
            Arc { centre: (0.26, 0.7), radii: (0.26, 0.3), from: 0.0, to: 170.0 },
        ],
    ),
    glyph(
        'K',
        0.64,
        &[
            Line(&[(0.0, 0.0), (0.0, 1.0)]),
            Line(&[(0.62, 0.0), (0.0, 0.58)]),
            Line(&[(0.22, 0.38), (0.64, 1.0)]),
        ],
    ),
    glyph('L', 0.54, &[Line(&[(0.0, 0.0), (0.0, 1.0), (0.54, 1.0)])]),
    glyph('M', 0.84, &[Line(&[(0.0, 1.0), (0.0, 0.0), (0.42, 0.62), (0.84, 0.0), (0.84, 1.0)])]),
    glyph(
        'R',
        0.62,
        &[
            Line(&[(0.0, 1.0), (0.0, 0.0), (0.32, 0.0)]),
            Arc { centre: (0.32, 0.27), radii: (0.28, 0.27), from: -90.0, to: 90.0 },
            Line(&[(0.32, 0.54), (0.0, 0.54)]),
            Line(&[(0.28, 0.54), (0.62, 1.0)]),
        ],
    ),
    glyph('T', 0.7, &[Line(&[(0.0, 0.0), (0.7, 0.0)]), Line(&[(0.35, 0.0), (0.35, 1.0)])]),
    glyph(
        'U',
        0.64,
        &[
            Line(&[(0.0, 0.0), (0.0, 0.68)]),
            Arc { centre: (0.32, 0.68), radii: (0.32, 0.32), from: 180.0, to: 0.0 },
            Line(&[(0.64, 0.68), (0.64, 0.0)]),
        ],
    ),
    glyph('X', 0.66, &[Line(&[(0.0, 0.0), (0.66, 1.0)]), Line(&[(0.66, 0.0), (0.0, 1.0)])]),
    glyph(
        '2',
        0.6,
        &[
            Arc { centre: (0.3, 0.28), radii: (0.29, 0.28), from: -165.0, to: 35.0 },
            Line(&[(0.54, 0.44), (0.0, 1.0), (0.6, 1.0)]),
        ],
    ),
    glyph(
        '3',
        0.6,
        &[
            Arc { centre: (0.27, 0.25), radii: (0.28, 0.25), from: -160.0, to: 90.0 },
            Arc { centre: (0.27, 0.74), radii: (0.33, 0.26), from: -90.0, to: 160.0 },
        ],
    ),
    glyph(
        '6',
        0.6,
        &[
            Line(&[(0.3, 0.0), (0.06, 0.4), (0.0, 0.7)]),
            Arc { centre: (0.3, 0.7), radii: (0.3, 0.3), from: 0.0, to: 360.0 },
        ],
    ),
    glyph(
        '9',
        0.6,
        &[
            Arc { centre: (0.3, 0.3), radii: (0.3, 0.3), from: 0.0, to: 360.0 },
            Line(&[(0.6, 0.3), (0.56, 0.62), (0.34, 1.0)]),
        ],
    ),
];

/// The text for random bytes, one character for each byte. There are sixteen characters, so all are equally likely.
pub fn spell(random: &[u8]) -> Vec<&'static Glyph> {
    random.iter().map(|byte| &GLYPHS[usize::from(*byte) % GLYPHS.len()]).collect()
}
