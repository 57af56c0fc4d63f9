//! Routes and requests, found in the table, explained, and found by reading the written order of precedence again.
//!
//! A line beginning with `R` is a route: hosts with commas between them (`-` for any), the kind of its path
//! (`any`, `exact`, `prefix`, `regex`), the path, the numbers of its listeners, and its conditions, all with one space
//! between. A condition is `mGET` (a method), `c10.0.0.0/8` (a client), or one of `h` (header), `q` (query) and `k`
//! (cookie) with `+name`, `-name` (not there), `=name:value` or `~name:regex`.
//!
//! Lines beginning with `M`, `C` and `H` say method, client and a field of the requests that follow, one with `P` and three
//! digits how their paths are read. Other lines are requests: the number of the listener, the host, the target.

use std::cmp::Reverse;
use std::net::IpAddr;

use forecourt::message::{Head, Version, grammar};
use forecourt::route::explain::{Verdict, explain};
use forecourt::route::rules::{DotSegments, EncodedSlashes, RepeatedSlashes};
use forecourt::route::view::{self, Room};
use forecourt::route::{
    Asked, Condition, Conditions, HostPattern, Matcher, PathPattern, PathRegex, PathRules,
    RouteTable, Wanted, resolved,
};
use regex::bytes::{Regex, RegexBuilder};

/// Judges routes and requests.
pub fn judge(bytes: &[u8]) {
    let lines = || bytes.split(|byte| *byte == b'\n').take(MOST_LINES);
    let routes: Vec<Route> = lines().filter_map(Route::read).collect();
    let pairs = || {
        routes
            .iter()
            .map(|route| (&route.matcher, &route.listeners[..]))
    };
    let table = RouteTable::build(pairs());
    assert_eq!(table.len(), routes.len());
    let mut sender = Sender::default();
    for line in lines().filter(|line| !line.starts_with(b"R ")) {
        if sender.learn(line) {
            continue;
        }
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let listener = words.next().and_then(|word| word.first());
        let listener = usize::from(listener.map_or(0, |digit| digit % 4));
        // The table is asked with hosts in lower case.
        let host = words.next().unwrap_or_default().to_ascii_lowercase();
        let target = words.next().unwrap_or_default();
        let (path, query) = split(target, b'?');
        let head = sender.head(target);
        let mut room = Room::new();
        let seen = view::of(path, sender.rules, &mut room);
        let told = view_by_hand(path, sender.rules);
        assert_eq!(seen.ok(), told.as_deref(), "{}", line.escape_ascii());
        judge_form(path, sender.rules, told.as_deref());
        let Some(path) = told else { continue };
        let asked = Asked {
            host: &host,
            path: &path,
            listener,
            head: &head,
            client: sender.client,
            trusted: false,
        };
        let found = table.find(&asked).map(|route| route.0);
        let explained = explain(pairs(), &asked);
        let winner = explained.iter().find(|line| line.verdict == Verdict::Takes);
        assert_eq!(
            found,
            winner.map(|line| line.route.0),
            "{}",
            line.escape_ascii()
        );
        let told = naive(&routes, &asked, query, &sender);
        assert_eq!(found, told, "{}", line.escape_ascii());
    }
}

/// The resolved form says the same to routes, and once is enough.
fn judge_form(path: &[u8], rules: PathRules, seen: Option<&[u8]>) {
    let Ok(form) = resolved(path, rules) else {
        assert_eq!(seen, None);
        return;
    };
    let mut room = Room::new();
    assert_eq!(view::of(&form, rules, &mut room).ok(), seen);
    assert_eq!(resolved(&form, rules).as_deref(), Ok(&*form));
}

/// What all following requests have in common.
#[derive(Default)]
struct Sender {
    method: Vec<u8>,
    client: Option<IpAddr>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    rules: PathRules,
}

