//! Draws a text that people can read and programs can't read easily.
//!
//! Every character is a few strokes of a pen, turned, leaned, scaled and shifted at random. Then waves bend the whole
//! plane. So no two pictures of a character are alike, and no straight cut separates two characters. Lines of the same
//! pen cross the text, and one line takes ink away. A picture takes a fraction of a millisecond.

use crate::glyphs::{Glyph, Stroke};
use crate::png;

const HEIGHT: usize = 76;
const MARGIN: f32 = 22.0;
/// Pixels per unit of a character's width before scaling, and pixels between two characters.
const UNIT: f32 = 38.0;
const GAP: f32 = 13.0;
/// White; black is 0. Four bits a pixel make a small file.
const WHITE: u8 = 15;
/// The most ink on a pixel. It is not quite black, because black on white dazzles in a dark room.
const FULL: u8 = 13;

/// A picture of `text`, as the bytes of a PNG file. `seed` decides how it looks.
pub fn draw(text: &[&Glyph], seed: u64) -> Vec<u8> {
    let mut chance = Chance(seed | 1);
    let room = |glyph: &Glyph| glyph.width * UNIT + GAP;
    let wanted = MARGIN * 2.0 + text.iter().map(|glyph| room(glyph)).sum::<f32>();
    let mut canvas = Canvas::new(wanted as usize);
    let waves = Waves::new(&mut chance);
    let mut left = MARGIN;
    for glyph in text {
        let centre = (left + room(glyph) / 2.0, HEIGHT as f32 / 2.0);
        write(&mut canvas, &waves, glyph, centre, &mut chance);
        left += room(glyph);
    }
    for _ in 0..2 {
        cross(&mut canvas, &mut chance, Pen { radius: 1.0, ink: true });
    }
    cross(&mut canvas, &mut chance, Pen { radius: 0.9, ink: false });
    canvas.into_png()
}

/// A small random generator, for looks only. The characters never come from it.
struct Chance(u64);

impl Chance {
    /// A number from `low` to `high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // An f32 holds 24 bits exactly.
        low + (high - low) * ((self.0 >> 40) as f32 / 16_777_216.0)
    }
}

/// Bends the plane.
struct Waves {
    height: f32,
    height_length: f32,
    height_phase: f32,
    width: f32,
    width_length: f32,
    width_phase: f32,
}

impl Waves {
    fn new(chance: &mut Chance) -> Self {
        let turn = std::f32::consts::TAU;
        Self {
            height: chance.between(2.5, 5.0),
            height_length: turn / chance.between(60.0, 110.0),
            height_phase: chance.between(0.0, turn),
            width: chance.between(1.5, 3.5),
            width_length: turn / chance.between(35.0, 60.0),
            width_phase: chance.between(0.0, turn),
        }
    }

    fn bend(&self, (x, y): (f32, f32)) -> (f32, f32) {
        (
            x + self.width * (y * self.width_length + self.width_phase).sin(),
            y + self.height * (x * self.height_length + self.height_phase).sin(),
        )
    }
}

#[derive(Clone, Copy)]
struct Pen {
    radius: f32,
    /// Whether it leaves ink or takes it away.
    ink: bool,
}

fn write(canvas: &mut Canvas, waves: &Waves, glyph: &Glyph, centre: (f32, f32), chance: &mut Chance) {
    let (sine, cosine) = chance.between(-0.32, 0.32).sin_cos();
    let lean = chance.between(-0.22, 0.22);
    let (wide, high) = (chance.between(34.0, 42.0), chance.between(36.0, 46.0));
    let shift = (chance.between(-4.0, 4.0), chance.between(-5.0, 5.0));
    let pen = Pen { radius: chance.between(1.7, 2.5), ink: true };
    let place = |(x, y): (f32, f32)| {
        let (x, y) = ((x - glyph.width / 2.0) * wide, (y - 0.5) * high);
        let x = x + lean * y;
        let turned = (x * cosine - y * sine, x * sine + y * cosine);
        waves.bend((centre.0 + shift.0 + turned.0, centre.1 + shift.1 + turned.1))
    };
    for stroke in glyph.strokes {
        let points: Vec<(f32, f32)> = match stroke {
            Stroke::Line(points) => pieces(points).map(place).collect(),
            Stroke::Arc { centre, radii, from, to } => (0..=ARC_PIECES)
                .map(|step| (from + (to - from) * step as f32 / ARC_PIECES as f32).to_radians().sin_cos())
                .map(|(sine, cosine)| place((centre.0 + radii.0 * cosine, centre.1 + radii.1 * sine)))
                .collect(),
        };
        canvas.trace(&points, pen);
    }
}

/// The number of pieces of a line, an arc and a wave, so that they bend. More pieces cost time, and nobody would see
/// them.
const CUTS: usize = 4;
const ARC_PIECES: usize = 14;
const WAVE_PIECES: usize = 28;

/// A line cut into short pieces.
fn pieces(points: &[(f32, f32)]) -> impl Iterator<Item = (f32, f32)> {
    points.windows(2).flat_map(|pair| {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        (0..=CUTS).map(move |cut| {
            let share = cut as f32 / CUTS as f32;
            (x + (to_x - x) * share, y + (to_y - y) * share)
        })
    })
}

