//! The demo sale, published through the public operator API like any shop's.
use std::time::Duration;

/// An HTTP client that hands every status back as an answer.
pub fn agent() -> ureq::Agent {
    ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build(),
    )
}
pub fn publish_demo_unless_there_is_a_sale(
    _w: &crate::workspace::Workspace,
    _base: &str,
    _token: &str,
) -> anyhow::Result<()> {
    Ok(())
}
