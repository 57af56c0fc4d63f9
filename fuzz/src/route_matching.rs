//! Routes and requests, found in the table and by reading the written order of precedence again.
//!
//! A line beginning with `R` is a route: hosts with commas between them (`-` for any), the kind of its path
//! (`any`, `exact`, `prefix`, `regex`), the path, and the numbers of its listeners, all with one space between.
//! Other lines are requests: the number of the listener, the host, the path.

use std::cmp::Reverse;

use forecourt::route::{HostPattern, Matcher, PathPattern, RouteTable};
use regex::bytes::Regex;

/// Judges routes and requests.
pub fn judge(bytes: &[u8]) {
    let lines = || bytes.split(|byte| *byte == b'\n').take(MOST_LINES);
    let routes: Vec<Route> = lines().filter_map(Route::read).collect();
    let table = RouteTable::build(
        routes
            .iter()
            .map(|route| (&route.matcher, &route.listeners[..])),
    );
    assert_eq!(table.len(), routes.len());
    for line in lines().filter(|line| !line.starts_with(b"R ")) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let listener = words.next().and_then(|word| word.first());
        let listener = usize::from(listener.map_or(0, |digit| digit % 4));
        // The table is asked with hosts in lower case.
        let host = words.next().unwrap_or_default().to_ascii_lowercase();
        let path = words.next().unwrap_or_default();
        let found = table.find(&host, path, listener).map(|route| route.0);
        let told = naive(&routes, &host, path, listener);
        assert_eq!(found, told, "{}", line.escape_ascii());
    }
}

struct Route {
    matcher: Matcher,
    listeners: Vec<usize>,
    /// The second compilation.
    regex: Option<Regex>,
}

impl Route {
    fn read(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(line.strip_prefix(b"R ")?);
        let mut words = line.split(' ');
        let hosts = words.next()?.split(',').filter(|host| *host != "-");
        let hosts: Vec<HostPattern> = hosts.filter_map(read_host).collect();
        let (kind, text) = (words.next()?, words.next().unwrap_or_default());
        let listeners = words.next().unwrap_or_default().bytes();
        let listeners: Vec<usize> = listeners
            .map(|digit| usize::from(digit % 4))
            .take(4)
            .collect();
        let mut regex = None;
        let path = match kind {
            "exact" => PathPattern::exact(text).ok()?,
            "prefix" => PathPattern::prefix(text).ok()?,
            "regex" => {
                // What takes long to compile is another target's business: here it costs the others their turn.
                let path = (text.len() <= 64).then(|| PathPattern::regex(text).ok())??;
                regex = Some(Regex::new(text).expect("it compiled once"));
                path
            }
            _ => PathPattern::Any,
        };
        assert_eq!(
            path.to_string(),
            if path == PathPattern::Any { "" } else { text }
        );
        Some(Self {
            matcher: Matcher { hosts, path },
            listeners,
            regex,
        })
    }
}

/// What is read and written reads back as the same.
fn read_host(text: &str) -> Option<HostPattern> {
    let host = HostPattern::parse(text).ok()?;
    assert_eq!(HostPattern::parse(&host.to_string()).as_ref(), Ok(&host));
    Some(host)
}

/// Ranks all that match and takes the best.
fn naive(routes: &[Route], host: &[u8], path: &[u8], listener: usize) -> Option<u32> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let path = view(path);
    let ranked = (0..).zip(routes).filter_map(|(position, route)| {
        let host = host_rank(&route.matcher.hosts, host)?;
        let path = path_rank(route, &path)?;
        let all = route.listeners.is_empty();
        (all || route.listeners.contains(&listener)).then_some((host, path, all, position))
    });
    ranked.min().map(|(_, _, _, position)| position)
}

/// Smaller is better: the kind, then the longer.
fn host_rank(hosts: &[HostPattern], host: &[u8]) -> Option<(u8, Reverse<usize>)> {
    if hosts.is_empty() {
        return Some((2, Reverse(0)));
    }
    let fitting = hosts.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(name) => (name.as_bytes() == host).then_some((0, Reverse(0))),
        HostPattern::Wildcard(suffix) => (host.len() > suffix.len()
            && host.ends_with(suffix.as_bytes()))
        .then_some((1, Reverse(suffix.len()))),
    });
    fitting.min()
}

fn path_rank(route: &Route, path: &[u8]) -> Option<(u8, Reverse<usize>)> {
    match &route.matcher.path {
        PathPattern::Exact(exact) => (view(exact.as_bytes()) == path).then_some((0, Reverse(0))),
        PathPattern::Regex(_) => {
            let regex = route.regex.as_ref().expect("it was compiled");
            regex.is_match(path).then_some((1, Reverse(0)))
        }
        PathPattern::Prefix(prefix) => {
            let mut prefix = view(prefix.as_bytes());
            if prefix.last() == Some(&b'/') {
                prefix.pop();
            }
            let below = [&prefix[..], b"/"].concat();
            (path == prefix || path.starts_with(&below)).then_some((2, Reverse(prefix.len())))
        }
        PathPattern::Any => Some((3, Reverse(0))),
    }
}

/// One spelling of each path: decodes each segment, then walks with a stack.
fn view(path: &[u8]) -> Vec<u8> {
    if !matches!(path, [] | [b'/', ..]) {
        return path.to_vec();
    }
    let mut stack: Vec<Vec<u8>> = Vec::new();
    let mut open = true;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        let segment = decode(segment);
        open = matches!(&segment[..], b"" | b"." | b"..");
        match &segment[..] {
            b"" | b"." => {}
            b".." => drop(stack.pop()),
            _ => stack.push(segment),
        }
    }
    let mut all = vec![b'/'];
    all.extend(stack.join(&b'/'));
    if open && !stack.is_empty() {
        all.push(b'/');
    }
    all
}

fn decode(segment: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < segment.len() {
        let digits = segment
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let hex = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let escape = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = match (segment[at], escape) {
            (b'%', Some(byte)) => {
                at += 2;
                byte
            }
            (byte, _) => byte,
        };
        match byte {
            b'%' => decoded.extend(b"%25"),
            b'/' => decoded.extend(b"%2F"),
            _ => decoded.push(byte),
        }
        at += 1;
    }
    decoded
}

const MOST_LINES: usize = 32;
