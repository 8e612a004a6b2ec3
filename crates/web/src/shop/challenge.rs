//! What a shopper must solve before a reservation, as a signed token that lives nowhere else.
//!
//! A token is bound to one shopper, one item and an expiry; it says its kind and difficulty, and carries an id of its
//! own. That it is used once is enforced where the reservation is decided: the reserve script burns the id, whether
//! the answer was right or wrong. A token that we did not sign, or signed for somebody else or another item, never gets that far.
//!
//! The solution can't be read from the token: a picture's token carries only a keyed digest of it, and a proof of work
//! has none to hide.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use sale::ids::{ItemId, UserId};
use sale::scripts::ChallengeUse;
use sale::time::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::problem::Problem;
use crate::http::trace;
use crate::platform::{random, settings};

/// How long a shopper has to answer, in milliseconds. Shorter than the window in which Redis remembers used ids.
pub const LIFETIME_MS: i64 = 120_000;

/// The most leading zero bits that are asked for: at 30, a phone would work for hours.
const MOST_BITS: u8 = 30;

/// The most that crowding brings a proof of work to: 16 million hashes, a minute on an old phone.
const HARDEST_BITS: u8 = 24;

const VERSION: u8 = 1;
/// Twelve characters where used ids are remembered, which is what fits in Redis's smallest allocation.
const ID_LENGTH: usize = 9;
const DIGEST_LENGTH: usize = 16;
/// Version, kind, difficulty, expiry and id stand before the digest of the answer and the signature.
const HEAD_LENGTH: usize = 3 + 8 + ID_LENGTH;
const TOKEN_LENGTH: usize = HEAD_LENGTH + 2 * DIGEST_LENGTH;

/// What is to be solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Read the characters in a picture.
    Image,
    /// Find a number such that a hash begins with zero bits.
    Pow,
    /// Pass a hosted widget, whose own service says whether that went well.
    Turnstile,
    /// Nothing.
    Off,
}

impl Kind {
    /// The word of the contract and of `captcha_kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Pow => "pow",
            Self::Turnstile => "turnstile",
            Self::Off => "off",
        }
    }

    /// How hard it is where `captcha_difficulty` is 0: characters, or bits.
    pub const fn usual_difficulty(self) -> u8 {
        match self {
            Self::Image => 5,
            // A quarter of a million hashes: about a second on a phone.
            Self::Pow => 18,
            Self::Turnstile | Self::Off => 0,
        }
    }

    /// A difficulty within what the kind knows; its usual one where `set` is 0.
    pub fn difficulty(self, set: u8) -> u8 {
        match (self, set) {
            (_, 0) => self.usual_difficulty(),
            (Self::Image, set) => set.clamp(4, 8),
            (Self::Pow, set) => set.clamp(1, MOST_BITS),
            (Self::Turnstile | Self::Off, _) => 0,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Image => b'i',
            Self::Pow => b'p',
            Self::Turnstile => b't',
            Self::Off => b'o',
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "image" => Ok(Self::Image),
            "pow" => Ok(Self::Pow),
            "turnstile" => Ok(Self::Turnstile),
            "off" => Ok(Self::Off),
            _ => Err("image, pow, turnstile or off"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of a picture's challenge that can be made before anybody asks for it: an id, and a digest of the solution that
/// only fits this id. Neither says anything of the solution to somebody without our key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// How many characters the picture has.
    pub characters: u8,
    id: [u8; ID_LENGTH],
    digest: [u8; DIGEST_LENGTH],
}

impl Prepared {
    /// How long one is in [`Prepared::write`].
    pub const LENGTH: usize = 1 + ID_LENGTH + DIGEST_LENGTH;

    /// Appends it to `bytes`.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.characters);
        bytes.extend(self.id);
        bytes.extend(self.digest);
    }

    /// What [`Prepared::write`] wrote.
    pub fn read(bytes: &[u8; Self::LENGTH]) -> Self {
        let (mut id, mut digest) = ([0; ID_LENGTH], [0; DIGEST_LENGTH]);
        id.copy_from_slice(&bytes[1..][..ID_LENGTH]);
        digest.copy_from_slice(&bytes[1 + ID_LENGTH..]);
        Self { characters: bytes[0], id, digest }
    }
}

/// What an address has left of the tries that it may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Tries that it may make; 0 where it is not limited.
    pub limit: u32,
    /// Those that are left.
    pub left: u32,
}

