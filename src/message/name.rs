//! The names of fields that the house itself has business with, and finding them without regard to case.
//!
//! Every field of every head is asked for here, so lengths are constants to the compiler: folding a name and comparing
//! it with a known one are a few instructions each.

/// A field name that the house itself has business with; everything else is [`Name::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of that name")]
pub enum Name {
    AcceptEncoding,
    Accept,
    CacheControl,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    ForecourtExplain,
    Forwarded,
    Host,
    KeepAlive,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    SetCookie,
    Te,
    Traceparent,
    Trailer,
    TransferEncoding,
    Upgrade,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRequestId,
    Other,
}

/// Some of the known names, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u32);

impl Names {
    /// These names.
    pub const fn of(names: &[Name]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < names.len() {
            bits |= 1 << names[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// Whether the two have a name in common.
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    pub(super) fn add(&mut self, name: Name) {
        self.0 |= 1 << name as u32;
    }
}

impl Name {
    /// Finds the known name, without regard to case.
    #[allow(clippy::too_many_lines, reason = "a table of names")]
    #[inline]
    pub fn from_bytes(name: &[u8]) -> Self {
        // By length first: nearly every field is told apart from the known ones by that alone.
        match name.len() {
            2 => among(name, &[(b"te", Self::Te)]),
            3 => among(name, &[(b"via", Self::Via)]),
            4 => among(name, &[(b"host", Self::Host), (b"date", Self::Date)]),
            6 => among(
                name,
                &[
                    (b"cookie", Self::Cookie),
                    (b"accept", Self::Accept),
                    (b"expect", Self::Expect),
                ],
            ),
            7 => among(
                name,
                &[(b"upgrade", Self::Upgrade), (b"trailer", Self::Trailer)],
            ),
            9 => among(name, &[(b"forwarded", Self::Forwarded)]),
            10 => among(
                name,
                &[
                    (b"connection", Self::Connection),
                    (b"keep-alive", Self::KeepAlive),
                    (b"set-cookie", Self::SetCookie),
                ],
            ),
            11 => among(name, &[(b"traceparent", Self::Traceparent)]),
            12 => among(
                name,
                &[
                    (b"content-type", Self::ContentType),
                    (b"x-request-id", Self::XRequestId),
                ],
            ),
            13 => among(name, &[(b"cache-control", Self::CacheControl)]),
            14 => among(name, &[(b"content-length", Self::ContentLength)]),
            15 => among(
                name,
                &[
                    (b"x-forwarded-for", Self::XForwardedFor),
                    (b"accept-encoding", Self::AcceptEncoding),
                ],
            ),
            16 => among(
                name,
                &[
                    (b"x-forwarded-host", Self::XForwardedHost),
                    (b"proxy-connection", Self::ProxyConnection),
                ],
            ),
            17 => among(
                name,
                &[
                    (b"transfer-encoding", Self::TransferEncoding),
                    (b"x-forwarded-proto", Self::XForwardedProto),
                    (b"forecourt-explain", Self::ForecourtExplain),
                ],
            ),
            18 => among(name, &[(b"proxy-authenticate", Self::ProxyAuthenticate)]),
            19 => among(name, &[(b"proxy-authorization", Self::ProxyAuthorization)]),
            _ => Self::Other,
        }
    }
}

/// Finds a name among the known ones of its length. Of a length that the compiler knows, so that it compares all bytes at
/// once.
fn among<const N: usize>(name: &[u8], candidates: &[(&[u8; N], Name)]) -> Name {
    let Ok(name) = <&[u8; N]>::try_from(name) else {
        return Name::Other;
    };
    let found = candidates.iter().find(|(known, _)| is_spelt(name, known));
    found.map_or(Name::Other, |(_, known)| *known)
}

/// Whether a name is the known one, which is in lower case. The case of a letter is one bit of it, and of nothing else.
fn is_spelt<const N: usize>(name: &[u8; N], known: &[u8; N]) -> bool {
    // No early exit: looking at all bytes is cheaper than a branch at each.
    let differences = name
        .iter()
        .zip(known)
        .fold(0, |differences, (byte, known)| {
            let case = u8::from(known.is_ascii_lowercase()) << 5;
            differences | ((byte | case) ^ known)
        });
    differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_told_from_all_that_look_like_them() {
        assert_eq!(Name::from_bytes(b"X-Forwarded-FOR"), Name::XForwardedFor);
        for name in [&b"te"[..], b"keep-alive", b"x-forwarded-for"] {
            let known = Name::from_bytes(name);
            assert_ne!(known, Name::Other);
            for at in 0..name.len() {
                for byte in 0..=u8::MAX {
                    let mut other = name.to_vec();
                    other[at] = byte;
                    let is_same = other.eq_ignore_ascii_case(name);
                    assert_eq!(Name::from_bytes(&other) == known, is_same, "{byte} at {at}");
                }
            }
        }
    }
}
