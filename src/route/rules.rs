//! How a listener wants paths to be seen: the switches of `[listeners.*.paths]`.
//!
//! What two readers of a path can take for two paths is a way around a route: `/x/../admin` is below `/x`
//! for one and `/admin` for the other. Each switch says what becomes of one such doubt: it is resolved as
//! most backends resolve it, kept because it means something to the backend, or refused.

/// What becomes of `.` and `..`, written out or as escapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DotSegments {
    /// They are resolved (RFC 3986 section 5.2.4), never above the root.
    #[default]
    Resolve,
    /// They are names like others.
    Keep,
    /// The path is refused.
    Reject,
}

/// What becomes of empty segments, but for the one at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RepeatedSlashes {
    /// A run of slashes is one slash.
    #[default]
    Merge,
    /// An empty segment is a segment.
    Keep,
    /// The path is refused.
    Reject,
}

/// What becomes of `%2F`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EncodedSlashes {
    /// It is data within a segment.
    #[default]
    Keep,
    /// It is a slash.
    Decode,
    /// The path is refused; also with `%5C` and with a backslash, which some backends take for a slash.
    Reject,
}

/// Which path the backend gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The one that the client sent.
    #[default]
    Raw,
    /// The one of [`resolved`](super::resolved::resolved).
    Normalised,
}

/// How paths are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathRules {
    /// What becomes of `.` and `..`.
    pub dot_segments: DotSegments,
    /// What becomes of `//`.
    pub repeated_slashes: RepeatedSlashes,
    /// What becomes of `%2F`.
    pub encoded_slashes: EncodedSlashes,
    /// Which path the backend gets.
    pub forward: Forward,
}

macro_rules! words {
    ($($switch:ident [$count:literal]: $($word:literal $value:ident),+;)+) => {
        $(impl $switch {
            /// The values with their words in the configuration.
            pub const WORDS: [(&str, Self); $count] = [$(($word, Self::$value)),+];

            /// The word in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        })+
    };
}

words! {
    DotSegments[3]: "resolve" Resolve, "keep" Keep, "reject" Reject;
    RepeatedSlashes[3]: "merge" Merge, "keep" Keep, "reject" Reject;
    EncodedSlashes[3]: "keep" Keep, "decode" Decode, "reject" Reject;
    Forward[2]: "raw" Raw, "normalised" Normalised;
}

impl PathRules {
    /// Whether some switch says that doubts are refused; then a `%` that starts no escape is one of them.
    pub fn refuses(self) -> bool {
        self.dot_segments == DotSegments::Reject
            || self.repeated_slashes == RepeatedSlashes::Reject
            || self.encoded_slashes == EncodedSlashes::Reject
    }
}

/// A path that can be read in more than one way, and is refused for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// `%00`, where many readers end.
    #[error("`%00` in the path")]
    Nul,
    /// A `%` that starts no escape.
    #[error("a `%` that starts no escape")]
    Percent,
    /// `.` or `..`.
    #[error("a dot segment in the path")]
    DotSegment,
    /// `//`.
    #[error("an empty segment in the path")]
    RepeatedSlash,
    /// `%2F`, `%5C` or a backslash.
    #[error("an encoded slash or a backslash in the path")]
    EncodedSlash,
}