impl Sender {
    /// Reads a line that says something of the requests after it.
    fn learn(&mut self, line: &[u8]) -> bool {
        let Some((kind, rest)) = line.split_first_chunk::<2>() else {
            return false;
        };
        match kind {
            b"M " => self.method = rest.to_vec(),
            b"C " => {
                self.client = std::str::from_utf8(rest)
                    .ok()
                    .and_then(|text| text.parse().ok())
            }
            b"H " => {
                let (name, value) = split(rest, b':');
                let sound = grammar::is_token(name)
                    && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
                if sound {
                    self.fields
                        .push((name.to_vec(), value.trim_ascii().to_vec()));
                }
            }
            b"P " => {
                let pick = |at: usize| usize::from(rest.get(at).copied().unwrap_or(0) % 3);
                self.rules = PathRules {
                    dot_segments: DotSegments::WORDS[pick(0)].1,
                    repeated_slashes: RepeatedSlashes::WORDS[pick(1)].1,
                    encoded_slashes: EncodedSlashes::WORDS[pick(2)].1,
                    ..PathRules::default()
                };
            }
            _ => return false,
        }
        true
    }

    fn head(&self, target: &[u8]) -> Head {
        let mut head = Head::new();
        head.set_request(&self.method, target, Version::Http11);
        for (name, value) in &self.fields {
            head.push(name, value);
        }
        head
    }

    /// The values of a field, as strangers may give it.
    fn field(&self, name: &str) -> Vec<Vec<u8>> {
        if crate::forwarded::tells(name.as_bytes()) {
            return Vec::new();
        }
        let named = |field: &&(Vec<u8>, Vec<u8>)| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields
            .iter()
            .filter(named)
            .map(|field| field.1.clone())
            .collect()
    }

    /// The value of the first cookie of a name.
    fn cookie(&self, name: &str) -> Vec<Vec<u8>> {
        let fields = self
            .fields
            .iter()
            .filter(|field| field.0.eq_ignore_ascii_case(b"cookie"));
        let pairs = fields.flat_map(|field| field.1.split(|byte| *byte == b';'));
        let named = pairs.filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let trim = |text: &[u8]| {
                let start = text
                    .iter()
                    .position(|byte| !blank(byte))
                    .unwrap_or(text.len());
                let end = text
                    .iter()
                    .rposition(|byte| !blank(byte))
                    .map_or(start, |at| at + 1);
                text[start..end].to_vec()
            };
            (trim(&pair[..at]) == name.as_bytes()).then(|| trim(&pair[at + 1..]))
        });
        named.take(1).collect()
    }
}

/// What stands before the first such byte, and after it.
fn split(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == at);
    end.map_or((text, &[]), |end| (&text[..end], &text[end + 1..]))
}

struct Route {
    matcher: Matcher,
    listeners: Vec<usize>,
    /// The second compilation.
    regex: Option<Regex>,
    asks: Vec<Ask>,
}

/// One condition, in the order of the line; the methods together are one, and so are the clients.
#[derive(Clone, PartialEq)]
enum Ask {
    Methods(Vec<String>),
    Clients(Vec<String>),
    Of(u8, Condition),
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
        let asks = read_asks(words);
        let mut regex = None;
        let path = match kind {
            "exact" => PathPattern::exact(text).ok()?,
            "prefix" => PathPattern::prefix(text).ok()?,
            "regex" => {
                // What takes long to compile is another target's business: here it costs the others their turn.
                let path = (text.len() <= 64).then(|| PathPattern::regex(text).ok())??;
                regex = Some(compiled(text));
                path
            }
            _ => PathPattern::Any,
        };
        assert_eq!(
            path.to_string(),
            if path == PathPattern::Any { "" } else { text }
        );
        Some(Self {
            matcher: Matcher {
                hosts,
                path,
                conditions: conditions(&asks).canonical(),
            },
            listeners,
            regex,
            asks,
        })
    }
}

/// Reads the conditions that stand at the end of a line, each once.
fn read_asks<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Ask> {
    let (mut methods, mut clients, mut asks) = (Vec::new(), Vec::new(), Vec::new());
    for word in words.take(8) {
        let (kind, rest) = word.split_at_checked(1).unwrap_or_default();
        match kind {
            "m" => methods.push(rest.to_owned()),
            "c" if rest.parse::<ipnet::IpNet>().is_ok() => clients.push(rest.to_owned()),
            "h" | "k" | "q" => {
                let Some(condition) = read_condition(rest, kind == "h") else {
                    continue;
                };
                let ask = Ask::Of(kind.as_bytes()[0], condition);
                if !asks.contains(&ask) {
                    asks.push(ask);
                }
            }
            _ => {}
        }
    }
    asks.extend((!methods.is_empty()).then_some(Ask::Methods(methods)));
    asks.extend((!clients.is_empty()).then_some(Ask::Clients(clients)));
    asks
}

