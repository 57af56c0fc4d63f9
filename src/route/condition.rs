//! What a route asks of a request besides host, path and listener.
//!
//! All conditions of a route must hold. They are looked at only for routes that have some, when host, path
//! and listener fit, and nothing is worked out before a condition asks: no query is parsed for a route
//! without `query`. What is looked at is bounded by the listener's limit of a head.
//!
//! - A method is compared as it is written, case and all (RFC 9110 section 9.1).
//! - A header is found without regard to case, its value compared with it. Fields that tell of the client
//!   (`X-Forwarded-*`, `Forwarded`) are there only if their sender is trusted: of anybody else the backend
//!   will not see them either.
//! - Names and values of the query are compared after percent- and plus-decoding (the URL standard's
//!   `application/x-www-form-urlencoded`). A name without `=` has an empty value.
//! - Of several cookies of one name the first counts, as everywhere in the house.
//! - The client is the one after the walk over trusted proxies; one without an address is in no network.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use smallvec::SmallVec;

use super::Asked;
use super::path::PathRegex;
use crate::message::head::{FieldRef, Name};
use crate::message::{cookie, forwarded, grammar};

/// What a route asks of a request. Made by filling the fields; [`Conditions::canonical`] makes equal ones equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// Any one of them suffices; empty for every method.
    pub methods: Vec<Box<str>>,
    /// The client's address is in one of them; empty for every client.
    pub clients: Vec<IpNet>,
    /// All of them hold.
    pub headers: Vec<Condition>,
    /// All of them hold.
    pub cookies: Vec<Condition>,
    /// All of them hold.
    pub query: Vec<Condition>,
}

/// One name and what is asked of its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Of a field, a cookie or a parameter of the query.
    pub name: Box<str>,
    /// What is asked.
    pub wanted: Wanted,
}

/// What is asked of the values of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// It is there, whatever its value.
    Present,
    /// It is not there.
    Absent,
    /// One of them is this one.
    Value(Box<str>),
    /// In one of them the regex finds something.
    Regex(PathRegex),
}

/// The first condition that a request does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet<'c> {
    /// None of the methods is its own.
    Method,
    /// The client is in none of the networks.
    Client,
    /// A header.
    Header(&'c Condition),
    /// A cookie.
    Cookie(&'c Condition),
    /// A parameter of the query.
    Query(&'c Condition),
}

impl Conditions {
    /// Brings the conditions into an order of their own, each once; nothing if there are none.
    pub fn canonical(mut self) -> Option<Arc<Self>> {
        self.methods.sort_unstable();
        self.methods.dedup();
        self.clients.sort_unstable();
        self.clients.dedup();
        for header in &mut self.headers {
            header.name.make_ascii_lowercase();
        }
        for list in [&mut self.headers, &mut self.cookies, &mut self.query] {
            list.sort_by(|one, other| one.order().cmp(&other.order()));
            list.dedup();
        }
        (self.count() > 0).then(|| Arc::new(self))
    }

    /// How many conditions there are: methods count as one, clients as one.
    pub fn count(&self) -> usize {
        usize::from(!self.methods.is_empty())
            + usize::from(!self.clients.is_empty())
            + self.headers.len()
            + self.cookies.len()
            + self.query.len()
    }

    /// Whether a request meets them all.
    pub fn hold(&self, asked: &Asked<'_>) -> bool {
        self.first_unmet(asked).is_none()
    }

    /// The first that a request does not meet, the cheap ones first.
    pub fn first_unmet(&self, asked: &Asked<'_>) -> Option<Unmet<'_>> {
        let method = asked.head.method_bytes();
        let mut methods = self.methods.iter();
        if methods.len() > 0 && !methods.any(|known| known.as_bytes() == method) {
            return Some(Unmet::Method);
        }
        let inside = |net: &IpNet| asked.client.is_some_and(|client| net.contains(&client));
        if !self.clients.is_empty() && !self.clients.iter().any(inside) {
            return Some(Unmet::Client);
        }
        let unmet = |list: &'_ [Condition], holds: fn(&Condition, &Asked<'_>) -> bool| {
            list.iter().position(|condition| !holds(condition, asked))
        };
        if let Some(at) = unmet(&self.headers, Condition::holds_for_headers) {
            return Some(Unmet::Header(&self.headers[at]));
        }
        if let Some(at) = unmet(&self.cookies, Condition::holds_for_cookies) {
            return Some(Unmet::Cookie(&self.cookies[at]));
        }
        unmet(&self.query, Condition::holds_for_query).map(|at| Unmet::Query(&self.query[at]))
    }
}

impl Condition {
    fn holds_for_headers(&self, asked: &Asked<'_>) -> bool {
        let known = Name::from_bytes(self.name.as_bytes());
        let is_it = |field: &FieldRef<'_>| {
            // Nearly always two numbers are compared: the known names.
            field.known == known
                && (known != Name::Other || field.name.eq_ignore_ascii_case(self.name.as_bytes()))
                && (asked.trusted || !forwarded::tells_of_the_client(*field))
        };
        let values = asked.head.fields().filter(is_it).map(|field| field.value);
        self.wanted.holds(
            values,
            |value, wanted| value == wanted,
            |value, regex| regex.finds(value),
        )
    }

    fn holds_for_cookies(&self, asked: &Asked<'_>) -> bool {
        let values = cookie::find(asked.head, &self.name).into_iter();
        self.wanted.holds(
            values,
            |value, wanted| value == wanted,
            |value, regex| regex.finds(value),
        )
    }

    fn holds_for_query(&self, asked: &Asked<'_>) -> bool {
        let values = parameters(asked.query())
            .filter(|(name, _)| same(name, self.name.as_bytes()))
            .map(|(_, value)| value);
        self.wanted.holds(values, same, |value, regex| {
            regex.finds(&decoded(value).collect::<SmallVec<[u8; 256]>>())
        })
    }

    /// By name, kind and text.
    fn order(&self) -> (&str, u8, &str) {
        let (kind, text) = match &self.wanted {
            Wanted::Present => (0, ""),
            Wanted::Absent => (1, ""),
            Wanted::Value(value) => (2, &**value),
            Wanted::Regex(regex) => (3, regex.as_str()),
        };
        (&self.name, kind, text)
    }
}

impl Wanted {
    fn holds<'v>(
        &self,
        mut values: impl Iterator<Item = &'v [u8]>,
        equal: fn(&[u8], &[u8]) -> bool,
        finds: fn(&[u8], &PathRegex) -> bool,
    ) -> bool {
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::Value(wanted) => values.any(|value| equal(value, wanted.as_bytes())),
            Self::Regex(regex) => values.any(|value| finds(value, regex)),
        }
    }
}

