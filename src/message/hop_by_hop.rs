//! What a message says about the connection it came on, and taking that out (RFC 9110 section 7.6.1).
//!
//! Ask first ([`keep_alive`], [`upgrade`], [`te_trailers`]), then [`strip`], then add what the next
//! connection needs. Forwarding an upgrade, for one, is: read it, strip, push `Connection: upgrade` and
//! `Upgrade` anew.
//!
//! `Trailer` stays: it tells the final recipient which fields to expect behind the body, and RFC 9110
//! no longer counts it among the fields of a connection.

use smallvec::SmallVec;

use super::forwarded;
use super::grammar::{elements, trim};
use super::head::{FieldRef, Head, Name, Names, Version};

/// Removes what belongs to the connection: the hop-by-hop fields, `Content-Length` and
/// `Transfer-Encoding` (the writer adds what it does itself), and the fields that `Connection` names.
///
/// `Connection` cannot name away what is meant for the other end: fields that the house knows
/// ([`Name`]), `Authorization`, `Content-*` and those that tell the backend who the client is. RFC 9110
/// forbids to name them, and clients have done it to make backends forget who asks. If it names
/// more than 64 fields, all that it may name are removed: no honest sender does it, and the work is
/// bounded.
pub fn strip(head: &mut Head) {
    let named = Named::by(head);
    head.remove_all(HOP_BY_HOP);
    match named {
        Named::Nothing => {}
        Named::These(_) | Named::TooMany => {
            head.remove_if(|field| named.takes(field));
        }
    }
}

/// Removes from a trailer section what may not stand there (RFC 9110 section 6.5.1): all that frames,
/// routes, authenticates or describes the content, since a recipient may merge trailers into the head.
pub fn strip_trailers(trailers: &mut Head) {
    trailers.remove_if(|field| is_for_the_end(field) && field.known != Name::Via);
}

/// Whether the connection may carry another message after this one (RFC 9112 section 9.3).
pub fn keep_alive(head: &Head) -> bool {
    let mut wanted = head.version() >= Version::Http11;
    for value in head.all(Name::Connection) {
        // Nearly all that say anything say this and no more.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            wanted = true;
            continue;
        }
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            wanted |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    wanted
}

/// The protocols that the message asks to change to, as written in `Upgrade`; `None` unless `Connection`
/// says `upgrade`, there is exactly one `Upgrade`, and the version is not HTTP/1.0 (RFC 9110 section 7.8). HTTP/2
/// has no such field of its own; there it stands for an extended CONNECT, of which `h2` makes it.
pub fn upgrade(head: &Head) -> Option<&[u8]> {
    if head.version() < Version::Http11 {
        return None;
    }
    let mut fields = head.all(Name::Upgrade);
    let protocols = fields.next().filter(|protocols| !protocols.is_empty())?;
    if fields.next().is_some() {
        return None;
    }
    options(head)
        .any(|option| option.eq_ignore_ascii_case(b"upgrade"))
        .then_some(protocols)
}

