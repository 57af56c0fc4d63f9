//! What is known of a peer: who watches is woken, silence is told from bytes and ends, and what a TLS session holds counts.

use std::future::poll_fn;

use super::*;
use crate::worker::Buffers;

#[tokio::test(start_paused = true)]
async fn a_watcher_is_woken_also_after_a_read_that_filled_its_room() {
    let (stream, peer) = UnixStream::pair().unwrap();
    let mut stream = Stream::Unix(stream);
    let sent = peer.try_write(&[7; Buffer::SMALL]).unwrap();
    assert_eq!(sent, Buffer::SMALL);
    let mut buffer = Buffer::default();
    buffer.make_room(&Buffers::default(), Buffer::SMALL, Buffer::SMALL);
    let read = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await;
    assert_eq!(read.unwrap(), Buffer::SMALL);
    let watcher = tokio::spawn(async move { poll_fn(|cx| stream.poll_peer(cx)).await });
    tokio::task::yield_now().await;
    drop(peer);
    let seen = tokio::time::timeout(Duration::from_secs(60), watcher).await;
    let seen = seen.expect("the watcher is woken").unwrap();
    assert_eq!(seen, PeerState::HalfClosed);
}

#[tokio::test]
async fn a_stream_is_silent_until_something_comes() {
    let (stream, peer) = UnixStream::pair().unwrap();
    let mut stream = Stream::Unix(stream);
    let mut bytes = [0; 10];
    let mut read = async |stream: &mut Stream| {
        let mut into = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Poll::Ready(stream.poll_read_into(cx, &mut into)))
            .await
            .map_ok(|()| into.filled().len())
    };
    assert!(read(&mut stream).await.is_pending());
    for _ in 0..3 {
        assert!(stream.is_silent());
        assert_eq!(peer.try_write(b"news").unwrap(), 4);
        poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
        assert!(!stream.is_silent());
        assert!(matches!(read(&mut stream).await, Poll::Ready(Ok(4))));
        assert!(read(&mut stream).await.is_pending());
    }
    drop(peer);
    poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
    for _ in 0..2 {
        assert!(!stream.is_silent());
        assert!(matches!(read(&mut stream).await, Poll::Ready(Ok(0))));
    }
}

/// Both ends of a TLS session, ours being the client's.
async fn secured() -> (Stream, tokio_rustls::server::TlsStream<TcpStream>) {
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    let made = rcgen::generate_simple_self_signed(["shop.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let name = ServerName::try_from("shop.test").unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server));
    let (near, far) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    (
        Stream::Tls(Box::new(TlsStream::Client(near.unwrap()))),
        far.unwrap(),
    )
}

#[tokio::test]
async fn a_session_with_bytes_of_its_own_is_not_quiet() {
    use tokio::io::AsyncWriteExt;
    let (mut stream, mut peer) = secured().await;
    for (room, quiet) in [(100, true), (10, false)] {
        peer.write_all(&[7; 100]).await.unwrap();
        peer.flush().await.unwrap();
        let mut bytes = [0; 100];
        let mut into = ReadBuf::new(&mut bytes[..room]);
        poll_fn(|cx| stream.poll_read_into(cx, &mut into))
            .await
            .unwrap();
        assert_eq!(into.filled().len(), room);
        // The socket itself is silent by now, whatever has been in it.
        while stream.look().is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(stream.is_quiet(), quiet, "{room}");
    }
}

#[tokio::test]
async fn whether_a_peer_is_quiet_is_known_without_budget() {
    let (stream, peer) = UnixStream::pair().unwrap();
    let mut stream = Stream::Unix(stream);
    assert!(stream.is_quiet());
    drop(peer);
    poll_fn(|cx| stream.poll_peer(cx)).await;
    poll_fn(|cx| {
        while stream.poll_peer(cx).is_ready() {}
        assert!(!stream.is_quiet());
        Poll::Ready(())
    })
    .await;
}
