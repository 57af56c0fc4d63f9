//! Closed sets of label values: each an enum whose variants are the index of a cell and a word of the exposition.
//!
//! Labels come from the configuration and from these enums, never from clients; so the number of
//! series is known when a configuration is loaded, and a cell is found by index, without a look-up.

/// Defines an enum of label values: `COUNT`, `ALL` in the order of the cells, `as_str`, `index` and `Display`.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:expr,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// How many there are.
            pub const COUNT: usize = [$($word),+].len();

            /// All of them, in the order of their cells.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];

            /// The word in metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The place of its cell.
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use words;

words! {
    /// How an exchange or an attempt ended, as the `code` label has it.
    CodeClass {
        /// 100 to 199: an upgrade (101) is the only one that ends an exchange.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 and above.
        ServerError = "5xx",
        /// No response head was sent: the client went away first.
        Aborted = "aborted",
    }
}

impl CodeClass {
    /// The class of a status code; what is no status code (0: none was sent) counts as aborted.
    pub const fn of(status: u16) -> Self {
        match status {
            0..=99 => Self::Aborted,
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500..=u16::MAX => Self::ServerError,
        }
    }
}

words! {
    /// Why a backend was picked.
    PickReason {
        /// The strategy chose it.
        Strategy = "strategy",
        /// A sticky cookie named it.
        Sticky = "sticky",
        /// An earlier attempt of the same exchange had failed.
        Retry = "retry",
        /// Too few were ready, so readiness was not asked for.
        Panic = "panic",
        /// An earlier attempt of the same exchange had not answered for long.
        Hedge = "hedge",
    }
}

words! {
    /// Why the spans of a request were lost.
    TraceLoss {
        /// Too many waited to be exported.
        QueueFull = "queue-full",
        /// The collector could not be reached, or could not take them for now, as often as they were sent.
        Failed = "failed",
        /// The collector does not want them.
        Refused = "refused",
    }
}

words! {
    /// What became of a retry.
    RetryOutcome {
        /// The last attempt was answered.
        Ok = "ok",
        /// The last attempt failed too.
        Failed = "failed",
        /// A retry was due, and there was no attempt or backend left for it.
        NoneLeft = "none-left",
        /// A retry was due, and the pool's budget had no room for it.
        Budget = "budget",
    }
}

words! {
    /// What became of a request that was not answered when a hedge was due.
    HedgeOutcome {
        /// The second attempt answered first.
        Won = "won",
        /// The first attempt answered first after all.
        Lost = "lost",
        /// Neither attempt was answered.
        Failed = "failed",
        /// The client went away first.
        Left = "left",
        /// There was no second attempt: no attempt left, or no other backend that takes one.
        NoneLeft = "none-left",
        /// There was no second attempt: the pool's budget had no room for it.
        Budget = "budget",
    }
}

words! {
    /// What became of a request that found all backends full.
    QueueOutcome {
        /// It waited and had a place.
        Admitted = "admitted",
        /// It waited in vain.
        Timeout = "timeout",
        /// There was no place in the queue either.
        Full = "full",
        /// A more important request took its place in the queue.
        Shed = "shed",
        /// Its client went away while it waited.
        Left = "left",
    }
}

words! {
    /// Why a backend was ejected.
    Ejection {
        /// Several attempts in a row failed, or were answered by 502, 503 or 504.
        Failures = "failures",
        /// Far more 5xx than of the rest of the pool.
        Errors = "errors",
    }
}

words! {
    /// How a health check ended.
    CheckResult {
        /// The backend is well by it.
        Ok = "ok",
        /// It is not.
        Failed = "failed",
    }
}

words! {
    /// What became of a request to a pool with stickiness.
    StickyOutcome {
        /// No cookie: the client is bound from now on.
        New = "new",
        /// The cookie named a backend, and it took the request.
        Bound = "bound",
        /// The cookie named a backend that cannot take requests: bound to another one.
        Rebound = "rebound",
        /// The cookie is not one of ours: treated as new.
        Forged = "forged",
        /// The cookie is ours and too old: treated as new.
        Expired = "expired",
    }
}

words! {
    /// What became of a TLS handshake with a client.
    TlsResult {
        /// There is a session.
        Ok = "ok",
        /// The client has shown a certificate that has expired or is not valid yet.
        CertificateExpired = "certificate-expired",
        /// The client has shown a certificate that is not good for another reason.
        CertificateInvalid = "certificate-invalid",
        /// The client has shown no certificate, and one is required.
        CertificateMissing = "certificate-missing",
        /// The client has shown a certificate that no known authority has signed.
        CertificateUntrusted = "certificate-untrusted",
        /// The client broke it off with an alert: most often it does not believe our certificate.
        ClientAlert = "client-alert",
        /// The client went away without a word.
        ClientGone = "client-gone",
        /// The client broke the rules of the protocol.
        Failed = "failed",
        /// What came is not TLS.
        NotTls = "not-tls",
        /// No cipher suite, group, signature or protocol that both sides know.
        NothingInCommon = "nothing-in-common",
        /// No version of TLS that both sides speak.
        ProtocolVersion = "protocol-version",
        /// It did not come to its end in time.
        TimedOut = "timed-out",
    }
}

impl TlsResult {
    /// Whether it is the client's certificate that is not as it should be.
    pub const fn is_of_certificate(self) -> bool {
        matches!(
            self,
            Self::CertificateExpired
                | Self::CertificateInvalid
                | Self::CertificateMissing
                | Self::CertificateUntrusted
        )
    }
}

words! {
    /// What became of a reload.
    ReloadResult {
        /// The new configuration serves.
        Ok = "ok",
        /// The new configuration has problems; the old one goes on.
        Refused = "refused",
        /// The new configuration served, and was taken back.
        Reverted = "reverted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_order_agree_and_words_are_distinct() {
        for (index, class) in CodeClass::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
        }
        let words: std::collections::HashSet<_> = StickyOutcome::ALL
            .iter()
            .map(|word| word.as_str())
            .collect();
        assert_eq!(words.len(), StickyOutcome::COUNT);
    }

    #[test]
    fn every_status_has_a_class() {
        assert_eq!(CodeClass::of(0), CodeClass::Aborted);
        assert_eq!(CodeClass::of(101), CodeClass::Informational);
        assert_eq!(CodeClass::of(204), CodeClass::Success);
        assert_eq!(CodeClass::of(304), CodeClass::Redirection);
        assert_eq!(CodeClass::of(499), CodeClass::ClientError);
        assert_eq!(CodeClass::of(503), CodeClass::ServerError);
        assert_eq!(CodeClass::of(999), CodeClass::ServerError);
    }
}
