//! Calls to backends by TLS, which agree on HTTP/2 because they have to or because they can.

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;

use super::calls::wait;
use super::*;

/// A backend of gRPC by TLS, and the program before it.
struct Secure {
    service: Service,
    balancer: Balancer,
    _folder: TempDir,
}

impl Secure {
    fn speaking(protocol: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let service = Service::over(Some(TlsAcceptor::from(Arc::new(config))));
        let tls = format!(
            "[pools.calls.tls]\nca = \"{}\"\nserver_name = \"localhost\"",
            path.display()
        );
        // One worker, and so one connection for all.
        let configuration = ("[server]\nworkers = 1\n".to_owned()
            + &configuration(&[service.address], "", &tls))
            .replace("\"h2c\"", &format!("\"{protocol}\""));
        Self {
            balancer: Balancer::start(&configuration),
            service,
            _folder: folder,
        }
    }
}

/// Both ways of agreeing, from callers of both kinds.
fn each(check: impl AsyncFn(&Secure, &Caller)) {
    for protocol in ["h2", "auto"] {
        let secure = Secure::speaking(protocol);
        run(async {
            for caller in [
                Caller::to(&secure.balancer).await,
                Caller::by_tls(&secure.balancer).await,
            ] {
                check(&secure, &caller).await;
            }
        });
        let told = &secure.service.told;
        assert_eq!(told.connections.load(Ordering::SeqCst), 1, "{protocol}");
    }
}

#[test]
fn calls_have_their_answers_and_trailers() {
    each(async |_, caller| {
        let long = vec![7; 300_000];
        for content in [&b"hello"[..], b"", &long] {
            let came = caller.call("Unary", content).await;
            assert_eq!((came.http, came.status()), (200, "0"));
            assert_eq!(came.trailers["grpc-message"], "fine");
            assert!(came.content == message(content));
        }
    });
}

#[test]
fn streams_go_both_ways() {
    each(async |_, caller| {
        let came = caller.call("Many?500", b"").await;
        assert_eq!((came.content.len(), came.status()), (500 * 13, "0"));
        let mut call = caller.begin("Echo").await;
        let mut content = (&mut call.response).await.unwrap().into_body();
        for n in 0..100_u32 {
            call.say(&n.to_be_bytes(), false);
            let mut back = Vec::new();
            while back.len() < 9 {
                let piece = content.data().await.unwrap().unwrap();
                let _ = content.flow_control().release_capacity(piece.len());
                back.extend_from_slice(&piece);
            }
            assert_eq!(back, message(&n.to_be_bytes()));
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        call.stream.send_trailers(trailers).unwrap();
        assert!(content.data().await.is_none());
        let trailers = content.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-sum"], "42");
    });
}

#[test]
fn failures_are_told_as_without_tls() {
    each(async |secure, caller| {
        let came = caller.call("Fails", b"x").await;
        assert!(came.ended_by_head, "{came:?}");
        assert_eq!((came.http, came.status()), (200, "5"));
        assert_eq!(came.field("forecourt-error"), None);
        let came = caller.call("Dies", b"x").await;
        assert_eq!(
            (came.status(), came.field("forecourt-error")),
            ("14", Some("reset"))
        );
        let mut call = caller.begin("Cut").await;
        let mut content = (&mut call.response).await.unwrap().into_body();
        assert_eq!(content.data().await.unwrap().unwrap(), message(b"half"));
        call.say(b"now", true);
        assert!(content.data().await.unwrap().unwrap_err().is_reset());
        // Taken back by the caller, seen by the backend.
        let told = &secure.service.told;
        let before = told.cancelled.load(Ordering::SeqCst);
        let calls = told.calls.load(Ordering::SeqCst);
        let mut call = caller.begin("Silent").await;
        call.say(b"x", false);
        wait(|| told.calls.load(Ordering::SeqCst) > calls).await;
        call.stream.send_reset(Reason::CANCEL);
        wait(|| told.cancelled.load(Ordering::SeqCst) == before + 1).await;
        assert_eq!(caller.call("Unary", b"x").await.status(), "0");
    });
}