fn read_condition(text: &str, lower: bool) -> Option<Condition> {
    let (kind, rest) = text.split_at_checked(1)?;
    let (name, value) = rest.split_once(':').unwrap_or((rest, ""));
    let wanted = match kind {
        "+" => Wanted::Present,
        "-" => Wanted::Absent,
        "=" => Wanted::Value(value.into()),
        "~" if value.len() <= 16 => Wanted::Regex(PathRegex::parse(value).ok()?),
        _ => return None,
    };
    // What configuration refuses need not have a meaning.
    if !forecourt::route::condition::is_token(name) {
        return None;
    }
    let name = if lower {
        name.to_ascii_lowercase()
    } else {
        name.to_owned()
    };
    Some(Condition {
        name: name.into(),
        wanted,
    })
}

fn conditions(asks: &[Ask]) -> Conditions {
    let mut all = Conditions::default();
    for ask in asks {
        match ask {
            Ask::Methods(methods) => {
                all.methods = methods.iter().map(|method| (**method).into()).collect()
            }
            Ask::Clients(nets) => {
                all.clients = nets.iter().filter_map(|net| net.parse().ok()).collect()
            }
            Ask::Of(b'h', condition) => all.headers.push(condition.clone()),
            Ask::Of(b'k', condition) => all.cookies.push(condition.clone()),
            Ask::Of(_, condition) => all.query.push(condition.clone()),
        }
    }
    all
}

/// What is read and written reads back as the same.
fn read_host(text: &str) -> Option<HostPattern> {
    let host = HostPattern::parse(text).ok()?;
    assert_eq!(HostPattern::parse(&host.to_string()).as_ref(), Ok(&host));
    Some(host)
}

/// Ranks all that match and takes the best.
fn naive(routes: &[Route], asked: &Asked<'_>, query: &[u8], sender: &Sender) -> Option<u32> {
    let host = asked.host.strip_suffix(b".").unwrap_or(asked.host);
    let ranked = (0..).zip(routes).filter_map(|(position, route)| {
        let host = host_rank(&route.matcher.hosts, host)?;
        let path = path_rank(route, asked.path)?;
        let all = route.listeners.is_empty();
        let fits = (all || route.listeners.contains(&asked.listener))
            && route.asks.iter().all(|ask| is_met(ask, query, sender));
        fits.then_some((host, path, all, Reverse(route.asks.len()), position))
    });
    ranked.min().map(|(_, _, _, _, position)| position)
}

fn is_met(ask: &Ask, query: &[u8], sender: &Sender) -> bool {
    let (kind, condition) = match ask {
        Ask::Methods(methods) => {
            return methods
                .iter()
                .any(|method| method.as_bytes() == sender.method);
        }
        Ask::Clients(nets) => {
            let inside = |net: &String, client: &IpAddr| {
                net.parse::<ipnet::IpNet>()
                    .is_ok_and(|net| net.contains(client))
            };
            return sender
                .client
                .is_some_and(|client| nets.iter().any(|net| inside(net, &client)));
        }
        Ask::Of(kind, condition) => (kind, condition),
    };
    let values = match kind {
        b'h' => sender.field(&condition.name),
        b'k' => sender.cookie(&condition.name),
        _ => query
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| split(pair, b'='))
            .filter(|(name, _)| form_decode(name) == condition.name.as_bytes())
            .map(|(_, value)| form_decode(value))
            .collect(),
    };
    match &condition.wanted {
        Wanted::Present => !values.is_empty(),
        Wanted::Absent => values.is_empty(),
        Wanted::Value(wanted) => values.iter().any(|value| value == wanted.as_bytes()),
        Wanted::Regex(regex) => {
            let regex = compiled(regex.as_str());
            values.iter().any(|value| finds(&regex, value))
        }
    }
}