/// The bits of a proof of work of `bits`, made harder. Each bit more doubles the work.
///
/// Where `crowding` shoppers wait for each unit: one bit more where one waits, two where four do, then three for 16 and four
/// for 64. By the address's `record`, which is what it has left of its tries: one bit more where that is half or less, two
/// at a quarter, three at an eighth. Never more than [`HARDEST_BITS`] by these: an old phone must still be done while its
/// challenge lives, and behind one address there may be many people.
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

/// What a token asks for.
#[derive(Debug, Clone, Copy)]
pub enum Task {
    /// To read a picture that was prepared.
    Image(Prepared),
    /// So many leading zero bits.
    Pow { bits: u8 },
    /// The widget, told [`WIDGET_ACTION`] and the token's [`id_of`].
    Turnstile,
}

/// What the widget is told that it is for; its service repeats it.
pub const WIDGET_ACTION: &str = "reserve";

/// The id in a token that was just issued: what the widget is told, so that its answer fits this challenge only.
pub fn id_of(token: &str) -> Option<String> {
    BASE64.decode(token).ok()?.get(HEAD_LENGTH - ID_LENGTH..HEAD_LENGTH).map(|id| BASE64.encode(id))
}

/// A UUID that is the same for the same answer to the same challenge.
pub fn idempotency_key(token: &str, answer: &str) -> String {
    let mut digest = proof(token, answer);
    // Version 8: made by a rule of one's own.
    digest[6] = digest[6] & 0x0f | 0x80;
    digest[8] = digest[8] & 0x3f | 0x80;
    let hex = trace::hex(&digest[..16]);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// What an answered token came to. `id` and `expires_at` are what the reserve script needs to burn it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Ours, in time, and answered rightly.
    Good { id: String, expires_at: Timestamp },
    /// Ours and in time; whether the answer is good, only the widget's service knows.
    Unjudged { id: String, expires_at: Timestamp },
    /// Ours and in time, but the answer is wrong. Burn it, so that nobody guesses twice.
    WrongAnswer { id: String, expires_at: Timestamp },
    /// Ours, but too late: it will never be good again. The script is asked all the same, since this may be a retry of a
    /// request that was admitted, and asking again shows what was admitted.
    Expired { id: String, expires_at: Timestamp },
    /// Not ours, or not this shopper's, or not for this item. Redis need not hear of it.
    Forged,
}

impl Verdict {
    /// What goes into the reserve script; a problem where the script need not be asked. What is not judged is not right
    /// until it is.
    pub fn into_use(self) -> Result<ChallengeUse, Problem> {
        match self {
            Self::Good { id, expires_at } => Ok(ChallengeUse { id, expires_at, answered: true }),
            Self::WrongAnswer { id, expires_at }
            | Self::Unjudged { id, expires_at }
            | Self::Expired { id, expires_at } => Ok(ChallengeUse { id, expires_at, answered: false }),
            Self::Forged => Err(Problem::ChallengeFailed {
                detail: "The challenge is not one of this shopper's for this item; ask for a new one",
            }),
        }
    }
}

/// Issues and checks challenges; the key is prepared once.
pub struct Challenges {
    signer: Hmac<Sha256>,
    committer: Hmac<Sha256>,
}

impl Challenges {
    /// Challenges under `session_secret`, made once an instance.
    pub async fn shared() -> Result<Rc<Self>, Problem> {
        thread_local! {
            static SHARED: RefCell<Option<Rc<Challenges>>> = const { RefCell::new(None) };
        }
        if let Some(shared) = SHARED.with_borrow(Clone::clone) {
            return Ok(shared);
        }
        let challenges = Rc::new(Self::new(settings::secret(settings::SESSION_SECRET).await?.as_bytes()));
        SHARED.set(Some(challenges.clone()));
        Ok(challenges)
    }

    /// Challenges under a secret. The keys are derived, so that nothing signed here is ever a session, nor one the other.
    pub fn new(secret: &[u8]) -> Self {
        let derived = |label: &[u8]| keyed(&keyed(secret).chain_update(label).finalize().into_bytes());
        Self {
            signer: derived(b"stampede challenge signature"),
            committer: derived(b"stampede challenge answer"),
        }
    }

