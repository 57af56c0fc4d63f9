//! What a connection costs that just sits there: 5,000 of them with `FORECOURT_DRILL=full`.

use rustls::client::Resumption;

use super::*;
use crate::harness::{is_full_drill, raise_limit};

/// Resident bytes of each connection that sits there once `begin` has done something with it. Half of them have each
/// version of TLS.
#[allow(
    clippy::print_stderr,
    reason = "the figure is what a full drill is for"
)]
fn cost(protocol: &[u8], begin: impl Fn(&mut Visit)) -> u64 {
    let count = if is_full_drill() { 5000 } else { 400 };
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    authority.issue(&["a.example"]).write(folder.path(), "a");
    authority.issue(&["b.example"]).write(folder.path(), "b");
    raise_limit();
    let patient = "timeouts = { idle = \"1h\" }\n[listeners.secure.tls]";
    let balancer = Balancer::start(
        &configuration(folder.path(), &["a", "b"], "", &origin)
            .replace("[listeners.secure.tls]", patient),
    );
    let address = balancer.address("secure");
    let visitors = [&TLS13, &TLS12].map(|version| {
        let mut config = ClientConfig::clone(&Visitor::speaking(&[version], &ALL_SCHEMES).config);
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.to_vec()];
        Visitor {
            config: Arc::new(config),
        }
    });
    let crowd = |count: usize| {
        let served = |nth: usize| {
            let mut visit = visitors[nth % 2].visit(address, "b.example");
            begin(&mut visit);
            visit
        };
        (0..count).map(served).collect::<Vec<_>>()
    };
    // What is kept for use, and what the allocator takes in advance.
    let first = crowd(count / 8);
    let before = balancer.vitals().resident();
    let held = crowd(count);
    let after = balancer.vitals().resident();
    let each = after.saturating_sub(before) / count as u64;
    let protocol = String::from_utf8_lossy(protocol);
    eprintln!("{count} idle TLS connections with {protocol}: {each} bytes each");
    drop((first, held));
    each
}

#[test]
fn an_idle_connection_is_small() {
    let each = cost(b"http/1.1", |visit| {
        assert_eq!(visit.ask("b.example").status, 200);
    });
    assert!(each <= 20 * 1024, "{each} bytes each");
}

/// Settings are exchanged, one request is answered, and then nothing is asked. The h2 crate alone has a buffer of 16 KiB to
/// write from and one of 8 KiB to read into for each connection, and nothing to make them smaller by.
#[test]
fn an_idle_connection_of_http2_is_not_large() {
    let each = cost(b"h2", |visit| {
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let seen = b"\0\0\0\x04\x01\0\0\0\0";
        // GET https://b.example/
        let request = b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x87\x84\x41\x09b.example";
        let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], settings, seen];
        visit.tls.write_all(&begin.concat()).unwrap();
        visit.tls.write_all(request).unwrap();
        let content = b"\0\0\x01\0\x01\0\0\0\x01a";
        let mut came = Vec::new();
        let has = |came: &[u8], frame: &[u8]| came.windows(frame.len()).any(|piece| piece == frame);
        while !has(&came, seen) || !has(&came, content) {
            let mut piece = [0; 512];
            let n = visit.tls.read(&mut piece).unwrap();
            assert!(n > 0, "closed after {came:?}");
            came.extend_from_slice(&piece[..n]);
        }
    });
    assert!(each <= 36 * 1024, "{each} bytes each");
}
