//! Who is believed, and what is told of the client.

use super::*;
use crate::message::head::Version;

fn head(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new();
    head.set_request(b"GET", b"/", Version::Http11);
    fields
        .iter()
        .for_each(|(name, value)| head.push(name.as_bytes(), value.as_bytes()));
    head
}

fn text(head: &Head) -> Vec<(String, String)> {
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    head.fields()
        .map(|field| (string(field.name), string(field.value)))
        .collect()
}

fn client(peer: &str, fields: &[&str]) -> String {
    let trusted = [
        "10.0.0.0/8".parse().unwrap(),
        "2001:db8::/32".parse().unwrap(),
    ];
    let fields: Vec<_> = fields
        .iter()
        .map(|value| ("X-Forwarded-For", *value))
        .collect();
    client_address(&head(&fields), peer.parse().unwrap(), &trusted).to_string()
}

#[test]
fn the_walk_ends_at_the_first_address_not_trusted() {
    assert_eq!(client("192.0.2.9", &["1.1.1.1"]), "192.0.2.9");
    assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(
        client("10.0.0.1", &["6.6.6.6, 192.0.2.1, 10.0.0.2"]),
        "192.0.2.1"
    );
    assert_eq!(
        client("10.0.0.1", &["6.6.6.6", "192.0.2.1", "10.0.0.2"]),
        "192.0.2.1"
    );
    assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.1:4711"]), "192.0.2.1");
    assert_eq!(
        client("2001:db8::1", &["[2001:4860::8]:80"]),
        "2001:4860::8"
    );
    assert_eq!(client("10.0.0.1", &["192.0.2.1,,"]), "192.0.2.1");
    assert_eq!(
        client("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"]),
        "10.0.0.2"
    );
    assert_eq!(
        client("10.0.0.1", &["\"", "[::1", "1.2.3.4:+1"]),
        "10.0.0.1"
    );
}

#[test]
fn an_empty_list_is_none() {
    let mut head = head(&[("X-Forwarded-For", ""), ("Forwarded", "for=192.0.2.1")]);
    let (peer, trusted) = ("10.0.0.1".parse().unwrap(), ["10.0.0.0/8".parse().unwrap()]);
    let seen = client_address(&head, peer, &trusted);
    assert_eq!(seen.to_string(), "192.0.2.1");
    let teller = Teller {
        peer: Some(peer),
        trusted: true,
        https: true,
        host: b"shop.example",
    };
    set_forwarded(&mut head, Words::XForwarded, &teller);
    assert_eq!(
        client_address(&head, peer, &trusted),
        seen,
        "nor to the next"
    );
}

#[test]
fn the_first_word_tells_the_clients_scheme() {
    for (fields, https) in [
        (&[("X-Forwarded-Proto", " , HTTPS, http")][..], true),
        (
            &[
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Proto", "https"),
            ],
            false,
        ),
        (&[], false),
    ] {
        assert_eq!(says_https(&head(fields), &[]), https, "{fields:?}");
    }
}