    /// Prepares the challenge to read `solution`.
    pub fn prepare(&self, solution: &str) -> Prepared {
        let id = random::bytes();
        let characters = u8::try_from(solution.chars().count()).unwrap_or(u8::MAX);
        Prepared { characters, id, digest: self.commitment(&id, solution) }
    }

    /// Names the key under which challenges are prepared, and says nothing of it.
    pub fn key_name(&self) -> [u8; 8] {
        let mut name = [0; 8];
        let mac = self.committer.clone().chain_update(b"name").finalize().into_bytes();
        name.copy_from_slice(&mac[..8]);
        name
    }

    /// A token for `user` and `item`, good until [`LIFETIME_MS`] after `now`; and when that is.
    pub fn issue(&self, task: Task, user: &UserId, item: &ItemId, now: Timestamp) -> (String, Timestamp) {
        let expires_at = now.plus_millis(LIFETIME_MS);
        let (kind, difficulty, id, digest) = match task {
            Task::Image(prepared) => (Kind::Image, prepared.characters, prepared.id, prepared.digest),
            Task::Pow { bits } => (Kind::Pow, bits.min(MOST_BITS), random::bytes(), [0; DIGEST_LENGTH]),
            Task::Turnstile => (Kind::Turnstile, 0, random::bytes(), [0; DIGEST_LENGTH]),
        };
        let mut token = Vec::with_capacity(TOKEN_LENGTH);
        token.extend([VERSION, kind.byte(), difficulty]);
        token.extend(expires_at.millis().to_be_bytes());
        token.extend(id);
        token.extend(digest);
        let signature = self.signature(&token, user, item);
        token.extend(signature);
        (BASE64.encode(token), expires_at)
    }

    /// What `answer` makes of `token`, presented by `user` for `item` at `now`.
    pub fn verify(&self, token: &str, answer: &str, user: &UserId, item: &ItemId, now: Timestamp) -> Verdict {
        let Some(parts) = self.open(token, user, item) else { return Verdict::Forged };
        if now >= parts.expires_at {
            return Verdict::Expired { id: BASE64.encode(parts.id), expires_at: parts.expires_at };
        }
        let right = match parts.kind {
            Kind::Image => bool::from(self.commitment(&parts.id, answer).ct_eq(&parts.digest)),
            Kind::Pow => is_proof(token, answer, parts.difficulty),
            Kind::Turnstile => {
                return Verdict::Unjudged { id: BASE64.encode(parts.id), expires_at: parts.expires_at };
            }
            Kind::Off => false,
        };
        let (id, expires_at) = (BASE64.encode(parts.id), parts.expires_at);
        if right { Verdict::Good { id, expires_at } } else { Verdict::WrongAnswer { id, expires_at } }
    }

    fn open(&self, token: &str, user: &UserId, item: &ItemId) -> Option<Parts> {
        let bytes: [u8; TOKEN_LENGTH] = BASE64.decode(token).ok()?.try_into().ok()?;
        let (signed, signature) = bytes.split_at(TOKEN_LENGTH - DIGEST_LENGTH);
        if !bool::from(self.signature(signed, user, item).ct_eq(signature)) || signed[0] != VERSION {
            return None;
        }
        let kind =
            [Kind::Image, Kind::Pow, Kind::Turnstile].into_iter().find(|kind| kind.byte() == signed[1])?;
        let expires = i64::from_be_bytes(signed[3..11].try_into().ok()?);
        Some(Parts {
            kind,
            difficulty: signed[2],
            expires_at: Timestamp::from_millis(expires),
            id: signed[11..HEAD_LENGTH].try_into().ok()?,
            digest: signed[HEAD_LENGTH..].try_into().ok()?,
        })
    }

    /// Over the token's own bytes, the item and the user. The item's id has a fixed length and the user comes last, so no
    /// two pairs read the same.
    fn signature(&self, signed: &[u8], user: &UserId, item: &ItemId) -> [u8; DIGEST_LENGTH] {
        let mac = self.signer.clone().chain_update(signed);
        first_half(mac.chain_update(item.as_str()).chain_update(user.as_str()))
    }

    /// A digest that says nothing of the solution without our key, and nothing about another picture of the same one.
    fn commitment(&self, id: &[u8; ID_LENGTH], solution: &str) -> [u8; DIGEST_LENGTH] {
        first_half(self.committer.clone().chain_update(id).chain_update(normalised(solution)))
    }
}

