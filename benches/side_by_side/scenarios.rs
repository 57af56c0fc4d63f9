//! The scenarios: what is asked of the proxies.

use std::net::SocketAddr;

use crate::load::Load;
use crate::proxy::Proxy;

/// One load, by name.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) work: Work,
    pub(crate) connections: u32,
    /// Whether the relay, which has a connection to a backend for each client, can do it.
    pub(crate) relay: bool,
    /// Whether the peers do it once more with their access logs on.
    pub(crate) logged: bool,
    /// Whether a quick run has it.
    pub(crate) quick: bool,
    /// Whether a reload is made every second meanwhile.
    pub(crate) reloads: bool,
    /// Whether thousands of clients that seldom ask are connected meanwhile.
    pub(crate) sleepers: bool,
}

/// What kind of work a scenario is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// GET requests for this path, on connections that stay.
    Get(&'static str),
    /// A new connection for each request.
    Close,
    /// What a browser sends: twenty fields, 2 KiB of cookies, a session.
    Browser,
    /// Bodies of 64 KiB.
    Post,
    /// Over TLS 1.3.
    Tls,
    /// A new connection and a full handshake for each request.
    Handshake,
    /// HTTP/2 over TLS, 16 streams on each connection.
    H2,
    /// Requests at 70 % of the proxy's rate in `ka1k`, evenly.
    Rate,
    WebSocket,
    /// `ka1k` beside a crowd that does nothing.
    Idle,
    /// A crowd on TLS that does nothing.
    IdleTls,
}

const fn scenario(
    name: &'static str,
    about: &'static str,
    work: Work,
    connections: u32,
) -> Scenario {
    Scenario {
        name,
        about,
        work,
        connections,
        relay: false,
        logged: false,
        quick: false,
        reloads: false,
        sleepers: false,
    }
}

/// A load of the others in a shop's evening: clients between two pages, and an operator who changes things.
const fn beside_sleepers(
    name: &'static str,
    about: &'static str,
    work: Work,
    connections: u32,
) -> Scenario {
    scenario(name, about, work, connections)
        .with_reloads()
        .with_sleepers()
}

impl Scenario {
    const fn with_relay(self) -> Self {
        Self {
            relay: true,
            ..self
        }
    }

    const fn with_logs(self) -> Self {
        Self {
            logged: true,
            ..self
        }
    }

    const fn quick(self) -> Self {
        Self {
            quick: true,
            ..self
        }
    }

    /// Whether all proxies get the same load: h2load does not come back to one that ends its connections on a reload.
    pub(crate) fn is_comparable(&self) -> bool {
        !(self.reloads && self.work == Work::H2)
    }

    const fn with_reloads(self) -> Self {
        Self {
            reloads: true,
            ..self
        }
    }

    const fn with_sleepers(self) -> Self {
        Self {
            sleepers: true,
            ..self
        }
    }
}

/// All of them, in the order of the report. `rate70` needs the rate of `ka1k`.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("ka1k", "1 KiB, keep-alive", Work::Get("/1k"), 64)
        .with_relay()
        .with_logs()
        .quick(),
    scenario("ka16k", "16 KiB, keep-alive", Work::Get("/16k"), 64)
        .with_relay()
        .with_logs(),
    scenario("ka1m", "1 MiB, keep-alive", Work::Get("/1m"), 16).with_relay(),
    scenario("lat1", "1 KiB, one connection", Work::Get("/1k"), 1).with_relay(),
    scenario(
        "rate70",
        "1 KiB at 70 % of the own peak rate",
        Work::Rate,
        64,
    ),
    scenario("close", "a connection for each request", Work::Close, 64)
        .with_logs()
        .quick(),
    scenario(
        "browser",
        "20 fields, 2 KiB of cookies, sessions",
        Work::Browser,
        64,
    )
    .with_relay()
    .with_logs()
    .quick(),
    scenario("post64k", "POST of 64 KiB", Work::Post, 64)
        .with_relay()
        .quick(),
    scenario("tls1k", "1 KiB, TLS 1.3, keep-alive", Work::Tls, 64)
        .with_logs()
        .quick(),
    scenario(
        "tlshs",
        "a full TLS 1.3 handshake for each request",
        Work::Handshake,
        32,
    ),
    scenario(
        "h2",
        "1 KiB, HTTP/2 over TLS, 32 x 16 streams",
        Work::H2,
        32,
    )
    .with_logs()
    .quick(),
    scenario("ws", "WebSocket, echo of 64 bytes", Work::WebSocket, 64)
        .with_relay()
        .quick(),
    scenario("idle", "ka1k beside idle connections", Work::Idle, 64),
    scenario("tlsidle", "idle connections on TLS", Work::IdleTls, 0),
    scenario(
        "reload",
        "ka1k with a reload every second",
        Work::Get("/1k"),
        64,
    )
    .with_reloads()
    .quick(),
    beside_sleepers("ka1k+", "ka1k", Work::Get("/1k"), 64).quick(),
    beside_sleepers("close+", "close", Work::Close, 64),
    beside_sleepers("browser+", "browser", Work::Browser, 64),
    beside_sleepers("tls1k+", "tls1k", Work::Tls, 64),
    beside_sleepers("h2+", "h2", Work::H2, 32).quick(),
];

