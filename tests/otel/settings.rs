//! What `[trace.export]` may say.

use std::fs;

use crate::harness::{Balancer, Origin, pool, program};

/// What `check` says of these settings.
#[track_caller]
fn checked(settings: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forecourt.toml");
    let origin = Origin::named("a");
    let rest = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    fs::write(&file, format!("[trace.export]\n{settings}\n{rest}")).unwrap();
    fs::write(folder.path().join("good"), "authorization: Bearer hush\n").unwrap();
    fs::write(
        folder.path().join("bad"),
        "# a token\nhush-hush-hush-hush\n",
    )
    .unwrap();
    let output = program(&["check", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    (output.status.success(), said.into_owned())
}

#[test]
fn what_is_right_is_taken() {
    for right in [
        "endpoint = \"http://127.0.0.1:4318\"",
        "endpoint = \"http://[::1]:4318/in\"\nheaders_file = \"good\"\ntimeout = \"2s\"\nqueue = 1\nservice = \"edge\"",
    ] {
        let (is_right, said) = checked(right);
        assert!(is_right, "{said}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_remedy() {
    let url = "endpoint = \"http://127.0.0.1:4318\"\n";
    for (wrong, words) in [
        ("", "`trace.export` has no endpoint"),
        ("endpoint = \"127.0.0.1:4318\"", "it is no URL with a host"),
        ("endpoint = \"grpc://127.0.0.1:4317\"", "by http or https"),
        ("endpoint = \"http://u:p@127.0.0.1\"", "it has a user"),
        ("endpoint = 4318", "expected a string"),
        (&format!("{url}queue = 0"), "must be from 1 to 65536"),
        (&format!("{url}timeout = \"0s\""), "`timeout`"),
        (
            &format!("{url}service = \"\""),
            "the name of the service is empty",
        ),
        (
            &format!("{url}headers_file = \"bad\""),
            "line 2 of the file is no field",
        ),
        (&format!("{url}headers_file = \"none\""), "No such file"),
        (
            &format!("{url}time_out = \"1s\""),
            "did you mean `timeout`?",
        ),
    ] {
        let (is_right, said) = checked(wrong);
        assert!(!is_right && said.contains(words), "{wrong}: {said}");
        assert!(!said.contains("hush"), "{said}");
    }
}
