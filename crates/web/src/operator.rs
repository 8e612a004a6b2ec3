//! Whether a caller is the operator: whoever bears `admin_token`.

use http::header;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Problem;
use crate::request::Request;
use crate::settings;

/// Lets the operator pass, and nobody else.
pub async fn check(request: &Request) -> Result<(), Problem> {
    let token = settings::secret("admin_token").await?;
    if bears(request, &token) {
        return Ok(());
    }
    Err(Problem::Unauthorized { detail: "This call needs the operator's bearer token" })
}

/// Compares digests, in constant time: neither the token's content nor its length shows in how long it takes.
fn bears(request: &Request, token: &str) -> bool {
    let authorization = request.header(header::AUTHORIZATION).unwrap_or_default();
    let Some((scheme, given)) = authorization.split_once(' ') else { return false };
    let same = Sha256::digest(given.trim().as_bytes()).ct_eq(&Sha256::digest(token.as_bytes()));
    scheme.eq_ignore_ascii_case("bearer") && bool::from(same)
}
