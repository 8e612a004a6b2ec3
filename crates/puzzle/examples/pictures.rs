//! Draws pictures into a folder, so that programs and people can be tried on them.
//!
//! `pictures FOLDER COUNT SEED` writes `0000.png` and so on, and their solutions into `solutions.txt`, one a line. The same
//! seed gives the same pictures.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The characters of a picture where a shop sets no difficulty.
const CHARACTERS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count, seed] = arguments.as_slice() else {
        return Err("usage: pictures FOLDER COUNT SEED".into());
    };
    let (folder, count, mut state) = (Path::new(folder), count.parse::<usize>()?, seed.parse::<u64>()?);
    fs::create_dir_all(folder)?;
    let (mut solutions, mut bytes, mut took) = (String::new(), 0, Duration::ZERO);
    for number in 0..count {
        let secret: Vec<u8> = (0..CHARACTERS).map(|_| next(&mut state).to_le_bytes()[0]).collect();
        let looks = next(&mut state);
        let start = Instant::now();
        let puzzle = puzzle::draw(&secret, looks);
        took += start.elapsed();
        bytes += puzzle.png.len();
        fs::write(folder.join(format!("{number:04}.png")), &puzzle.png)?;
        solutions.push_str(&format!("{number:04} {}\n", puzzle.solution));
    }
    fs::write(folder.join("solutions.txt"), solutions)?;
    let each = |total: f64| total / count.max(1) as f64;
    println!(
        "{count} pictures, {:.0} µs and {:.1} KB each",
        each(took.as_secs_f64() * 1e6),
        each(bytes as f64) / 1024.0
    );
    Ok(())
}

/// SplitMix64: random enough to choose characters and looks for a trial.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
