//! A path in resolved form: fit to be sent, with nothing left for a backend to resolve.
//!
//! Dot segments and repeated slashes are gone as the rules say; escapes of unreserved characters are written
//! out, all others stay escapes, in upper case: `%3B` never becomes `;`, which could mean something else to
//! the backend. A `%` that starts no escape becomes `%25`. What is not escaped stays as it is.
//!
//! Resolving twice changes nothing, and a path is seen by routes as its resolved form is.

use std::borrow::Cow;

use super::rules::{Ambiguous, PathRules};
use super::view::{self, Decoded, Room};

/// Gives the resolved form of `raw`, a path without its query: nearly always `raw` itself. What does not start
/// with a slash (`*`) is left as it is; an empty path is `/`.
///
/// # Errors
/// If the path can be read in more than one way and the rules refuse that; `%00` is always refused.
pub fn resolved(raw: &[u8], rules: PathRules) -> Result<Cow<'_, [u8]>, Ambiguous> {
    match raw.first() {
        None => Ok(Cow::Borrowed(b"/")),
        Some(b'/') if !view::is_plain(raw, rules) => {
            let mut room = Room::new();
            view::resolve(raw, rules, Decoded::Unreserved, &mut room)?;
            Ok(Cow::Owned(room.into_vec()))
        }
        Some(_) => Ok(Cow::Borrowed(raw)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::route::rules::{DotSegments, EncodedSlashes, Forward, RepeatedSlashes};

    fn form(raw: &str) -> String {
        let form = resolved(raw.as_bytes(), PathRules::default()).unwrap();
        String::from_utf8_lossy(&form).into_owned()
    }

    #[test]
    fn a_path_is_resolved_and_not_decoded() {
        for (raw, expected) in [
            ("", "/"),
            ("*", "*"),
            ("/a/b", "/a/b"),
            ("/a//b/./c/../d", "/a/b/d"),
            ("/%61%7e%2D%5f", "/a~-_"),
            ("/a%3bb%2fc%c3%a9%20", "/a%3Bb%2Fc%C3%A9%20"),
            ("/%2e%2E/%2e/a", "/a"),
            ("/100%", "/100%25"),
            ("/a;b=c/d,e", "/a;b=c/d,e"),
        ] {
            assert_eq!(form(raw), expected, "{raw}");
        }
    }

    fn rules() -> impl Strategy<Value = PathRules> {
        (
            select(vec![
                DotSegments::Resolve,
                DotSegments::Keep,
                DotSegments::Reject,
            ]),
            select(vec![
                RepeatedSlashes::Merge,
                RepeatedSlashes::Keep,
                RepeatedSlashes::Reject,
            ]),
            select(vec![
                EncodedSlashes::Keep,
                EncodedSlashes::Decode,
                EncodedSlashes::Reject,
            ]),
        )
            .prop_map(
                |(dot_segments, repeated_slashes, encoded_slashes)| PathRules {
                    dot_segments,
                    repeated_slashes,
                    encoded_slashes,
                    forward: Forward::default(),
                },
            )
    }

    fn path() -> impl Strategy<Value = Vec<u8>> {
        let pieces = vec![
            "a", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", "%25", "%", "2",
            "e", "%00", "%c3", "%3b", "%7E", ";",
        ];
        vec(select(pieces), 0..12).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
    }

    /// The segments, with all that could be another spelling written out.
    fn segments(path: &[u8], encoded_slashes: EncodedSlashes) -> Vec<String> {
        let text = String::from_utf8(path.to_vec()).unwrap();
        let slash = if encoded_slashes == EncodedSlashes::Decode {
            "/"
        } else {
            "%2F"
        };
        let text = text.replace("%2f", "%2F").replace("%2F", slash);
        let text = text.replace("%2e", ".").replace("%2E", ".");
        text.split('/').skip(1).map(str::to_owned).collect()
    }

    proptest! {
        #[test]
        fn resolving_twice_changes_nothing(raw in path(), rules in rules()) {
            if let Ok(once) = resolved(&raw, rules) {
                let twice = resolved(&once, rules);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }

        #[test]
        fn routes_see_a_path_as_its_resolved_form(raw in path(), rules in rules()) {
            let (mut first, mut second) = (Room::new(), Room::new());
            let seen = view::of(&raw, rules, &mut first);
            match resolved(&raw, rules) {
                Ok(form) => prop_assert_eq!(view::of(&form, rules, &mut second), seen),
                Err(doubt) => prop_assert_eq!(seen, Err(doubt)),
            }
        }

        #[test]
        fn what_a_rule_forbids_is_gone_in_every_spelling(raw in path(), rules in rules()) {
            let before = segments(&raw, rules.encoded_slashes);
            let dots = |segments: &[String]| segments.iter().any(|name| name == "." || name == "..");
            let empty = |segments: &[String]| {
                segments.split_last().is_some_and(|(_, before)| before.iter().any(String::is_empty))
            };
            match resolved(&raw, rules) {
                Ok(form) => {
                    prop_assert!(!form.windows(3).any(|three| three == b"%00"));
                    let after = segments(&form, rules.encoded_slashes);
                    match rules.dot_segments {
                        DotSegments::Resolve => prop_assert!(!dots(&after)),
                        DotSegments::Reject => prop_assert!(!dots(&before)),
                        DotSegments::Keep => prop_assert_eq!(dots(&before), dots(&after)),
                    }
                    match rules.repeated_slashes {
                        RepeatedSlashes::Merge => prop_assert!(!empty(&after)),
                        RepeatedSlashes::Reject => prop_assert!(!empty(&before)),
                        RepeatedSlashes::Keep => {}
                    }
                    if rules.encoded_slashes == EncodedSlashes::Reject {
                        let text = String::from_utf8(raw).unwrap().to_lowercase();
                        for spelling in ["%2f", "%5c", "\\"] {
                            prop_assert!(!text.contains(spelling));
                        }
                    }
                }
                Err(Ambiguous::DotSegment) => prop_assert!(dots(&before)),
                Err(Ambiguous::RepeatedSlash) => prop_assert!(empty(&before)),
                Err(_) => {}
            }
        }
    }
}
