//! The table against an oracle that scans all routes by the written rule, and the rule by example.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::condition::{Condition, Wanted};
use super::explain::{Explained, Rule as Decision, Verdict};
use super::*;
use crate::message::Version;

/// A route as the tests write it.
#[derive(Clone, Debug)]
struct Rule {
    matcher: Matcher,
    listeners: Vec<usize>,
}

impl Rule {
    fn asking(mut self, conditions: Conditions) -> Self {
        self.matcher.conditions = conditions.canonical();
        self
    }
}

fn rule(hosts: &[&str], path: PathPattern, listeners: &[usize]) -> Rule {
    let hosts = hosts
        .iter()
        .map(|host| HostPattern::parse(host).unwrap())
        .collect();
    Rule {
        matcher: Matcher {
            hosts,
            path,
            conditions: None,
        },
        listeners: listeners.to_vec(),
    }
}

fn table(rules: &[Rule]) -> RouteTable {
    RouteTable::build(
        rules
            .iter()
            .map(|rule| (&rule.matcher, rule.listeners.as_slice())),
    )
}

fn explained<'m>(rules: &'m [Rule], request: &Request) -> Vec<Explained<'m>> {
    let routes = rules
        .iter()
        .map(|rule| (&rule.matcher, rule.listeners.as_slice()));
    request.ask(|asked| explain(routes, asked))
}

fn exact(path: &str) -> PathPattern {
    PathPattern::exact(path).unwrap()
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::prefix(path).unwrap()
}

fn regex(text: &str) -> PathPattern {
    PathPattern::regex(text).unwrap()
}

fn found(table: &RouteTable, host: &str, path: &str, listener: usize) -> Option<u32> {
    let request = Request {
        host: host.to_owned(),
        path: path.to_owned(),
        listener,
        ..Request::default()
    };
    request.found(table)
}

/// A request as the tests write it.
#[derive(Clone, Debug, Default)]
struct Request {
    host: String,
    path: String,
    listener: usize,
    method: String,
    client: Option<IpAddr>,
    headers: Vec<Pair>,
    cookies: Vec<Pair>,
    query: Vec<Pair>,
}

/// A name and its value.
type Pair = (&'static str, &'static str);

impl Request {
    fn head(&self) -> Head {
        let pairs = |pairs: &[Pair], between| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            pairs.join(between)
        };
        let mut head = Head::new();
        let target = format!("{}?{}", self.path, pairs(&self.query, "&"));
        head.set_request(self.method.as_bytes(), target.as_bytes(), Version::Http11);
        for (name, value) in &self.headers {
            head.push(name.as_bytes(), value.as_bytes());
        }
        head.push(b"cookie", pairs(&self.cookies, "; ").as_bytes());
        head
    }

    /// Asks about the request as the data path does.
    fn ask<T>(&self, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
        let head = self.head();
        let mut room = view::Room::new();
        ask(&Asked {
            host: self.host.as_bytes(),
            path: view::of(self.path.as_bytes(), PathRules::default(), &mut room).unwrap(),
            listener: self.listener,
            head: &head,
            client: self.client,
            trusted: false,
        })
    }

    fn found(&self, table: &RouteTable) -> Option<u32> {
        self.ask(|asked| table.find(asked)).map(|route| route.0)
    }
}

mod by_example {
    use super::*;

    #[test]
    fn an_exact_host_comes_before_wildcards_and_the_longest_of_them_first() {
        let table = table(&[
            rule(&[], prefix("/"), &[]),
            rule(&["*.example"], prefix("/"), &[]),
            rule(&["*.shop.example"], prefix("/"), &[]),
            rule(&["eu.shop.example"], prefix("/"), &[]),
        ]);
        assert_eq!(found(&table, "eu.shop.example", "/", 0), Some(3));
        assert_eq!(found(&table, "eu.shop.example.", "/", 0), Some(3));
        assert_eq!(found(&table, "us.shop.example", "/", 0), Some(2));
        assert_eq!(found(&table, "a.b.shop.example", "/", 0), Some(2));
        assert_eq!(found(&table, "shop.example", "/", 0), Some(1));
        assert_eq!(found(&table, "example", "/", 0), Some(0));
        assert_eq!(
            found(&table, ".example", "/", 0),
            Some(0),
            "a wildcard stands for a label at least"
        );
        assert_eq!(found(&table, "notshop.other", "/", 0), Some(0));
        assert_eq!(found(&table, "", "/", 0), Some(0));
    }

