//! The address that a request comes from, for allowances and blocks. An IPv6 network stands for the addresses in it.

use std::fmt;
use std::net::IpAddr;

use crate::caller::network::Network;
use crate::http::headers::{self, last_entry};
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::platform::settings;

/// The caller as allowances count callers: an IPv4 address, or the /64 of an IPv6 customer. Callers whose address the
/// platform does not tell share one allowance; otherwise they would have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller(Option<Network>);

impl Caller {
    /// The network, if the address is known.
    pub fn network(&self) -> Option<Network> {
        self.0
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(network) => network.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// The caller of `request`. The setting `trust_proxy` says whether a proxy in front of us is believed.
pub async fn of(request: &Request) -> Result<Caller, Problem> {
    Ok(Caller(exact(request).await?.map(Network::of)))
}

/// The client's own address, if the platform or a trusted proxy told it.
pub async fn exact(request: &Request) -> Result<Option<IpAddr>, Problem> {
    let forwarded = request.headers().all("x-forwarded-for").next_back();
    let peer = request.header("spin-client-addr");
    let trust_proxy = settings::switch(settings::TRUST_PROXY).await?;
    // A header that is not text counts as present but unreadable, not as absent.
    let client = client(trust_proxy, forwarded.map(|value| headers::text(value).unwrap_or_default()), peer);
    Ok(client.map(|address| address.to_canonical()))
}

/// The client's address, from `X-Forwarded-For` and the peer of the connection.
///
/// A trusted proxy adds the last entry of the last header; the client may have written everything before it. If that
/// entry is not an address, only the proxy's own address is known.
pub fn client(trust_proxy: bool, forwarded: Option<&str>, peer: Option<&str>) -> Option<IpAddr> {
    let forwarded = if trust_proxy { last_entry(forwarded).and_then(parse) } else { None };
    forwarded.or_else(|| peer.and_then(parse))
}

/// Reads an address as proxies write it: alone, in brackets, with a port, or in quotes.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Option<&str> = Some("198.51.100.1:4711");

    fn chosen(trust_proxy: bool, forwarded: Option<&str>, peer: Option<&str>) -> String {
        Caller(client(trust_proxy, forwarded, peer).map(Network::of)).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_speak_for_the_client() {
        let forged = Some("9.9.9.9, 203.0.113.7");
        assert_eq!(chosen(false, forged, PEER), "198.51.100.1");
        assert_eq!(chosen(true, forged, PEER), "203.0.113.7");
        assert_eq!(chosen(true, None, PEER), "198.51.100.1");
        assert_eq!(chosen(true, Some("unknown"), None), "-");
        assert_eq!(chosen(false, None, None), "-");
    }

    #[test]
    fn an_entry_is_read_in_every_form_that_proxies_write_and_junk_gives_the_address_of_the_proxy() {
        for (entry, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:4711", "203.0.113.7"),
            ("9.9.9.9,203.0.113.7 ", "203.0.113.7"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
            ("\"[2001:db8:1:2::9]:443\"", "2001:db8:1:2::/64"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
            ("", "198.51.100.1"),
            ("unknown", "198.51.100.1"),
            ("_hidden", "198.51.100.1"),
            ("203.0.113.7, unknown", "198.51.100.1"),
            ("203.0.113.7,", "198.51.100.1"),
            ("203.0.113.999", "198.51.100.1"),
            ("203.0.113.7:99999", "198.51.100.1"),
            ("[203.0.113.7", "198.51.100.1"),
            ("0x7f.1", "198.51.100.1"),
            ("127.1", "198.51.100.1"),
            ("fe80::1%eth0", "198.51.100.1"),
        ] {
            assert_eq!(chosen(true, Some(entry), PEER), expected, "{entry}");
        }
    }

    #[test]
    fn a_customer_of_ipv6_is_a_64() {
        for text in ["2001:db8:1:2:3:4:5:6", "[2001:db8:1:2::9]:80", "[2001:db8:1:2::]"] {
            assert_eq!(chosen(false, None, Some(text)), "2001:db8:1:2::/64", "{text}");
        }
        assert_eq!(chosen(false, None, Some("::ffff:192.0.2.1")), "192.0.2.1");
    }
}
