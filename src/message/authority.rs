//! Whom a request is for: the four forms of a request target, the host, the path (RFC 9112 sections 3.2, 3.3).
//!
//! Four forms, of which each method may have some; anything else is refused. The authority of the target wins
//! over `Host`, and what goes to the backend is always the origin's form with a `Host` that agrees with it,
//! so that no reader behind us has a choice.

use std::ops::Range;

use smallvec::SmallVec;

use super::grammar;
use super::head::{Head, Name, Version};
use super::host::{Host, read_host};
use super::method::Method;

/// The form in which a target was written (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `http://shop.example/a?b`, as proxies are asked.
    Absolute,
    /// `*`, of OPTIONS only.
    Asterisk,
    /// `shop.example:443`, of CONNECT only.
    Authority,
    /// `/a?b`, the usual one.
    Origin,
}

/// What a request says of whom and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    form: TargetForm,
    host: Host,
    port: Option<u16>,
    /// Where the authority stands in the target, if it does.
    written: Option<Range<usize>>,
    path: Range<usize>,
}

/// Why a request's target or host is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The name has a byte that it may not have, an empty label, or is too long.
    #[error("the host is malformed")]
    Host,
    /// HTTP/1.1 demands a `Host` field.
    #[error("the host field is missing")]
    HostMissing,
    /// Only one `Host` field is allowed, be the others equal.
    #[error("more than one host field")]
    HostRepeated,
    /// The port is not a number up to 65535, or CONNECT has none.
    #[error("the port is malformed")]
    Port,
    /// A scheme other than http and https.
    #[error("the scheme of the target is not http or https")]
    Scheme,
    /// The target has no form that its method may have.
    #[error("the target is malformed")]
    Target,
    /// `user@host`: which is the host is a matter of opinion.
    #[error("the authority names a user")]
    Userinfo,
}

/// Reads a request's target and `Host` (RFC 9112 section 3.3). From HTTP/2, `:authority` is expected as `Host`.
///
/// The authority of an absolute-form target wins over `Host`, as section 3.2.2 demands; `Host` has to be
/// there and sound all the same. An empty `Host` is what section 3.2 prescribes for a target that has
/// none, and gives an empty host.
pub fn request_authority(head: &Head) -> Result<Authority, AuthorityError> {
    let mut hosts = head.all(Name::Host);
    let field = hosts.next();
    if hosts.next().is_some() {
        return Err(AuthorityError::HostRepeated);
    }
    if field.is_none() && head.version() == Version::Http11 {
        return Err(AuthorityError::HostMissing);
    }
    let mut host = Host::new();
    let port = match field {
        None | Some(b"") => None,
        Some(field) => read_host(field, &mut host)?,
    };
    let target = head.target();
    // HTTP/1's parser has looked already; hyper's rules for HTTP/2 are wider.
    if head.version() == Version::Http2 && !grammar::is_target(target) {
        return Err(AuthorityError::Target);
    }
    let mut authority = Authority {
        form: form_of(head.method(), target)?,
        host,
        port,
        written: None,
        path: 0..target.len(),
    };
    match authority.form {
        TargetForm::Origin => authority.path = 0..path_end(target, 0),
        TargetForm::Asterisk => {}
        TargetForm::Authority => {
            authority.take_written(target, 0..target.len())?;
            if authority.port.is_none() {
                return Err(AuthorityError::Port);
            }
            authority.path = 0..0;
        }
        TargetForm::Absolute => {
            let start = scheme_length(target).ok_or(AuthorityError::Scheme)?;
            let length = memchr::memchr2(b'/', b'?', &target[start..]);
            let end = length.map_or(target.len(), |length| start + length);
            authority.take_written(target, start..end)?;
            authority.path = end..path_end(target, end);
        }
    }
    Ok(authority)
}

impl Authority {
    /// The form of the target.
    pub fn form(&self) -> TargetForm {
        self.form
    }

