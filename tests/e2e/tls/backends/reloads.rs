//! Other settings take hold for new connections, and those of old ones are not used again.

use super::*;

#[test]
fn another_authority_takes_hold_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let old = authority(folder.path());
    let origin = SecureOrigin::plain("a", &old.issue(&["shop.test"]));
    let configuration = behind(&[&origin], "http/1.1", &trusting(folder.path()));
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(origin.seen().accepted, 1);

    // The same file with another authority: the connection that idles is one of before, and so is its session.
    let new = authority(folder.path());
    balancer.reload(&configuration);
    wait_until(DEADLINE, "the reload", || {
        balancer.stderr().contains("configuration applied")
    });
    let log = balancer.stderr();
    assert!(log.contains("ca.pem changed"), "{log}");
    assert_eq!(client.get("/").cause(), Some("tls-failed"));
    assert_eq!(origin.seen().accepted, 2);

    origin.show(&new.issue(&["shop.test"]));
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(origin.seen().accepted, 3);
}

#[test]
fn tls_comes_and_goes_with_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority(folder.path()).issue(&["shop.test"]);
    let origin = SecureOrigin::start("a", &made, &["h2", "http/1.1"], Wants::Nothing);
    let with = behind(&[&origin], "h2", &trusting(folder.path()));
    let without = behind(&[&origin], "h2c", "").replace("[pools.shop.tls]\n", "");
    let balancer = Balancer::start(&with);
    let mut client = balancer.client("web");
    for (round, (configuration, said, works)) in
        [(&without, "tls removed", false), (&with, "tls added", true)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(client.get("/").status == 200, !works);
        balancer.reload(configuration);
        wait_until(DEADLINE, "the reload", || {
            balancer.stderr().matches("configuration applied").count() == round + 1
        });
        assert!(balancer.stderr().contains(said), "{}", balancer.stderr());
        assert_eq!(client.get("/").status == 200, works);
    }
}
