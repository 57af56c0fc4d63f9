//! Every way in which a request fails, with its cause and its remedy: the one list of error codes.
//!
//! The words are those of the `forecourt-error` header, of the `cause` label and of the access log.
//! Meaning and remedy are written once, here: they are the documentation of the variants and the
//! text of the reference in the README. Which status a cause becomes is the proxy's business.

use super::words::words;

macro_rules! causes {
    ($($variant:ident $word:literal: $meaning:literal, $remedy:literal;)+) => {
        words! {
            /// Why a request failed: first what client or balancer answer for, then, from
            /// [`Cause::ConnectRefused`] on, what a backend answers for.
            Cause {
                $(
                    #[doc = concat!("`", $word, "`: ", $meaning, ".")]
                    #[doc = ""]
                    #[doc = concat!("Remedy: ", $remedy, ".")]
                    $variant = $word,
                )+
            }
        }

        impl Cause {
            /// What happened, in one sentence without a full stop.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                }
            }

            /// What an operator can do about it, in one sentence without a full stop.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$variant => $remedy,)+
                }
            }
        }
    };
}

causes! {
    BadRequest "bad-request":
        "the request is malformed or could be read in more than one way",
        "look at the client, or at what stands between it and the balancer; such requests are never passed on";
    AmbiguousPath "ambiguous-path":
        "the path can be read in more than one way, and the listener's `paths` refuse that; `%00` is always refused",
        "look at the client; if the backend needs such paths, let the switch under `paths` of the listener keep or resolve them";
    HeaderTimeout "header-timeout":
        "the request head was not complete in time",
        "raise `timeouts.header` of the listener if honest clients are that slow";
    RequestBodyTimeout "request-body-timeout":
        "the client stopped sending its request body",
        "raise `timeouts.body` of the listener if honest clients pause that long";
    ClientTooSlow "client-too-slow":
        "the client sent its request, or took its answer, more slowly than a body has to move",
        "lower `limits.body_rate` or raise `timeouts.body` of the listener if honest clients are that slow";
    BodyTooLarge "body-too-large":
        "the request body is over the limit",
        "raise `limits.body_bytes` of the listener, or send less";
    TargetTooLong "target-too-long":
        "the request target alone is over the limit of the head",
        "raise `limits.header_bytes` of the listener, or move data from the URL into the body";
    HeadTooLarge "head-too-large":
        "the request head has too many bytes or too many fields",
        "raise `limits.header_bytes` or `limits.headers` of the listener; often cookies have piled up";
    VersionUnsupported "version-unsupported":
        "the request is of a version of HTTP that is not served here",
        "use HTTP/1.1 or HTTP/1.0";
    TooManyConnections "too-many-connections":
        "the client has too many connections at once",
        "raise `limits.connections_per_client` of the listener, or let a balancer before it say who its clients are";
    ProxyProtocol "proxy-protocol":
        "the PROXY header at the front of the connection is missing, malformed or of somebody who may not send one",
        "correct `proxy_protocol` and `trusted_proxies` of the listener, or what stands before it; the connection is closed without an answer";
    Misdirected "misdirected":
        "the host has another certificate than the one that this connection has shown by the name it was opened for",
        "nothing for browsers, which then ask on a connection of its own; or let one certificate have both names";
    MethodNotAllowed "method-not-allowed":
        "the method is one that a reverse proxy does not serve, such as CONNECT",
        "use a forward proxy for tunnels";
    NoRoute "no-route":
        "no route takes this host and path on this listener",
        "add a route, or correct the host";
    LoopDetected "loop-detected":
        "the request has passed a balancer of this kind ten times: one is among its own backends",
        "look for a pool whose backend is a listener, of this balancer or of one behind it";
    NoBackend "no-backend":
        "no backend of the pool may be picked: all failing, drained, in maintenance or of weight 0",
        "see `forecourt status` for the reason of each backend; bring one back, or add one";
    QueueFull "queue-full":
        "all backends of the pool have as many requests as they may have, and as many as may wait for a place are waiting",
        "add backends; or raise `limits` of the pool: `per_backend` if they can take more, `queue` if clients can wait longer";
    QueueTimeout "queue-timeout":
        "all backends of the pool had as many requests as they may have, and no place became free in time",
        "add backends, or find out why they are slow; raise `limits.queue_timeout` of the pool if clients can wait longer";
    Shed "shed":
        "all backends of the pool are full, the queue too, and a request of a more important route took this one's place in it",
        "add backends; or raise `limits.queue` of the pool, or `priority` of the route if it should not have been this one";
    DescriptorsExhausted "descriptors-exhausted":
        "the process has no file descriptor left for a connection to the backend",
        "raise the limit of open files (`ulimit -n`, `LimitNOFILE`), or lower `limits.connections` of the listeners";
    ClientAborted "client-aborted":
        "the client went away before it had its answer",
        "nothing, if it is rare; if it is not, look for slow answers or for short timeouts before the balancer";
    Outrun "outrun":
        "another attempt at the same request was answered first, and this one was given up (`retry.hedge` of the pool)",
        "nothing: of attempts only, in the access log; if it is frequent, see `forecourt_hedges_total`";
    ConnectRefused "connect-refused":
        "the backend refused the connection",
        "start the backend, or correct its address; give the pool a health check so that it is not asked";
    ConnectTimeout "connect-timeout":
        "no connection to the backend came about in time",
        "look at the network, firewall and accept queue of the backend; raise `timeouts.connect` of the pool if it is far away";
    ConnectFailed "connect-failed":
        "no connection to the backend came about, for another reason than refusal or time",
        "read the reason in the operator's log; often a route, an address or permissions of a socket file are missing";
    TlsFailed "tls-failed":
        "the connection to the backend stands, but no TLS came about: its certificate is not good, or one side refused",
        "read the reason in the operator's log; correct the certificate of the backend, or `tls` of the pool";
    Reset "reset":
        "the backend reset the connection before its response head was complete",
        "look into the backend's log for a crash or a restart at that time";
    Closed "closed":
        "the backend closed the connection before its response head was complete",
        "look into the backend's log; keep its idle timeout longer than `timeouts.idle` of the pool";
    Protocol "protocol":
        "the backend's response is malformed or could be read in more than one way",
        "correct the backend; look at what it sends with `curl --raw -v`";
    ResponseTimeout "response-timeout":
        "the backend did not send its response head in time",
        "find out why it is slow, or raise `timeouts.response` of the pool";
    BodyTruncated "body-truncated":
        "the backend ended the response body before its announced end",
        "look into the backend's log for a crash or a limit at that time";
    BodyOverrun "body-overrun":
        "the backend sent more than it had announced",
        "correct the content-length that the backend sends";
    BodyTimeout "body-timeout":
        "the backend stopped sending its response body",
        "find out why it stalls, or raise `timeouts.body` of the listener";
    BadStatus "bad-status":
        "the backend answered a health check with a status that is not among those expected (for gRPC: not SERVING)",
        "look into the backend's log; correct `path` or `expected` under `health` of the pool if it is well";
    BadBody "bad-body":
        "the backend answered a health check without the text that is expected in the first 64 KiB of the body",
        "look at what it answers; correct `body` under `health` of the pool if it is well";
}

