//! Clients and backends that move a little at a time, under paused time: who is cut, and when.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::house::{BODY, House};
use super::wire::{read_until, run};
use crate::telemetry::{Cause, CodeClass};
use crate::upstream::Upstream;

const UPLOAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Reads what comes until it ends, and answers a whole upload.
async fn taking(mut stream: UnixStream) {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut piece).await {
        all.extend_from_slice(&piece[..n]);
        if all.ends_with(b"\r\n0\r\n\r\n") {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            all.clear();
        }
    }
}

/// What was refused for this cause.
fn refused(house: &House<Upstream>, cause: Cause) -> u64 {
    house.listener().refused[cause.index()]
}

#[tokio::test(start_paused = true)]
async fn an_upload_of_a_byte_a_second_is_cut() {
    let house = run(taking, |client| async move {
        let (mut reading, mut writing) = client.0.into_split();
        writing.write_all(UPLOAD).await.unwrap();
        let begun = Instant::now();
        let trickling = async {
            while writing.write_all(b"1\r\nx\r\n").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let answered = async {
            let mut answer = Vec::new();
            let _ = reading.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(answer.contains("client-too-slow"), "{answer}");
            assert!(answer.contains("close"), "{answer}");
            // Each chunk of six bytes gave 12 ms back; lingering takes its time.
            let took = begun.elapsed();
            assert!(
                took > BODY && took < BODY + Duration::from_secs(5),
                "{took:?}"
            );
        };
        tokio::join!(trickling, answered);
    })
    .await;
    assert_eq!(refused(&house, Cause::ClientTooSlow), 1);
    let blamed = house.backends()[0].failures.iter().sum::<u64>();
    assert_eq!(blamed, 0, "no fault of the backend");
}

#[tokio::test(start_paused = true)]
async fn an_upload_at_the_least_rate_may_take_its_time() {
    let house = run(taking, |mut client| async move {
        client.send(UPLOAD).await;
        let piece = format!("1388\r\n{}\r\n", "x".repeat(5000));
        for _ in 0..200 {
            sleep(Duration::from_secs(10)).await;
            client.send(piece.as_bytes()).await;
        }
        client.send(b"0\r\n\r\n").await;
        assert!(
            read_until(&mut client.0, "ok")
                .await
                .starts_with("HTTP/1.1 200")
        );
    })
    .await;
    assert_eq!(house.route().requests[CodeClass::Success.index()], 1);
    assert_eq!(house.listener().refused.iter().sum::<u64>(), 0);
}

/// Pauses add up to far more than patience, but they are the backend's.
#[tokio::test(start_paused = true)]
async fn a_backend_that_streams_a_word_now_and_then_costs_its_client_nothing() {
    let backend = |mut stream: UnixStream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        sleep(Duration::from_secs(15)).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        for _ in 0..60 {
            sleep(BODY * 2 / 3).await;
            stream.write_all(b"1\r\nx\r\n").await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    };
    let house = run(backend, |mut client| async move {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = read_until(&mut client.0, "0\r\n\r\n").await;
        assert_eq!(answer.matches("1\r\nx\r\n").count(), 60);
    })
    .await;
    assert_eq!(house.listener().refused.iter().sum::<u64>(), 0);
}

/// A backend that sends as fast as it is taken.
async fn spring(mut stream: UnixStream) {
    read_until(&mut stream, "\r\n\r\n").await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_sips_is_cut() {
    let house = run(spring, |mut client| async move {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let begun = Instant::now();
        let mut sip = [0; 100];
        // What the system holds outlives the cut on a Unix socket.
        while client.0.read_exact(&mut sip).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
            assert!(begun.elapsed() < Duration::from_secs(3000));
        }
    })
    .await;
    assert_eq!(refused(&house, Cause::ClientTooSlow), 1);
    assert_eq!(house.route().requests[CodeClass::Aborted.index()], 1);
    let record = house.records().remove(0);
    assert_eq!(record["forecourt.error"], "client-too-slow");
    let took = record["event.duration"].as_u64().unwrap() / 1_000_000_000;
    assert!((30..60).contains(&took), "{took} s");
}

/// Long pauses are forgiven to whoever takes much in between.
#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_gulps_is_served() {
    let house = run(spring, |mut client| async move {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut gulp = vec![0; 1_000_000];
        for _ in 0..90 {
            client.0.read_exact(&mut gulp).await.unwrap();
            sleep(BODY * 5 / 6).await;
        }
    })
    .await;
    assert_eq!(house.listener().refused.iter().sum::<u64>(), 0);
}
