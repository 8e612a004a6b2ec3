//! Draws a text that people can read and programs can't read easily.
//!
//! Characters and ground have the same mean brightness. Both are woven of stripes, dark and bright in equal parts. The
//! stripes of the ground are pale, and those of the characters are strong and run in another direction. People see the
//! border between two weaves at once. A program that looks for dark lines on a bright ground sees stripes everywhere.
//!
//! Every character is a few strokes of a pen, turned, leaned, scaled and shifted at random. Then waves bend the whole
//! plane. So no two pictures of a character are alike.
//!
//! This keeps out programs that nobody adapted, and no others: see `measure/README.md`.

use crate::glyphs::{Glyph, Stroke};
use crate::png;

const HEIGHT: usize = 92;
const MARGIN: f32 = 14.0;
/// Pixels per unit of a character's width before scaling, and pixels between two characters.
const UNIT: f32 = 48.0;
const GAP: f32 = 17.0;

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
    png::write(canvas.width, HEIGHT, &weave(&canvas, &mut chance))
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
            height: chance.between(2.0, 4.0),
            height_length: turn / chance.between(60.0, 110.0),
            height_phase: chance.between(0.0, turn),
            width: chance.between(1.0, 2.5),
            width_length: turn / chance.between(35.0, 60.0),
            width_phase: chance.between(0.0, turn),
        }
    }

    fn bend(&self, (x, y): (f32, f32)) -> (f32, f32) {
        (x + self.aside(y), y + self.down(x))
    }

    /// How far the row at `y` is moved to the right.
    fn aside(&self, y: f32) -> f32 {
        self.width * (y * self.width_length + self.width_phase).sin()
    }

    /// How far the column at `x` is moved down.
    fn down(&self, x: f32) -> f32 {
        self.height * (x * self.height_length + self.height_phase).sin()
    }
}

fn write(canvas: &mut Canvas, waves: &Waves, glyph: &Glyph, centre: (f32, f32), chance: &mut Chance) {
    let (sine, cosine) = chance.between(-0.26, 0.26).sin_cos();
    let lean = chance.between(-0.22, 0.22);
    let (wide, high) = (chance.between(44.0, 51.0), chance.between(50.0, 58.0));
    let shift = (chance.between(-3.0, 3.0), chance.between(-6.0, 6.0));
    let radius = chance.between(4.2, 4.8);
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
        canvas.trace(&points, radius);
    }
}

/// The number of pieces of a line and of an arc, so that they bend. More pieces cost time, and nobody would see
/// them.
const CUTS: usize = 4;
const ARC_PIECES: usize = 14;

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

/// Stripes of one direction: dark and bright, each half of a period wide.
struct Stripes {
    /// Periods per pixel to the right and down.
    right: f32,
    down: f32,
}

impl Stripes {
    fn new(angle: f32, period: f32) -> Self {
        let (sine, cosine) = angle.sin_cos();
        Self { right: cosine / period, down: sine / period }
    }

    fn is_bright(&self, (x, y): (f32, f32)) -> bool {
        let periods = x * self.right + y * self.down;
        periods - periods.floor() < 0.5
    }
}

/// The pixels of the picture: four shades of grey, two bits a pixel, four pixels a byte.
fn weave(canvas: &Canvas, chance: &mut Chance) -> Vec<u8> {
    let angle = chance.between(0.0, std::f32::consts::TAU);
    let turn = chance.between(1.0, std::f32::consts::PI - 1.0);
    let ground = Stripes::new(angle, chance.between(4.0, 4.6));
    let text = Stripes::new(angle + turn, chance.between(5.0, 5.6));
    let waves = Waves::new(chance);
    let down: Vec<f32> = (0..canvas.width).map(|x| waves.down(x as f32)).collect();
    let mut packed = vec![0; canvas.width / 4 * HEIGHT];
    for (y, row) in canvas.ink.chunks_exact(canvas.width).enumerate() {
        let aside = waves.aside(y as f32);
        for (x, is_text) in row.iter().enumerate() {
            let place = (x as f32 + aside, y as f32 + down[x]);
            // The characters take the darkest and the brightest shade, the ground the two between.
            let shade: u8 = match (is_text, if *is_text { &text } else { &ground }.is_bright(place)) {
                (true, false) => 0,
                (false, false) => 1,
                (false, true) => 2,
                (true, true) => 3,
            };
            packed[(y * canvas.width + x) / 4] |= shade << (6 - x % 4 * 2);
        }
    }
    packed
}

