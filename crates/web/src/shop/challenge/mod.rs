//! Challenges: what a shopper must solve before a reservation.
//!
//! A challenge is a signed token, and nothing about it is stored. The token is bound to one shopper, one item and an
//! expiry. It says its kind and difficulty, and carries an id of its own.
//!
//! The reserve script makes sure that a challenge is used once: it burns the id, whether the solution was right or
//! wrong. A token that we did not sign, or signed for another shopper or item, never reaches the script.
//!
//! The token does not reveal the solution. A picture's token carries only a keyed digest of it, and a proof of work has
//! no secret solution.

mod kind;
mod work;

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use sale::ids::{ItemId, UserId};
use sale::scripts::ChallengeUse;
use sale::time::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::http::problem::Problem;
use crate::platform::{random, settings};
use work::{MOST_BITS, is_proof};

pub use kind::Kind;
pub use work::{Record, hardened, idempotency_key};

/// How long a shopper has to solve a challenge, in milliseconds. Redis remembers used ids for longer than this.
pub const LIFETIME_MS: i64 = 120_000;

const VERSION: u8 = 1;
/// In bytes. Redis remembers used ids as text of twelve characters, which fit in its smallest allocation.
const ID_LENGTH: usize = 9;
const DIGEST_LENGTH: usize = 16;
/// Version, kind, difficulty, expiry and id. The digest of the solution and the signature follow them.
const HEAD_LENGTH: usize = 3 + 8 + ID_LENGTH;
const TOKEN_LENGTH: usize = HEAD_LENGTH + 2 * DIGEST_LENGTH;

/// What a token asks the shopper to do.
#[derive(Debug, Clone, Copy)]
pub enum Task<'a> {
    /// Read this in a picture.
    Image { solution: &'a str },
    /// Find a number whose hash begins with this many zero bits.
    Pow { bits: u8 },
    /// Pass the widget, which is told [`WIDGET_ACTION`] and the token's [`id_of`].
    Turnstile,
}

/// The purpose that the page tells the widget. The widget's service repeats it to us.
pub const WIDGET_ACTION: &str = "reserve";

/// The id in a token that was just issued. The page tells it to the widget, so that the widget's solution fits this
/// challenge only.
pub fn id_of(token: &str) -> Option<String> {
    BASE64.decode(token).ok()?.get(HEAD_LENGTH - ID_LENGTH..HEAD_LENGTH).map(|id| BASE64.encode(id))
}

/// The outcome of checking a token and its solution. The reserve script needs `id` and `expires_at` to burn the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// We signed it, it came in time, and the solution is right.
    Good { id: String, expires_at: Timestamp },
    /// We signed it and it came in time. Only the widget's service knows whether the solution is right.
    Unjudged { id: String, expires_at: Timestamp },
    /// We signed it and it came in time, but the solution is wrong. Burn it, so that nobody guesses twice.
    WrongSolution { id: String, expires_at: Timestamp },
    /// We signed it, but it came too late. The script is asked all the same: this may be a retry of a request that was
    /// admitted, and then the shopper must see that reservation.
    Expired { id: String, expires_at: Timestamp },
    /// We did not sign it, or not for this shopper, or not for this item. The script is not asked.
    Forged,
}

impl Verdict {
    /// What the reserve script is told of the challenge; a problem where the script need not be asked. A solution that
    /// the widget's service has not judged counts as wrong.
    pub fn into_use(self) -> Result<ChallengeUse, Problem> {
        match self {
            Self::Good { id, expires_at } => Ok(ChallengeUse { id, expires_at, answered: true }),
            Self::WrongSolution { id, expires_at }
            | Self::Unjudged { id, expires_at }
            | Self::Expired { id, expires_at } => Ok(ChallengeUse { id, expires_at, answered: false }),
            Self::Forged => Err(Problem::ChallengeFailed {
                detail: "The challenge is not one of this shopper's for this item; ask for a new one",
            }),
        }
    }
}

/// Issues and checks challenges. Its keys are prepared once.
pub struct Challenges {
    signer: Hmac<Sha256>,
    committer: Hmac<Sha256>,
}

impl Challenges {
    /// Challenges under the setting `session_secret`, prepared once in an instance.
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

    /// Challenges under a secret. Both keys are derived from it, so that no challenge passes for a session, nor a
    /// session for a challenge.
    pub fn new(secret: &[u8]) -> Self {
        let derived = |label: &[u8]| keyed(&keyed(secret).chain_update(label).finalize().into_bytes());
        Self {
            signer: derived(b"stampede challenge signature"),
            committer: derived(b"stampede challenge answer"),
        }
    }

