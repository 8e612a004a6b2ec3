//! `allowed_outbound_hosts`: the addresses that a component may connect to.
//!
//! Spin's syntax is `scheme://host[:port]`. The scheme may be `*`. The host may be `*`, `*.domain` or an address range
//! such as `10.0.0.0/8`. The port may be `*` or a range `8000..9000`, whose end is not part of it. A rule without a
//! port means the scheme's default port. Paths and credentials are refused, because the decision ignores them.
//!
//! `http://self` grants requests to the application itself, wherever it listens. A component sends these to
//! `http://self.alt/…`, or to a path without a host. The rule does not grant a host that is named `self`.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};

/// The host name that stands for the application itself. Some libraries insist on a host in every URL.
pub const SELF: &str = "self.alt";

/// The allow-list of one component.
#[derive(Debug, Default)]
pub struct AllowedHosts(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    /// `None` allows every scheme.
    scheme: Option<String>,
    host: Host,
    /// `None` allows every port.
    ports: Option<Range<u32>>,
}

#[derive(Debug)]
enum Host {
    Any,
    /// The application itself: `self` or [`SELF`].
    Application,
    /// The domain with a leading dot, so that `*.b.example` does not match `ab.example`.
    Subdomains(String),
    Network(IpAddr, u8),
    Exact(String),
}

impl AllowedHosts {
    /// Parses a component's list, in which all variables are already replaced by their values.
    pub fn parse<'a>(rules: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        rules.into_iter().map(Rule::parse).collect::<Result<_>>().map(Self)
    }

    /// Whether a connection to this destination is granted.
    pub fn allow(&self, destination: &Destination) -> bool {
        self.0.iter().any(|rule| rule.allows(destination))
    }

    /// Whether requests to the application itself are granted. The port in a rule does not matter: the author of a
    /// manifest cannot know the port that the application will listen on.
    pub fn allow_self(&self) -> bool {
        self.0.iter().any(|rule| {
            let scheme = rule.scheme.as_deref();
            matches!(scheme, None | Some("http" | "https"))
                && matches!(rule.host, Host::Any | Host::Application)
        })
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (scheme, rest) = text
            .split_once("://")
            .with_context(|| format!("`{text}` must have the form scheme://host:port; each may be `*`"))?;
        ensure!(!rest.contains('@'), "`{scheme}://…` contains credentials, which an allow-list must not");
        let scheme = match scheme {
            "*" => None,
            _ if !scheme.is_empty() && scheme.chars().all(char::is_alphabetic) => Some(scheme.to_owned()),
            _ => bail!("`{text}`: `{scheme}` is not a scheme"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest);
        let host = Host::parse(host).with_context(|| format!("`{text}`"))?;
        let ports = match port {
            Some("*") => None,
            Some(port) => {
                ensure!(!port.contains('/'), "`{text}` has a path, which an allow-list must not");
                Some(parse_ports(port).with_context(|| format!("`{text}`: `{port}` is not a port"))?)
            }
            None => {
                let default = scheme.as_deref().and_then(default_port);
                let port =
                    default.with_context(|| format!("`{text}` needs a port: its scheme has no default"))?;
                Some(port.into()..u32::from(port) + 1)
            }
        };
        Ok(Self { scheme, host, ports })
    }

    fn allows(&self, destination: &Destination) -> bool {
        self.scheme.as_ref().is_none_or(|scheme| *scheme == destination.scheme)
            && self.host.allows(&destination.host)
            && self
                .ports
                .as_ref()
                .is_none_or(|ports| destination.port.is_some_and(|port| ports.contains(&port.into())))
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if let Some((address, prefix)) = host.split_once('/') {
            let network = address.parse().ok().zip(prefix.parse().ok());
            return match network {
                Some((address, prefix)) if prefix <= number_and_width(address).1 => {
                    Ok(Self::Network(address, prefix))
                }
                _ => bail!("has a path, which an allow-list must not"),
            };
        }
        if host == "self" || host == SELF {
            return Ok(Self::Application);
        }
        ensure!(
            !host.ends_with(".spin.internal"),
            "this host does not support requests from one component to another at `.spin.internal`"
        );
        ensure!(!host.is_empty(), "has no host");
        match host.strip_prefix("*.") {
            Some(domain) if !domain.contains('*') => {
                Ok(Self::Subdomains(format!(".{}", domain.to_lowercase())))
            }
            None if !host.contains('*') => Ok(Self::Exact(host.to_lowercase())),
            _ => bail!("`*` may stand for the whole host or for its first part only"),
        }
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Application => false,
            Self::Subdomains(suffix) => host.ends_with(suffix),
            Self::Exact(exact) => exact == host,
            Self::Network(network, prefix) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host.parse().is_ok_and(|address: IpAddr| within(address, *network, *prefix))
            }
        }
    }
}

/// An address that a guest wants to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Such as `redis`, in lower case.
    pub scheme: String,
    /// In lower case; an IPv6 address in brackets.
    pub host: String,
    /// The port in the URL, or the scheme's default; `None` if there is neither.
    pub port: Option<u16>,
}