/// Which pixels belong to a character.
struct Canvas {
    width: usize,
    ink: Vec<bool>,
}

impl Canvas {
    fn new(width: usize) -> Self {
        // Four pixels fill a byte.
        let width = width.next_multiple_of(4);
        Self { width, ink: vec![false; width * HEIGHT] }
    }

    fn trace(&mut self, points: &[(f32, f32)], radius: f32) {
        for pair in points.windows(2) {
            self.segment(pair[0], pair[1], radius);
        }
    }

    /// Inks every pixel within the radius of the segment.
    fn segment(&mut self, a: (f32, f32), b: (f32, f32), radius: f32) {
        let span = |low: f32, high: f32, most: usize| {
            let from = (low - radius).ceil().clamp(0.0, most as f32) as usize;
            let to = (high + radius).ceil().clamp(0.0, most as f32) as usize;
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
                *pixel |= off_x * off_x + off_y * off_y < radius * radius;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glyphs::{GLYPHS, spell};

    #[test]
    fn every_character_leaves_ink_within_the_picture() {
        for glyph in &GLYPHS {
            for seed in 1..50 {
                let mut chance = Chance((seed * 0x9e37_79b9) | 1);
                let mut canvas = Canvas::new((MARGIN * 2.0 + UNIT) as usize);
                let waves = Waves::new(&mut chance);
                write(&mut canvas, &waves, glyph, (MARGIN + UNIT / 2.0, HEIGHT as f32 / 2.0), &mut chance);
                let total = canvas.ink.iter().filter(|ink| **ink).count();
                assert!(total > 450, "{} has {total}", glyph.character);
                let rows = canvas.ink.chunks_exact(canvas.width);
                let is_cut =
                    [rows.clone().next(), rows.last()].into_iter().flatten().any(|row| row.contains(&true));
                assert!(!is_cut, "{} is cut off with seed {seed}", glyph.character);
            }
        }
    }

    #[test]
    fn characters_and_ground_are_equally_bright() {
        let mut chance = Chance(77);
        let mut canvas = Canvas::new(200);
        canvas.trace(&[(30.0, 30.0), (170.0, 60.0)], 20.0);
        let packed = weave(&canvas, &mut chance);
        let mean = |wanted: bool| {
            let shades: Vec<f64> = (0..canvas.ink.len())
                .filter(|at| canvas.ink[*at] == wanted)
                .map(|at| f64::from(packed[at / 4] >> (6 - at % 4 * 2) & 3))
                .collect();
            shades.iter().sum::<f64>() / shades.len() as f64
        };
        assert!((mean(true) - 1.5).abs() < 0.1 && (mean(false) - 1.5).abs() < 0.1);
    }

    #[test]
    fn no_two_pictures_are_alike_and_none_is_large() {
        let text = spell(&[0, 1, 2, 3, 4]);
        let pictures: Vec<Vec<u8>> = (1..100).map(|seed| draw(&text, seed * 77_777)).collect();
        for (number, picture) in pictures.iter().enumerate() {
            assert!(picture.starts_with(b"\x89PNG") && picture.len() < 8_000, "{}", picture.len());
            assert!(pictures[..number].iter().all(|other| other != picture));
        }
    }

    #[test]
    fn characters_are_unlike_and_spelled_in_one_case() {
        let mut characters: Vec<char> = GLYPHS.iter().map(|glyph| glyph.character).collect();
        assert!(
            characters.iter().all(|character| character.is_ascii_uppercase() || character.is_ascii_digit())
        );
        assert!(!characters.iter().any(|character| "0O1I5S8BZGVDQPFY47NW".contains(*character)));
        characters.sort_unstable();
        characters.dedup();
        assert_eq!(characters.len(), GLYPHS.len());
    }
}
