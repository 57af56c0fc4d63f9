//! `[listeners.*.tls]` and `[pools.*.tls]`: what is read, what is refused with a place and a remedy, and what is told of all the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;

use forecourt::config::{Loaded, Options, Problem, Report, load};
use forecourt::plan::advice::advise;
use forecourt::plan::diff::diff;
use forecourt::plan::tls::{ClientMode, TlsVersion};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256,
    date_time_ymd,
};
use time::{Duration, OffsetDateTime};

struct Folder(tempfile::TempDir, Options);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), Options::new())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn make(&self, name: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        self.make_by(KeyPair::generate().unwrap(), name, names, change);
    }

    fn make_by(
        &self,
        key: KeyPair,
        name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let made = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), &made.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn load(&self, tls: &str) -> Result<Loaded, Report> {
        let text = format!(
            "[listeners.web]\naddress = \"127.0.0.1:443\"\n[listeners.web.tls]\n{tls}\n[[routes]]\npool = \"shop\"\n[pools.shop]\nbackends = [{{ address = \"127.0.0.1:9001\" }}]\n"
        );
        load(&self.write("forecourt.toml", &text), &self.1)
    }

    #[track_caller]
    fn warning(&self, tls: &str) -> Problem {
        let mut warnings = self.load(tls).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        warnings.remove(0)
    }

    #[track_caller]
    fn error(&self, tls: &str) -> Problem {
        let mut problems = self.load(tls).unwrap_err().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }
}

fn pairs(names: &[&str]) -> String {
    let pairs: Vec<_> = names
        .iter()
        .map(|name| format!("{{ certificate = \"{name}.pem\", key = \"{name}.key\" }}"))
        .collect();
    format!("certificates = [{}]", pairs.join(", "))
}

#[track_caller]
fn assert_told(problem: &Problem, path: &str, what: &str) {
    assert!(problem.what.contains(what), "{problem}");
    assert_eq!(
        problem.path,
        format!("listeners.web.tls{path}"),
        "{problem}"
    );
    assert!(problem.help.is_some(), "{problem}");
}

#[test]
fn all_there_is() {
    let folder = Folder::new();
    folder.make(
        "a",
        &["Shop.Example", "*.shop.example", "192.0.2.1"],
        |_| {},
    );
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    folder.make_by(rsa, "b", &["shop.example"], |_| {});
    let text = pairs(&["a", "b"])
        + "\nmin_version = \"1.3\"\nwatch = false\nclient = { ca = \"a.pem\", mode = \"optional\" }";
    let loaded = folder.load(&text).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let tls = loaded.plan.listeners[0].tls.as_ref().unwrap();
    assert_eq!(
        *tls.certificates[0].names,
        ["shop.example".into(), "*.shop.example".into()]
    );
    assert_eq!(tls.certificates[1].name(), "shop.example");
    assert_eq!((tls.min_version, tls.watch), (TlsVersion::V1_3, false));
    assert_eq!(tls.client.as_ref().unwrap().mode, ClientMode::Optional);
    assert_eq!(loaded.files.len(), 5, "{:?}", loaded.files);
    assert!(!format!("{:?}", loaded.plan).contains("PRIVATE"));

    let bare = folder.load(&pairs(&["a"])).unwrap();
    let tls = bare.plan.listeners[0].tls.as_ref().unwrap();
    assert_eq!((tls.min_version, tls.watch), (TlsVersion::V1_2, true));
    assert!(tls.client.is_none());
    let changes: Vec<_> = diff(&bare.plan, &loaded.plan)
        .iter()
        .map(ToString::to_string)
        .collect();
    let path = folder.0.path().join("b.pem");
    assert_eq!(
        changes,
        [
            &format!("listener web: certificate {} added", path.display()),
            "listener web: tls.min_version 1.2 -> 1.3",
            "listener web: tls.watch true -> false",
            "listener web: client certificates optional",
        ]
    );
}