/// As people say it: `x-canary`, `x-canary = "1"`, `accept finds "json"`, `no x-debug`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.wanted {
            Wanted::Present => f.write_str(name),
            Wanted::Absent => write!(f, "no {name}"),
            Wanted::Value(value) => write!(f, "{name} = {value:?}"),
            Wanted::Regex(regex) => write!(f, "{name} finds {:?}", regex.as_str()),
        }
    }
}

/// All conditions in one line, as they are compared and logged.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.methods.is_empty() {
            parts.push(format!("methods {}", self.methods.join(" ")));
        }
        if !self.clients.is_empty() {
            let nets: Vec<String> = self.clients.iter().map(ToString::to_string).collect();
            parts.push(format!("clients {}", nets.join(" ")));
        }
        let lists = [
            ("header", &self.headers),
            ("cookie", &self.cookies),
            ("query", &self.query),
        ];
        for (kind, list) in lists {
            parts.extend(list.iter().map(|condition| format!("{kind} {condition}")));
        }
        f.write_str(&parts.join(", "))
    }
}

/// Whether a text can be a method or the name of a header or cookie (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    grammar::is_token(text.as_bytes())
}

/// Names and values of a query as they are written.
fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty());
    pairs.map(|pair| match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &pair[..0]),
    })
}

/// Whether a part of a query is this text when it is decoded.
fn same(written: &[u8], text: &[u8]) -> bool {
    decoded(written).eq(text.iter().copied())
}