    #[test]
    fn where_no_path_of_a_host_fits_the_next_host_level_is_tried() {
        let table = table(&[
            rule(&["www.shop.example"], exact("/cart"), &[]),
            rule(&["*.shop.example"], prefix("/cart"), &[]),
            rule(&[], PathPattern::Any, &[]),
        ]);
        assert_eq!(found(&table, "www.shop.example", "/cart", 0), Some(0));
        assert_eq!(found(&table, "www.shop.example", "/cart/1", 0), Some(1));
        assert_eq!(found(&table, "www.shop.example", "/other", 0), Some(2));
        assert_eq!(found(&table, "www.shop.example", "*", 0), Some(2));
    }

    #[test]
    fn exact_then_regex_then_the_longest_prefix_then_any() {
        let table = table(&[
            rule(&[], PathPattern::Any, &[]),
            rule(&[], prefix("/"), &[]),
            rule(&[], prefix("/p"), &[]),
            rule(&[], prefix("/p/long/er/"), &[]),
            rule(&[], regex("^/p/[0-9]+$"), &[]),
            rule(&[], regex("^/p/1"), &[]),
            rule(&[], exact("/p/17"), &[]),
        ]);
        assert_eq!(found(&table, "", "/p/17", 0), Some(6));
        assert_eq!(
            found(&table, "", "/p/18", 0),
            Some(4),
            "regexes in the order of the file"
        );
        assert_eq!(found(&table, "", "/p/1x", 0), Some(5));
        assert_eq!(found(&table, "", "/p/long/er/x", 0), Some(3));
        assert_eq!(
            found(&table, "", "/p/long/er", 0),
            Some(3),
            "the slash at the end of a prefix says nothing"
        );
        assert_eq!(found(&table, "", "/p/long/erx", 0), Some(2));
        assert_eq!(
            found(&table, "", "/px", 0),
            Some(1),
            "a prefix takes whole segments"
        );
        assert_eq!(found(&table, "", "", 0), Some(1));
        assert_eq!(
            found(&table, "", "*", 0),
            Some(1),
            "it stands for all paths"
        );
    }

    #[test]
    fn a_route_that_names_listeners_comes_first_and_ties_go_by_position() {
        let table = table(&[
            rule(&[], prefix("/a"), &[]),
            rule(&[], prefix("/a"), &[1]),
            rule(&[], prefix("/a"), &[1, 2]),
            rule(&[], regex("^/r"), &[]),
            rule(&[], regex("^/r"), &[1]),
            rule(&[], exact("/only"), &[2]),
            rule(&[], prefix("/"), &[0]),
        ]);
        assert_eq!(found(&table, "", "/a", 0), Some(0));
        assert_eq!(found(&table, "", "/a", 1), Some(1));
        assert_eq!(found(&table, "", "/a", 2), Some(2));
        assert_eq!(found(&table, "", "/r", 0), Some(3));
        assert_eq!(found(&table, "", "/r", 1), Some(4));
        assert_eq!(found(&table, "", "/only", 2), Some(5));
        assert_eq!(
            found(&table, "", "/only", 0),
            Some(6),
            "another listener's route does not hide the prefix"
        );
        assert_eq!(found(&table, "", "/only", 1), None);
    }

    #[test]
    fn no_other_spelling_of_a_path_takes_another_route() {
        let table = table(&[
            rule(&[], prefix("/"), &[]),
            rule(&[], prefix("/admin"), &[]),
            rule(&[], exact("/caf\u{e9}"), &[]),
        ]);
        for path in [
            "/admin/x",
            "//admin",
            "/%61dmin",
            "/x/../admin",
            "/x/%2e%2E/admin/",
            "/./admin",
        ] {
            assert_eq!(found(&table, "", path, 0), Some(1), "{path}");
        }
        assert_eq!(found(&table, "", "/caf%c3%a9", 0), Some(2));
        assert_eq!(found(&table, "", "/admin/../x", 0), Some(0));
    }

