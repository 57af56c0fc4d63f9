//! How a client's connection ends: what was answered has to arrive, and an end has to be told from a cut.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream, client};

use super::wire::{read_until, run, serve_on};
use crate::worker::Stream;

/// A client and a server that have shaken hands.
async fn tls_pair() -> (client::TlsStream<TcpStream>, Stream) {
    let made = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let (near, far) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    let far = Stream::Tls(Box::new(TlsStream::Server(far.unwrap())));
    (near.unwrap(), far)
}

/// Answers with a body of unknown length, then ends well or breaks off.
async fn chunks(mut stream: UnixStream, end: &'static [u8]) {
    read_until(&mut stream, "\r\n\r\n").await;
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let all = [&head[..], b"5\r\nhello\r\n", end].concat();
    stream.write_all(&all).await.unwrap();
}

/// What a TLS client reads to the end, and whether that end was one.
async fn over_tls(request: &'static [u8], end: &'static [u8]) -> (String, bool) {
    let (mut near, far) = tls_pair().await;
    let mut told = (String::new(), false);
    let client = async {
        near.write_all(request).await.unwrap();
        let mut all = Vec::new();
        let whole = near.read_to_end(&mut all).await.is_ok();
        told = (String::from_utf8(all).unwrap(), whole);
        drop(near);
    };
    serve_on(far, move |stream| chunks(stream, end), client).await;
    told
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_tls_connection_is_told_from_a_cut() {
    let whole: &[u8] = b"0\r\n\r\n";
    // The body ends with the connection.
    let (answer, is_end) = over_tls(b"GET / HTTP/1.0\r\n\r\n", whole).await;
    assert!(
        answer.ends_with("\r\n\r\nhello") && is_end,
        "{answer} {is_end}"
    );
    let close = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (answer, is_end) = over_tls(close, whole).await;
    assert!(answer.ends_with("0\r\n\r\n") && is_end, "{answer} {is_end}");
    // After an hour between two requests it ends too.
    let (answer, is_end) = over_tls(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", whole).await;
    assert!(answer.ends_with("0\r\n\r\n") && is_end, "{answer} {is_end}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_has_no_good_end_over_tls() {
    for request in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let (answer, is_end) = over_tls(request, b"5\r\nhel").await;
        assert!(!is_end, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_the_last_request_do_not_reset_its_answer() {
    // Said by the client, or by us: a body that an HTTP/1.0 client can only be shown the end of by a close.
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let backend = |stream: UnixStream| async move {
            // The client has long since sent what it should not have.
            tokio::time::sleep(Duration::from_secs(1)).await;
            chunks(stream, b"0\r\n\r\n").await;
        };
        run(backend, |mut client| async move {
            client.send(request.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            client.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let mut answer = Vec::new();
            let end = client.0.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains("hello"), "{answer}");
            assert!(end.is_ok(), "{end:?} behind {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_wanted_to_stay_can_still_send_when_it_is_told_to_go() {
    let backend = |stream: UnixStream| chunks(stream, b"0\r\n\r\n");
    run(backend, |mut client| async move {
        // Only a close can show this client the end of a body of unknown length.
        let request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        client.send(request).await;
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"hello"));
        // It had this on its way already: closed behind it, the connection would be reset.
        let late = client.0.write_all(b"GET /next HTTP/1.0\r\n\r\n").await;
        assert!(late.is_ok(), "{late:?}");
    })
    .await;
}
