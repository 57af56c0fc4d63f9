//! How a listener reads a path: each value of each switch, which route takes it and what the backend gets.

use super::*;

/// What becomes of a target: the route that takes it and what its backend gets, or the refusal.
#[derive(Debug)]
enum Fate {
    Goes(&'static str, &'static str),
    Ambiguous,
}
use Fate::{Ambiguous, Goes};

#[track_caller]
fn assert_fates(paths: &str, fates: &[(&'static str, Fate)]) {
    let routes = [
        ("root", "path_prefix = \"/\""),
        ("admin", "path_prefix = \"/admin\""),
        ("deep", "path = \"/admin/a/b\""),
    ];
    let site = Site::behind(&format!("paths = {{ {paths} }}"), &routes);
    for (target, fate) in fates {
        let response = site.client().get(target);
        match fate {
            Goes(route, sent) => {
                assert_eq!(
                    response.field("x-origin"),
                    Some(*route),
                    "{paths} {target}: {response}"
                );
                assert_eq!(
                    site.origin(route).last_received().target,
                    *sent,
                    "{paths} {target}"
                );
            }
            Ambiguous => {
                let found = (response.status, response.cause());
                assert_eq!(
                    found,
                    (400, Some("ambiguous-path")),
                    "{paths} {target}: {response}"
                );
            }
        }
    }
    let refused = fates
        .iter()
        .filter(|(_, fate)| matches!(fate, Ambiguous))
        .count();
    let received: usize = site.origins.iter().map(Origin::requests).sum();
    assert_eq!(
        received,
        fates.len() - refused,
        "{paths}: a refused request went on"
    );
}

/// By default a path is read as most backends read it, and sent as it came.
#[test]
fn by_default_paths_are_resolved_for_routes_and_sent_raw() {
    assert_fates(
        "",
        &[
            ("/x/../admin", Goes("admin", "/x/../admin")),
            ("//admin", Goes("admin", "//admin")),
            ("/%61dmin?a=//..", Goes("admin", "/%61dmin?a=//..")),
            ("/admin%2fa", Goes("root", "/admin%2fa")),
            ("/100%", Goes("root", "/100%")),
            ("/a\\b%5c", Goes("root", "/a\\b%5c")),
            ("/admin%00", Ambiguous),
            ("/%00?x", Ambiguous),
            ("/x?%00", Goes("root", "/x?%00")),
        ],
    );
}

#[test]
fn dot_segments_may_be_kept_or_refused() {
    assert_fates(
        "dot_segments = \"keep\"",
        &[
            ("/x/../admin", Goes("root", "/x/../admin")),
            ("/admin/../x", Goes("admin", "/admin/../x")),
            ("/%2e/admin", Goes("root", "/%2e/admin")),
        ],
    );
    assert_fates(
        "dot_segments = \"reject\"",
        &[
            ("/x/../admin", Ambiguous),
            ("/x/%2e%2E/admin", Ambiguous),
            ("/x/.%2e", Ambiguous),
            ("/.", Ambiguous),
            ("/./admin", Ambiguous),
            ("/100%", Ambiguous),
            ("/%zz", Ambiguous),
            ("/.well-known/...", Goes("root", "/.well-known/...")),
            ("//admin", Goes("admin", "//admin")),
            ("/x?../.", Goes("root", "/x?../.")),
        ],
    );
}

#[test]
fn repeated_slashes_may_be_kept_or_refused() {
    assert_fates(
        "repeated_slashes = \"keep\"",
        &[
            ("//admin", Goes("root", "//admin")),
            ("/admin//a", Goes("admin", "/admin//a")),
            ("/admin/a//b", Goes("admin", "/admin/a//b")),
            ("/admin/a/b", Goes("deep", "/admin/a/b")),
        ],
    );
    assert_fates(
        "repeated_slashes = \"reject\"",
        &[
            ("//admin", Ambiguous),
            ("/admin//", Ambiguous),
            ("/x/..//admin", Ambiguous),
            ("/%", Ambiguous),
            ("/admin/", Goes("admin", "/admin/")),
            ("/x?//", Goes("root", "/x?//")),
        ],
    );
}

#[test]
fn encoded_slashes_may_be_slashes_or_refused() {
    assert_fates(
        "encoded_slashes = \"decode\"",
        &[
            ("/admin%2fa%2Fb", Goes("deep", "/admin%2fa%2Fb")),
            ("/x%2f..%2fadmin", Goes("admin", "/x%2f..%2fadmin")),
            ("/admin%252fa", Goes("root", "/admin%252fa")),
            ("/admin%5ca", Goes("root", "/admin%5ca")),
        ],
    );
    assert_fates(
        "encoded_slashes = \"reject\"",
        &[
            ("/admin%2fa", Ambiguous),
            ("/admin%2Fa", Ambiguous),
            ("/admin%5ca", Ambiguous),
            ("/admin%5Ca", Ambiguous),
            ("/admin\\a", Ambiguous),
            ("/%4", Ambiguous),
            ("/admin%252fa", Goes("root", "/admin%252fa")),
            ("/x?%2f\\", Goes("root", "/x?%2f\\")),
        ],
    );
}

/// The normalised path has nothing left to resolve, and means what it meant.
#[test]
fn the_backend_may_get_the_path_resolved() {
    assert_fates(
        "forward = \"normalised\"",
        &[
            ("/x/../admin", Goes("admin", "/admin")),
            ("//admin?a=//..", Goes("admin", "/admin?a=//..")),
            ("/%61dmin%2fa?%61", Goes("root", "/admin%2Fa?%61")),
            (
                "/admin/%7ea%3bb%c3%a9",
                Goes("admin", "/admin/~a%3Bb%C3%A9"),
            ),
            ("/100%", Goes("root", "/100%25")),
            ("/admin", Goes("admin", "/admin")),
            (
                "http://shop.example/x/../admin?q",
                Goes("admin", "/admin?q"),
            ),
            ("http://shop.example?q", Goes("root", "/?q")),
        ],
    );
    assert_fates(
        "forward = \"normalised\", encoded_slashes = \"decode\", repeated_slashes = \"keep\"",
        &[
            ("/admin%2Fa%2fb", Goes("deep", "/admin/a/b")),
            ("/admin/a//b/.", Goes("admin", "/admin/a//b/")),
        ],
    );
}

/// `OPTIONS *` has no path to be read.
#[test]
fn the_asterisk_is_no_path() {
    let paths = "paths = { dot_segments = \"reject\", forward = \"normalised\" }";
    let site = Site::behind(paths, &[("any", "")]);
    site.assert_takes(&Request::new("OPTIONS", "*"), "any", "*");
    assert_eq!(site.origin("any").last_received().target, "*");
}

/// Each listener has rules of its own, and a reload changes them for connections that are open.
#[test]
fn rules_change_by_reload() {
    let origin = Origin::named("a");
    let with = |rules: &str| {
        Balancer::front("shop").replace("[[routes]]", &format!("{rules}\n[[routes]]"))
            + &pool("shop", "round-robin", &[&origin])
    };
    let balancer = Balancer::start(&with(""));
    let mut client = balancer.client("web");
    assert_eq!(client.get("//a").status, 200);
    balancer.reload(&with(
        "[listeners.web.paths]\nrepeated_slashes = \"reject\"",
    ));
    wait_until(DEADLINE, "the new rules", || {
        client.get("//a").status == 400
    });
}
