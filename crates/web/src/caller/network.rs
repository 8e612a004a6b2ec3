//! A range of addresses: what a blocklist names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that share their first bits. The smallest IPv4 network is one address. The smallest IPv6 network is a /64,
/// which one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of `bits` that `address` is in: at most 32 of IPv4 and 64 of IPv6. An IPv4 address mapped into IPv6
    /// is an IPv4 address.
    pub fn around(address: IpAddr, bits: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Network { first: Ipv4Addr::from(u32::from(address) & mask).into(), bits }
            }
            IpAddr::V6(address) => {
                let bits = bits.min(64);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Network { first: Ipv6Addr::from(u128::from(address) & mask).into(), bits }
            }
        }
    }

    /// The smallest network that `address` is in. Allowances count it as one caller.
    pub fn of(address: IpAddr) -> Self {
        Network::around(address, u8::MAX)
    }

    /// How many bits its addresses share.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Any of its addresses.
    pub fn address(&self) -> IpAddr {
        self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.bits) {
            (IpAddr::V4(address), 32) => write!(f, "{address}"),
            (address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// The text is no address and no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;
    /// `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`. Bits after the network's are passed over.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let Some(bits) = bits else { return Ok(Network::of(address)) };
        let bits: u8 =
            bits.parse().ok().filter(|number: &u8| number.to_string() == bits).ok_or(InvalidNetwork)?;
        // The length of a network of mapped addresses is not what it seems to be, so it is most likely a mistake.
        let most = if address.is_ipv4() { 32 } else { 128 };
        if bits == 0 || bits > most || address != address.to_canonical() {
            return Err(InvalidNetwork);
        }
        Ok(Network::around(address, bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> String {
        text.parse::<Network>().map_or_else(|_| "-".to_owned(), |network| network.to_string())
    }

    #[test]
    fn addresses_and_networks_have_one_spelling() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("10.1.2.3/1", "0.0.0.0/1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3:4:5:6/128", "2001:db8:1:2::/64"),
            ("2001:DB8:ffff::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::1", "::/64"),
        ] {
            assert_eq!(network(text), expected, "{text}");
        }
        for text in [
            "",
            "/",
            "1.2.3.4/",
            "1.2.3.4/33",
            "1.2.3.4/0",
            "1.2.3.4/+8",
            "1.2.3.4/08",
            "::/129",
            "::/0",
            "1.2.3/8",
            "::ffff:1.2.3.4/96",
            "1.2.3.4/8/8",
            "x",
            "01.2.3.4",
        ] {
            assert_eq!(network(text), "-", "{text}");
        }
    }

    #[test]
    fn an_address_is_in_the_networks_around_it() {
        let address: IpAddr = "198.51.100.77".parse().unwrap();
        assert_eq!(Network::around(address, 24), "198.51.100.0/24".parse().unwrap());
        assert_eq!(Network::around(address, 64), Network::of(address));
        let address: IpAddr = "2001:db8::77".parse().unwrap();
        assert_eq!(Network::around(address, 32), "2001:db8::/32".parse().unwrap());
        assert_eq!(Network::around(address, 0).to_string(), "::/0");
    }
}
