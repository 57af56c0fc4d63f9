//! Messages that are mostly right: each part is drawn from what clients and backends send, with a hostile
//! one among them now and then, and the whole is damaged now and then.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::engine::responses::Case;

/// A client's connection: a pattern of pieces, and what it sends.
pub(super) fn requests() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let streams = vec(request(), 1..5).prop_map(|requests| requests.concat());
    (pattern(), damaged(streams))
}

/// A backend's answer, and what asked for it.
pub(super) fn responses() -> impl Strategy<Value = Case> {
    let stream = (
        vec(interim(), 0..2),
        response(),
        prop_oneof![8 => Just(Vec::new()), 1 => response(), 1 => vec(any::<u8>(), 1..8)],
    );
    let stream =
        stream.prop_map(|(interim, response, more)| [interim.concat(), response, more].concat());
    (
        pattern(),
        damaged(stream),
        select(b"ccccrrs".to_vec()),
        select(b"gggghpelk".to_vec()),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(pattern, stream, then, asked, old)| Case {
            pattern,
            stream,
            then,
            asked,
            old,
        })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = mostly(
        &["GET", "HEAD", "POST", "PUT", "OPTIONS"],
        &["CONNECT", "TRACE", "get", "M-X"],
    );
    let target = mostly(
        &[
            "/",
            "/a/b?c=d",
            "/%2e%2e/x",
            "/caf%C3%A9",
            "http://b.example/x?y",
        ],
        &[
            "*",
            "//a",
            "/a/../b",
            "http://b",
            "http://u@b/",
            "/a^<b>",
            "/%zz%00",
            "b:80",
        ],
    );
    let version = mostly(&["HTTP/1.1"], &["HTTP/1.0", "HTTP/1.2", "HTTP/2.0"]);
    let host = mostly(
        &["Host: a\r\n"],
        &[
            "",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: [::1]:8\r\n",
        ],
    );
    let fields = vec(
        mostly(
            &[
                "Accept: */*\r\n",
                "Cookie: a=b; fc=c\r\n",
                "X-A: 1\r\n",
                "x-a:\t2 \r\n",
                "X-Forwarded-For: 6.6.6.6\r\n",
                "Connection: keep-alive\r\n",
            ],
            &[
                "Connection: close\r\n",
                "Connection: x-a, te, content-length\r\n",
                "TE: trailers\r\nTrailer: x-sum\r\n",
                "Expect: 100-continue\r\n",
                "Upgrade: h2c\r\nConnection: upgrade\r\n",
                "X-B: \u{fc}\r\n",
                "X-C: a\r\n b\r\n",
                "X-D : a\r\n",
                "X_Forwarded_For: 1\r\n",
                "Max-Forwards: 0\r\n",
                "Content-Length: 3\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding: identity\r\n",
                "Content_Length: 1\r\n",
                "X-E: a\nContent-Length: 40\r\n",
            ],
        ),
        0..4,
    );
    (method, target, version, host, fields, framed(false)).prop_map(
        |(method, target, version, host, fields, (framing, body))| {
            let line = format!("{method} {target} {version}\r\n{host}");
            let fields = fields.concat();
            [
                line.as_bytes(),
                fields.as_bytes(),
                framing.as_bytes(),
                b"\r\n",
                &body,
            ]
            .concat()
        },
    )
}

fn interim() -> impl Strategy<Value = Vec<u8>> {
    let interim = mostly(
        &[
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ],
        &[
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 199 A\r\nContent-Length: 3\r\n\r\n",
        ],
    );
    prop_oneof![4 => Just(""), 1 => interim].prop_map(|text| text.as_bytes().to_vec())
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    let line = mostly(
        &[
            "HTTP/1.1 200 OK",
            "HTTP/1.1 404 Not Found",
            "HTTP/1.1 503 Later",
        ],
        &[
            "HTTP/1.1 204 No",
            "HTTP/1.1 304 Same",
            "HTTP/1.1 200",
            "HTTP/1.0 200 OK",
            "HTTP/1.1 099 A",
            "HTTP/2.0 200 OK",
        ],
    );
    let fields = vec(
        mostly(
            &[
                "Server: s\r\n",
                "Set-Cookie: a=1\r\n",
                "Set-Cookie: b=2\r\n",
                "X-A: 1\r\n",
            ],
            &[
                "Connection: close\r\n",
                "Connection: keep-alive, x-a\r\n",
                "Keep-Alive: timeout=5\r\n",
                "Trailer: x-sum\r\n",
                "Upgrade: h2c\r\n",
                "forecourt-error: closed\r\nx-request-id: a\r\n",
                "Content-Length: 3\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding: gzip, chunked\r\n",
                "X-C: a\r\n b\r\n",
                "X-D : a\r\n",
            ],
        ),
        0..4,
    );
    (line, fields, framed(true)).prop_map(|(line, fields, (framing, body))| {
        let fields = fields.concat();
        let parts = [
            line.as_bytes(),
            b"\r\n",
            fields.as_bytes(),
            framing.as_bytes(),
        ];
        [&parts.concat()[..], b"\r\n", &body].concat()
    })
}