#[test]
fn what_is_wrong_has_a_place_and_a_remedy() {
    let folder = Folder::new();
    folder.make("a", &["a.example"], |_| {});
    folder.make("b", &["b.example"], |_| {});
    let a = pairs(&["a"]);
    for (text, path, what) in [
        (String::new(), "", "TLS without a certificate"),
        (
            a.clone() + "\nmin_version = \"1.1\"",
            ".min_version",
            "TLS 1.1 is not spoken",
        ),
        (
            a.clone() + "\nmin_version = \"1.4\"",
            ".min_version",
            "unknown min_version",
        ),
        (
            a.clone() + "\nclient = { mode = \"optional\" }",
            ".client",
            "`ca` is missing",
        ),
        (
            a.clone() + "\nclient = { ca = \"a.key\" }",
            ".client.ca",
            "has no certificate",
        ),
        (
            a + "\nclient = { ca = \"a.pem\", mode = \"maybe\" }",
            ".client.mode",
            "unknown mode",
        ),
        (
            "self_signed = []".to_owned(),
            ".self_signed",
            "without a name",
        ),
        (
            "self_signed = [\"sch\u{f6}n.example\"]".to_owned(),
            ".self_signed",
            "no certificate can be made",
        ),
        (
            "certificates = [{ certificate = \"a.pem\", key = \"b.key\" }]".to_owned(),
            ".certificates[0].key",
            "is not the key of",
        ),
        (
            "certificates = [{ certificate = \"a.key\", key = \"a.key\" }]".to_owned(),
            ".certificates[0].certificate",
            "has no certificate",
        ),
    ] {
        assert_told(&folder.error(&text), path, what);
    }
}

#[test]
fn a_unix_socket_has_no_tls() {
    let folder = Folder::new();
    let text = "[listeners.web]\naddress = \"unix:/tmp/x\"\ntls = { self_signed = [\"localhost\"] }\n[[routes]]\npool = \"shop\"\n[pools.shop]\nbackends = [{ address = \"127.0.0.1:9001\" }]\n";
    let report = load(&folder.write("forecourt.toml", text), &folder.1).unwrap_err();
    assert_told(&report.problems[0], "", "not spoken on a Unix socket");
}