#[test]
fn strangers_are_not_believed_in_any_spelling() {
    let mut head = head(&[
        ("X-Forwarded-For", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("X-Forwarded_Port", "1"),
        ("X-Forwarded-Prefix", "/"),
        ("X-Real-Ip", "6.6.6.6"),
        ("X.Real~IP", "6.6.6.6"),
        ("client.cert", ":MIIB:"),
        ("X+Client!Cert_Subject", "CN=admin"),
        ("X_Request_Id", "forged"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forward", "stays"),
        ("X-Real-Ipv", "stays"),
    ]);
    let teller = Teller {
        peer: Some("192.0.2.1".parse().unwrap()),
        trusted: false,
        https: true,
        host: b"Shop.Example",
    };
    set_forwarded(&mut head, Words::XForwarded, &teller);
    let expected = [
        ("X-Forward", "stays"),
        ("X-Real-Ipv", "stays"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "Shop.Example"),
    ];
    assert_eq!(
        text(&head),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn trusted_proxies_are_added_to() {
    let mut head = head(&[
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "10.0.0.2"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=192.0.2.1"),
    ]);
    let teller = Teller {
        peer: Some("10.0.0.1".parse().unwrap()),
        trusted: true,
        https: false,
        host: b"",
    };
    set_forwarded(&mut head, Words::XForwarded, &teller);
    let expected = [
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1, 10.0.0.2, 10.0.0.1"),
    ];
    assert_eq!(
        text(&head),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn a_peer_without_an_address_adds_none() {
    let mut head = head(&[("X-Forwarded-For", "6.6.6.6")]);
    let teller = Teller {
        peer: None,
        trusted: false,
        https: false,
        host: b"a",
    };
    set_forwarded(&mut head, Words::XForwarded, &teller);
    assert_eq!(head.first(Name::XForwardedFor), None);
    assert_eq!(head.first(Name::XForwardedHost), Some(&b"a"[..]));
}

/// The client's address as told by `Forwarded` from a trusted peer.
fn told(fields: &[&str]) -> String {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let fields: Vec<_> = fields.iter().map(|value| ("Forwarded", *value)).collect();
    client_address(&head(&fields), "10.0.0.1".parse().unwrap(), &trusted).to_string()
}

#[test]
fn forwarded_is_read_where_it_stands_alone() {
    for (fields, client) in [
        (&["for=192.0.2.1"][..], "192.0.2.1"),
        (&["For=\"192.0.2.1:4711\";proto=http;by=x"], "192.0.2.1"),
        (&["for=\"[2001:db8::8]:80\""], "2001:db8::8"),
        (&["for=6.6.6.6, for=192.0.2.1,for=10.0.0.2"], "192.0.2.1"),
        (
            &["for=6.6.6.6", "proto=https;for=192.0.2.1", "for=10.0.0.2"],
            "192.0.2.1",
        ),
        // Nothing is read beyond what is not understood.
        (&["for=6.6.6.6, for=unknown, for=10.0.0.2"], "10.0.0.2"),
        (&["for=6.6.6.6, for=_hidden"], "10.0.0.1"),
        (&["for=6.6.6.6, proto=https, for=10.0.0.2"], "10.0.0.2"),
        (
            &["for=6.6.6.6", "for=1.1.1.1;for=2.2.2.2", "for=10.0.0.2"],
            "10.0.0.2",
        ),
        // A quote that never ends takes nothing along of what a proxy has said behind it.
        (&["for=\"6.6.6.6, for=192.0.2.1"], "192.0.2.1"),
        (
            &["for=\", for=\"[2001:db8::8]\", for=10.0.0.2"],
            "2001:db8::8",
        ),
        (
            &["for=10.9.9.9;x=\", for=192.0.2.1;host=\"a:80\""],
            "192.0.2.1",
        ),
        (&["for=10.9.9.9;x=\"\\", "for=10.0.0.2"], "10.0.0.2"),
        (&["for=192.0.2.1;x=\""], "10.0.0.1"),
        (&["x=\"\\\",for=6.6.6.6\";for=192.0.2.1"], "192.0.2.1"),
        (&["for=192.0.2.1 1"], "10.0.0.1"),
    ] {
        assert_eq!(told(fields), client, "{fields:?}");
    }
    let both = head(&[
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forwarded-For", "192.0.2.1"),
    ]);
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let client = client_address(&both, "10.0.0.1".parse().unwrap(), &trusted);
    assert_eq!(client.to_string(), "192.0.2.1");
}

/// A client may write what it likes before the element of the proxy that it asked.
#[test]
fn the_scheme_is_that_of_whoever_the_walk_ends_at() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    for (field, https) in [
        ("for=192.0.2.1;proto=HTTPS", true),
        ("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", true),
        ("proto=https, for=192.0.2.1;proto=http", false),
        ("for=10.0.0.2;proto=https, for=192.0.2.1", false),
        ("for=x;proto=https;y=\", for=192.0.2.1;proto=http", false),
        ("for=\", for=192.0.2.1;proto=https", true),
        ("for=_hidden;proto=https, for=10.0.0.2;proto=http", true),
        ("proto=http, proto=https", true),
        ("proto=https;proto=https", false),
    ] {
        let head = head(&[("Forwarded", field)]);
        assert_eq!(says_https(&head, &trusted), https, "{field}");
    }
}

/// A proxy on the other end of a Unix socket has no address, and is believed.
#[test]
fn a_peer_without_an_address_tells_of_the_client() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let told = |fields: &[(&str, &str)]| {
        client_told(&head(fields), &trusted).map(|client| client.to_string())
    };
    let client = Some("192.0.2.1".to_owned());
    assert_eq!(
        told(&[("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.0.0.2")]),
        client
    );
    assert_eq!(told(&[("Forwarded", "for=6.6.6.6, for=192.0.2.1")]), client);
    assert_eq!(told(&[("X-Forwarded-For", "6.6.6.6, unknown")]), None);
    assert_eq!(told(&[]), None);
}

#[test]
fn a_list_that_would_swallow_our_element_goes() {
    let mut head = head(&[
        ("Forwarded", "for=\"6.6.6.6"),
        ("Forwarded", "for=192.0.2.1"),
    ]);
    let teller = Teller {
        peer: Some("10.0.0.1".parse().unwrap()),
        trusted: true,
        https: false,
        host: b"",
    };
    set_forwarded(&mut head, Words::Forwarded, &teller);
    let list = head.first(Name::Forwarded);
    assert_eq!(list, Some(&b"for=192.0.2.1, for=10.0.0.1;proto=http"[..]));
}

#[test]
fn forwarded_is_written_and_appended_to() {
    for (peer, host, before, after) in [
        (
            Some("192.0.2.1"),
            "shop.example",
            &[][..],
            "for=192.0.2.1;host=shop.example;proto=https",
        ),
        (
            Some("2001:db8::1"),
            "shop.example:8443",
            &[],
            "for=\"[2001:db8::1]\";host=\"shop.example:8443\";proto=https",
        ),
        (
            None,
            "",
            &["for=1.2.3.4", "for=b"],
            "for=1.2.3.4, for=b, for=unknown;proto=https",
        ),
    ] {
        let before: Vec<_> = before.iter().map(|value| ("Forwarded", *value)).collect();
        let mut head = head(&before);
        let teller = Teller {
            peer: peer.map(|peer| peer.parse().unwrap()),
            trusted: true,
            https: true,
            host: host.as_bytes(),
        };
        set_forwarded(&mut head, Words::Forwarded, &teller);
        assert_eq!(text(&head), [("Forwarded".to_owned(), after.to_owned())]);
        set_forwarded(&mut head, Words::Both, &teller);
        assert_eq!(head.all(Name::Forwarded).count(), 1);
        assert!(head.first(Name::XForwardedProto).is_some());
    }
}

#[test]
fn a_list_that_is_begun_holds_what_forwarded_told() {
    let mut head = head(&[
        ("Forwarded", "for=unknown, for=192.0.2.1"),
        ("Forwarded", "for=\"[2001:db8::1]\""),
    ]);
    let teller = Teller {
        peer: Some("10.0.0.1".parse().unwrap()),
        trusted: true,
        https: false,
        host: b"",
    };
    set_forwarded(&mut head, Words::XForwarded, &teller);
    let list = head.first(Name::XForwardedFor);
    assert_eq!(list, Some(&b"192.0.2.1, 2001:db8::1, 10.0.0.1"[..]));
}

#[test]
fn only_we_may_tell_of_certificates() {
    let fields = [
        ("Client-Cert", "x"),
        ("client_cert", "x"),
        ("CLIENT-CERT-CHAIN", "x"),
        ("Client_Cert-Subject", "x"),
        ("X-Client-Cert", "x"),
        ("x_client_certificate", "x"),
        ("Client-Certain", "x"),
        ("Client-Ce", "stays"),
        ("X-Client", "stays"),
    ];
    for trusted in [false, true] {
        let mut head = head(&fields);
        let teller = Teller {
            peer: Some([192, 0, 2, 1].into()),
            trusted,
            https: false,
            host: b"",
        };
        set_forwarded(&mut head, Words::XForwarded, &teller);
        let left = text(&head);
        assert_eq!(
            left[..2],
            [
                ("Client-Ce".to_owned(), "stays".to_owned()),
                ("X-Client".to_owned(), "stays".to_owned()),
            ]
        );
        assert_eq!(left.len(), 4, "{left:?}");
    }
}