impl Destination {
    /// Reads the scheme, host and port of a URL; `None` if it has no host or its port is not a number.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        // Credentials may contain `@`, so the host starts after the last one.
        let address = authority.rsplit('@').next()?;
        let (host, port) = split_port(address);
        let port = match port {
            Some(port) => Some(port.parse().ok()?),
            None => default_port(scheme),
        };
        (!host.is_empty()).then(|| Self { scheme: scheme.to_lowercase(), host: host.to_lowercase(), port })
    }
}

/// Shows no credentials, so messages may contain it.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Splits at the colon before the port. The colons of an IPv6 address in brackets do not count.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn parse_ports(text: &str) -> Option<Range<u32>> {
    let port = |text: &str| text.parse::<u16>().ok().map(u32::from);
    match text.split_once("..") {
        Some((start, end)) => Some(port(start)?..port(end)?),
        None => port(text).map(|port| port..port + 1),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" => Some(6379),
        "postgres" | "postgresql" => Some(5432),
        "mysql" => Some(3306),
        "mqtt" => Some(1883),
        _ => None,
    }
}

/// An address as a number, and its width in bits.
fn number_and_width(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let ((address, width), (network, network_width)) = (number_and_width(address), number_and_width(network));
    let shift = u32::from(width.saturating_sub(prefix));
    width == network_width
        && address.checked_shr(shift).unwrap_or(0) == network.checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        AllowedHosts::parse([rule]).unwrap().allow(&Destination::parse(url).unwrap())
    }

    #[test]
    fn scheme_host_and_port_must_all_match() {
        assert!(allows("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"));
        assert!(allows("redis://127.0.0.1:6379", "redis://user:p:w@127.0.0.1:6379/0"));
        assert!(allows("redis://localhost", "redis://localhost:6379"));
        assert!(allows("https://A.example", "https://a.Example/path"));
        assert!(!allows("redis://127.0.0.1:6379", "redis://127.0.0.1:6380"));
        assert!(!allows("redis://127.0.0.1:6379", "redis://localhost:6379"));
        assert!(!allows("redis://127.0.0.1:6379", "postgres://127.0.0.1:6379"));
        assert!(!allows("http://a.example", "http://a.example:8080/"));
        assert!(!allows("http://a.example", "http://a.example@b.example/"));
    }

    #[test]
    fn wildcards_port_ranges_and_networks_match_what_they_cover() {
        assert!(allows("*://*:*", "http://a.example:1"));
        assert!(allows("https://*.b.example", "https://a.b.example/"));
        assert!(!allows("https://*.b.example", "https://b.example/"));
        assert!(!allows("https://*.b.example", "https://ab.example/"));
        assert!(allows("http://a:8000..9000", "http://a:8999"));
        assert!(!allows("http://a:8000..9000", "http://a:9000"));
        assert!(allows("redis://10.0.0.0/8:6379", "redis://10.9.8.7:6379"));
        assert!(!allows("redis://10.0.0.0/8:6379", "redis://11.0.0.1:6379"));
        assert!(allows("redis://[::1]:6379", "redis://[::1]:6379"));
        assert!(allows("*://0.0.0.0/0:*", "http://8.8.8.8:53"));
    }

    #[test]
    fn requests_to_the_application_itself_need_a_rule_for_self_or_any_host() {
        let allows_self = |rule: &str| AllowedHosts::parse([rule]).unwrap().allow_self();
        for rule in ["http://self", "https://self", "http://self.alt", "*://self:1", "http://*:80", "*://*:*"]
        {
            assert!(allows_self(rule), "{rule}");
        }
        for rule in
            ["redis://self", "redis://*:6379", "http://127.0.0.1:3000", "http://*.alt", "http://selfish"]
        {
            assert!(!allows_self(rule), "{rule}");
        }
        for url in ["http://self/", "http://self.alt/", "http://127.0.0.1:80/"] {
            assert!(!allows("http://self", url), "{url}");
        }
    }

    #[test]
    fn what_spin_refuses_is_refused() {
        for rule in [
            "*",
            "",
            "127.0.0.1:6379",
            "redis://127.0.0.1:6379/0",
            "redis://a/0",
            "redis://u:p@127.0.0.1:6379",
            "re-dis://a:1",
            "redis://a:port",
            "redis://a:1..x",
            "redis://a.*:1",
            "redis://*.*:1",
            "*://a.example",
            "ftp://a.example",
            "*://self",
            "ftp://self",
            "http://self/path",
            "http://x.spin.internal",
            "http://",
        ] {
            assert!(AllowedHosts::parse([rule]).is_err(), "{rule}");
        }
    }

    #[test]
    fn an_error_never_repeats_credentials() {
        let message = format!("{:#}", AllowedHosts::parse(["redis://u:hush@h:1"]).unwrap_err());
        assert!(!message.contains("hush"), "{message}");
    }

    #[test]
    fn a_destination_is_shown_without_credentials() {
        let destination = Destination::parse("redis://u:hush@h/0").unwrap();
        assert_eq!(destination.to_string(), "redis://h:6379");
        assert!(Destination::parse("nonsense").is_none());
        assert!(Destination::parse("redis://").is_none());
        assert!(Destination::parse("redis://h:99999").is_none());
    }
}
