//! Hosts as a route names them: one name, or all names below one.

use std::fmt;
use std::net::Ipv6Addr;

/// The longest name that DNS can hold, in bytes as text (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;

/// The longest label that DNS can hold, in bytes (RFC 1035 section 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A host, or all hosts below one. Made by [`HostPattern::parse`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host, in lower case and without a port: a name, an IPv4 address or an IPv6 address in brackets.
    Exact(Box<str>),
    /// Every host with this end and at least one label before it: `.shop.example` for `*.shop.example`.
    Wildcard(Box<str>),
}

/// Why a text is no host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Nothing was written.
    #[error("a host cannot be empty")]
    Empty,
    /// `*` and nothing else.
    #[error("`*` alone is no host: leave `hosts` out to take any host")]
    OnlyWildcard,
    /// `http://shop.example`.
    #[error("a host has no scheme: write what stands after `://`")]
    Scheme,
    /// `shop.example/cart`.
    #[error("a host has no path: paths have keys of their own")]
    Path,
    /// `shop.example:8080`.
    #[error("a host has no port: ports belong to listeners")]
    Port,
    /// `shop.*`, `a*.shop.example` and the like.
    #[error("`*` can only be the whole first label, as in `*.shop.example`")]
    Wildcard,
    /// `[::1`, or brackets around something else.
    #[error("what stands in brackets is no IPv6 address")]
    Ipv6,
    /// `bücher.example`.
    #[error("a host is written in ASCII: use its `xn--` form")]
    NotAscii,
    /// `shop..example`, `.example`.
    #[error("a label of the host is empty")]
    EmptyLabel,
    /// A character that no host has.
    #[error("a host cannot have the character {0:?}")]
    Character(char),
    /// Longer than a host can be.
    #[error("the host is longer than 253 bytes, or one of its labels longer than 63")]
    TooLong,
}

impl HostPattern {
    /// Reads `shop.example`, `*.shop.example`, `192.0.2.1` or `[2001:db8::1]`; lower-cases it, and drops one dot at its end.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if let Some(character) = host.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(HostPatternError::Character(character));
        }
        match host.as_str() {
            "" => return Err(HostPatternError::Empty),
            "*" => return Err(HostPatternError::OnlyWildcard),
            _ if host.contains("://") => return Err(HostPatternError::Scheme),
            _ if host.contains('/') => return Err(HostPatternError::Path),
            _ if !host.is_ascii() => return Err(HostPatternError::NotAscii),
            _ => {}
        }
        if host.starts_with('[') {
            // In the shortest form, as the hosts of requests are.
            return read_ipv6(&host).map(|address| Self::Exact(format!("[{address}]").into()));
        }
        if host.parse::<Ipv6Addr>().is_ok() {
            return Err(HostPatternError::Character(':'));
        }
        match host.strip_prefix('*') {
            Some(suffix) => {
                let below = suffix.strip_prefix('.').ok_or(HostPatternError::Wildcard)?;
                check_name(below)?;
                Ok(Self::Wildcard(suffix.into()))
            }
            None => {
                check_name(&host)?;
                Ok(Self::Exact(host.into()))
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

fn read_ipv6(host: &str) -> Result<Ipv6Addr, HostPatternError> {
    let Some((address, rest)) = host[1..].split_once(']') else {
        return Err(HostPatternError::Ipv6);
    };
    let address = address.parse().map_err(|_| HostPatternError::Ipv6)?;
    match rest.chars().next() {
        None => Ok(address),
        Some(':') => Err(HostPatternError::Port),
        Some(other) => Err(HostPatternError::Character(other)),
    }
}

fn check_name(name: &str) -> Result<(), HostPatternError> {
    if let Some((_, port)) = name.split_once(':') {
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if is_port {
            HostPatternError::Port
        } else {
            HostPatternError::Character(':')
        });
    }
    if name.contains('*') {
        return Err(HostPatternError::Wildcard);
    }
    // An underscore is not for host names by RFC 952, but stands in names that are in use.
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if let Some(character) = name.chars().find(odd) {
        return Err(HostPatternError::Character(character));
    }
    if name.split('.').any(str::is_empty) {
        return Err(HostPatternError::EmptyLabel);
    }
    if name.len() > LONGEST_NAME || name.split('.').any(|label| label.len() > LONGEST_LABEL) {
        return Err(HostPatternError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_cased_and_read_back() {
        for (text, shown) in [
            ("Shop.Example", "shop.example"),
            ("shop.example.", "shop.example"),
            ("*.SHOP.example", "*.shop.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("[2001:db8:0:0::1]", "[2001:db8::1]"),
            ("a_b.localhost", "a_b.localhost"),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), shown);
        }
        let wildcard = HostPattern::parse("*.shop.example").unwrap();
        assert_eq!(wildcard, HostPattern::Wildcard(".shop.example".into()));
    }

    #[test]
    fn what_is_no_host_is_refused_with_its_reason() {
        use HostPatternError as Error;
        for (text, reason) in [
            ("", Error::Empty),
            (".", Error::Empty),
            ("*", Error::OnlyWildcard),
            ("*.", Error::OnlyWildcard),
            ("https://shop.example", Error::Scheme),
            ("shop.example/cart", Error::Path),
            ("shop.example:8080", Error::Port),
            ("*.shop.example:8080", Error::Port),
            ("[::1]:8080", Error::Port),
            ("shop.*", Error::Wildcard),
            ("*shop.example", Error::Wildcard),
            ("*.*.example", Error::Wildcard),
            ("[::1", Error::Ipv6),
            ("[shop]", Error::Ipv6),
            ("::1", Error::Character(':')),
            ("bücher.example", Error::NotAscii),
            ("shop..example", Error::EmptyLabel),
            ("*..example", Error::EmptyLabel),
            (".example", Error::EmptyLabel),
            ("shop example", Error::Character(' ')),
            ("user@shop.example", Error::Character('@')),
        ] {
            assert_eq!(HostPattern::parse(text), Err(reason), "{text}");
        }
        assert_eq!(HostPattern::parse(&"a".repeat(64)), Err(Error::TooLong));
        assert_eq!(HostPattern::parse(&"a.".repeat(127)).map(|_| ()), Ok(()));
        assert_eq!(HostPattern::parse(&"a.".repeat(128)), Err(Error::TooLong));
    }
}