/// Spaces for `+` first, escapes then: an escaped `+` stays one.
fn form_decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let mut decoded = Vec::new();
    let mut rest = &spaced[..];
    while let Some((byte, after)) = rest.split_first() {
        match (byte, escape(rest)) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &rest[3..];
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded
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
        PathPattern::Exact(exact) => (written(exact) == path).then_some((0, Reverse(0))),
        PathPattern::Regex(_) => {
            let regex = route.regex.as_ref().expect("it was compiled");
            finds(regex, path).then_some((1, Reverse(0)))
        }
        PathPattern::Prefix(prefix) => {
            let mut prefix = written(prefix);
            if prefix.last() == Some(&b'/') {
                prefix.pop();
            }
            let below = [&prefix[..], b"/"].concat();
            // The root takes everything, the asterisk that stands for all paths too.
            let takes = prefix.is_empty() || path == prefix || path.starts_with(&below);
            takes.then_some((2, Reverse(prefix.len())))
        }
        PathPattern::Any => Some((3, Reverse(0))),
    }
}

fn compiled(text: &str) -> Regex {
    let mut builder = RegexBuilder::new(text);
    builder.dot_matches_new_line(true);
    builder.build().expect("it compiled once")
}

/// A byte that is no part of a character counts as one that is none, so that a dot takes it.
fn finds(regex: &Regex, bytes: &[u8]) -> bool {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    regex.is_match(bytes) || regex.is_match(shown.as_bytes())
}

/// The path of a route, which is free of doubts.
fn written(path: &str) -> Vec<u8> {
    view_by_hand(path.as_bytes(), PathRules::default()).expect("it is checked")
}

/// One spelling of each path, unless the rules refuse it: decodes first, walks with a stack then.
fn view_by_hand(path: &[u8], rules: PathRules) -> Option<Vec<u8>> {
    if !matches!(path, [] | [b'/', ..]) {
        return Some(path.to_vec());
    }
    if path.is_empty() {
        return Some(vec![b'/']);
    }
    let decoded = decode(path, rules)?;
    let mut stack: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').skip(1).collect();
    let last = segments.len() - 1;
    let mut open = true;
    for (at, segment) in segments.into_iter().enumerate() {
        open = segment.is_empty();
        match segment {
            b"." | b".." if rules.dot_segments == DotSegments::Reject => return None,
            b"." if rules.dot_segments == DotSegments::Resolve => open = true,
            b".." if rules.dot_segments == DotSegments::Resolve => {
                stack.pop();
                open = true;
            }
            b"" if at == last => {}
            b"" => match rules.repeated_slashes {
                RepeatedSlashes::Reject => return None,
                RepeatedSlashes::Merge => {}
                RepeatedSlashes::Keep => stack.push(segment),
            },
            _ => stack.push(segment),
        }
    }
    let mut all = vec![b'/'];
    all.extend(stack.join(&b'/'));
    if open && !stack.is_empty() {
        all.push(b'/');
    }
    Some(all)
}

/// Writes out all escapes but those of `%`, and of `/` unless it is to be a slash.
fn decode(path: &[u8], rules: PathRules) -> Option<Vec<u8>> {
    let refuses = rules.encoded_slashes == EncodedSlashes::Reject;
    let strict = refuses
        || rules.dot_segments == DotSegments::Reject
        || rules.repeated_slashes == RepeatedSlashes::Reject;
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let escaped = escape(&path[at..]);
        if path[at] == b'%' && escaped.is_none() && strict {
            return None;
        }
        let byte = escaped.unwrap_or(path[at]);
        at += if escaped.is_some() { 3 } else { 1 };
        match byte {
            0 if escaped.is_some() => return None,
            b'\\' if refuses => return None,
            b'/' if escaped.is_some() => match rules.encoded_slashes {
                EncodedSlashes::Keep => decoded.extend(b"%2F"),
                EncodedSlashes::Decode => decoded.push(b'/'),
                EncodedSlashes::Reject => return None,
            },
            b'%' => decoded.extend(b"%25"),
            _ => decoded.push(byte),
        }
    }
    Some(decoded)
}

/// The byte of the escape at the start.
fn escape(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"%")?.get(..2)?;
    let hex = std::str::from_utf8(digits).ok()?;
    let is_hex = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

const MOST_LINES: usize = 32;
