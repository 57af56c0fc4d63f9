//! The dashboard in a real browser: what it shows is what is so, and its buttons do what they say.
//!
//! `FORECOURT_PICTURE=docs/dashboard.png cargo test --test e2e -- dashboard::a_picture` takes the picture of the README.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod browser;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::harness::{Balancer, Origin, Request, pool};
use browser::Browser;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A balancer that can be steered by the token.
fn steered(folder: &tempfile::TempDir, pools: &str) -> Balancer {
    let token = folder.path().join("admin.token");
    fs::write(&token, TOKEN).unwrap();
    let admin = format!("[admin]\ntoken_file = \"{}\"\n", token.display());
    Balancer::start(&(Balancer::front("shop").replace("[admin]\n", &admin) + pools))
}

fn status_of(balancer: &Balancer, origin: &Origin) -> Value {
    let path = format!("/v1/pools/shop/backends/{}", origin.address());
    serde_json::from_slice(&balancer.admin(&path).body).unwrap()
}

/// The text of the row of a backend, as an expression.
fn row(origin: &Origin) -> String {
    format!(
        "document.querySelector('{}').innerText",
        selector(origin, "")
    )
}

/// How a backend stands on the page, as an expression: the first cell, for the buttons have words of their own.
fn standing(origin: &Origin) -> String {
    format!(
        "document.querySelector('{}').innerText",
        selector(origin, " td")
    )
}

fn selector(origin: &Origin, rest: &str) -> String {
    format!("tr[data-address=\"{}\"]{rest}", origin.address())
}

#[test]
fn the_page_is_of_this_address_alone() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard.css", "text/css; charset=utf-8"),
        ("/dashboard.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = balancer.admin(path);
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (200, Some(kind))
        );
        let policy = answer.field("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(
            !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(answer.field("x-frame-options"), Some("DENY"));
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        let text = answer.text();
        for outside in ["http://", "https://", "innerHTML", "eval("] {
            let rest = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!rest.contains(outside), "{outside} in {path}");
        }
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one visit to the page")]
fn a_click_drains_a_backend_and_the_page_shows_it() {
    let Some(mut browser) = Browser::start(1200, 900) else {
        return;
    };
    let (a, b) = (Origin::named("a"), Origin::named("<img src=x>"));
    let folder = tempfile::tempdir().unwrap();
    let balancer = steered(&folder, &pool("shop", "round-robin", &[&a, &b]));
    let admin = balancer.address("admin");
    browser.go(&format!("http://{admin}/"));
    browser.wait_until(&format!("{}.includes('ready')", standing(&a)));
    browser.wait_until(&format!("{}.includes('<img src=x>')", row(&b)));
    assert_eq!(
        browser.read("document.querySelectorAll('img').length"),
        0,
        "names are text"
    );
    browser.wait_until("document.querySelector('#events').innerText.includes('listening')");

    // Looked at, and left by Escape: nothing has been done.
    browser.click(&selector(&a, " button[data-action=drain]"));
    browser.wait_until("document.querySelector('dialog').open");
    browser.press("Escape", 27);
    browser.wait_until("!document.querySelector('dialog').open");
    assert_eq!(status_of(&balancer, &a)["state"], "ready");

    // A wrong token is refused, and asked for again.
    browser.click(&selector(&a, " button[data-action=drain]"));
    browser.wait_until("document.activeElement.id === 'token'");
    browser.write("not the token");
    browser.click("#confirm");
    browser.wait_until("document.querySelector('#dialog-error').innerText.includes('token')");
    assert_eq!(status_of(&balancer, &a)["state"], "ready");
    browser.wait_until(
        "document.activeElement.id === 'token' && !document.querySelector('#confirm').disabled",
    );
    browser.read("document.querySelector('#token').value = ''");
    browser.write(TOKEN);
    browser.click("#confirm");
    browser.wait_until("!document.querySelector('dialog').open");
    browser.wait_until(&format!("{}.includes('draining')", standing(&a)));
    assert_eq!(status_of(&balancer, &a)["standing"], "draining");
    browser.wait_until("document.querySelector('#events').innerText.includes('backend steered')");

    // It is asked once; the next one needs a confirmation only.
    browser.click(&selector(&a, " button[data-action=ready]"));
    browser.wait_until("document.querySelector('dialog').open");
    assert_eq!(
        browser.read("document.querySelector('#token-row').hidden"),
        true
    );
    browser.click("#confirm");
    browser.wait_until(&format!("{}.includes('ready')", standing(&a)));
    assert_eq!(status_of(&balancer, &a)["standing"], "ready");

    browser.click(&selector(&b, " button[data-action=weight]"));
    browser.wait_until("document.activeElement.id === 'weight'");
    browser.read("document.querySelector('#weight').value = ''");
    browser.write("3");
    browser.press("Enter", 13);
    browser.wait_until(&format!("{}.includes('3 (1)')", row(&b)));
    assert_eq!(status_of(&balancer, &b)["weight"], 3);
    // The refused token is the one error that the browser noticed.
    let complaints = &browser.complaints;
    assert!(
        complaints.iter().all(|one| one.contains("401")),
        "{complaints:?}"
    );
}

