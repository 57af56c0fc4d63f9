//! Where sampled traces go: a collector that speaks OTLP over HTTP (`[trace.export]`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::pool::PoolTls;

/// Where sampled traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The collector.
    pub endpoint: Endpoint,
    /// TLS with it, if it is spoken.
    pub tls: Option<Arc<PoolTls>>,
    /// What it is sent beside the spans: secrets, mostly.
    pub headers: ExportHeaders,
    /// How long it may take to take a batch, the connection included.
    pub timeout: Duration,
    /// Requests that may wait to be sent; those beyond are dropped and counted.
    pub queue: usize,
    /// `service.name` of what is sent.
    pub service: Box<str>,
}

/// A collector's URL, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether TLS is spoken.
    pub https: bool,
    /// Host and port, as the field `Host` has them.
    pub authority: Box<str>,
    /// The host alone, without the brackets of IPv6.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// The path, with its `/`.
    pub path: Box<str>,
}

/// Names in lower case and values of fields. Shows as `redacted`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExportHeaders(Arc<[(Box<str>, Box<str>)]>);

impl Endpoint {
    /// Reads `http://host:port/path`. One without a path has that of traces (OTLP, section "OTLP/HTTP Request").
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or(NO_URL)?;
        let https = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("a collector is reached by http or https"),
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#?@\\\"<>^`{}".contains(&byte);
        if !rest.bytes().all(is_plain) {
            return Err("it has a user, a query or a character that has no place in it");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, port.ok_or("its port is none from 1 to 65535")?)
            }
            _ => (authority, if https { 443 } else { 80 }),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let bare = bare.unwrap_or(host);
        if bare.is_empty() {
            return Err(NO_URL);
        }
        let path = if matches!(path, "" | "/") {
            TRACES
        } else {
            path
        };
        Ok(Self {
            https,
            authority: format!("{host}:{port}").into(),
            host: bare.into(),
            port,
            path: path.into(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl ExportHeaders {
    /// Reads lines `name: value`; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// The number of the first line that is none, from 1; never what stands there.
    pub fn parse(text: &[u8]) -> Result<Self, usize> {
        let mut fields = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let field = str::from_utf8(line).ok().and_then(|line| {
                let (name, value) = line.split_once(':')?;
                let (name, value) = (name.trim_end().to_ascii_lowercase(), value.trim());
                let is_name = !name.is_empty() && name.bytes().all(is_letter);
                let is_ours = OURS.contains(&&*name);
                let is_value = value
                    .bytes()
                    .all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
                (is_name && is_value && !is_ours).then(|| (name.into(), value.into()))
            });
            fields.push(field.ok_or(number + 1)?);
        }
        Ok(Self(fields.into()))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl fmt::Debug for ExportHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExportHeaders({} redacted)", self.0.len())
    }
}

/// What names of fields consist of (RFC 9110 section 5.6.2).
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const NO_URL: &str = "it is no URL with a host";

/// The path at which they take traces.
const TRACES: &str = "/v1/traces";

/// Fields that frame the message or say what it is.
const OURS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::Plan;
    use crate::plan::diff::{diff, tests::plan};

    #[test]
    fn a_url_without_a_path_is_that_of_traces() {
        for (url, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            (
                "https://otlp.example/in/traces",
                "https://otlp.example:443/in/traces",
            ),
            ("http://[::1]", "http://[::1]:80/v1/traces"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().to_string(), shown);
        }
        assert_eq!(&*Endpoint::parse("http://[::1]:80").unwrap().host, "::1");
        for wrong in [
            "",
            "collector:4318",
            "grpc://collector:4317",
            "http://",
            "http://:4318",
            "http://[]:4318",
            "http://collector:0",
            "http://collector:99999",
            "http://me:secret@collector",
            "http://collector/v1?key=1",
            "http://col lector",
            "http://collector/a\nb",
        ] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields_are_lines_and_do_not_show() {
        let fields =
            ExportHeaders::parse(b"# who we are\r\nX-Tenant: shop\r\n\nAuthorization:Bearer a:b\n");
        let fields = fields.unwrap();
        let read: Vec<_> = fields.iter().collect();
        assert_eq!(
            read,
            [("x-tenant", "shop"), ("authorization", "Bearer a:b")]
        );
        assert_eq!(format!("{fields:?}"), "ExportHeaders(2 redacted)");
        for (wrong, line) in [
            (&b"only a token"[..], 1),
            (b"a: b\n: c", 2),
            (b"a b: c", 1),
            (b"a: \xff", 1),
            (b"a: b\x07", 1),
            (b"Content-Length: 3", 1),
        ] {
            assert_eq!(ExportHeaders::parse(wrong), Err(line));
        }
    }

    #[test]
    fn where_traces_go() {
        let export = Export {
            endpoint: Endpoint::parse("http://127.0.0.1:4318").unwrap(),
            tls: None,
            headers: ExportHeaders::default(),
            timeout: Duration::from_secs(10),
            queue: 2048,
            service: "forecourt".into(),
        };
        let other = Export {
            endpoint: Endpoint::parse("http://collector:4318/in").unwrap(),
            tls: None,
            headers: ExportHeaders::parse(b"authorization: Bearer hush").unwrap(),
            timeout: Duration::from_secs(2),
            queue: 16,
            service: "edge".into(),
        };
        let (mut without, mut with, mut elsewhere) = (plan(), plan(), plan());
        without.trace.export = None;
        with.trace.export = Some(Arc::new(export));
        elsewhere.trace.export = Some(Arc::new(other));
        let said = |old: &Plan, new: &Plan| {
            let changes = diff(old, new);
            changes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            said(&without, &with),
            ["trace: export to http://127.0.0.1:4318/v1/traces"]
        );
        assert_eq!(said(&with, &without), ["trace: export no more"]);
        assert_eq!(said(&with, &with.clone()), [""; 0]);
        assert_eq!(
            said(&with, &elsewhere),
            [
                "trace: export.endpoint http://127.0.0.1:4318/v1/traces -> http://collector:4318/in",
                "trace: export.headers_file: other fields",
                "trace: export.timeout 10s -> 2s",
                "trace: export.queue 2048 -> 16",
                "trace: export.service forecourt -> edge",
            ]
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(url in "(https?://)?\\PC{0,40}", text in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(endpoint) = Endpoint::parse(&url) {
                prop_assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
            }
            let _ = ExportHeaders::parse(&text);
        }
    }
}
