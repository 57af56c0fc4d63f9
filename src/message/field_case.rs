//! In which case field names are written: some backends of old compare them byte by byte.

/// In which case the names of fields are written (RFC 9110 section 5.1: it means nothing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldCase {
    /// As they came.
    #[default]
    Keep,
    /// `x-request-id`.
    Lower,
    /// `X-Request-Id`.
    Title,
}

impl FieldCase {
    /// Rewrites a name.
    pub fn apply(self, name: &mut [u8]) {
        match self {
            Self::Keep => {}
            Self::Lower => name.make_ascii_lowercase(),
            Self::Title => {
                let mut first = true;
                for byte in name {
                    if first {
                        byte.make_ascii_uppercase();
                    } else {
                        byte.make_ascii_lowercase();
                    }
                    first = *byte == b'-';
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_asked() {
        for (case, written) in [
            (FieldCase::Keep, "x-REQUEST-id"),
            (FieldCase::Lower, "x-request-id"),
            (FieldCase::Title, "X-Request-Id"),
        ] {
            let mut name = b"x-REQUEST-id".to_vec();
            case.apply(&mut name);
            assert_eq!(name, written.as_bytes(), "{case:?}");
        }
    }
}