#[test]
fn what_will_not_last_or_do_is_told_of() {
    let folder = Folder::new();
    let now = OffsetDateTime::now_utc();
    folder.make("gone", &["a.example"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    folder.make("soon", &["a.example"], |params| {
        params.not_after = now + Duration::hours(12 * 24 + 12);
    });
    folder.make("good", &["a.example"], |params| {
        params.not_after = now + Duration::days(15);
    });
    folder.make("early", &["a.example"], |params| {
        params.not_before = now + Duration::days(2);
    });
    folder.make("nameless", &[], |_| {});
    let certificate = ".certificates[0].certificate";
    for (name, what) in [
        ("gone", "expired at 2020-01-01T00:00:00Z"),
        ("soon", "expires in 12 days, at "),
        ("early", "is not valid before "),
        ("nameless", "is good for no name"),
    ] {
        assert_told(&folder.warning(&pairs(&[name])), certificate, what);
    }
    let good = folder.load(&pairs(&["good"])).unwrap();
    assert!(good.warnings.is_empty());
    // What renews itself has done so by now: the doctor asks why this one has not.
    let advice = advise(&good.plan, now.unix_timestamp());
    let early = advice
        .iter()
        .find(|one| one.path == "listeners.web.tls.certificates");
    assert!(
        early.is_some_and(|one| one.what.starts_with("a.example has 14 days left")
            || one.what.starts_with("a.example has 15 days left")),
        "{advice:?}"
    );
    let later = advise(&good.plan, now.unix_timestamp() - 30 * 24 * 3600);
    assert!(
        !later.iter().any(|one| one.path.contains("tls")),
        "{later:?}"
    );
    folder.make("again", &["a.example"], |_| {});
    assert_told(
        &folder.warning(&pairs(&["good", "again"])),
        ".certificates[1]",
        "no client gets",
    );
    assert_told(
        &folder.warning("self_signed = [\"localhost\"]"),
        ".self_signed",
        "is for development",
    );
}

#[test]
fn chains_have_an_order() {
    let folder = Folder::new();
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        (params, KeyPair::generate().unwrap())
    };
    let (root, root_key) = authority("root");
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let root = Issuer::new(root, root_key);
    let (middle, middle_key) = authority("middle");
    let middle_pem = middle.signed_by(&middle_key, &root).unwrap().pem();
    let middle = Issuer::new(middle, middle_key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let own = own.signed_by(&key, &middle).unwrap().pem();
    folder.write("a.key", &key.serialize_pem());
    let with = |chain: &[&String]| {
        let chain: Vec<&str> = chain.iter().map(|pem| pem.as_str()).collect();
        folder.write("a.pem", &chain.concat());
        folder.load(&pairs(&["a"]))
    };
    for good in [
        &[&own][..],
        &[&own, &middle_pem],
        &[&own, &middle_pem, &root_pem],
    ] {
        assert!(with(good).unwrap().warnings.is_empty());
    }
    let place = ".certificates[0].certificate";
    let swapped = with(&[&own, &root_pem, &middle_pem]).unwrap();
    assert_told(
        &swapped.warnings[0],
        place,
        "certificate 1 was not signed by certificate 2",
    );
    let last = with(&[&middle_pem, &root_pem, &own]).unwrap_err();
    assert_told(
        &last.problems[0],
        place,
        "wrong order: its certificate number 3",
    );
}

#[test]
fn a_certificate_for_development_is_kept() {
    let folder = Folder::new();
    let load = |text: &str| folder.load(text).unwrap().plan;
    let first = load("self_signed = [\"localhost\"]");
    assert!(diff(&first, &load("self_signed = [\"localhost\"]")).is_empty());
    let other = load("self_signed = [\"localhost\", \"127.0.0.1\"]");
    assert_eq!(diff(&first, &other).len(), 1);
}

/// Loads a pool of two backends with this TLS.
fn towards(folder: &Folder, more: &str) -> Result<Loaded, Report> {
    let text = format!(
        "[listeners.web]\naddress = \"127.0.0.1:80\"\n[[routes]]\npool = \"shop\"\n[pools.shop]\nbackends = [{{ address = \"127.0.0.1:9001\" }}, {{ address = \"localhost:9002\" }}]\n{more}\n"
    );
    load(&folder.write("forecourt.toml", &text), &folder.1)
}

fn certified(certificate: &str, key: &str) -> String {
    format!(
        "[pools.shop.tls]\nca = \"ca.pem\"\ncertificate = \"{certificate}.pem\"\nkey = \"{key}.key\""
    )
}

#[test]
fn a_key_of_another_client_certificate_is_found() {
    let folder = Folder::new();
    for name in ["ca", "own", "other"] {
        folder.make(name, &[], |_| {});
    }
    // A client needs no name.
    let loaded = towards(&folder, &certified("own", "own")).unwrap();
    let of_tls = |problem: &Problem| problem.path.contains("tls");
    assert!(!loaded.warnings.iter().any(of_tls), "{:?}", loaded.warnings);
    assert!(!format!("{:?}", loaded.plan).contains("PRIVATE"));
    let files = ["ca.pem", "own.pem", "own.key"].map(|name| folder.0.path().join(name));
    assert!(files.iter().all(|file| loaded.files.contains(file)));
    let mut problems = towards(&folder, &certified("own", "other"))
        .unwrap_err()
        .problems;
    problems.retain(of_tls);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].path, "pools.shop.tls.key");
    assert!(problems[0].what.contains("is not the key of"));
}

