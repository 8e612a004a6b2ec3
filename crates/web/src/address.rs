//! Where a request comes from, for limits: an address, or the network that stands for one.

use std::net::{IpAddr, Ipv6Addr};

use crate::problem::Problem;
use crate::request::Request;
use crate::session::last_of;
use crate::settings;

/// The client's address as limits count it: IPv4 as it is, IPv6 by its /64, which is one customer's. `-` where the
/// platform told none, so that all of those share one budget rather than have none.
pub async fn of(request: &Request) -> Result<String, Problem> {
    let forwarded = request.header("x-forwarded-for");
    let peer = request.header("spin-client-addr");
    Ok(choose(settings::switch("trust_proxy").await?, forwarded, peer))
}

/// The client's own address, where the platform or a trusted proxy told it.
pub async fn exact(request: &Request) -> Result<Option<IpAddr>, Problem> {
    let trust_proxy = settings::switch("trust_proxy").await?;
    let forwarded = request.header("x-forwarded-for");
    Ok(told(trust_proxy, forwarded, request.header("spin-client-addr")).map(|address| address.to_canonical()))
}

/// With a trusted proxy in front, the entry that it added: the last. What stands before it, the client wrote.
fn choose(trust_proxy: bool, forwarded: Option<&str>, peer: Option<&str>) -> String {
    told(trust_proxy, forwarded, peer).map_or_else(|| "-".to_owned(), group)
}

fn told(trust_proxy: bool, forwarded: Option<&str>, peer: Option<&str>) -> Option<IpAddr> {
    if trust_proxy { last_of(forwarded).or(peer) } else { peer }.and_then(parse)
}

/// An address with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

pub(crate) fn group(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_may_speak_for_the_client() {
        let forged = Some("9.9.9.9, 203.0.113.7");
        assert_eq!(choose(false, forged, Some("198.51.100.1:4711")), "198.51.100.1");
        assert_eq!(choose(true, forged, Some("198.51.100.1:4711")), "203.0.113.7");
        assert_eq!(choose(true, None, Some("198.51.100.1:4711")), "198.51.100.1");
        assert_eq!(choose(true, Some("unknown"), None), "-");
        assert_eq!(choose(false, None, None), "-");
    }

    #[test]
    fn a_customer_of_ipv6_is_a_64() {
        for text in ["2001:db8:1:2:3:4:5:6", "[2001:db8:1:2::9]:80", "[2001:db8:1:2::]"] {
            assert_eq!(choose(false, None, Some(text)), "2001:db8:1:2::/64", "{text}");
        }
        assert_eq!(choose(false, None, Some("::ffff:192.0.2.1")), "192.0.2.1");
    }
}
