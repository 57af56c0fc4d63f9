//! The one head of the house: a request's or a response's first line and fields, as spans over one buffer.
//!
//! Admission, routing, affinity and rewriting know this type only, whichever version of HTTP brought
//! the message. A head owns its bytes, so the connection's read buffer is free for the body as soon
//! as the head is parsed; it is made to be reused ([`Head::clear`] keeps the memory), so that in a
//! steady state no request allocates for it. Field order and case are kept; removing marks, adding
//! appends.

use std::fmt;

use super::method::Method;
pub use super::name::{Name, Names};

/// A first line and its fields.
#[derive(Clone, Default)]
pub struct Head {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    start: Start,
    version: Version,
    /// The names that fields have been added with since it was empty: whoever asks for one that never was there, and most
    /// do, walks no fields.
    seen: Names,
}

/// The version of the message as it was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// One field of a head, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct FieldRef<'a> {
    /// Which of the known names it is.
    pub known: Name,
    /// The name as it was written.
    pub name: &'a [u8],
    /// The value without the white space around it.
    pub value: &'a [u8],
}

/// Fields as HTTP/1 writes them.
#[derive(Clone, Copy, Debug)]
pub enum Lines<'a> {
    /// Some that lie one behind the other as `name: value`, each with its line end.
    Whole(&'a [u8]),
    /// One that lies otherwise.
    Apart(FieldRef<'a>),
}

#[derive(Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
    known: Name,
    removed: bool,
    /// Whether it lies in the bytes as `name: value` and its line end, as it is written.
    is_line: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum Start {
    #[default]
    Empty,
    Request {
        method: Method,
        method_text: Span,
        target: Span,
    },
    Response {
        status: u16,
        reason: Span,
    },
}

impl Head {
    /// An empty head; it allocates when it is first filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the head and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.start = Start::Empty;
        self.version = Version::default();
        self.seen = Names::default();
    }

    /// Bytes of memory that the head holds, for whoever decides whether it is worth keeping.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// Makes this a request's head with no fields. `target` is kept as given.
    pub fn set_request(&mut self, method: &[u8], target: &[u8], version: Version) {
        self.clear();
        let method_text = self.append(method);
        let target = self.append(target);
        self.version = version;
        self.start = Start::Request {
            method: Method::from_bytes(method),
            method_text,
            target,
        };
    }

    /// Makes this a response's head with no fields. An empty `reason` is allowed.
    pub fn set_response(&mut self, status: u16, reason: &[u8], version: Version) {
        self.clear();
        let reason = self.append(reason);
        self.version = version;
        self.start = Start::Response { status, reason };
    }

    /// The version as received; what is sent is decided by the writer.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The method; [`Method::Other`] for a response's head.
    pub fn method(&self) -> Method {
        match self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } | Start::Empty => Method::Other,
        }
    }

    /// The method as it was written; empty for a response's head.
    pub fn method_bytes(&self) -> &[u8] {
        match self.start {
            Start::Request { method_text, .. } => self.at(method_text),
            Start::Response { .. } | Start::Empty => b"",
        }
    }

    /// The request target; empty for a response's head.
    pub fn target(&self) -> &[u8] {
        match self.start {
            Start::Request { target, .. } => self.at(target),
            Start::Response { .. } | Start::Empty => b"",
        }
    }

    /// Replaces the request target. Nothing happens to a response's head.
    pub fn set_target(&mut self, new: &[u8]) {
        let span = self.append(new);
        if let Start::Request { target, .. } = &mut self.start {
            *target = span;
        }
    }

    /// Cuts the request target down to `range` of what it is now (absolute-form to origin-form).
    pub fn narrow_target(&mut self, range: std::ops::Range<usize>) {
        if let Start::Request { target, .. } = &mut self.start {
            let length = (target.end - target.start) as usize;
            debug_assert!(range.start <= range.end && range.end <= length);
            let (start, end) = (range.start.min(length) as u32, range.end.min(length) as u32);
            *target = Span {
                start: target.start + start,
                end: target.start + end.max(start),
            };
        }
    }

    /// The status code; 0 for a request's head.
    pub fn status(&self) -> u16 {
        match self.start {
            Start::Response { status, .. } => status,
            Start::Request { .. } | Start::Empty => 0,
        }
    }

    /// The reason phrase; empty for a request's head.
    pub fn reason(&self) -> &[u8] {
        match self.start {
            Start::Response { reason, .. } => self.at(reason),
            Start::Request { .. } | Start::Empty => b"",
        }
    }

    /// The fields that have not been removed, in order.
    pub fn fields(&self) -> impl Iterator<Item = FieldRef<'_>> {
        self.fields
            .iter()
            .filter(|field| !field.removed)
            .map(|field| self.seen_as(field))
    }

    /// The fields that have not been removed and are `wanted`, in order, in pieces as large as can be: most lie in the
    /// head as they came off the wire and go out again, so that many are copied at once.
    pub fn lines(&self, wanted: impl Fn(Name) -> bool) -> impl Iterator<Item = Lines<'_>> {
        let is_wanted = move |field: &&Field| !field.removed && wanted(field.known);
        let mut fields = self.fields.iter().filter(is_wanted).peekable();
        std::iter::from_fn(move || {
            let first = fields.next()?;
            let Some(mut lines) = Self::line(first) else {
                return Some(Lines::Apart(self.seen_as(first)));
            };
            while let Some(next) = fields.peek().and_then(|field| Self::line(field))
                && next.start == lines.end
            {
                lines.end = next.end;
                fields.next();
            }
            Some(Lines::Whole(&self.bytes[lines]))
        })
    }

    /// Where a field lies, if it lies as one line in the form in which it is written.
    fn line(field: &Field) -> Option<std::ops::Range<usize>> {
        let (start, end) = (field.name.start as usize, field.value.end as usize + 2);
        field.is_line.then_some(start..end)
    }

    fn seen_as(&self, field: &Field) -> FieldRef<'_> {
        FieldRef {
            known: field.known,
            name: self.at(field.name),
            value: self.at(field.value),
        }
    }

    /// The values of all fields of a known name, in order. [`Name::Other`] gives those of every other name.
    pub fn all(&self, known: Name) -> impl Iterator<Item = &[u8]> {
        let fields = if self.may_have(known) {
            &self.fields[..]
        } else {
            &[]
        };
        fields
            .iter()
            .filter(move |field| !field.removed && field.known == known)
            .map(|field| self.at(field.value))
    }

    /// The value of the first field of a known name.
    pub fn first(&self, known: Name) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// The value of the first field of any name, compared without regard to case.
    pub fn first_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// Number of fields of a known name.
    pub fn count(&self, known: Name) -> usize {
        let is_one = |field: &&Field| !field.removed && field.known == known;
        if self.may_have(known) {
            self.fields.iter().filter(is_one).count()
        } else {
            0
        }
    }

    /// Appends a field. The caller answers for name and value being free of CR, LF and NUL.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        // In line, for nearly all names that are pushed are known to the compiler.
        self.push_as(Name::from_bytes(name), name, value);
    }

    fn push_as(&mut self, known: Name, name: &[u8], value: &[u8]) {
        debug_assert!(!name.is_empty() && memchr::memchr3(b'\r', b'\n', 0, value).is_none());
        self.bytes.reserve(name.len() + value.len() + 4);
        let name = self.append(name);
        self.bytes.extend_from_slice(b": ");
        let value = self.append(value);
        self.bytes.extend_from_slice(b"\r\n");
        self.add(known, name, value, true);
    }

    /// Removes all fields of a known name; says whether there were any.
    pub fn remove(&mut self, known: Name) -> bool {
        self.remove_all(Names::of(&[known]))
    }

    /// Removes all fields of these names; says whether there were any.
    pub fn remove_all(&mut self, names: Names) -> bool {
        let mut found = false;
        if self.seen.has_any(names) {
            for field in &mut self.fields {
                let goes = !field.removed && names.has_any(Names::of(&[field.known]));
                field.removed |= goes;
                found |= goes;
            }
        }
        found
    }

    /// Removes all fields for which `unwanted` says so; says whether there were any.
    pub fn remove_if(&mut self, mut unwanted: impl FnMut(FieldRef<'_>) -> bool) -> bool {
        let mut found = false;
        let Self { bytes, fields, .. } = self;
        for field in fields.iter_mut().filter(|field| !field.removed) {
            let seen = FieldRef {
                known: field.known,
                name: &bytes[field.name.range()],
                value: &bytes[field.value.range()],
            };
            if unwanted(seen) {
                field.removed = true;
                found = true;
            }
        }
        found
    }

    /// Cuts a part out of the value of the first field of a known name; it closes up in place.
    pub fn cut(&mut self, known: Name, part: std::ops::Range<usize>) {
        let mut fields = self.fields.iter_mut();
        let Some(field) = fields.find(|field| !field.removed && field.known == known) else {
            return;
        };
        let value = &mut self.bytes[field.value.range()];
        debug_assert!(part.start <= part.end && part.end <= value.len());
        let gone = part.len();
        value.copy_within(part.end.., part.start);
        field.value.end -= gone as u32;
        field.is_line = false;
    }

    /// Number of fields that have not been removed.
    pub fn len(&self) -> usize {
        self.fields.iter().filter(|field| !field.removed).count()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a head of this version with no first line: trailers are left like that, and the parser names the rest.
    pub fn begin(&mut self, version: Version) {
        self.clear();
        self.version = version;
    }

    /// Names the first line of a request after [`Head::begin`], as ranges of the bytes that [`Head::adopt`] will take.
    pub fn adopt_request(
        &mut self,
        method: Method,
        method_text: std::ops::Range<usize>,
        target: std::ops::Range<usize>,
    ) {
        self.start = Start::Request {
            method,
            method_text: method_text.into(),
            target: target.into(),
        };
    }

    /// Names the first line of a response, as [`Head::adopt_request`] does.
    pub fn adopt_response(&mut self, status: u16, reason: std::ops::Range<usize>) {
        self.start = Start::Response {
            status,
            reason: reason.into(),
        };
    }

    /// Adds a field as ranges of the bytes that [`Head::adopt`] will take. `is_line`: whether it lies there as
    /// `name: value` and the end of the line, with nothing else between.
    pub fn adopt_field(
        &mut self,
        known: Name,
        name: std::ops::Range<usize>,
        value: std::ops::Range<usize>,
        is_line: bool,
    ) {
        self.add(known, name.into(), value.into(), is_line);
    }

    /// Takes the bytes that all that was adopted are ranges of; they are copied once. Nothing may be asked of the head
    /// before.
    pub fn adopt(&mut self, bytes: &[u8]) {
        debug_assert!(self.bytes.is_empty());
        self.bytes.extend_from_slice(bytes);
    }

    fn add(&mut self, known: Name, name: Span, value: Span, is_line: bool) {
        self.seen.add(known);
        self.fields.push(Field {
            name,
            value,
            known,
            removed: false,
            is_line,
        });
    }

    /// Whether a field of this name has been added, removed by now or not. What never was there need not be looked for.
    pub fn may_have(&self, known: Name) -> bool {
        self.seen.has_any(Names::of(&[known]))
    }

    fn append(&mut self, part: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        Span::from(start..self.bytes.len())
    }

    fn at(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Head");
        match self.start {
            Start::Empty => {}
            Start::Request { .. } => {
                shown.field("method", &self.method_bytes().escape_ascii().to_string());
                shown.field("target", &self.target().escape_ascii().to_string());
            }
            Start::Response { status, .. } => {
                shown.field("status", &status);
            }
        }
        shown
            .field("version", &self.version)
            .field("fields", &self.len())
            .finish()
    }
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A head is bounded far below 4 GiB by the parser's limits, so 32 bits hold every place in it.
impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        debug_assert!(range.end <= u32::MAX as usize);
        Self {
            start: range.start as u32,
            end: range.end as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_and_case_and_removal_hides_them() {
        let mut head = Head::new();
        head.set_request(b"GET", b"/a?b", Version::Http11);
        head.push(b"Host", b"shop.example");
        head.push(b"X-Odd", b"1");
        head.push(b"Connection", b"close");
        assert!(head.remove(Name::Connection));
        assert!(!head.remove(Name::Connection));
        let names: Vec<_> = head.fields().map(|field| field.name.to_vec()).collect();
        assert_eq!(names, [b"Host".to_vec(), b"X-Odd".to_vec()]);
        assert_eq!(head.first(Name::Host), Some(&b"shop.example"[..]));
        assert_eq!(head.first_named(b"x-odd"), Some(&b"1"[..]));
        assert_eq!(head.len(), 2);
    }

    #[test]
    fn lines_are_the_fields_however_they_lie() {
        let wire = b"GET / HTTP/1.1\r\nHost: a\r\nTe:x\r\nX-A: 1\r\nX-B: 2 \r\nX-C: 3\r\nCookie: a=1; b=2\r\nX-D: 4\r\n\r\n";
        let mut head = Head::new();
        head.adopt(wire);
        let mut at = 16;
        for line in wire[16..wire.len() - 2].split_inclusive(|byte| *byte == b'\n') {
            let colon = at + line.iter().position(|byte| *byte == b':').unwrap();
            let value = &wire[colon + 1..at + line.len() - 2];
            let start = colon + 1 + value.len() - value.trim_ascii_start().len();
            let value = start..start + value.trim_ascii().len();
            let is_line = start == colon + 2 && value.end + 2 == at + line.len();
            let known = Name::from_bytes(&wire[at..colon]);
            head.adopt_field(known, at..colon, value, is_line);
            at += line.len();
        }
        head.remove_if(|field| field.name == b"X-A");
        head.cut(Name::Cookie, 0..5);
        head.push(b"via", b"1.1 a");
        head.push(b"date", b"");
        let mut pieces = 0;
        let mut text = Vec::new();
        for lines in head.lines(|name| name != Name::Host) {
            pieces += 1;
            match lines {
                Lines::Whole(lines) => text.extend_from_slice(lines),
                Lines::Apart(field) => {
                    text.extend_from_slice(&[field.name, b": ", field.value, b"\r\n"].concat());
                }
            }
        }
        let expected =
            b"Te: x\r\nX-B: 2\r\nX-C: 3\r\nCookie: b=2\r\nX-D: 4\r\nvia: 1.1 a\r\ndate: \r\n";
        assert_eq!(
            text.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        assert_eq!(pieces, 6);
    }

    #[test]
    fn absolute_form_narrows_to_origin_form() {
        let mut head = Head::new();
        head.set_request(b"GET", b"http://shop.example/a", Version::Http11);
        head.narrow_target(19..21);
        assert_eq!(head.target(), b"/a");
    }

    #[test]
    fn adopted_ranges_read_back() {
        let mut head = Head::new();
        head.begin(Version::Http11);
        head.adopt_request(Method::Get, 0..3, 4..5);
        head.adopt_field(Name::Host, 16..20, 22..23, true);
        head.adopt(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((head.method(), head.target()), (Method::Get, &b"/"[..]));
        assert_eq!(head.first(Name::Host), Some(&b"a"[..]));
    }
}