    /// A token for `user` and `item`, and when it expires: [`LIFETIME_MS`] after `now`.
    pub fn issue(&self, task: Task<'_>, user: &UserId, item: &ItemId, now: Timestamp) -> (String, Timestamp) {
        let expires_at = now.plus_millis(LIFETIME_MS);
        let id = random::bytes();
        let (kind, difficulty, digest) = match task {
            Task::Image { solution } => {
                let characters = u8::try_from(solution.chars().count()).unwrap_or(u8::MAX);
                (Kind::Image, characters, self.commitment(&id, solution))
            }
            Task::Pow { bits } => (Kind::Pow, bits.min(MOST_BITS), [0; DIGEST_LENGTH]),
            Task::Turnstile => (Kind::Turnstile, 0, [0; DIGEST_LENGTH]),
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

    /// Checks `token` and `solution`, which `user` presents for `item` at `now`.
    pub fn verify(
        &self,
        token: &str,
        solution: &str,
        user: &UserId,
        item: &ItemId,
        now: Timestamp,
    ) -> Verdict {
        let Some(parts) = self.open(token, user, item) else { return Verdict::Forged };
        if now >= parts.expires_at {
            return Verdict::Expired { id: BASE64.encode(parts.id), expires_at: parts.expires_at };
        }
        let right = match parts.kind {
            Kind::Image => bool::from(self.commitment(&parts.id, solution).ct_eq(&parts.digest)),
            Kind::Pow => is_proof(token, solution, parts.difficulty),
            Kind::Turnstile => {
                return Verdict::Unjudged { id: BASE64.encode(parts.id), expires_at: parts.expires_at };
            }
            Kind::Off => false,
        };
        let (id, expires_at) = (BASE64.encode(parts.id), parts.expires_at);
        if right { Verdict::Good { id, expires_at } } else { Verdict::WrongSolution { id, expires_at } }
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

    /// Signs the token's own bytes, the item and the user. The item's id has a fixed length and the user comes last, so
    /// no two pairs give the same bytes.
    fn signature(&self, signed: &[u8], user: &UserId, item: &ItemId) -> [u8; DIGEST_LENGTH] {
        let mac = self.signer.clone().chain_update(signed);
        first_half(mac.chain_update(item.as_str()).chain_update(user.as_str()))
    }

    /// A keyed digest of the solution. It differs from picture to picture, also for the same solution.
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

/// 128 bits of a signature are enough here, and make a shorter token.
fn first_half(mac: Hmac<Sha256>) -> [u8; DIGEST_LENGTH] {
    let mut half = [0; DIGEST_LENGTH];
    half.copy_from_slice(&mac.finalize().into_bytes()[..DIGEST_LENGTH]);
    half
}

/// Drops spaces and makes capitals: people type both.
fn normalised(solution: &str) -> String {
    solution.chars().filter(|character| !character.is_whitespace()).flat_map(char::to_uppercase).collect()
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
        (0u64..).map(|n| n.to_string()).find(|solution| is_proof(challenge, solution, bits)).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_255_200_000);

    #[test]
    fn a_picture_read_rightly_is_good_in_any_case_and_spacing() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, expires_at) = challenges.issue(Task::Image { solution: "K7PWX" }, &anna, &lamp, NOW);
        for solution in ["K7PWX", "k7pwx", " k7 pwx "] {
            let verdict = challenges.verify(&token, solution, &anna, &lamp, NOW);
            assert!(
                matches!(verdict, Verdict::Good { expires_at: at, .. } if at == expires_at),
                "{solution}"
            );
        }
        for solution in ["", "K7PW", "K7PWXX", "00000"] {
            let verdict = challenges.verify(&token, solution, &anna, &lamp, NOW);
            assert!(matches!(verdict, Verdict::WrongSolution { .. }), "{solution}");
        }
    }

    #[test]
    fn a_proof_of_work_is_decimal_and_has_its_zero_bits() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, _) = challenges.issue(Task::Pow { bits: 8 }, &anna, &lamp, NOW);
        let solution = solve(&token, 8);
        assert!(matches!(challenges.verify(&token, &solution, &anna, &lamp, NOW), Verdict::Good { .. }));
        let other = (0u64..).map(|n| n.to_string()).find(|solution| !is_proof(&token, solution, 8)).unwrap();
        for wrong in [other.as_str(), "", "-1", "+1", "0x1", "1e3", " 1", &"1".repeat(21)] {
            assert!(matches!(
                challenges.verify(&token, wrong, &anna, &lamp, NOW),
                Verdict::WrongSolution { .. }
            ));
        }
    }

    #[test]
    fn a_token_serves_one_shopper_one_item_and_two_minutes() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, expires_at) = challenges.issue(Task::Image { solution: "ABCDE" }, &anna, &lamp, NOW);
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
        let (token, _) = challenges.issue(Task::Image { solution: "ABCDE" }, &anna, &lamp, NOW);
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
            .map(|_| challenges.issue(Task::Image { solution: "ABCDE" }, &anna, &lamp, NOW).0)
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
    fn only_the_service_of_the_widget_judges_its_solution_and_it_fits_one_challenge() {
        let challenges = Challenges::new(b"secret");
        let (anna, lamp) = (user("anna"), item("iaaaaaaaaaa"));
        let (token, expires_at) = challenges.issue(Task::Turnstile, &anna, &lamp, NOW);
        let told = id_of(&token).unwrap();
        let verdict = challenges.verify(&token, "anything", &anna, &lamp, NOW);
        assert_eq!(verdict, Verdict::Unjudged { id: told.clone(), expires_at });
        assert!(!verdict.into_use().unwrap().answered);
        assert_eq!(challenges.verify(&token, "anything", &user("bert"), &lamp, NOW), Verdict::Forged);
        assert_ne!(id_of(&challenges.issue(Task::Turnstile, &anna, &lamp, NOW).0).unwrap(), told);
        // The widget accepts letters, digits, underscores and hyphens.
        assert!(told.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}