struct Parts {
    kind: Kind,
    difficulty: u8,
    expires_at: Timestamp,
    id: [u8; ID_LENGTH],
    digest: [u8; DIGEST_LENGTH],
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// 128 bits of a signature are as good as any here, and make a shorter token.
fn first_half(mac: Hmac<Sha256>) -> [u8; DIGEST_LENGTH] {
    let mut half = [0; DIGEST_LENGTH];
    half.copy_from_slice(&mac.finalize().into_bytes()[..DIGEST_LENGTH]);
    half
}

/// People type spaces and either case.
fn normalised(answer: &str) -> String {
    answer.chars().filter(|character| !character.is_whitespace()).flat_map(char::to_uppercase).collect()
}

/// Whether SHA-256 of `challenge:answer` begins with `bits` zeros. The answer is decimal, at most 20 digits.
fn is_proof(challenge: &str, answer: &str, bits: u8) -> bool {
    let decimal = (1..=20).contains(&answer.len()) && answer.bytes().all(|byte| byte.is_ascii_digit());
    decimal && leading_zeros(&proof(challenge, answer)) >= u32::from(bits)
}

fn proof(challenge: &str, answer: &str) -> [u8; 32] {
    Sha256::new().chain_update(challenge).chain_update(b":").chain_update(answer).finalize().into()
}

fn leading_zeros(hash: &[u8; 32]) -> u32 {
    let whole = hash.iter().take_while(|byte| **byte == 0).count();
    let rest = hash.get(whole).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(whole).unwrap_or(0) * 8 + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    fn item(name: &str) -> ItemId {
        name.parse().unwrap()
    }

    fn solve(challenge: &str, bits: u8) -> String {
        (0u64..).map(|n| n.to_string()).find(|answer| is_proof(challenge, answer, bits)).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_255_200_000);

    #[test]
    fn a_picture_read_rightly_is_good_in_any_case_and_spacing() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, expires_at) =
            challenges.issue(Task::Image(challenges.prepare("K7PWX")), &anna, &lamp, NOW);
        for answer in ["K7PWX", "k7pwx", " k7 pwx "] {
            let verdict = challenges.verify(&token, answer, &anna, &lamp, NOW);
            assert!(matches!(verdict, Verdict::Good { expires_at: at, .. } if at == expires_at), "{answer}");
        }
        for answer in ["", "K7PW", "K7PWXX", "00000"] {
            let verdict = challenges.verify(&token, answer, &anna, &lamp, NOW);
            assert!(matches!(verdict, Verdict::WrongAnswer { .. }), "{answer}");
        }
    }

    #[test]
    fn a_proof_of_work_is_decimal_and_has_its_zero_bits() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, _) = challenges.issue(Task::Pow { bits: 8 }, &anna, &lamp, NOW);
        let answer = solve(&token, 8);
        assert!(matches!(challenges.verify(&token, &answer, &anna, &lamp, NOW), Verdict::Good { .. }));
        let other = (0u64..).map(|n| n.to_string()).find(|answer| !is_proof(&token, answer, 8)).unwrap();
        for wrong in [other.as_str(), "", "-1", "+1", "0x1", "1e3", " 1", &"1".repeat(21)] {
            assert!(matches!(
                challenges.verify(&token, wrong, &anna, &lamp, NOW),
                Verdict::WrongAnswer { .. }
            ));
        }
    }

    #[test]
    fn a_token_serves_one_shopper_one_item_and_two_minutes() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, expires_at) =
            challenges.issue(Task::Image(challenges.prepare("ABCDE")), &anna, &lamp, NOW);
        let verify = |challenges: &Challenges, user: &UserId, item: &ItemId, at| {
            challenges.verify(&token, "ABCDE", user, item, at)
        };
        assert_eq!(verify(&challenges, &user("bert"), &lamp, NOW), Verdict::Forged);
        assert_eq!(verify(&challenges, &anna, &item("ibbbbbbbbbb"), NOW), Verdict::Forged);
        assert_eq!(verify(&Challenges::new(b"another secret"), &anna, &lamp, NOW), Verdict::Forged);
        assert!(matches!(verify(&challenges, &anna, &lamp, expires_at), Verdict::Expired { .. }));
        let last_moment = expires_at.plus_millis(-1);
        assert!(matches!(verify(&challenges, &anna, &lamp, last_moment), Verdict::Good { .. }));
    }

    #[test]
    fn no_changed_byte_and_no_other_text_is_a_token() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, _) = challenges.issue(Task::Image(challenges.prepare("ABCDE")), &anna, &lamp, NOW);
        let bytes = BASE64.decode(&token).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let verdict = challenges.verify(&BASE64.encode(changed), "ABCDE", &anna, &lamp, NOW);
            assert_eq!(verdict, Verdict::Forged, "byte {at}");
        }
        let long = "A".repeat(100_000);
        for other in ["", "x", "ABCDE", &token[1..], &token[..token.len() - 1], &format!("{token}="), &long] {
            assert_eq!(challenges.verify(other, "ABCDE", &anna, &lamp, NOW), Verdict::Forged);
        }
    }

    #[test]
    fn every_token_has_an_id_of_its_own_and_hides_the_solution() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let tokens: Vec<Vec<u8>> = (0..50)
            .map(|_| challenges.issue(Task::Image(challenges.prepare("ABCDE")), &anna, &lamp, NOW).0)
            .map(|token| BASE64.decode(token).unwrap())
            .collect();
        for (at, token) in tokens.iter().enumerate() {
            assert!(!token.windows(5).any(|window| window.eq_ignore_ascii_case(b"ABCDE")));
            // The digests of one solution differ from token to token.
            assert!(
                tokens[..at].iter().all(|other| other[HEAD_LENGTH..][..16] != token[HEAD_LENGTH..][..16])
            );
        }
    }

    #[test]
    fn what_was_prepared_is_good_for_whom_it_is_issued_to_and_is_one_challenge() {
        let challenges = Challenges::new(b"secret");
        let (anna, bert, lamp) = (user("anna"), user("bert"), item("iaaaaaaaaaa"));
        let mut stored = Vec::new();
        challenges.prepare("K7PWX").write(&mut stored);
        let prepared = Prepared::read(stored.as_slice().try_into().unwrap());
        assert_eq!(prepared.characters, 5);
        let id = |user: &UserId, token: &str| match challenges.verify(token, "k7pwx", user, &lamp, NOW) {
            Verdict::Good { id, .. } => id,
            other => panic!("{other:?}"),
        };
        let (first, _) = challenges.issue(Task::Image(prepared), &anna, &lamp, NOW);
        let (second, _) = challenges.issue(Task::Image(prepared), &bert, &lamp, NOW.plus_millis(5));
        // Should two shoppers ever see the same picture, the script takes it from the first and from no other.
        assert_eq!(id(&anna, &first), id(&bert, &second));
        assert_eq!(challenges.verify(&first, "K7PWX", &bert, &lamp, NOW), Verdict::Forged);
        assert!(!stored.windows(5).any(|window| window == b"K7PWX"));
        // Another key, another name.
        assert_ne!(challenges.key_name(), Challenges::new(b"other").key_name());
        assert_eq!(challenges.key_name(), Challenges::new(b"secret").key_name());
    }

    #[test]
    fn the_widget_s_answer_is_for_its_service_to_judge_and_fits_one_challenge() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, expires_at) = challenges.issue(Task::Turnstile, &anna, &lamp, NOW);
        let told = id_of(&token).unwrap();
        let verdict = challenges.verify(&token, "anything", &anna, &lamp, NOW);
        assert_eq!(verdict, Verdict::Unjudged { id: told.clone(), expires_at });
        assert!(!verdict.into_use().unwrap().answered);
        assert_eq!(challenges.verify(&token, "anything", &user("bert"), &lamp, NOW), Verdict::Forged);
        assert_ne!(id_of(&challenges.issue(Task::Turnstile, &anna, &lamp, NOW).0).unwrap(), told);
        // What the widget takes: letters, digits, underscores and hyphens.
        assert!(told.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn the_same_answer_to_the_same_challenge_is_asked_about_under_the_same_key() {
        let key = idempotency_key("token", "answer");
        assert_eq!(key, idempotency_key("token", "answer"));
        assert_ne!(key, idempotency_key("token", "other"));
        assert_ne!(key, idempotency_key("other", "answer"));
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
        // What an operator set above that stays as it was set.
        assert_eq!(hardened(28, 64, None), 28);
        assert_eq!(hardened(MOST_BITS, u64::MAX, None), MOST_BITS);
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
