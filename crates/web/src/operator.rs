//! The operator: whoever bears `admin_token`.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Problem;
use crate::request::Request;
use crate::{header, settings};

/// Refuses everybody else. Called before a route is looked at, so that none can be forgotten.
pub async fn check(request: &Request) -> Result<(), Problem> {
    let token = settings::secret("admin_token").await?;
    if bears(request.header(header::AUTHORIZATION).unwrap_or_default(), &token) {
        Ok(())
    } else {
        Err(Problem::Unauthorized { detail: "This call needs the operator's bearer token" })
    }
}

/// Compares digests, in constant time: neither the token's content nor its length shows in how long it takes.
fn bears(authorization: &str, token: &str) -> bool {
    let Some((scheme, given)) = authorization.split_once(' ') else { return false };
    let same = Sha256::digest(given.trim().as_bytes()).ct_eq(&Sha256::digest(token.as_bytes()));
    scheme.eq_ignore_ascii_case("bearer") && bool::from(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_opens() {
        let token = "an operator's token of 32 characters";
        assert!(bears(&format!("Bearer {token}"), token));
        assert!(bears(&format!("bearer  {token} "), token));
        for wrong in ["", "Bearer", "Bearer ", token, &format!("Basic {token}"), &format!("Bearer {token}x")]
        {
            assert!(!bears(wrong, token), "{wrong}");
        }
        assert!(!bears(&format!("Bearer {}", &token[1..]), token));
    }
}