#[test]
fn a_reload_says_what_has_changed_towards_backends() {
    let folder = Folder::new();
    for name in ["ca", "own", "other"] {
        folder.make(name, &[], |_| {});
    }
    let plan = |more: &str| towards(&folder, more).unwrap().plan;
    let own = certified("own", "own");
    let first = plan(&own);
    assert!(diff(&first, &plan(&own)).is_empty());
    let changes = |other: &str| -> Vec<String> {
        let changes = diff(&first, &plan(other));
        changes.iter().map(ToString::to_string).collect()
    };
    let path = |name: &str| folder.0.path().join(name).display().to_string();
    assert_eq!(changes(""), ["pool shop: tls removed"]);
    let other = certified("other", "other");
    let changed = format!(
        "pool shop: client certificate {} changed",
        path("other.pem")
    );
    assert_eq!(changes(&other), [changed]);
    let plain = "[pools.shop.tls]\nca = \"ca.pem\"";
    let removed = format!("pool shop: client certificate {} removed", path("own.pem"));
    assert_eq!(changes(plain), [removed]);
    assert_eq!(
        changes(&format!("{own}\nserver_name = \"shop.test\"")),
        [
            "pool shop: server name of 127.0.0.1:9001 127.0.0.1 -> shop.test",
            "pool shop: server name of 127.0.0.1:9002 localhost -> shop.test",
        ]
    );
    let unverified = format!("{own}\nverify = false");
    assert_eq!(
        changes(&unverified),
        ["pool shop: tls.verify true -> false"]
    );
    let ca = format!(
        "pool shop: tls.ca {} -> {}",
        path("ca.pem"),
        path("other.pem")
    );
    assert_eq!(changes(&own.replace("ca.pem", "other.pem")), [ca]);
    folder.make("ca", &["another.test"], |_| {});
    let renewed = format!("pool shop: authorities in {} changed", path("ca.pem"));
    assert_eq!(changes(&own), [renewed]);
}

#[test]
fn an_admin_address_that_others_can_reach_needs_a_token_and_tls() {
    let folder = Folder::new();
    folder.make("admin", &["lb.example"], |_| {});
    folder.write("token", "0123456789abcdef0123456789abcdef");
    let token = "token_file = \"token\"\n";
    let tls = "tls = { certificates = [{ certificate = \"admin.pem\", key = \"admin.key\" }] }\n";
    let load_admin = |address: &str, more: &str| {
        let text = format!(
            "[admin]\naddress = \"{address}\"\n{more}[listeners.web]\naddress = \"127.0.0.1:443\"\n[[routes]]\npool = \"shop\"\n[pools.shop]\nbackends = [{{ address = \"127.0.0.1:9001\" }}]\n"
        );
        load(&folder.write("forecourt.toml", &text), &folder.1)
    };
    for address in ["0.0.0.0:9900", "[::]:9900", "192.0.2.1:9900"] {
        for (more, missing) in [
            (String::new(), "neither `token_file` nor `tls`"),
            (token.to_owned(), "no `tls`"),
            (tls.to_owned(), "no `token_file`"),
        ] {
            let problems = load_admin(address, &more).unwrap_err().problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            let problem = &problems[0];
            assert!(problem.what.contains(missing), "{problem}");
            assert_eq!(problem.path, "admin.address");
            let help = problem.help.as_deref().unwrap();
            assert!(
                help.contains("token_file") && help.contains("admin.tls"),
                "{help}"
            );
        }
        let loaded = load_admin(address, &format!("{token}{tls}")).unwrap();
        let admin = loaded.plan.admin.unwrap();
        assert_eq!(admin.tls.unwrap().certificates.len(), 1);
    }
    assert!(load_admin("127.0.0.1:9900", tls).is_ok());
    let on_unix = load_admin("unix:/run/admin.sock", tls)
        .unwrap_err()
        .problems;
    assert!(on_unix[0].what.contains("Unix socket"), "{on_unix:?}");
    let gone = tls.replace("admin.key", "gone.key");
    let problems = load_admin("127.0.0.1:9900", &gone).unwrap_err().problems;
    assert!(problems[0].what.contains("gone.key"), "{problems:?}");
}
