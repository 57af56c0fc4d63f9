//! Requests by HTTP/2 (RFC 9113 section 8.3.1).

use ::h2::ext::Protocol;
use http::request::Parts;
use http::uri::{Authority, Parts as UriParts, PathAndQuery, Scheme};
use http::{Method as HttpMethod, Request, Uri};

use super::{HeadError, adopt_fields, give_fields};
use crate::message::body::Length;
use crate::message::head::{Head, Name, Version};
use crate::message::{cookie, framing, grammar};

/// Writes a client's request into `head`, as one of HTTP/1 with `:authority` as its `Host`. `most` is the limit of
/// fields. When it fails, `head` holds what had been understood, for the log.
pub fn read(parts: &Parts, most: usize, head: &mut Head) -> Result<(), HeadError> {
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str().as_bytes(),
        None if parts.method == HttpMethod::CONNECT => &b""[..],
        None => b"/",
    };
    let authority = parts.uri.authority().map(Authority::as_str);
    let target = if target.is_empty() {
        authority.unwrap_or_default().as_bytes()
    } else {
        target
    };
    let protocol = protocol(parts);
    let method = match protocol {
        // HTTP/1 asks by GET (RFC 8441 section 5).
        Some(_) => HttpMethod::GET.as_str(),
        None => parts.method.as_str(),
    };
    head.set_request(method.as_bytes(), target, Version::Http2);
    if !grammar::is_target(target) {
        return Err(HeadError::Path);
    }
    if parts
        .uri
        .scheme()
        .is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS)
    {
        return Err(HeadError::Scheme);
    }
    if let Some(authority) = authority {
        head.push(b"host", authority.as_bytes());
    }
    let begun = head.len();
    adopt_fields(&parts.headers, most, head)?;
    agree_on_host(head, begun)?;
    cookie::join(head);
    if let Some(protocol) = protocol {
        if !grammar::is_token(protocol.as_bytes()) {
            return Err(HeadError::Field);
        }
        head.push(b"connection", b"upgrade");
        head.push(b"upgrade", protocol.as_bytes());
    }
    Ok(())
}

/// The protocol that a stream is to change to: an extended CONNECT (RFC 8441 section 4), which [`read`] makes a request
/// to upgrade.
pub fn protocol(parts: &Parts) -> Option<&str> {
    let protocol = parts.extensions.get::<Protocol>();
    let protocol = protocol.filter(|_| parts.method == HttpMethod::CONNECT);
    protocol.map(Protocol::as_str)
}

/// A `Host` beside `:authority` has to say the same, and is then one too many; one of the two has to be there.
fn agree_on_host(head: &mut Head, before: usize) -> Result<(), HeadError> {
    let mut hosts = head.all(Name::Host);
    let (first, second) = match (hosts.next(), hosts.next()) {
        (None, _) => return Err(HeadError::Authority),
        (Some(_), None) => return Ok(()),
        (Some(first), Some(second)) => (first, second),
    };
    if before == 0 || hosts.next().is_some() || !first.eq_ignore_ascii_case(second) {
        return Err(HeadError::Authority);
    }
    drop(hosts);
    let mut seen = false;
    head.remove_if(|field| field.known == Name::Host && std::mem::replace(&mut seen, true));
    Ok(())
}

/// Makes a request for a backend of a head in origin-form with its `Host`. `None` if the head has something that HTTP/2
/// cannot say.
pub fn write(head: &Head, length: Length, https: bool) -> Option<Request<()>> {
    let mut uri = UriParts::default();
    uri.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
    let host = head.first(Name::Host).unwrap_or_default();
    // Without a host there is none to be asked for; the field may be empty, the pseudo-field may not.
    let host = if host.is_empty() { b"localhost" } else { host };
    uri.authority = Some(Authority::try_from(host).ok()?);
    uri.path_and_query = Some(PathAndQuery::try_from(head.target()).ok()?);
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    *request.method_mut() = HttpMethod::from_bytes(head.method_bytes()).ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    let length = match length {
        Length::Exact(length) => Some(length),
        Length::Absent { .. } | Length::Unknown => None,
    };
    let fields = request.headers_mut();
    give_fields(head, |name| name != Name::Host, length, fields);
    Some(request)
}

/// How long the body of a client's request is: nothing if its head ended the stream.
///
/// # Errors
/// When what the head says of its length cannot be understood.
pub fn length(head: &Head, ended: bool) -> Result<Length, framing::FramingError> {
    let declared = framing::request_framing(head)?;
    Ok(match declared {
        _ if ended => Length::Absent { announced: None },
        framing::Framing::Length(length) => Length::Exact(length),
        framing::Framing::None | framing::Framing::Chunked | framing::Framing::UntilClose => {
            Length::Unknown
        }
    })
}