    #[test]
    fn more_conditions_come_first_and_none_hides_what_it_does_not_take() {
        let header = |name: &str| Condition {
            name: name.into(),
            wanted: Wanted::Present,
        };
        let asking = |names: &[&str], methods: &[&str]| Conditions {
            methods: methods.iter().map(|method| (*method).into()).collect(),
            headers: names.iter().map(|name| header(name)).collect(),
            ..Conditions::default()
        };
        let table = table(&[
            rule(&[], prefix("/"), &[]),
            rule(&[], prefix("/"), &[]).asking(asking(&["x"], &[])),
            rule(&[], prefix("/"), &[]).asking(asking(&["x"], &["GET", "PUT"])),
            rule(&[], prefix("/"), &[]).asking(asking(&["y"], &[])),
            rule(&[], prefix("/"), &[1]),
            rule(&[], prefix("/a"), &[]),
            rule(&[], regex("^/r"), &[]),
            rule(&[], regex("^/r/1"), &[]).asking(asking(&["x"], &[])),
        ]);
        let request = |path: &str, method: &str, headers: &[Pair], listener| Request {
            path: path.to_owned(),
            method: method.to_owned(),
            headers: headers.to_vec(),
            listener,
            ..Request::default()
        };
        for (asked, winner) in [
            (request("/", "GET", &[], 0), 0),
            (request("/", "POST", &[("x", "")], 0), 1),
            (request("/", "GET", &[("x", "")], 0), 2),
            (request("/", "POST", &[("y", ""), ("x", "")], 0), 1),
            (request("/", "POST", &[("y", "")], 0), 3),
            (request("/", "POST", &[("x", "")], 1), 4),
            (request("/a", "POST", &[("x", "")], 0), 5),
            (request("/r/1", "POST", &[], 0), 6),
            (request("/r/1", "POST", &[("x", "")], 0), 7),
        ] {
            assert_eq!(asked.found(&table), Some(winner), "{asked:?}");
        }
    }

    #[test]
    fn the_rule_that_decides_is_named() {
        let asking = |rule: Rule| {
            rule.asking(Conditions {
                methods: vec!["GET".into()],
                ..Conditions::default()
            })
        };
        let rules = [
            rule(&["shop.example"], exact("/a"), &[]),
            asking(rule(&["shop.example"], exact("/a"), &[0])),
            rule(&["shop.example"], exact("/a"), &[0]),
            rule(&["shop.example"], exact("/a"), &[0]),
            rule(&["*.example"], exact("/a"), &[0]),
            rule(&["shop.example"], prefix("/a"), &[0]),
            rule(&["shop.example"], exact("/b"), &[0]),
            rule(&["other.example"], exact("/a"), &[0]),
            rule(&["shop.example"], exact("/a"), &[2]),
        ];
        let request = Request {
            host: "shop.example".to_owned(),
            path: "/a".to_owned(),
            method: "GET".to_owned(),
            ..Request::default()
        };
        use super::explain::Miss;
        let told = explained(&rules, &request);
        let verdict = |route| {
            told.iter()
                .find(|line| line.route == RouteId(route))
                .unwrap()
                .verdict
        };
        for (route, expected) in [
            (0, Verdict::Outranked(Decision::Listeners)),
            (1, Verdict::Takes),
            (2, Verdict::Outranked(Decision::Conditions)),
            (3, Verdict::Outranked(Decision::Conditions)),
            (4, Verdict::Outranked(Decision::Host)),
            (5, Verdict::Outranked(Decision::PathKind)),
            (6, Verdict::Misses(Miss::Path)),
            (7, Verdict::Misses(Miss::Host)),
            (8, Verdict::Misses(Miss::Listener)),
        ] {
            assert_eq!(verdict(route), expected, "{route}");
        }
        let equal = explained(&rules[2..4], &request);
        assert_eq!(equal[1].verdict, Verdict::Outranked(Decision::Position));
        let prefixes = [rule(&[], prefix("/"), &[]), rule(&[], prefix("/a/"), &[])];
        let told = explained(&prefixes, &request);
        assert_eq!(told[1].verdict, Verdict::Outranked(Decision::PrefixLength));
    }