#[test]
fn a_backend_that_dies_is_seen_to() {
    let Some(mut browser) = Browser::start(1200, 900) else {
        return;
    };
    let (mut a, b) = (Origin::named("a"), Origin::named("b"));
    let health =
        "[pools.shop.health]\npath = \"/healthz\"\ninterval = \"100ms\"\nfall = 2\nrise = 2\n";
    let folder = tempfile::tempdir().unwrap();
    let balancer = steered(&folder, &(pool("shop", "round-robin", &[&a, &b]) + health));
    let admin = balancer.address("admin");
    // As the demo prints it.
    browser.go(&format!("http://{admin}/#token={TOKEN}"));
    browser.wait_until(&format!("{}.includes('ready')", standing(&a)));
    assert_eq!(
        browser.read("location.hash"),
        "",
        "the token is not left in the address"
    );
    let alarms = "document.querySelector('#alarms').innerText";
    browser.wait_until(&format!("{alarms}.includes('nothing is wrong')"));
    a.refuse();
    browser.wait_until(&format!("{}.includes('failing')", standing(&a)));
    browser.wait_until(&format!(
        "{alarms}.includes('shop: 1 of 2 backends is out')"
    ));
    browser.wait_until(&format!("{}.includes('connect-refused')", row(&a)));
    browser.wait_until(
        "document.querySelector('#events').innerText.includes('a backend fails its health checks')",
    );
    a.accept_again();
    browser.wait_until(&format!("{}.includes('ready')", standing(&a)));
    // With the token of the address a click and a confirmation do.
    browser.click(&selector(&b, " button[data-action=maint]"));
    browser.wait_until("document.querySelector('dialog').open");
    browser.click("#confirm");
    browser.wait_until(&format!("{}.includes('maintenance')", standing(&b)));
    assert_eq!(status_of(&balancer, &b)["standing"], "maintenance");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[test]
fn the_page_goes_on_with_the_next_process() {
    let Some(mut browser) = Browser::start(1200, 900) else {
        return;
    };
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    browser.go(&format!("http://{}/", balancer.address("admin")));
    browser.wait_until("document.querySelector('#generation').innerText === '1'");
    balancer.signal(rustix::process::Signal::USR2);
    // The new one has taken the address over; nobody has loaded the page again.
    browser.wait_until("document.querySelector('#generation').innerText === '2'");
    browser.wait_until("document.querySelector('#link').innerText.includes('live')");
}

/// On a phone nothing is wider than the screen but the tables, which scroll by themselves.
#[test]
fn the_page_fits_a_phone() {
    let Some(mut browser) = Browser::start(1200, 900) else {
        return;
    };
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true });
    browser.call("Emulation.setDeviceMetricsOverride", phone);
    browser.go(&format!("http://{}/", balancer.address("admin")));
    browser.wait_until(&format!("{}.includes('ready')", standing(&origin)));
    assert_eq!(
        browser.read("document.documentElement.scrollWidth <= innerWidth"),
        true
    );
    let light = browser.read("getComputedStyle(document.body).backgroundColor");
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.call("Emulation.setEmulatedMedia", dark);
    assert_ne!(
        browser.read("getComputedStyle(document.body).backgroundColor"),
        light
    );
}

/// Only where a file is named: the demo with shoppers in it, and one backend stopped.
#[test]
fn a_picture() {
    let Some(file) = std::env::var_os("FORECOURT_PICTURE") else {
        return;
    };
    let demo = Demo::start(&[]);
    let mut browser = Browser::start(1280, 1100).expect("chromium");
    let welcome = demo.stdout();
    let link = welcome
        .lines()
        .find_map(|line| line.trim().strip_prefix("look"));
    browser.go(link.unwrap().trim());
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            let mut client = demo.shop();
            let ends = &ends;
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    client.get("/");
                    client.send(&Request::post("/basket", b"product=4&quantity=3"));
                }
            });
        }
        browser.wait_until("plots[0].values[0].length > 6");
        assert_eq!(demo.control("green/stop").status, 200);
        browser.wait_until("plots[0].values[0].length > 14");
        ends.store(true, Ordering::Relaxed);
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::write(path, browser.picture()).unwrap();
}
