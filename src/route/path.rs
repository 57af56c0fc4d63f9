//! Paths as a route names them: one, all below one, or all that a regex finds.
//!
//! A regex is written for text, and `.` is any character of it. Bytes that are no text must not be a way around
//! `^/admin/.*$`: a line's end is a character like others here, and where a regex finds nothing in bytes that are not
//! UTF-8, each byte that is no part of a character is shown to it as one ([`shown`]).

use std::fmt;
use std::hash::{Hash, Hasher};

use regex::bytes::{Regex, RegexBuilder};

use super::view;

/// Bytes that one compiled regex may take. Bounds what a line of configuration can cost in memory and in
/// time to compile: enough for any list of words, too little for nested repetitions of Unicode classes.
const REGEX_LIMIT_BYTES: usize = 1 << 20;

/// Which paths a route takes. The checked constructors are for what people wrote; the variants are public
/// for those who build matchers themselves.
#[derive(Clone, Debug, PartialEq)]
pub enum PathPattern {
    /// Every path, and the `*` of `OPTIONS *`.
    Any,
    /// This path.
    Exact(Box<str>),
    /// This path and all below it, by whole segments.
    Prefix(Box<str>),
    /// Every path in which the regex finds something.
    Regex(PathRegex),
}

/// A regex over the bytes of a path, or of a value that a condition looks at. Compared by its text; cheap to clone.
#[derive(Clone, Debug)]
pub struct PathRegex {
    text: Box<str>,
    regex: Regex,
}

/// Why a text is no path of a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// It starts with something else than a slash.
    #[error("a path starts with `/`")]
    NotAbsolute,
    /// It has a query or a fragment, which are not part of the path.
    #[error("a path has no `{0}`: routes look at the path only")]
    NotPath(char),
    /// It has a control character.
    #[error("a path cannot have the character {0:?}")]
    Character(char),
    /// A `%` without two hexadecimal digits.
    #[error("`%` must be followed by two hexadecimal digits; the character itself is `%25`")]
    Escape,
    /// `//`, `/./` or `/../`: requests are compared with those resolved, so this would match by surprise.
    #[error(
        "a path is written without `//`, `.` and `..`, as requests are compared with those resolved"
    )]
    NotNormal,
}

/// Why a text is no regex of a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathRegexError {
    /// It is not a regex; in the words of the parser.
    #[error("{0}")]
    Syntax(String),
    /// It is a regex that takes too much memory.
    #[error("the regex takes more than {} KiB when compiled: repeat less, or use `(?-u)` for ASCII classes", .0 / 1024)]
    TooLarge(usize),
}

impl PathPattern {
    /// Reads the path of an exact match.
    pub fn exact(text: &str) -> Result<Self, PathPatternError> {
        check(text)?;
        Ok(Self::Exact(text.into()))
    }

    /// Reads a prefix.
    pub fn prefix(text: &str) -> Result<Self, PathPatternError> {
        check(text)?;
        Ok(Self::Prefix(text.into()))
    }

    /// Reads a regex.
    pub fn regex(text: &str) -> Result<Self, PathRegexError> {
        PathRegex::parse(text).map(Self::Regex)
    }
}

/// The path as written; nothing for [`PathPattern::Any`].
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exact(path) | Self::Prefix(path) => f.write_str(path),
            Self::Regex(regex) => f.write_str(regex.as_str()),
        }
    }
}