    #[test]
    fn each_of_a_hundred_thousand_routes_is_found() {
        const COUNT: usize = 100_000;
        let rules: Vec<_> = (0..COUNT)
            .map(|n| match n % 4 {
                0 => rule(&[&format!("h{n}.example")], prefix("/"), &[]),
                1 => rule(&[&format!("*.w{n}.example")], exact("/x"), &[]),
                2 => rule(&[], exact(&format!("/e/{n}")), &[]),
                _ => rule(&["big.example"], prefix(&format!("/p/{n}")), &[]),
            })
            .collect();
        let table = table(&rules);
        assert_eq!(table.len(), COUNT);
        for n in 0..COUNT {
            let (host, path) = match n % 4 {
                0 => (format!("h{n}.example"), "/a/b".to_owned()),
                1 => (format!("a.w{n}.example"), "/x".to_owned()),
                2 => ("other".to_owned(), format!("/e/{n}")),
                _ => ("big.example".to_owned(), format!("/p/{n}/below")),
            };
            assert_eq!(found(&table, &host, &path, 0), u32::try_from(n).ok());
        }
    }
}

/// The rule as the room's story writes it down, by the simplest means: scan all, keep the best.
mod oracle {
    use std::cmp::Reverse;

    use super::*;

    pub(super) fn find(rules: &[Rule], request: &Request) -> Option<u32> {
        let host = request.host.strip_suffix('.').unwrap_or(&request.host);
        let path = view(request.path.as_bytes());
        let ranked = rules.iter().enumerate().filter_map(|(position, rule)| {
            let all = rule.listeners.is_empty();
            if !all && !rule.listeners.contains(&request.listener) {
                return None;
            }
            let asks = conditions(rule.matcher.conditions.as_deref(), request)?;
            let host = host_rank(&rule.matcher.hosts, host)?;
            let path = path_rank(&rule.matcher.path, &path)?;
            Some((host, path, all, Reverse(asks), position))
        });
        ranked
            .min()
            .map(|(_, _, _, _, position)| u32::try_from(position).unwrap())
    }

    /// How many conditions hold, unless one does not.
    fn conditions(conditions: Option<&Conditions>, request: &Request) -> Option<usize> {
        let Some(conditions) = conditions else {
            return Some(0);
        };
        let Conditions {
            methods, clients, ..
        } = conditions;
        let mut verdicts = Vec::new();
        if !methods.is_empty() {
            verdicts.push(methods.iter().any(|method| **method == *request.method));
        }
        if !clients.is_empty() {
            let client = request.client;
            verdicts.push(
                clients
                    .iter()
                    .any(|net| client.is_some_and(|client| net.contains(&client))),
            );
        }
        let first_cookies: Vec<Pair> = request
            .cookies
            .iter()
            .enumerate()
            .filter(|(at, (name, _))| {
                request.cookies[..*at]
                    .iter()
                    .all(|(other, _)| other != name)
            })
            .map(|(_, pair)| *pair)
            .collect();
        for (list, pairs) in [
            (&conditions.headers, &request.headers),
            (&conditions.cookies, &first_cookies),
            (&conditions.query, &request.query),
        ] {
            verdicts.extend(list.iter().map(|condition| {
                let mut values = pairs
                    .iter()
                    .filter(|(name, _)| *name == &*condition.name)
                    .map(|(_, value)| *value);
                match &condition.wanted {
                    Wanted::Present => values.next().is_some(),
                    Wanted::Absent => values.next().is_none(),
                    Wanted::Value(wanted) => values.any(|value| value == &**wanted),
                    Wanted::Regex(regex) => values.any(|value| value.contains(regex.as_str())),
                }
            }));
        }
        verdicts
            .iter()
            .all(|verdict| *verdict)
            .then_some(verdicts.len())
    }

    /// Smaller is better: the kind, then the longer.
    fn host_rank(hosts: &[HostPattern], host: &str) -> Option<(u8, Reverse<usize>)> {
        if hosts.is_empty() {
            return Some((2, Reverse(0)));
        }
        let fitting = hosts.iter().filter_map(|pattern| match pattern {
            HostPattern::Exact(name) => (**name == *host).then_some((0, Reverse(0))),
            HostPattern::Wildcard(suffix) => {
                let below = host.len() > suffix.len() && host.ends_with(&**suffix);
                below.then_some((1, Reverse(suffix.len())))
            }
        });
        fitting.min()
    }

