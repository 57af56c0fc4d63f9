//! What is kept out of the log.

use std::net::IpAddr;

use proptest::prelude::*;

use super::super::ClientIp;
use super::super::redact;

fn masked(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

fn query(text: &str) -> String {
    let mut out = Vec::new();
    let names = masked(&["token", "password"]);
    redact::query(text.as_bytes(), &names, |piece| {
        out.extend_from_slice(piece);
    });
    String::from_utf8(out).unwrap()
}

#[test]
fn values_of_named_parameters_are_masked_however_they_are_written() {
    for (written, logged) in [
        ("", ""),
        ("a=1&b=2", "a=1&b=2"),
        ("token=s3cret", "token=REDACTED"),
        ("a=1&token=s3cret&b=2", "a=1&token=REDACTED&b=2"),
        ("TOKEN=s3cret", "TOKEN=REDACTED"),
        ("%74ok%65n=s3cret", "%74ok%65n=REDACTED"),
        ("user[password]=s3cret", "user[password]=REDACTED"),
        ("user%5Bpassword%5D=s3cret", "user%5Bpassword%5D=REDACTED"),
        ("password[]=s3cret", "password[]=REDACTED"),
        ("a=1;token=s3cret", "a=1;token=REDACTED"),
        ("token=s3;cret&b=2", "token=REDACTED&b=2"),
        ("token=s3=cret", "token=REDACTED"),
        ("token=a&token=b", "token=REDACTED&token=REDACTED"),
        ("tokens=1&my-token=2&token", "tokens=1&my-token=2&token"),
        ("a=token&&=&%", "a=token&&=&%"),
    ] {
        assert_eq!(query(written), logged);
    }
}

#[test]
fn a_url_has_its_query_masked_or_none() {
    let names = masked(&["token"]);
    let shown = |url: &str, names: Option<&[Box<str>]>| {
        let mut out = Vec::new();
        redact::url(url.as_bytes(), names, |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    };
    let url = "https://shop.example/p?q=1&token=s3cret#access_token=s3cret";
    assert_eq!(shown(url, None), "https://shop.example/p");
    assert_eq!(
        shown(url, Some(&names)),
        "https://shop.example/p?q=1&token=REDACTED"
    );
    assert_eq!(
        shown("https://shop.example/#s3cret", None),
        "https://shop.example/"
    );
}

#[test]
fn addresses_lose_what_tells_one_client_from_its_neighbours() {
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    for (full, truncated) in [
        ("203.0.113.77", "203.0.113.0"),
        ("255.255.255.255", "255.255.255.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
    ] {
        let full = address(full);
        assert_eq!(ClientIp::Full.of(full), Some(full));
        assert_eq!(ClientIp::Truncated.of(full), Some(address(truncated)));
        assert_eq!(ClientIp::Off.of(full), None);
    }
}

proptest! {
    #[test]
    fn with_nothing_to_mask_a_query_stays_as_it_is(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut out = Vec::new();
        redact::query(&bytes, &[], |piece| out.extend_from_slice(piece));
        prop_assert_eq!(out, bytes);
    }
}
