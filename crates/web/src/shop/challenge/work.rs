//! Proofs of work: what is one, and how many bits are asked for.

use sha2::{Digest, Sha256};

use crate::http::trace;

/// The most leading zero bits that are ever asked for. At 30, a phone would work for hours.
pub(super) const MOST_BITS: u8 = 30;

/// The most bits that crowding and an address's record lead to: 8 million hashes, half a minute on a slow phone.
const HARDEST_BITS: u8 = 23;

/// The tries that an address may make, and those that it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Tries that it may make; 0 where its tries are not counted.
    pub limit: u32,
    /// Tries that are left.
    pub left: u32,
}

/// How many bits to ask for instead of `bits`. Each bit more doubles the work.
///
/// `crowding` is how many shoppers wait for each unit. One waiting adds one bit, four add two, 16 three and 64 four.
/// `record` is what the address has left of its tries. Half or less adds one bit, a quarter two, an eighth three.
///
/// Together they lead to [`HARDEST_BITS`] at most. A slow phone must finish while its challenge lives, and many people
/// may share one address.
pub fn hardened(bits: u8, crowding: u64, record: Option<Record>) -> u8 {
    let by_crowd = match crowding {
        0 => 0,
        1..4 => 1,
        4..16 => 2,
        16..64 => 3,
        _ => 4,
    };
    let by_record = record.filter(|record| record.limit > 0).map_or(0, |Record { limit, left }| {
        let left = u64::from(left);
        [2, 4, 8].into_iter().filter(|part| left * part <= u64::from(limit)).count()
    });
    let more = by_crowd + u8::try_from(by_record).unwrap_or(0);
    bits.max((bits + more).min(HARDEST_BITS))
}

/// Whether SHA-256 of `challenge:solution` begins with `bits` zero bits. The solution is decimal, at most 20 digits.
pub(super) fn is_proof(challenge: &str, solution: &str, bits: u8) -> bool {
    let decimal = (1..=20).contains(&solution.len()) && solution.bytes().all(|byte| byte.is_ascii_digit());
    decimal && leading_zeros(&proof(challenge, solution)) >= u32::from(bits)
}

fn proof(challenge: &str, solution: &str) -> [u8; 32] {
    Sha256::new().chain_update(challenge).chain_update(b":").chain_update(solution).finalize().into()
}

fn leading_zeros(hash: &[u8; 32]) -> u32 {
    let whole = hash.iter().take_while(|byte| **byte == 0).count();
    let rest = hash.get(whole).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(whole).unwrap_or(0) * 8 + rest
}

/// A UUID for a solution of a challenge; the same pair always gives the same one.
pub fn idempotency_key(token: &str, solution: &str) -> String {
    let mut digest = proof(token, solution);
    // Version 8 of RFC 9562: the maker's own rule.
    digest[6] = digest[6] & 0x0f | 0x80;
    digest[8] = digest[8] & 0x3f | 0x80;
    let hex = trace::hex(&digest[..16]);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_solution_of_the_same_challenge_has_the_same_idempotency_key() {
        let key = idempotency_key("token", "solution");
        assert_eq!(key, idempotency_key("token", "solution"));
        assert_ne!(key, idempotency_key("token", "other"));
        assert_ne!(key, idempotency_key("other", "solution"));
        let lengths: Vec<usize> = key.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&key[14..15], "8");
    }

    #[test]
    fn a_proof_of_work_is_harder_in_a_crowd_within_bounds() {
        let bits = |crowding| hardened(18, crowding, None);
        assert_eq!(
            [0, 1, 3, 4, 15, 16, 63, 64, 1_000, u64::MAX].map(bits),
            [18, 19, 19, 20, 20, 21, 21, 22, 22, 22]
        );
        assert_eq!(hardened(22, 64, None), HARDEST_BITS);
        // More bits that an operator set stay as they were set.
        assert_eq!(hardened(28, 64, None), 28);
        assert_eq!(hardened(MOST_BITS, u64::MAX, None), MOST_BITS);
    }

    #[test]
    fn a_slow_phone_finishes_the_hardest_work_while_its_challenge_lives() {
        // What docs/challenges.md estimates.
        const HASHES_A_SECOND: f64 = 300_000.0;
        let seconds = super::super::LIFETIME_MS as f64 / 1_000.0;
        let fails = (-seconds * HASHES_A_SECOND / f64::from(1u32 << HARDEST_BITS)).exp();
        assert!(fails < 0.02, "{fails}");
    }

    #[test]
    fn a_proof_of_work_is_harder_for_an_address_that_has_tried_much() {
        let bits = |left| hardened(18, 0, Some(Record { limit: 100, left }));
        assert_eq!([100, 51, 50, 26, 25, 13, 12, 1, 0].map(bits), [18, 18, 19, 19, 20, 20, 21, 21, 21]);
        // Where addresses are not limited, none has a record.
        assert_eq!(hardened(18, 0, Some(Record { limit: 0, left: 0 })), 18);
        // Both count, up to what a phone can do.
        assert_eq!(hardened(18, 64, Some(Record { limit: 100, left: 0 })), HARDEST_BITS);
    }

    #[test]
    fn zero_bits_are_counted_across_bytes() {
        let mut hash = [0u8; 32];
        assert_eq!(leading_zeros(&hash), 256);
        hash[2] = 0b0001_0000;
        assert_eq!(leading_zeros(&hash), 19);
        hash[0] = 0x80;
        assert_eq!(leading_zeros(&hash), 0);
    }
}
