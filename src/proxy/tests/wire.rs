//! The whole way of a request under paused time: bytes of a client, the server, the spine, the transport, bytes
//! of a backend; and nothing else. For what only shows when one of the four stops.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::house::{BODY, House, RESPONSE};
use crate::backend::Address;
use crate::server::h1;
use crate::telemetry::{Cause, CodeClass};
use crate::upstream::Upstream;
use crate::worker::{Buffer, Descriptors, Stream};

/// Runs a client of a house against a backend, each on its own bytes.
pub(super) async fn run<B: Future<Output = ()> + 'static, C: Future<Output = ()>>(
    backend: impl Fn(UnixStream) -> B + 'static,
    client: impl FnOnce(Client) -> C,
) -> House<Upstream> {
    let (near, far) = UnixStream::pair().unwrap();
    serve_on(Stream::Unix(far), backend, client(Client(near))).await
}

/// Serves a connection while its client does what it does. All of it has an hour of the paused clock: what
/// hangs is found at once.
pub(super) async fn serve_on<B: Future<Output = ()> + 'static>(
    stream: Stream,
    backend: impl Fn(UnixStream) -> B + 'static,
    client: impl Future<Output = ()>,
) -> House<Upstream> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let addresses = [Address::Unix(Arc::from(path))];
    let house = House::new(&addresses, None, |worker| {
        Upstream::new(Rc::clone(worker), (8, 8), Descriptors::new(64))
    });
    LocalSet::new()
        .run_until(async {
            tokio::task::spawn_local(Rc::clone(house.worker.wheel()).run());
            tokio::task::spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::task::spawn_local(backend(stream));
                }
            });
            let (proxy, worker) = (Rc::clone(&house.proxy), Rc::clone(&house.worker));
            let serving = h1::serve(stream, Buffer::default(), house.peer.clone(), proxy, worker);
            let serving = tokio::task::spawn_local(serving);
            let hour = Duration::from_secs(3600);
            let talking = tokio::time::timeout(hour, client);
            talking.await.expect("the client waits for ever");
            let ended = tokio::time::timeout(hour, serving).await;
            ended.expect("the connection is held for ever").unwrap();
        })
        .await;
    assert_eq!(house.in_flight(), 0);
    assert_eq!(house.backends()[0].connections_active, 0);
    house
}

pub(super) struct Client(pub(super) UnixStream);

impl Client {
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Reads until what came ends so.
    async fn read_until(&mut self, end: &str) -> String {
        read_until(&mut self.0, end).await
    }

    /// Reads to the end of the connection.
    async fn read_to_end(&mut self) -> String {
        let mut all = Vec::new();
        // A reset is an end too.
        let _ = self.0.read_to_end(&mut all).await;
        String::from_utf8(all).unwrap()
    }
}

pub(super) async fn read_until(stream: &mut UnixStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.unwrap();
        assert!(n > 0, "ended behind {}", all.escape_ascii());
        all.extend_from_slice(&piece[..n]);
    }
    String::from_utf8(all).unwrap()
}

