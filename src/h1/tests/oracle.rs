//! A second reader of HTTP/1, written from the grammar to be obvious, not quick, and sharing no code with
//! the first.

/// A request's head as the second reader sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) minor: u8,
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How the second reader sees a body framed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    None,
    Length(u64),
    Chunked,
}

/// A chunked body as the second reader sees it: content, trailers, bytes in all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    pub(super) content: Vec<u8>,
    pub(super) trailers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) length: usize,
}

/// Reads exactly one request head.
pub(super) fn request(bytes: &[u8]) -> Option<Request> {
    let mut lines = lines(bytes)?.into_iter();
    let first = lines.next()?;
    let words: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return None;
    };
    if !token(method) || target.is_empty() {
        return None;
    }
    if !target
        .iter()
        .all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#')
    {
        return None;
    }
    let minor = match version {
        b"HTTP/1.0" => 0,
        b"HTTP/1.1" => 1,
        _ => return None,
    };
    let fields: Vec<_> = lines.map(field).collect::<Option<_>>()?;
    let hosts = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"host"))
        .count();
    let disguised = fields.iter().any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name == b"content_length" || name == b"transfer_encoding"
    });
    if disguised || hosts > 1 || (hosts == 0 && minor == 1) {
        return None;
    }
    Some(Request {
        method: method.to_vec(),
        target: target.to_vec(),
        minor,
        fields,
    })
}

/// The framing of a request, `None` if it is refused.
pub(super) fn frame(request: &Request) -> Option<Frame> {
    let values = |wanted: &str| -> Vec<&[u8]> {
        let wanted = wanted.as_bytes();
        let found = request
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_slice()).collect()
    };
    match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => Some(Frame::None),
        _ if request.method == b"CONNECT" => None,
        ([length], []) => {
            let text = std::str::from_utf8(length).ok()?;
            let digits = (1..=19).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
            let number: i64 = digits.then(|| text.parse().ok())??;
            Some(Frame::Length(number as u64))
        }
        ([], [coding]) if request.minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Some(Frame::Chunked)
        }
        _ => None,
    }
}

/// Reads a chunked body at the front of `bytes`; `None` if it is malformed or incomplete.
pub(super) fn chunked(bytes: &[u8]) -> Option<Chunked> {
    let mut content = Vec::new();
    let mut rest = bytes;
    loop {
        let (line, behind) = line(rest)?;
        let (digits, extensions) = match line.iter().position(|byte| *byte == b';') {
            Some(at) => line.split_at(at),
            None => (line, &b""[..]),
        };
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if line.len() > 1022 || size > i64::MAX as u64 || !sound_extensions(extensions) {
            return None;
        }
        rest = behind;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        content.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    let mut trailers = Vec::new();
    loop {
        let (line, behind) = line(rest)?;
        rest = behind;
        if line.is_empty() {
            break;
        }
        let (name, value) = field(line)?;
        let disguised = [&b"content_length"[..], b"transfer_encoding"];
        if disguised
            .iter()
            .any(|disguise| name.eq_ignore_ascii_case(disguise))
        {
            return None;
        }
        trailers.push((name, value));
    }
    let length = bytes.len() - rest.len();
    (trailers.len() <= 32).then_some(Chunked {
        content,
        trailers,
        length,
    })
}

/// The lines of a head without the empty one at its end, which has to be the only empty one.
pub(super) fn lines(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    loop {
        let (line, behind) = line(rest)?;
        rest = behind;
        if line.is_empty() {
            return rest.is_empty().then_some(found);
        }
        found.push(line);
    }
}

/// Splits the first line off. Neither CR nor LF stands anywhere but at its end.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\r' || *byte == b'\n')?;
    let (line, rest) = bytes.split_at(end);
    Some((line, rest.strip_prefix(b"\r\n")?))
}

pub(super) fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let sound = value
        .iter()
        .all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..=0xff));
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = value
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    (token(name) && sound).then(|| (name.to_vec(), value[start..end].to_vec()))
}

fn token(text: &[u8]) -> bool {
    let delimiters = b"\"(),/:;<=>?@[\\]{}";
    !text.is_empty()
        && text
            .iter()
            .all(|byte| (0x21..=0x7e).contains(byte) && !delimiters.contains(byte))
}

/// By a table of states, where the first reader descends.
fn sound_extensions(text: &[u8]) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Start,
        BeforeName,
        Name,
        BehindName,
        BeforeValue,
        Value,
        Quoted,
        Escaped,
        BehindValue,
    }
    let mut at = At::Start;
    for &byte in text {
        let blank = byte == b' ' || byte == b'\t';
        let quotable = blank || (0x21..=0x7e).contains(&byte) || byte >= 0x80;
        let token = token(&[byte]);
        at = match (at, byte) {
            (At::Start | At::Name | At::BehindName | At::Value | At::BehindValue, b';') => {
                At::BeforeName
            }
            (At::BeforeName, _) if blank => At::BeforeName,
            (At::BeforeName | At::Name, _) if token => At::Name,
            (At::Name | At::BehindName, b'=') => At::BeforeValue,
            (At::Name | At::BehindName, _) if blank => At::BehindName,
            (At::BeforeValue, _) if blank => At::BeforeValue,
            (At::BeforeValue, b'"') => At::Quoted,
            (At::BeforeValue | At::Value, _) if token => At::Value,
            (At::Value | At::BehindValue, _) if blank => At::BehindValue,
            (At::Quoted, b'"') => At::BehindValue,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, _) if quotable => At::Quoted,
            _ => return false,
        };
    }
    let ends_blank = matches!(text.last(), Some(b' ' | b'\t'));
    !ends_blank && matches!(at, At::Start | At::Name | At::Value | At::BehindValue)
}