impl PathRegex {
    /// Compiles a regex in the syntax of the `regex` crate, which runs in time linear in the path whatever is written.
    pub fn parse(text: &str) -> Result<Self, PathRegexError> {
        RegexBuilder::new(text)
            .size_limit(REGEX_LIMIT_BYTES)
            .dot_matches_new_line(true)
            .build()
            .map(|regex| Self {
                text: text.into(),
                regex,
            })
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(limit) => PathRegexError::TooLarge(limit),
                other => PathRegexError::Syntax(last_line(&other.to_string())),
            })
    }

    /// The regex as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Number of groups, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The number of the group of this name.
    pub fn group(&self, name: &str) -> Option<usize> {
        let mut names = self.regex.capture_names();
        names.position(|found| found == Some(name))
    }

    /// What each group takes of a path as [`view`] gives it, the whole match first; nothing for groups that take
    /// no part. Empty if the regex finds nothing.
    pub fn captures<'p>(&self, path: &'p [u8]) -> Vec<&'p [u8]> {
        if let Some(captures) = self.regex.captures(path) {
            let groups = captures.iter();
            return groups
                .map(|group| group.map_or(&b""[..], |group| group.as_bytes()))
                .collect();
        }
        let text = shown(path);
        let Some(captures) = text.as_ref().and_then(|text| self.regex.captures(text)) else {
            return Vec::new();
        };
        let groups = captures.iter().map(|group| {
            let range = group.map_or(0..0, |group| group.range());
            &path[offset_of(path, range.start)..offset_of(path, range.end)]
        });
        groups.collect()
    }

    pub(super) fn finds(&self, path: &[u8]) -> bool {
        self.regex.is_match(path) || shown(path).is_some_and(|text| self.regex.is_match(&text))
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathRegex {}

impl Hash for PathRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Bytes as text, if they are none: with U+FFFD in place of each byte that is no part of a character.
fn shown(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    let mut text = Vec::with_capacity(2 * bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        text.extend(chunk.invalid().iter().flat_map(|_| NO_TEXT));
    }
    Some(text)
}

/// Where in `bytes` that stands which is at `offset` in what is [`shown`] of them.
fn offset_of(bytes: &[u8], offset: usize) -> usize {
    let (mut at, mut left) = (0, offset);
    for chunk in bytes.utf8_chunks() {
        let (valid, invalid) = (chunk.valid().len(), chunk.invalid().len());
        if left <= valid {
            return at + left;
        }
        left -= valid;
        at += valid;
        if left <= invalid * NO_TEXT.len() {
            return at + left / NO_TEXT.len();
        }
        left -= invalid * NO_TEXT.len();
        at += invalid;
    }
    at
}

/// U+FFFD in UTF-8.
const NO_TEXT: [u8; 3] = *b"\xef\xbf\xbd";

fn check(text: &str) -> Result<(), PathPatternError> {
    if !text.starts_with('/') {
        return Err(PathPatternError::NotAbsolute);
    }
    for character in text.chars() {
        match character {
            '?' | '#' => return Err(PathPatternError::NotPath(character)),
            _ if character.is_control() => return Err(PathPatternError::Character(character)),
            _ => {}
        }
    }
    if !view::escapes_are_whole(text.as_bytes()) {
        return Err(PathPatternError::Escape);
    }
    if text.contains("%00") {
        // No request with it gets as far as a route.
        return Err(PathPatternError::Character('\0'));
    }
    if !view::is_resolved(text.as_bytes()) {
        return Err(PathPatternError::NotNormal);
    }
    Ok(())
}

/// The parser draws the regex with carets over several lines and says what is wrong in the last one.
fn last_line(message: &str) -> String {
    let line = message
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or(message);
    line.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_checked() {
        use PathPatternError as Error;
        for (text, verdict) in [
            ("/", Ok(())),
            ("/a/", Ok(())),
            ("/a%20b/caf\u{e9}/%2F", Ok(())),
            ("/.well-known/...", Ok(())),
            ("", Err(Error::NotAbsolute)),
            ("a", Err(Error::NotAbsolute)),
            ("/a?b", Err(Error::NotPath('?'))),
            ("/a#b", Err(Error::NotPath('#'))),
            ("/a\tb", Err(Error::Character('\t'))),
            ("/100%", Err(Error::Escape)),
            ("/%4", Err(Error::Escape)),
            ("/%zz", Err(Error::Escape)),
            ("/a%00", Err(Error::Character('\0'))),
            ("//a", Err(Error::NotNormal)),
            ("/a/../b", Err(Error::NotNormal)),
            ("/a/.", Err(Error::NotNormal)),
            ("/a/%2e%2E", Err(Error::NotNormal)),
        ] {
            assert_eq!(PathPattern::exact(text).map(|_| ()), verdict, "{text}");
            assert_eq!(PathPattern::prefix(text).map(|_| ()), verdict, "{text}");
        }
    }

    #[test]
    fn a_regex_is_compared_by_its_text() {
        let one = PathRegex::parse("^/p/[0-9]+$").unwrap();
        assert_eq!(one, PathRegex::parse("^/p/[0-9]+$").unwrap());
        assert_ne!(one, PathRegex::parse("^/p/[0-9]*$").unwrap());
        assert!(one.finds(b"/p/17") && !one.finds(b"/p/"));
    }

    /// Spellings that a backend may take for a path below `/admin`.
    #[test]
    fn no_byte_is_a_way_around_a_regex() {
        let regex = |text: &str| PathRegex::parse(text).unwrap();
        for path in [
            &b"/admin/x"[..],
            b"/admin/\nx",
            b"/admin/\xff",
            b"/admin/\xc3(\xe9",
        ] {
            for text in ["^/admin/.*$", "^/admin/[^/]+$", r"^/admin/(?-u:.)"] {
                assert!(regex(text).finds(path), "{text} {}", path.escape_ascii());
            }
            assert!(!regex("^/admin/[a-w]+$").finds(path));
        }
        assert!(regex(r"(?-u)^/\xff$").finds(b"/\xff"), "bytes can be meant");
    }

    #[test]
    fn groups_take_bytes_as_they_are() {
        let regex = PathRegex::parse("^/(.)/([^/]*)/(.*)(x)?$").unwrap();
        for (path, groups) in [
            (&b"/a/b/c"[..], [&b"a"[..], b"b", b"c", b""]),
            (
                b"/\xff/\xc3\xa9\xe9/\n",
                [b"\xff", b"\xc3\xa9\xe9", b"\n", b""],
            ),
            (
                b"/\xc3\xa9/\xe2\x82/a\xff",
                [b"\xc3\xa9", b"\xe2\x82", b"a\xff", b""],
            ),
        ] {
            let found = regex.captures(path);
            assert_eq!(found[0], path);
            assert_eq!(found[1..], groups, "{}", path.escape_ascii());
        }
        assert!(regex.captures(b"/\xff").is_empty());
    }

    #[test]
    fn a_bad_regex_says_what_is_wrong_in_one_line() {
        let error = PathRegex::parse("^/p/(").unwrap_err();
        assert_eq!(error.to_string(), "unclosed group");
        let error = PathRegex::parse(r"(?:\pL{1000}){1000}").unwrap_err();
        assert_eq!(error, PathRegexError::TooLarge(REGEX_LIMIT_BYTES));
        assert!(error.to_string().contains("1024 KiB"), "{error}");
    }
}