    fn path_rank(pattern: &PathPattern, path: &[u8]) -> Option<(u8, Reverse<usize>)> {
        match pattern {
            PathPattern::Exact(exact) => {
                (view(exact.as_bytes()) == path).then_some((0, Reverse(0)))
            }
            PathPattern::Regex(regex) => {
                let regex = regex::bytes::Regex::new(regex.as_str()).unwrap();
                regex.is_match(path).then_some((1, Reverse(0)))
            }
            PathPattern::Prefix(prefix) => {
                let prefix = view(prefix.as_bytes());
                let segments = |path: &[u8]| {
                    path.split(|b| *b == b'/')
                        .map(<[u8]>::to_vec)
                        .collect::<Vec<_>>()
                };
                let mut wanted = segments(&prefix);
                if wanted.last().is_some_and(Vec::is_empty) {
                    wanted.pop();
                }
                let takes = wanted.len() <= 1
                    || path.starts_with(b"/") && segments(path).starts_with(&wanted);
                takes.then_some((
                    2,
                    Reverse(prefix.strip_suffix(b"/").unwrap_or(&prefix).len()),
                ))
            }
            PathPattern::Any => Some((3, Reverse(0))),
        }
    }

    /// Decodes first and resolves then, with a stack of segments.
    fn view(path: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(path).unwrap();
        if !text.is_empty() && !text.starts_with('/') {
            return path.to_vec();
        }
        let mut stack: Vec<String> = Vec::new();
        let mut open = true;
        for segment in text.split('/').skip(1) {
            let segment = ["%61", "%2e", "%2E"]
                .into_iter()
                .zip(["a", ".", "."])
                .fold(segment.replace("%2f", "%2F"), |text, (escape, plain)| {
                    text.replace(escape, plain)
                });
            open = matches!(segment.as_str(), "" | "." | "..");
            match segment.as_str() {
                "" | "." => {}
                ".." => drop(stack.pop()),
                _ => stack.push(segment),
            }
        }
        let slash = if open && !stack.is_empty() { "/" } else { "" };
        format!("/{}{slash}", stack.join("/")).into_bytes()
    }
}

const LISTENERS: [usize; 3] = [0, 1, 2];

/// Names from few labels, so that routes and requests meet often.
fn name() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b", "shop"]), 1..4).prop_map(|labels| labels.join("."))
}

fn host_pattern() -> impl Strategy<Value = HostPattern> {
    (name(), any::<bool>()).prop_map(|(name, wildcard)| {
        let text = if wildcard { format!("*.{name}") } else { name };
        HostPattern::parse(&text).unwrap()
    })
}

fn raw_path() -> impl Strategy<Value = String> {
    let segments = vec!["a", "b", "aa", "%61", "a%2fb", "", ".", "..", "%2e", "%2E."];
    let path = vec(select(segments), 0..5).prop_map(|segments| format!("/{}", segments.join("/")));
    prop_oneof![20 => path, 1 => Just(String::new()), 1 => Just("*".to_owned())]
}