    /// The host in lower case, for routing: no port, no dot at the end, IPv6 in brackets and in its
    /// shortest form. Empty if the request names none.
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The text of the `Host` field for the backend: what the client wrote, case, port and all. Empty if
    /// the request names no host. `head` is the request's, as it was or after [`Authority::normalise`].
    pub fn host_header<'a>(&self, head: &'a Head) -> &'a [u8] {
        match &self.written {
            Some(range) => head.target().get(range.clone()).unwrap_or_default(),
            None => head.first(Name::Host).unwrap_or_default(),
        }
    }

    /// The path without its query, as a range of the target. Empty for CONNECT, and for an absolute-form
    /// target without a path; see [`Authority::path`].
    pub fn path_range(&self) -> Range<usize> {
        self.path.clone()
    }

    /// The path without its query, for routing; `/` where an absolute-form target has none, `*` for an
    /// asterisk-form target, empty for CONNECT.
    pub fn path<'a>(&self, head: &'a Head) -> &'a [u8] {
        match head.target().get(self.path.clone()) {
            None | Some(b"") if self.form != TargetForm::Authority => b"/",
            path => path.unwrap_or_default(),
        }
    }

    /// Makes the request fit for an origin server: an absolute-form target becomes origin-form (asterisk-form
    /// for OPTIONS without a path, RFC 9112 section 3.2.4) and its authority the `Host`; a request without
    /// `Host` (HTTP/1.0) gets `default_host`, which may be empty. Nothing happens to the usual request.
    pub fn normalise(&mut self, head: &mut Head, default_host: &[u8]) {
        if self.form == TargetForm::Absolute {
            let host = Host::from_slice(self.host_header(head));
            head.remove(Name::Host);
            head.push(b"Host", &host);
            self.narrow(head);
        } else if head.first(Name::Host).is_none() {
            match self.written.clone() {
                Some(range) => {
                    let host = Host::from_slice(&head.target()[range]);
                    head.push(b"Host", &host);
                }
                None => head.push(b"Host", default_host),
            }
        }
    }

    fn narrow(&mut self, head: &mut Head) {
        let target = head.target();
        let whole = self.path.start..target.len();
        match target.get(self.path.start) {
            Some(b'/') => head.narrow_target(whole),
            Some(_) => {
                let mut rooted = SmallVec::<[u8; 256]>::from_slice(b"/");
                rooted.extend_from_slice(&target[whole]);
                head.set_target(&rooted);
            }
            None if head.method() == Method::Options => head.set_target(b"*"),
            None => head.set_target(b"/"),
        }
        let target = head.target();
        self.form = if target == b"*" {
            TargetForm::Asterisk
        } else {
            TargetForm::Origin
        };
        self.path = 0..path_end(target, 0);
        self.written = None;
    }

    /// Takes host and port from where they stand in the target.
    fn take_written(&mut self, target: &[u8], range: Range<usize>) -> Result<(), AuthorityError> {
        self.host.clear();
        self.port = read_host(&target[range.clone()], &mut self.host)?;
        self.written = Some(range);
        Ok(())
    }
}

fn form_of(method: Method, target: &[u8]) -> Result<TargetForm, AuthorityError> {
    match target {
        b"" => Err(AuthorityError::Target),
        _ if method == Method::Connect => Ok(TargetForm::Authority),
        [b'/', ..] => Ok(TargetForm::Origin),
        b"*" if method == Method::Options => Ok(TargetForm::Asterisk),
        b"*" => Err(AuthorityError::Target),
        _ if memchr::memmem::find(target, b"://").is_some() => Ok(TargetForm::Absolute),
        _ => Err(AuthorityError::Target),
    }
}

/// Length of `http://` or `https://` at the front.
fn scheme_length(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map(|scheme| scheme.len())
}