/// Fields that frame a body, and the body; responses may do without.
fn framed(open: bool) -> impl Strategy<Value = (String, Vec<u8>)> {
    let content = || vec(any::<u8>(), 0..40);
    let length =
        content().prop_map(|content| (format!("Content-Length: {}\r\n", content.len()), content));
    let odd = (
        select(vec![
            "+3",
            "3, 3",
            "03",
            "",
            "2",
            "9",
            "0x3",
            "-1",
            "99999999999999999999",
        ]),
        "[a-z]{3}",
    )
        .prop_map(|(length, content)| {
            (
                format!("Content-Length: {length}\r\n"),
                content.into_bytes(),
            )
        });
    let chunked = (vec(chunk(), 0..4), trailers()).prop_map(|(chunks, trailers)| {
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            [chunks.concat(), trailers].concat(),
        )
    });
    let none =
        content().prop_map(move |content| (String::new(), if open { content } else { Vec::new() }));
    prop_oneof![4 => length, 4 => chunked, 3 => none, 1 => odd]
}

fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let extension = mostly(&["", ";a=b"], &[";a=\"b;c\"", " ;a", ";", ";a\n", " "]);
    let end = mostly(&["\r\n"], &["\n", "", "x\r\n"]);
    (vec(any::<u8>(), 1..20), extension, end, 0..24_u8).prop_map(
        |(content, extension, end, odd)| {
            let length = content.len();
            let size = match odd {
                0 => format!("{:x}", length + 1),
                1 => format!("{:x}", length - 1),
                2 => format!("0x{length:x}"),
                3 => format!("000{length:X}"),
                4 => format!("fffffffffffffff{length:x}"),
                _ => format!("{length:x}"),
            };
            [
                size.as_bytes(),
                extension.as_bytes(),
                b"\r\n",
                &content,
                end.as_bytes(),
            ]
            .concat()
        },
    )
}

fn trailers() -> impl Strategy<Value = Vec<u8>> {
    mostly(
        &["0\r\n\r\n", "0\r\nX-Sum: 1\r\n\r\n"],
        &[
            "",
            "0\r\n",
            "0\r\nContent-Length: 5\r\nHost: b\r\nX-Sum: 2\r\n\r\n",
            "0\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            "0\r\nX-Sum : 1\r\n\r\n",
            "0;a\r\nx\r\n\r\n",
            "00\n\r\n",
        ],
    )
    .prop_map(|text| text.as_bytes().to_vec())
}

/// One of the usual, or now and then one of the others.
fn mostly(
    usual: &[&'static str],
    odd: &[&'static str],
) -> impl Strategy<Value = &'static str> + use<> {
    prop_oneof![12 => select(usual.to_vec()), 1 => select(odd.to_vec())]
}

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(vec![0xff]),
        1 => vec(b'1'..=b'9', 1..4),
        2 => vec(b'1'..=0xfe, 1..6),
    ]
}

/// A stream that is as it was most of the time, and otherwise damaged in one or two places.
fn damaged(streams: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damages = prop_oneof![3 => Just(Vec::new()), 2 => vec((any::<Index>(), damage()), 1..3)];
    (streams, damages).prop_map(|(mut stream, damages)| {
        for (index, damage) in damages {
            if stream.is_empty() {
                break;
            }
            let at = index.index(stream.len());
            let end = (at + 5).min(stream.len());
            match damage {
                Damage::Change(byte) => stream[at] = byte,
                Damage::Cut => stream.truncate(at),
                Damage::Insert(text) => drop(stream.splice(at..at, text.bytes())),
                Damage::Lose => drop(stream.remove(at)),
                Damage::Repeat => {
                    let again = stream[at..end].to_vec();
                    drop(stream.splice(at..at, again));
                }
            }
        }
        stream
    })
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Change(u8),
    Cut,
    Insert(&'static str),
    Lose,
    Repeat,
}

fn damage() -> impl Strategy<Value = Damage> {
    let text = select(vec![
        "\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        "\t",
        ":",
        "0\r\n\r\n",
        "\r\n\r\n",
        "Content-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\n",
        "GET /evil HTTP/1.1\r\nHost: e\r\n\r\n",
        "HTTP/1.1 299 Evil\r\nContent-Length: 0\r\n\r\n",
    ]);
    prop_oneof![
        2 => any::<u8>().prop_map(Damage::Change),
        2 => Just(Damage::Cut),
        4 => text.prop_map(Damage::Insert),
        1 => Just(Damage::Lose),
        1 => Just(Damage::Repeat),
    ]
}