fn path_pattern() -> impl Strategy<Value = PathPattern> {
    let segments = || vec(select(vec!["a", "b", "aa", "a%2Fb"]), 0..4);
    let written = (segments(), any::<bool>()).prop_map(|(segments, slash)| {
        let path = format!("/{}", segments.join("/"));
        if slash && path.len() > 1 {
            format!("{path}/")
        } else {
            path
        }
    });
    let regexes = vec!["^/a", "b$", "^/a/.*/b$", "aa", "^/$"];
    prop_oneof![
        3 => written.clone().prop_map(|path| exact(&path)),
        4 => written.prop_map(|path| prefix(&path)),
        2 => select(regexes).prop_map(regex),
        1 => Just(PathPattern::Any),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let listeners = prop_oneof![Just(Vec::new()), subsequence(LISTENERS.to_vec(), 1..3)];
    let conditions = prop_oneof![2 => Just(Conditions::default()), 1 => conditions()];
    (
        vec(host_pattern(), 0..3),
        path_pattern(),
        listeners,
        conditions,
    )
        .prop_map(|(hosts, path, listeners, conditions)| Rule {
            matcher: Matcher {
                hosts,
                path,
                conditions: conditions.canonical(),
            },
            listeners,
        })
}

const METHODS: [&str; 3] = ["GET", "POST", "TRACE"];
const NAMES: [&str; 2] = ["x", "yy"];
const VALUES: [&str; 4] = ["", "1", "2", "12"];

fn conditions() -> impl Strategy<Value = Conditions> {
    let condition = || {
        let wanted = prop_oneof![
            Just(Wanted::Present),
            Just(Wanted::Absent),
            select(VALUES.to_vec()).prop_map(|value| Wanted::Value(value.into())),
            select(vec!["1", "2"]).prop_map(|text| Wanted::Regex(PathRegex::parse(text).unwrap())),
        ];
        (select(NAMES.to_vec()), wanted).prop_map(|(name, wanted)| Condition {
            name: name.into(),
            wanted,
        })
    };
    let some = || vec(condition(), 0..2);
    let methods = subsequence(METHODS.to_vec(), 0..3);
    let clients = subsequence(vec!["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"], 0..2);
    (methods, clients, some(), some(), some()).prop_map(
        |(methods, clients, headers, cookies, query)| Conditions {
            methods: methods.into_iter().map(Into::into).collect(),
            clients: clients
                .into_iter()
                .map(|net| net.parse().unwrap())
                .collect(),
            headers,
            cookies,
            query,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let host = prop_oneof![
        8 => name(),
        1 => name().prop_map(|name| format!("{name}.")),
        1 => name().prop_map(|name| format!(".{name}")),
        1 => Just(String::new()),
    ];
    let pairs = || vec((select(NAMES.to_vec()), select(VALUES.to_vec())), 0..3);
    let clients = ["10.0.0.1", "10.1.0.1", "2001:db8::1", "192.0.2.1"];
    let client = proptest::option::of(select(clients.to_vec()));
    let more = (select(METHODS.to_vec()), client, pairs(), pairs(), pairs());
    let place = (host, raw_path(), select(LISTENERS.to_vec()));
    (place, more).prop_map(
        |((host, path, listener), (method, client, headers, cookies, query))| Request {
            host,
            path,
            listener,
            method: method.to_owned(),
            client: client.map(|client| client.parse().unwrap()),
            headers,
            cookies,
            query,
        },
    )
}

proptest! {
    #[test]
    fn the_table_and_the_oracle_agree(rules in vec(any_rule(), 0..24), requests in vec(request(), 1..24)) {
        let table = table(&rules);
        for request in requests {
            let told = oracle::find(&rules, &request);
            prop_assert_eq!(request.found(&table), told, "{:?}", request);
        }
    }

    #[test]
    fn the_explanation_and_the_table_agree(rules in vec(any_rule(), 0..24), requests in vec(request(), 1..24)) {
        let table = table(&rules);
        for request in requests {
            let found = request.ask(|asked| table.find(asked));
            let told = explained(&rules, &request);
            prop_assert_eq!(told.len(), rules.len());
            let winners: Vec<RouteId> = told
                .iter()
                .filter(|line| line.verdict == Verdict::Takes)
                .map(|line| line.route)
                .collect();
            prop_assert_eq!(&winners[..], found.as_slice(), "{:?}", request);
            // Without the winner the first of those that it comes before takes the request.
            let second = told.iter().find(|line| matches!(line.verdict, Verdict::Outranked(_)));
            if let Some(RouteId(winner)) = found {
                let mut others = rules.clone();
                others.remove(winner as usize);
                let told = second.map(|line| line.route.0 - u32::from(line.route.0 > winner));
                prop_assert_eq!(oracle::find(&others, &request), told);
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd(host in vec(any::<u8>(), 0..40), path in vec(select(b"/.%2fFeE5\x00\xffa".to_vec()), 0..40)) {
        let table = table(&[rule(&["*.a"], prefix("/a"), &[]), rule(&[], PathPattern::Any, &[])]);
        let head = Head::new();
        let mut room = view::Room::new();
        let path = view::of(&path, PathRules::default(), &mut room).unwrap();
        let asked = Asked { host: &host, path, listener: 0, head: &head, client: None, trusted: false };
        prop_assert!(table.find(&asked).is_some());
    }

    #[test]
    fn a_view_is_its_own_view(path in vec(select(b"/.%2fFeE5a".to_vec()), 0..40)) {
        let (mut first, mut second) = (view::Room::new(), view::Room::new());
        let rules = PathRules::default();
        if let Ok(once) = view::of(&path, rules, &mut first).map(<[u8]>::to_vec) {
            prop_assert_eq!(view::of(&once, rules, &mut second), Ok(once.as_slice()));
        }
    }

    #[test]
    fn a_parsed_host_reads_back_as_itself(text in "[*a-z0-9.:/\\[\\]-]{0,20}") {
        if let Ok(pattern) = HostPattern::parse(&text) {
            prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
        }
    }
}