impl Cause {
    /// Those by which a request fails that a backend answers for, counted per backend: from [`Cause::ConnectRefused`] on,
    /// without those that only checks find.
    pub const fn of_backend() -> &'static [Self] {
        const FIRST: usize = Cause::ConnectRefused.index();
        const ALL: &[Cause] = &Cause::ALL;
        const OF_CHECKS: usize = Cause::BadStatus.index();
        ALL.split_at(OF_CHECKS).0.split_at(FIRST).1
    }

    /// Whether a rule or limit of ours refused or cut what the client did: counted per listener.
    pub const fn is_refusal(self) -> bool {
        let of_client = !matches!(
            self,
            Self::ClientAborted
                | Self::DescriptorsExhausted
                | Self::NoBackend
                | Self::Outrun
                | Self::QueueFull
                | Self::QueueTimeout
                | Self::Shed
        );
        of_client && !self.is_of_backend()
    }

    /// Whether a backend answers for it.
    pub const fn is_of_backend(self) -> bool {
        self.index() >= Self::ConnectRefused.index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_answer_for_the_second_part_of_the_list() {
        let words: Vec<_> = Cause::of_backend()
            .iter()
            .map(|cause| cause.as_str())
            .collect();
        assert_eq!(
            words,
            [
                "connect-refused",
                "connect-timeout",
                "connect-failed",
                "tls-failed",
                "reset",
                "closed",
                "protocol",
                "response-timeout",
                "body-truncated",
                "body-overrun",
                "body-timeout",
            ]
        );
        assert!(Cause::BadStatus.is_of_backend() && Cause::BadBody.is_of_backend());
        assert!(Cause::Reset.is_of_backend() && !Cause::ClientAborted.is_of_backend());
    }

    #[test]
    fn refusals_are_of_the_clients_side() {
        assert!(Cause::BadRequest.is_refusal() && Cause::ClientTooSlow.is_refusal());
        for other in [Cause::ClientAborted, Cause::NoBackend, Cause::Reset] {
            assert!(!other.is_refusal(), "{other}");
        }
    }

    #[test]
    fn words_fit_a_header_and_texts_fit_a_table() {
        let mut seen = std::collections::HashSet::new();
        for cause in Cause::ALL {
            let word = cause.as_str();
            assert!(seen.insert(word), "{word} twice");
            assert!(
                word.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{word}"
            );
            for text in [cause.meaning(), cause.remedy()] {
                assert!(
                    !text.is_empty() && !text.ends_with('.') && !text.contains(['|', '\n']),
                    "{word}: {text}"
                );
            }
        }
    }
}