fn path_end(target: &[u8], start: usize) -> usize {
    memchr::memchr(b'?', &target[start..]).map_or(target.len(), |length| start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, hosts: &[&str]) -> Head {
        let mut head = Head::new();
        head.set_request(method.as_bytes(), target.as_bytes(), Version::Http11);
        hosts
            .iter()
            .for_each(|host| head.push(b"Host", host.as_bytes()));
        head
    }

    fn host(text: &str) -> Result<(String, Option<u16>), AuthorityError> {
        let authority = request_authority(&head("GET", "/", &[text]))?;
        Ok((
            String::from_utf8(authority.host().to_vec()).unwrap(),
            authority.port(),
        ))
    }

    #[test]
    fn hosts_are_read_in_one_way() {
        for (text, name, port) in [
            ("Shop.Example", "shop.example", None),
            ("shop.example.", "shop.example", None),
            ("shop.example.:8080", "shop.example", Some(8080)),
            ("my_shop:", "my_shop", None),
            ("192.0.2.1:00080", "192.0.2.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8:0:0::1]:65535", "[2001:db8::1]", Some(65535)),
            ("", "", None),
        ] {
            assert_eq!(host(text), Ok((name.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn odd_hosts_are_refused() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(127) + "a";
        for (text, error) in [
            ("user@shop.example", AuthorityError::Userinfo),
            ("user:1@shop.example", AuthorityError::Userinfo),
            ("user:pw@shop.example:1", AuthorityError::Userinfo),
            ("a b", AuthorityError::Host),
            ("a,b", AuthorityError::Host),
            ("a%41", AuthorityError::Host),
            ("a/b", AuthorityError::Host),
            ("a#b", AuthorityError::Host),
            ("a?b", AuthorityError::Host),
            ("\u{e4}", AuthorityError::Host),
            (".", AuthorityError::Host),
            (".a", AuthorityError::Host),
            ("a..b", AuthorityError::Host),
            ("a..", AuthorityError::Host),
            (":80", AuthorityError::Host),
            ("[::1", AuthorityError::Host),
            ("[::1]a", AuthorityError::Host),
            ("[fe80::1%25eth0]", AuthorityError::Host),
            ("[v1.a]", AuthorityError::Host),
            ("[127.0.0.1]", AuthorityError::Host),
            ("a:b", AuthorityError::Port),
            ("a:-1", AuthorityError::Port),
            ("a:65536", AuthorityError::Port),
            ("a:000080", AuthorityError::Port),
            ("::1", AuthorityError::Host),
            ("a:1:2", AuthorityError::Port),
            (&long_label, AuthorityError::Host),
            (&long_name, AuthorityError::Host),
        ] {
            assert_eq!(host(text), Err(error), "{text}");
        }
        assert_eq!(
            request_authority(&head("GET", "/", &[])),
            Err(AuthorityError::HostMissing)
        );
        assert_eq!(
            request_authority(&head("GET", "/", &["a", "a"])),
            Err(AuthorityError::HostRepeated)
        );
    }

    #[test]
    fn origin_form_is_left_as_it_is() {
        let mut head = head("GET", "/a/b?c=/d?e", &["Shop.Example:1"]);
        let mut authority = request_authority(&head).unwrap();
        authority.normalise(&mut head, b"unused");
        assert_eq!(authority.form(), TargetForm::Origin);
        assert_eq!(authority.path(&head), b"/a/b");
        assert_eq!(authority.path_range(), 0..4);
        assert_eq!(head.target(), b"/a/b?c=/d?e");
        assert_eq!(authority.host_header(&head), b"Shop.Example:1");
    }

    #[test]
    fn absolute_form_wins_over_host_and_becomes_origin_form() {
        for (method, target, path, origin) in [
            ("GET", "http://Shop.Example:8080/a?b", "/a", "/a?b"),
            ("GET", "HTTPS://Shop.Example:8080", "/", "/"),
            ("GET", "http://Shop.Example:8080?q=/", "/", "/?q=/"),
            ("OPTIONS", "http://Shop.Example:8080", "*", "*"),
            ("OPTIONS", "http://Shop.Example:8080/", "/", "/"),
        ] {
            let mut head = head(method, target, &["other.example"]);
            let mut authority = request_authority(&head).unwrap();
            assert_eq!(
                (authority.form(), authority.host()),
                (TargetForm::Absolute, &b"shop.example"[..]),
                "{target}"
            );
            assert_eq!(authority.host_header(&head), b"Shop.Example:8080");
            authority.normalise(&mut head, b"unused");
            assert_eq!(head.target(), origin.as_bytes(), "{target}");
            assert_eq!(authority.path(&head), path.as_bytes(), "{target}");
            assert_eq!(
                head.all(Name::Host).collect::<Vec<_>>(),
                [b"Shop.Example:8080"]
            );
            assert_eq!(authority.host_header(&head), b"Shop.Example:8080");
        }
    }

    #[test]
    fn other_forms_are_for_their_methods_only() {
        let authority = request_authority(&head("OPTIONS", "*", &["a"])).unwrap();
        assert_eq!(authority.form(), TargetForm::Asterisk);
        let connect = head("CONNECT", "shop.example:443", &["shop.example:443"]);
        let authority = request_authority(&connect).unwrap();
        assert_eq!(
            (authority.host(), authority.port()),
            (&b"shop.example"[..], Some(443))
        );
        assert_eq!(authority.path(&connect), b"");
        for (method, target, error) in [
            ("GET", "*", AuthorityError::Target),
            ("GET", "shop.example:443", AuthorityError::Target),
            ("GET", "a/b", AuthorityError::Target),
            ("GET", "ftp://a/", AuthorityError::Scheme),
            ("GET", "http:///a", AuthorityError::Host),
            ("GET", "http://:80/", AuthorityError::Host),
            ("GET", "http://u@a/", AuthorityError::Userinfo),
            ("GET", "a/?http://b/", AuthorityError::Scheme),
            ("CONNECT", "shop.example", AuthorityError::Port),
            ("CONNECT", "/", AuthorityError::Host),
            ("CONNECT", "http://a/", AuthorityError::Port),
        ] {
            assert_eq!(
                request_authority(&head(method, target, &["a"])),
                Err(error),
                "{method} {target}"
            );
        }
    }

    #[test]
    fn http_1_0_without_a_host_gets_the_default() {
        let mut head = Head::new();
        head.set_request(b"GET", b"/", Version::Http10);
        let mut authority = request_authority(&head).unwrap();
        assert_eq!(authority.host(), b"");
        authority.normalise(&mut head, b"127.0.0.1:8080");
        assert_eq!(authority.host_header(&head), b"127.0.0.1:8080");
    }
}
