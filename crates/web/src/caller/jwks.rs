//! An issuer's public keys: which of them a token names, and whether its signature is good.
//!
//! A key knows its algorithm (HS256, RS256, ES256 or EdDSA with Ed25519). A token's header only chooses among keys, so
//! it can't turn a public key into a shared secret, and `none` is the algorithm of no key. To rotate, the issuer puts
//! the new key beside the old one, each with its `kid`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
use crypto_bigint::{Encoding, U2048, U3072, U4096, Uint};
use p256::ecdsa::signature::Verifier;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::caller::jwt::{Claims, InvalidToken, Parts, SigningKey, decode};

/// Why a document can't be used as a set of keys.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidJwks(&'static str);

impl std::fmt::Display for InvalidJwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Keys for signatures. Keys of other kinds and for other uses are passed over.
pub struct Jwks {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    key: PublicKey,
}

enum PublicKey {
    Hs256(SigningKey),
    Rs256(Rsa),
    Es256(p256::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
}

/// A modulus by its size; the exponent is 65537.
enum Rsa {
    Bits2048(Box<DynResidueParams<{ U2048::LIMBS }>>),
    Bits3072(Box<DynResidueParams<{ U3072::LIMBS }>>),
    Bits4096(Box<DynResidueParams<{ U4096::LIMBS }>>),
}

impl Jwks {
    /// Reads a JWKS document (RFC 7517).
    pub fn parse(text: &str) -> Result<Self, InvalidJwks> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(text.as_bytes())
            .map_err(|_| InvalidJwks("a JSON object with an array of keys"))?;
        // A key that can't be read may be of a future kind. The others must stay usable.
        let keys: Vec<Key> =
            document.keys.iter().filter_map(|key| Key::of(Description::of(key.as_object()?)?)).collect();
        if keys.is_empty() {
            return Err(InvalidJwks("keys for HS256, RS256, ES256 or EdDSA, of which there is none"));
        }
        Ok(Self { keys })
    }

    /// The claims of a token that one of the keys signed. Times, issuer and audience are for [`Claims::check`].
    pub fn verify(&self, token: &str) -> Result<Claims, InvalidToken> {
        let parts = Parts::split(token)?;
        let header: Header = serde_json::from_slice(&decode(parts.header)?).map_err(|_| InvalidToken)?;
        // The issuer names extensions here that must be understood, and we know none.
        if header.crit.is_some() || !header.has_known_type() {
            return Err(InvalidToken);
        }
        let signature = decode(parts.signature)?;
        let named = |key: &&Key| header.kid.is_none() || header.kid == key.id;
        self.keys
            .iter()
            .filter(named)
            .filter(|key| key.key.algorithm() == header.alg)
            .any(|key| key.key.is_signature(&parts, &signature))
            .then(|| parts.claims())
            .ok_or(InvalidToken)?
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Header {
    fn has_known_type(&self) -> bool {
        self.typ.as_ref().is_none_or(|typ| {
            let typ = typ.strip_prefix("application/").unwrap_or(typ);
            typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt")
        })
    }
}

/// A key as the document describes it.
struct Description<'a> {
    kty: &'a str,
    kid: Option<&'a str>,
    used_for: Option<&'a str>,
    alg: Option<&'a str>,
    crv: Option<&'a str>,
    k: Option<&'a str>,
    n: Option<&'a str>,
    e: Option<&'a str>,
    x: Option<&'a str>,
    y: Option<&'a str>,
}

impl<'a> Description<'a> {
    /// Nothing if a member that we know is not text.
    fn of(members: &'a Map<String, Value>) -> Option<Self> {
        let text = |name: &str| match members.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text.as_str())),
            Some(_) => None,
        };
        Some(Self {
            kty: text("kty")??,
            kid: text("kid")?,
            used_for: text("use")?,
            alg: text("alg")?,
            crv: text("crv")?,
            k: text("k")?,
            n: text("n")?,
            e: text("e")?,
            x: text("x")?,
            y: text("y")?,
        })
    }
}