/// Whether the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1).
pub fn expects_continue(head: &Head) -> bool {
    head.may_have(Name::Expect)
        && head.version() >= Version::Http11
        && head
            .all(Name::Expect)
            .flat_map(elements)
            .any(|expectation| expectation.eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the client takes trailers (RFC 9110 section 10.1.4).
pub fn te_trailers(head: &Head) -> bool {
    let mut codings = head.all(Name::Te).flat_map(elements);
    head.may_have(Name::Te)
        && codings.any(|coding| {
            let name = coding
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default();
            trim(name).eq_ignore_ascii_case(b"trailers")
        })
}

fn options(head: &Head) -> impl Iterator<Item = &[u8]> {
    head.all(Name::Connection).flat_map(elements)
}

const HOP_BY_HOP: Names = Names::of(&[
    Name::Connection,
    Name::ContentLength,
    Name::KeepAlive,
    Name::ProxyAuthenticate,
    Name::ProxyAuthorization,
    Name::ProxyConnection,
    Name::Te,
    Name::TransferEncoding,
    Name::Upgrade,
]);

/// Whether a field is meant for the other end, whatever a hop between says.
fn is_for_the_end(field: FieldRef<'_>) -> bool {
    let starts_with = |start: &[u8]| {
        let found = field.name.get(..start.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(start))
    };
    field.known != Name::Other
        || field.name.eq_ignore_ascii_case(b"authorization")
        || starts_with(b"content-")
        || forwarded::tells_of_the_client(field)
}

/// The fields that `Connection` names, besides those that go anyway.
enum Named {
    Nothing,
    These(SmallVec<[u8; 128]>),
    TooMany,
}

impl Named {
    fn by(head: &Head) -> Self {
        let is_usual = |value: &[u8]| value.eq_ignore_ascii_case(b"keep-alive");
        if head.all(Name::Connection).all(is_usual) {
            return Self::Nothing;
        }
        let usual: [&[u8]; 4] = [b"keep-alive", b"close", b"upgrade", b"te"];
        let mut list = SmallVec::new();
        let mut count = 0;
        for option in options(head) {
            if usual.iter().any(|usual| usual.eq_ignore_ascii_case(option)) {
                continue;
            }
            count += 1;
            if count > MOST_NAMED {
                return Self::TooMany;
            }
            list.extend_from_slice(option);
            list.push(b',');
        }
        if list.is_empty() {
            Self::Nothing
        } else {
            Self::These(list)
        }
    }

    fn takes(&self, field: FieldRef<'_>) -> bool {
        let named = match self {
            Self::Nothing => return false,
            Self::TooMany => true,
            Self::These(list) => {
                elements(list).any(|option| option.eq_ignore_ascii_case(field.name))
            }
        };
        named && !is_for_the_end(field)
    }
}

/// Fields that `Connection` may name one by one.
const MOST_NAMED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        head.set_request(b"GET", b"/", version);
        fields
            .iter()
            .for_each(|(name, value)| head.push(name.as_bytes(), value.as_bytes()));
        head
    }

    fn names(head: &Head) -> Vec<String> {
        head.fields()
            .map(|field| String::from_utf8(field.name.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn strip_takes_the_connections_fields_and_those_it_names() {
        let mut head = head(
            Version::Http11,
            &[
                ("Host", "a"),
                ("Connection", "keep-alive, X-Secret ,HTTP2-Settings"),
                ("connection", "close"),
                ("X-Secret", "1"),
                ("HTTP2-Settings", "1"),
                ("Keep-Alive", "timeout=5"),
                ("Proxy-Connection", "keep-alive"),
                ("Proxy-Authorization", "Basic eA=="),
                ("TE", "trailers"),
                ("Trailer", "X-Sum"),
                ("Transfer-Encoding", "chunked"),
                ("Content-Length", "3"),
                ("Upgrade", "h2c"),
                ("Accept", "*/*"),
            ],
        );
        strip(&mut head);
        assert_eq!(names(&head), ["Host", "Trailer", "Accept"]);
    }

    #[test]
    fn connection_cannot_name_away_what_is_for_the_backend() {
        let fields = [
            ("Host", "a"),
            (
                "Connection",
                "host, cookie, authorization, x-forwarded-for, X-Forwarded-Port, content-type, content-encoding, x-real-ip",
            ),
            ("Cookie", "a=b"),
            ("Authorization", "Bearer x"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Port", "443"),
            ("Content-Type", "text/plain"),
            ("Content-Encoding", "gzip"),
            ("X-Real-IP", "192.0.2.1"),
        ];
        let mut head = head(Version::Http11, &fields);
        strip(&mut head);
        assert_eq!(head.len(), fields.len() - 1);
    }

    #[test]
    fn too_many_names_take_all_that_may_be_taken() {
        let many = (0..=MOST_NAMED)
            .map(|n| format!("x{n}"))
            .collect::<Vec<_>>()
            .join(",");
        let mut head = head(
            Version::Http11,
            &[("Connection", &many), ("X-Other", "1"), ("Host", "a")],
        );
        strip(&mut head);
        assert_eq!(names(&head), ["Host"]);
    }

    #[test]
    fn keep_alive_follows_version_and_options() {
        for (version, connection, expected) in [
            (Version::Http11, "", true),
            (Version::Http11, "foo, Close", false),
            (Version::Http11, "keep-alive, close", false),
            (Version::Http11, "closed", true),
            (Version::Http10, "", false),
            (Version::Http10, "Keep-Alive", true),
            (Version::Http10, "keep-alive, close", false),
            (Version::Http2, "", true),
        ] {
            let head = head(version, &[("Connection", connection)]);
            assert_eq!(keep_alive(&head), expected, "{version:?} {connection}");
        }
    }

    #[test]
    fn upgrade_needs_both_fields_and_http_1_1() {
        let asked = [
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "websocket"),
        ];
        assert_eq!(
            upgrade(&head(Version::Http11, &asked)),
            Some(&b"websocket"[..])
        );
        assert_eq!(upgrade(&head(Version::Http10, &asked)), None);
        assert_eq!(upgrade(&head(Version::Http11, &asked[1..])), None);
        assert_eq!(upgrade(&head(Version::Http11, &asked[..1])), None);
        assert_eq!(
            upgrade(&head(Version::Http11, &[asked[0], asked[1], asked[1]])),
            None
        );
    }

    #[test]
    fn expectation_and_te_are_read_as_lists() {
        assert!(expects_continue(&head(
            Version::Http11,
            &[("Expect", "100-Continue")]
        )));
        assert!(!expects_continue(&head(
            Version::Http10,
            &[("Expect", "100-continue")]
        )));
        assert!(te_trailers(&head(
            Version::Http11,
            &[("TE", "deflate;q=0.5, Trailers ;q=1")]
        )));
        assert!(!te_trailers(&head(Version::Http11, &[("TE", "deflate")])));
    }

    #[test]
    fn trailers_keep_only_what_changes_nothing() {
        let mut head = head(
            Version::Http11,
            &[
                ("Content-Length", "1"),
                ("Host", "a"),
                ("Authorization", "x"),
                ("Content-Encoding", "gzip"),
                ("X-Forwarded-For", "1.1.1.1"),
                ("Set-Cookie", "a=b"),
                ("grpc-status", "0"),
                ("X-Sum", "1"),
            ],
        );
        strip_trailers(&mut head);
        assert_eq!(names(&head), ["grpc-status", "X-Sum"]);
    }
}