/// Answers each head with `hello`.
async fn friendly(mut stream: UnixStream) {
    let mut piece = [0; 4096];
    while let Ok(1..) = stream.read(&mut piece).await {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn requests_follow_each_other_on_one_connection_and_one_to_the_backend() {
    let house = run(friendly, |mut client| async move {
        for _ in 0..3 {
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = client.read_until("hello").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
    })
    .await;
    assert_eq!(house.route().requests[CodeClass::Success.index()], 3);
    assert_eq!(house.backends()[0].connections_idle, 1);
    assert_eq!(house.records().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_half_close_behind_a_request_is_no_farewell() {
    run(friendly, |mut client| async move {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.0.shutdown().await.unwrap();
        let answer = client.read_to_end().await;
        assert!(answer.ends_with("hello"), "{answer}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_answers_and_reads_no_more_holds_nobody() {
    let backend = |mut stream: UnixStream| async move {
        let mut some = [0; 1024];
        stream.read_exact(&mut some[..64]).await.unwrap();
        let answer = b"HTTP/1.1 413 Enough\r\ncontent-length: 5\r\n\r\nsorry";
        stream.write_all(answer).await.unwrap();
        std::future::pending().await
    };
    let house = run(backend, |client| async move {
        let (mut reading, mut writing) = client.0.into_split();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
        writing.write_all(head).await.unwrap();
        let uploading = tokio::task::spawn_local(async move {
            while writing.write_all(&[0; 64 * 1024]).await.is_ok() {}
        });
        let mut answer = Vec::new();
        let _ = reading.read_to_end(&mut answer).await;
        assert!(answer.ends_with(b"sorry"), "{}", answer.escape_ascii());
        uploading.await.unwrap();
    })
    .await;
    assert_eq!(house.route().requests[CodeClass::ClientError.index()], 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_under_way_keeps_a_silent_answer_alive() {
    let backend = |mut stream: UnixStream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        read_until(&mut stream, "\r\n0\r\n\r\n").await;
        stream.write_all(b"4\r\ndone\r\n0\r\n\r\n").await.unwrap();
    };
    let house = run(backend, |mut client| async move {
        client
            .send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        client.read_until("\r\n\r\n").await;
        // More than the least rate.
        let piece = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        for _ in 0..5 {
            tokio::time::sleep(BODY * 2 / 3).await;
            client.send(piece.as_bytes()).await;
        }
        client.send(b"0\r\n\r\n").await;
        let answer = client.read_until("0\r\n\r\n").await;
        assert_eq!(answer, "4\r\ndone\r\n0\r\n\r\n");
    })
    .await;
    assert_eq!(house.route().requests[CodeClass::Success.index()], 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pauses_its_upload_is_no_slow_backend() {
    let backend = |mut stream: UnixStream| async move {
        read_until(&mut stream, "end").await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    };
    run(backend, |mut client| async move {
        client
            .send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhal")
            .await;
        tokio::time::sleep(RESPONSE + Duration::from_secs(5)).await;
        client.send(b"end").await;
        let answer = client.read_until("ok").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_uploading_is_told_so_and_the_backend_is_not_blamed() {
    let backend = |mut stream: UnixStream| async move {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    };
    let house = run(backend, |mut client| async move {
        client
            .send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhal")
            .await;
        let answer = client.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    })
    .await;
    let failures = house.backends()[0].failures;
    let of_backend = Cause::of_backend().iter();
    assert!(
        of_backend
            .map(|cause| failures[cause.index()])
            .all(|n| n == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_answers_is_given_up_in_time() {
    let backend = |mut stream: UnixStream| async move {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    };
    let house = run(backend, |mut client| async move {
        let begun = Instant::now();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.read_until(")\n").await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        assert!(begun.elapsed() >= RESPONSE, "{:?}", begun.elapsed());
    })
    .await;
    let failures = house.backends()[0].failures;
    assert_eq!(failures[Cause::ResponseTimeout.index()], 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stalls_is_cut_so_that_it_shows() {
    for head in ["content-length: 10", "transfer-encoding: chunked"] {
        let backend = move |mut stream: UnixStream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n");
            stream
                .write_all(&answer.as_bytes()[..answer.len() - 1])
                .await
                .unwrap();
            std::future::pending().await
        };
        let house = run(backend, |mut client| async move {
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = client.read_to_end().await;
            assert!(
                answer.contains("hello") && !answer.ends_with("0\r\n\r\n"),
                "{answer}"
            );
        })
        .await;
        assert_eq!(house.backends()[0].failures[Cause::BodyTimeout.index()], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let backend = |mut stream: UnixStream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let chunk = [&b"10000\r\n"[..], &[b'x'; 65536], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    };
    let house = run(backend, |mut client| async move {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        tokio::time::sleep(BODY * 3).await;
    })
    .await;
    assert_eq!(house.route().requests[CodeClass::Aborted.index()], 1);
}

#[tokio::test(start_paused = true)]
async fn interim_responses_overtake_the_upload() {
    let backend = |mut stream: UnixStream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.contains("100-continue"), "{head}");
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        read_until(&mut stream, "body").await;
        let answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 204 Done\r\nDate: now\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    };
    run(backend, |mut client| async move {
        client
            .send(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
            )
            .await;
        assert_eq!(
            client.read_until("\r\n\r\n").await,
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        client.send(b"body").await;
        let answer = client.read_until("204 Done\r\nDate: now\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"),
            "{answer}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn interim_responses_that_nobody_reads_do_not_pile_up() {
    let hint = format!(
        "HTTP/1.1 103 Early Hints\r\nlink: <{}>\r\n\r\n",
        "a".repeat(8000)
    );
    let all = hint.len() * 3000;
    let backend = move |mut stream: UnixStream| {
        let hint = hint.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            for _ in 0..3000 {
                stream.write_all(hint.as_bytes()).await.unwrap();
            }
            stream
                .write_all(b"HTTP/1.1 204 Done\r\nDate: now\r\n\r\n")
                .await
                .unwrap();
        }
    };
    run(backend, |mut client| async move {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        tokio::time::sleep(RESPONSE / 2).await;
        let answer = client.read_until("204 Done\r\nDate: now\r\n\r\n").await;
        assert!(answer.len() < all / 10, "{} of {all}", answer.len());
        // Those that there was room for came whole.
        let whole = answer.matches("103 Early Hints\r\n").count();
        assert!(whole > 0);
        assert_eq!(answer.matches(">\r\n\r\n").count(), whole);
    })
    .await;
}