impl Key {
    fn of(description: Description<'_>) -> Option<Self> {
        if description.used_for.is_some_and(|used_for| used_for != "sig") {
            return None;
        }
        let bytes = |text: Option<&str>| BASE64.decode(text?).ok();
        let key = match (description.kty, description.crv) {
            // A secret shorter than the hash could be guessed.
            ("oct", _) => {
                PublicKey::Hs256(SigningKey::new(&bytes(description.k).filter(|key| key.len() >= 32)?))
            }
            ("RSA", _) => PublicKey::Rs256(Rsa::of(&bytes(description.n)?, &bytes(description.e)?)?),
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(description.x)?, bytes(description.y)?);
                let point = [&[4], x.as_slice(), &y].concat();
                PublicKey::Es256(p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?)
            }
            ("OKP", Some("Ed25519")) => {
                let point: [u8; 32] = bytes(description.x)?.try_into().ok()?;
                PublicKey::EdDsa(ed25519_dalek::VerifyingKey::from_bytes(&point).ok()?)
            }
            _ => return None,
        };
        // A key that is meant for another algorithm is not used for ours.
        let fits = description.alg.is_none_or(|alg| alg == key.algorithm());
        fits.then(|| Self { id: description.kid.map(str::to_owned), key })
    }
}

impl PublicKey {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn is_signature(&self, parts: &Parts<'_>, signature: &[u8]) -> bool {
        let signed = parts.signed.as_bytes();
        match self {
            Self::Hs256(key) => key.is_signature(signed, signature),
            Self::Rs256(key) => key.is_signature(signed, signature),
            Self::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            // The strict check also refuses keys and signatures that have several valid forms.
            Self::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
        }
    }
}

impl Rsa {
    fn of(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let modulus = &modulus[modulus.iter().position(|byte| *byte != 0)?..];
        let is_odd = modulus.last().is_some_and(|byte| byte % 2 == 1);
        if exponent != [1, 0, 1] || !is_odd || modulus.first()? < &0x80 {
            return None;
        }
        Some(match modulus.len() {
            256 => Self::Bits2048(Box::new(DynResidueParams::new(&U2048::from_be_slice(modulus)))),
            384 => Self::Bits3072(Box::new(DynResidueParams::new(&U3072::from_be_slice(modulus)))),
            512 => Self::Bits4096(Box::new(DynResidueParams::new(&U4096::from_be_slice(modulus)))),
            _ => return None,
        })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2). Compares whole messages: the opened signature is not
    /// parsed, so nothing can hide in it.
    fn is_signature(&self, signed: &[u8], signature: &[u8]) -> bool {
        let opened = match self {
            Self::Bits2048(modulus) => raised(modulus, signature),
            Self::Bits3072(modulus) => raised(modulus, signature),
            Self::Bits4096(modulus) => raised(modulus, signature),
        };
        opened.is_some_and(|opened| opened == encoded(signed, signature.len()))
    }
}

/// `signature` to the 65537th power. Nothing if it is not as long as the modulus, or not below it.
fn raised<const LIMBS: usize>(modulus: &DynResidueParams<LIMBS>, signature: &[u8]) -> Option<Vec<u8>>
where
    Uint<LIMBS>: Encoding,
{
    if signature.len() != Uint::<LIMBS>::BYTES {
        return None;
    }
    let signature = Uint::<LIMBS>::from_be_slice(signature);
    if signature >= *modulus.modulus() {
        return None;
    }
    let base = DynResidue::new(&signature, *modulus);
    let power = (0..16).fold(base, |power, _| power.square()).mul(&base);
    Some(power.retrieve().to_be_bytes().as_ref().to_vec())
}

/// EMSA-PKCS1-v1_5: the message that a valid signature opens to.
fn encoded(signed: &[u8], length: usize) -> Vec<u8> {
    /// The DER of a SHA-256 digest up to the digest itself.
    const PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0,
        0x04, 0x20,
    ];
    let digest = Sha256::digest(signed);
    let padding = length.saturating_sub(3 + PREFIX.len() + digest.len());
    let mut message = vec![0, 1];
    message.resize(2 + padding, 0xff);
    message.push(0);
    message.extend(PREFIX);
    message.extend(digest);
    message
}

#[cfg(test)]
mod tests;