/// Writes escapes out and makes spaces of `+`. A `%` that starts no escape stands for itself.
fn decoded(written: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = written;
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'+' => Some(b' '),
            b'%' => match super::view::escape(after) {
                Some(byte) => {
                    rest = &after[2..];
                    Some(byte)
                }
                None => Some(b'%'),
            },
            _ => Some(byte),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Head, Version};

    fn condition(name: &str, wanted: Wanted) -> Condition {
        let name = name.into();
        Condition { name, wanted }
    }

    fn value(text: &str) -> Wanted {
        Wanted::Value(text.into())
    }

    fn regex(text: &str) -> Wanted {
        Wanted::Regex(PathRegex::parse(text).unwrap())
    }

    fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        head.set_request(method.as_bytes(), target.as_bytes(), Version::Http11);
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn asked<'a>(head: &'a Head, client: Option<&str>) -> Asked<'a> {
        Asked {
            host: b"",
            path: b"/",
            listener: 0,
            head,
            client: client.map(|client| client.parse().unwrap()),
            trusted: false,
        }
    }

    #[test]
    fn methods_and_clients_are_lists_of_which_one_suffices() {
        let conditions = Conditions {
            methods: vec!["GET".into(), "HEAD".into()],
            clients: vec![
                "10.0.0.0/8".parse().unwrap(),
                "2001:db8::/32".parse().unwrap(),
            ],
            ..Conditions::default()
        };
        for (method, client, unmet) in [
            ("GET", Some("10.1.2.3"), None),
            ("HEAD", Some("2001:db8::1"), None),
            ("get", Some("10.1.2.3"), Some(Unmet::Method)),
            ("GETS", Some("10.1.2.3"), Some(Unmet::Method)),
            ("GET", Some("11.1.2.3"), Some(Unmet::Client)),
            ("GET", None, Some(Unmet::Client)),
        ] {
            let head = head(method, "/", &[]);
            assert_eq!(
                conditions.first_unmet(&asked(&head, client)),
                unmet,
                "{method} {client:?}"
            );
        }
    }

    #[test]
    fn headers_by_presence_value_and_regex() {
        let head = head(
            "GET",
            "/",
            &[
                ("X-Canary", "0"),
                ("x-canary", "1"),
                ("Accept", "text/json"),
            ],
        );
        for (name, wanted, verdict) in [
            ("x-canary", Wanted::Present, true),
            ("x-canary", Wanted::Absent, false),
            ("x-canary", value("1"), true),
            ("X-CANARY", value("0"), true),
            ("x-canary", value(""), false),
            ("accept", regex("json$"), true),
            ("accept", regex("^json"), false),
            ("x-other", Wanted::Present, false),
            ("x-other", Wanted::Absent, true),
            ("x-other", value(""), false),
        ] {
            let condition = condition(name, wanted);
            let holds = condition.holds_for_headers(&asked(&head, None));
            assert_eq!(holds, verdict, "{condition}");
        }
    }

    #[test]
    fn strangers_cannot_choose_a_route_by_what_only_proxies_may_say() {
        let head = head(
            "GET",
            "/",
            &[("X-Forwarded-Proto", "https"), ("x_real_ip", "10.0.0.1")],
        );
        let mut asked = asked(&head, None);
        let by_proto = condition("x-forwarded-proto", value("https"));
        assert!(!by_proto.holds_for_headers(&asked));
        assert!(!condition("x_real_ip", Wanted::Present).holds_for_headers(&asked));
        asked.trusted = true;
        assert!(by_proto.holds_for_headers(&asked));
    }

    #[test]
    fn a_query_is_compared_decoded() {
        let head = head(
            "GET",
            "/p?page=2&q=a+b%26c&&flag&page=3&x%3dy=%zz&empty=&caf%C3%A9=1=2",
            &[],
        );
        for (name, wanted, verdict) in [
            ("page", value("2"), true),
            ("page", value("3"), true),
            ("page", value("23"), false),
            ("q", value("a b&c"), true),
            ("q", regex("^a b"), true),
            ("q", regex(r"\+"), false),
            ("flag", Wanted::Present, true),
            ("flag", value(""), true),
            ("empty", value(""), true),
            ("x=y", value("%zz"), true),
            ("caf\u{e9}", value("1=2"), true),
            ("p", Wanted::Absent, true),
            ("", Wanted::Present, false),
        ] {
            let condition = condition(name, wanted);
            let holds = condition.holds_for_query(&asked(&head, None));
            assert_eq!(holds, verdict, "{condition}");
        }
        let absolute = self::head("GET", "http://a/?page=2", &[]);
        assert!(condition("page", value("2")).holds_for_query(&asked(&absolute, None)));
        let none = self::head("GET", "/page=2", &[]);
        assert!(!condition("page", Wanted::Present).holds_for_query(&asked(&none, None)));
    }

    #[test]
    fn cookies_are_those_of_the_house() {
        let head = head(
            "GET",
            "/",
            &[("Cookie", "beta=yes; beta=no"), ("cookie", "a=\"b\"")],
        );
        for (name, wanted, verdict) in [
            ("beta", value("yes"), true),
            ("beta", value("no"), false),
            ("BETA", Wanted::Present, false),
            ("a", value("\"b\""), true),
            ("a", regex("b"), true),
            ("c", Wanted::Absent, true),
        ] {
            let condition = condition(name, wanted);
            let holds = condition.holds_for_cookies(&asked(&head, None));
            assert_eq!(holds, verdict, "{condition}");
        }
    }

    #[test]
    fn equal_conditions_are_equal_in_any_order() {
        let one = Conditions {
            methods: vec!["PUT".into(), "GET".into(), "GET".into()],
            headers: vec![
                condition("X-B", Wanted::Present),
                condition("a", value("1")),
            ],
            ..Conditions::default()
        };
        let other = Conditions {
            methods: vec!["GET".into(), "PUT".into()],
            headers: vec![
                condition("A", value("1")),
                condition("x-b", Wanted::Present),
            ],
            ..Conditions::default()
        };
        let (one, other) = (one.canonical(), other.canonical());
        assert_eq!(one, other);
        let shown = one.map(|one| (one.count(), one.to_string()));
        let text = "methods GET PUT, header a = \"1\", header x-b".to_owned();
        assert_eq!(shown, Some((3, text)));
        assert_eq!(Conditions::default().canonical(), None);
    }
}
