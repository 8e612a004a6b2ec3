//! Writes a PNG file of four shades of grey.
//!
//! An image crate would be as large as the rest of the function. A hundred lines are enough here. A woven picture hardly
//! gets smaller by compression, so runs of equal bytes are all that is looked for: in deflate's fixed code each run is one
//! repeat of the byte before it.

/// A PNG file of `height` rows of `width` pixels, four pixels in a byte. `width` is a multiple of
/// four.
pub fn write(width: usize, height: usize, packed: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(packed.len() / 2);
    file.extend(b"\x89PNG\r\n\x1a\n");
    let mut header = Vec::with_capacity(13);
    header.extend(to_u32(width).to_be_bytes());
    header.extend(to_u32(height).to_be_bytes());
    // Two bits a pixel, grey, and the only methods of compression, filters and interlace that we use.
    header.extend([2, 0, 0, 0, 0]);
    chunk(&mut file, b"IHDR", &header);
    let mut rows = Vec::with_capacity(packed.len() + height);
    for row in packed.chunks(width / 4) {
        // No filter: equal bytes stay equal.
        rows.push(0);
        rows.extend(row);
    }
    chunk(&mut file, b"IDAT", &zlib(&rows));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    file.extend(to_u32(content.len()).to_be_bytes());
    let start = file.len();
    file.extend(name);
    file.extend(content);
    let crc = crc32(&file[start..]);
    file.extend(crc.to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8))
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut a, mut b) = (1, 0);
    // This many sums of bytes fit in 32 bits; then the remainder must be computed.
    for some in bytes.chunks(5_552) {
        for &byte in some {
            a += u32::from(byte);
            b += a;
        }
        a %= MODULUS;
        b %= MODULUS;
    }
    b << 16 | a
}

/// One deflate block in the fixed code, of literals and of repeats of the byte before.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    const LONGEST: usize = 258;
    const SHORTEST: usize = 3;
    let mut bits = Bits { bytes: vec![0x78, 0x01], pending: 0, count: 0 };
    // The last block, and the fixed code.
    bits.put(1, 1);
    bits.put(1, 2);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        bits.symbol(u32::from(byte));
        at += 1;
        loop {
            let run = bytes[at..].iter().take(LONGEST).take_while(|next| **next == byte).count();
            if run < SHORTEST {
                break;
            }
            bits.repeat(to_u32(run));
            at += run;
        }
    }
    bits.symbol(256);
    bits.finish(adler32(bytes))
}

/// Bits, lowest first, as deflate packs them.
struct Bits {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.pending |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push((self.pending & 0xff) as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Writes a literal, the end (256), or the symbol of a length. Codes have their highest bit first.
    fn symbol(&mut self, symbol: u32) {
        let (code, length) = match symbol {
            0..=143 => (0x30 + symbol, 8),
            144..=255 => (0x190 + symbol - 144, 9),
            256..=279 => (symbol - 256, 7),
            _ => (0xc0 + symbol - 280, 8),
        };
        self.put(code.reverse_bits() >> (32 - length), length);
    }

    /// Repeats the byte before, 3 to 258 times.
    fn repeat(&mut self, length: u32) {
        if length == 258 {
            self.symbol(285);
        } else {
            // Lengths come in groups of four symbols. Each group has one more extra bit than the one before.
            let above = length - 3;
            let extra = if above < 8 { 0 } else { above.ilog2() - 2 };
            let group = (above >> extra) + extra * 4;
            self.symbol(257 + group);
            self.put(above & ((1 << extra) - 1), extra);
        }
        // Distance 1: five zero bits.
        self.put(0, 5);
    }

    fn finish(mut self, checksum: u32) -> Vec<u8> {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.bytes.extend(checksum.to_be_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another program reads in `file`.
    fn decoded(file: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        pixels.truncate(info.buffer_size());
        (info.width, info.height, pixels)
    }

    #[test]
    fn other_programs_read_what_was_written() {
        // Runs of every length, between bytes of every value.
        let mut packed = Vec::new();
        for length in 1..600usize {
            packed.extend(std::iter::repeat_n(0xff, length));
            packed.extend([(length % 256) as u8, (length / 3 % 256) as u8]);
        }
        let (width, height) = (200, packed.len() / 50);
        packed.truncate(height * 50);
        assert_eq!(decoded(&write(width, height, &packed)), (200, to_u32(height), packed));
    }

    #[test]
    fn runs_make_a_small_file() {
        let white = vec![0xff; 50 * 92];
        assert!(write(200, 92, &white).len() < 500);
    }
}