/// A wave from edge to edge.
fn cross(canvas: &mut Canvas, chance: &mut Chance, pen: Pen) {
    let width = canvas.width as f32;
    let middle = chance.between(0.3, 0.7) * HEIGHT as f32;
    let slope = chance.between(-0.18, 0.18);
    let (height, length) = (chance.between(4.0, 14.0), std::f32::consts::TAU / chance.between(80.0, 200.0));
    let phase = chance.between(0.0, std::f32::consts::TAU);
    let points: Vec<(f32, f32)> = (0..=WAVE_PIECES)
        .map(|step| width * step as f32 / WAVE_PIECES as f32)
        .map(|x| (x, middle + slope * (x - width / 2.0) + height * (x * length + phase).sin()))
        .collect();
    canvas.trace(&points, pen);
}

/// How much ink is on each pixel, up to [`FULL`].
struct Canvas {
    width: usize,
    ink: Vec<u8>,
}

impl Canvas {
    fn new(width: usize) -> Self {
        // An even width fills whole bytes at four bits a pixel.
        let width = width.next_multiple_of(2);
        Self { width, ink: vec![0; width * HEIGHT] }
    }

    fn trace(&mut self, points: &[(f32, f32)], pen: Pen) {
        for pair in points.windows(2) {
            self.segment(pair[0], pair[1], pen);
        }
    }

    /// Inks every pixel by its distance from the segment, so that edges are smooth. Most pixels are too far away; the
    /// square of the distance is enough to skip these.
    fn segment(&mut self, a: (f32, f32), b: (f32, f32), pen: Pen) {
        let edge = pen.radius + 0.5;
        let span = |low: f32, high: f32, most: usize| {
            let from = (low - edge).ceil().clamp(0.0, most as f32) as usize;
            let to = (high + edge).ceil().clamp(0.0, most as f32) as usize;
            from..to.max(from)
        };
        let (along_x, along_y) = (b.0 - a.0, b.1 - a.1);
        let one_over_length = 1.0 / (along_x * along_x + along_y * along_y).max(f32::EPSILON);
        let columns = span(a.0.min(b.0), a.0.max(b.0), self.width);
        for y in span(a.1.min(b.1), a.1.max(b.1), HEIGHT) {
            let from_y = y as f32 - a.1;
            let row = &mut self.ink[y * self.width..][..self.width];
            for (x, pixel) in row[columns.clone()].iter_mut().enumerate() {
                let from_x = (columns.start + x) as f32 - a.0;
                let share = ((from_x * along_x + from_y * along_y) * one_over_length).clamp(0.0, 1.0);
                let (off_x, off_y) = (from_x - along_x * share, from_y - along_y * share);
                let square = off_x * off_x + off_y * off_y;
                if square >= edge * edge {
                    continue;
                }
                let cover = ((edge - square.sqrt()).min(1.0) * f32::from(FULL) + 0.5) as u8;
                *pixel = if pen.ink { cover.max(*pixel) } else { (FULL - cover).min(*pixel) };
            }
        }
    }

    fn into_png(self) -> Vec<u8> {
        let packed: Vec<u8> =
            self.ink.chunks_exact(2).map(|pair| ((WHITE - pair[0]) << 4) | (WHITE - pair[1])).collect();
        png::write(self.width, HEIGHT, &packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glyphs::{GLYPHS, spell};

    #[test]
    fn every_character_leaves_ink_within_the_picture() {
        for (number, glyph) in GLYPHS.iter().enumerate() {
            for seed in 1..50 {
                let mut chance = Chance((seed * 0x9e37_79b9) | 1);
                let mut canvas = Canvas::new((MARGIN * 2.0 + UNIT) as usize);
                let waves = Waves::new(&mut chance);
                write(&mut canvas, &waves, glyph, (MARGIN + UNIT / 2.0, HEIGHT as f32 / 2.0), &mut chance);
                let total: u32 = canvas.ink.iter().copied().map(u32::from).sum();
                assert!(total > 150 * u32::from(FULL), "{} has {total}", glyph.character);
                let edge: u32 = (0..canvas.width)
                    .map(|x| {
                        u32::from(canvas.ink[x]) + u32::from(canvas.ink[(HEIGHT - 1) * canvas.width + x])
                    })
                    .sum();
                assert!(edge < u32::from(FULL), "{number} is cut off with seed {seed}: {edge}");
            }
        }
    }

    #[test]
    fn no_two_pictures_are_alike_and_none_is_large() {
        let text = spell(&[0, 1, 2, 3, 4]);
        let pictures: Vec<Vec<u8>> = (1..100).map(|seed| draw(&text, seed * 77_777)).collect();
        for (number, picture) in pictures.iter().enumerate() {
            assert!(picture.starts_with(b"\x89PNG") && picture.len() < 6_000, "{}", picture.len());
            assert!(pictures[..number].iter().all(|other| other != picture));
        }
    }

    #[test]
    fn characters_are_unlike_and_spelled_in_one_case() {
        let mut characters: Vec<char> = GLYPHS.iter().map(|glyph| glyph.character).collect();
        assert!(
            characters.iter().all(|character| character.is_ascii_uppercase() || character.is_ascii_digit())
        );
        assert!(!characters.iter().any(|character| "0O1IL5S8B2Z6GUVDQEPY".contains(*character)));
        characters.sort_unstable();
        characters.dedup();
        assert_eq!(characters.len(), GLYPHS.len());
    }
}
