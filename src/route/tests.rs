//! The table against an oracle that scans all routes by the written rule, and the rule by example.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// A route as the tests write it.
#[derive(Clone, Debug)]
struct Rule {
    matcher: Matcher,
    listeners: Vec<usize>,
}

fn rule(hosts: &[&str], path: PathPattern, listeners: &[usize]) -> Rule {
    let hosts = hosts
        .iter()
        .map(|host| HostPattern::parse(host).unwrap())
        .collect();
    Rule {
        matcher: Matcher { hosts, path },
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
    table
        .find(host.as_bytes(), path.as_bytes(), listener)
        .map(|route| route.0)
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
        assert_eq!(found(&table, "", "*", 0), Some(0));
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

    pub(super) fn find(rules: &[Rule], host: &[u8], path: &[u8], listener: usize) -> Option<u32> {
        let host = std::str::from_utf8(host).unwrap();
        let host = host.strip_suffix('.').unwrap_or(host);
        let path = view(path);
        let ranked = rules.iter().enumerate().filter_map(|(position, rule)| {
            let all = rule.listeners.is_empty();
            if !all && !rule.listeners.contains(&listener) {
                return None;
            }
            let host = host_rank(&rule.matcher.hosts, host)?;
            let path = path_rank(&rule.matcher.path, &path)?;
            Some((host, path, all, position))
        });
        ranked
            .min()
            .map(|(_, _, _, position)| u32::try_from(position).unwrap())
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
                let takes = path.starts_with(b"/") && segments(path).starts_with(&wanted);
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
    (vec(host_pattern(), 0..3), path_pattern(), listeners).prop_map(|(hosts, path, listeners)| {
        Rule {
            matcher: Matcher { hosts, path },
            listeners,
        }
    })
}

fn request() -> impl Strategy<Value = (String, String, usize)> {
    let host = prop_oneof![
        8 => name(),
        1 => name().prop_map(|name| format!("{name}.")),
        1 => name().prop_map(|name| format!(".{name}")),
        1 => Just(String::new()),
    ];
    (host, raw_path(), select(LISTENERS.to_vec()))
}

proptest! {
    #[test]
    fn the_table_and_the_oracle_agree(rules in vec(any_rule(), 0..24), requests in vec(request(), 1..24)) {
        let table = table(&rules);
        for (host, path, listener) in requests {
            let told = oracle::find(&rules, host.as_bytes(), path.as_bytes(), listener);
            prop_assert_eq!(found(&table, &host, &path, listener), told, "{} {} by {}", host, path, listener);
        }
    }

    #[test]
    fn no_bytes_are_too_odd(host in vec(any::<u8>(), 0..40), path in vec(select(b"/.%2fFeE5\x00\xffa".to_vec()), 0..40)) {
        let table = table(&[rule(&["*.a"], prefix("/a"), &[]), rule(&[], PathPattern::Any, &[])]);
        prop_assert!(table.find(&host, &path, 0).is_some());
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