impl Work {
    /// The load on a proxy; `rate` is what it can do in requests a second, if that is known.
    pub(crate) fn load(self, proxy: &Proxy, connections: u32, rate: Option<f64>) -> Option<Load> {
        let plain = |path: &str| format!("http://{}{path}", proxy.plain);
        let secure = |path: &str| format!("https://{}{path}", proxy.secure);
        let wrk = |url: String, script: String| Load::Wrk {
            connections,
            url,
            script,
        };
        let load = match self {
            Self::Get(path) => wrk(plain(path), String::new()),
            Self::Idle => wrk(plain("/1k"), String::new()),
            Self::Close => wrk(plain("/1k"), CLOSE.to_owned()),
            Self::Browser => wrk(
                format!("http://{}/shop/products/4711?page=2", proxy.sessions),
                browser(proxy.sessions),
            ),
            Self::Post => wrk(
                plain("/upload"),
                "wrk.method = 'POST'\nwrk.body = string.rep('x', 65536)".to_owned(),
            ),
            Self::Tls => wrk(secure("/1k"), String::new()),
            Self::Handshake => wrk(secure("/1k"), CLOSE.to_owned()),
            Self::H2 => Load::H2load {
                url: secure("/1k"),
                arguments: vec![format!("-c{connections}"), "-m16".to_owned()],
            },
            Self::Rate => Load::Ours {
                name: "pace",
                arguments: vec![
                    proxy.plain.to_string(),
                    connections.to_string(),
                    "@SECONDS@".to_owned(),
                    format!("{:.0}", asked_rate(rate?)),
                ],
            },
            Self::WebSocket => Load::Ours {
                name: "talk",
                arguments: vec![
                    proxy.plain.to_string(),
                    connections.to_string(),
                    "@SECONDS@".to_owned(),
                ],
            },
            Self::IdleTls => return None,
        };
        Some(load)
    }
}

/// What `rate70` asks of a proxy that can do `peak`, in requests a second.
pub(crate) fn asked_rate(peak: f64) -> f64 {
    0.7 * peak
}

const CLOSE: &str = "wrk.headers['Connection'] = 'close'";

/// The fields of a browser beside Host and Cookie.
const FIELDS: [(&str, &str); 18] = [
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8,fr;q=0.7"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    (
        "Referer",
        "http://shop.example/shop/products?page=1&sort=price",
    ),
    ("Cache-Control", "max-age=0"),
    ("Upgrade-Insecure-Requests", "1"),
    ("DNT", "1"),
    (
        "Sec-CH-UA",
        "\"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"",
    ),
    ("Sec-CH-UA-Mobile", "?0"),
    ("Sec-CH-UA-Platform", "\"Linux\""),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-User", "?1"),
    ("Priority", "u=0, i"),
    ("If-None-Match", "\"5f3c6e0d8a7b4c21\""),
    ("If-Modified-Since", "Wed, 19 Nov 2025 10:11:12 GMT"),
];

/// Sixteen shoppers in turn: fifteen with sessions, one who is new and gets one.
fn browser(address: SocketAddr) -> String {
    use std::fmt::Write as _;

    let mut script = String::from("local shoppers = {}\n");
    for (name, value) in FIELDS {
        let _ = writeln!(script, "wrk.headers[{name:?}] = {value:?}");
    }
    let filler = "0123456789abcdef".repeat(8);
    let cookies: Vec<String> = (0..15).map(|at| format!("track{at}={filler}")).collect();
    let _ = writeln!(script, "local cookies = {:?}", cookies.join("; "));
    script.push_str("function init(args)\n");
    for shopper in 0..16 {
        let session = if shopper == 0 {
            String::new()
        } else {
            crate::proxy::session(address).map_or_else(String::new, |pair| format!("; {pair}"))
        };
        let _ = writeln!(
            script,
            "  wrk.headers['Cookie'] = cookies .. {session:?}\n  shoppers[#shoppers + 1] = wrk.format()"
        );
    }
    script.push_str(
        "end\nlocal turn = 0\nfunction request()\n  turn = turn % #shoppers + 1\n  return shoppers[turn]\nend\n",
    );
    script
}
