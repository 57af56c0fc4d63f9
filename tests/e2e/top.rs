//! `forecourt top` at a real pseudo-terminal: what stands on its screen is so, its keys do what they say, and it leaves
//! the terminal as it found it.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use crate::harness::{Balancer, DEADLINE, Origin, binary, pool, program, wait_for, wait_until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Checks that find out fast.
const HEALTH: &str =
    "[pools.shop.health]\npath = \"/healthz\"\ninterval = \"100ms\"\nfall = 2\nrise = 2\n";

/// The program at a terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's side, kept to see in which mode it is left.
    side: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts it on a screen of so many columns and rows.
    fn start(arguments: &[&str], (columns, rows): (u16, u16)) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let side = ioctl_tiocgptpeer(&controller, flags).unwrap();
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&controller, size).unwrap();
        let end = || Stdio::from(side.try_clone().unwrap());
        // A session of its own, or it would ask the terminal of whoever runs the tests how wide it is.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(binary())
            .args(arguments)
            .env("NO_COLOR", "1")
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let keyboard = File::from(controller);
        let (mut output, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut room = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut room) {
                shown.lock().unwrap().process(&room[..count]);
            }
        });
        Self {
            child,
            keyboard,
            side,
            screen,
        }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    #[track_caller]
    fn shows(&self, what: &str) {
        self.waits_for(what, |text| text.contains(what));
    }

    #[track_caller]
    fn waits_for(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(DEADLINE, what, || is_so(&self.text()));
        }));
        assert!(found.is_ok(), "{what} is not seen:\n{}", self.text());
    }

    /// Waits until the row of a backend has this in it.
    #[track_caller]
    fn row(&self, origin: &Origin, what: &str) {
        let address = origin.address().to_string();
        self.waits_for(what, |text| {
            let mut lines = text.lines();
            lines.any(|line| line.starts_with(what) && line.contains(&address))
        });
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end and says the exit code; the terminal must be as it was.
    #[track_caller]
    fn ends(&mut self) -> Option<i32> {
        let status = wait_for(DEADLINE, "the end of top", || {
            self.child.try_wait().unwrap()
        });
        let modes = tcgetattr(&self.side).unwrap().local_modes;
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert!(modes.contains(cooked), "left in raw mode: {modes:?}");
        wait_until(DEADLINE, "the screen of before, with its cursor", || {
            let parser = self.screen.lock().unwrap();
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        });
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A balancer that can be steered, and where its token is.
fn steered(folder: &tempfile::TempDir, pools: &str) -> (Balancer, String) {
    let token = folder.path().join("admin.token");
    fs::write(&token, TOKEN).unwrap();
    let token = token.display().to_string();
    let admin = format!("[admin]\ntoken_file = \"{token}\"\n");
    let text = Balancer::front("shop").replace("[admin]\n", &admin) + pools;
    (Balancer::start(&text), token)
}

fn admin_of(balancer: &Balancer) -> String {
    format!("http://{}", balancer.address("admin"))
}

fn standing(balancer: &Balancer, origin: &Origin) -> Value {
    let path = format!("/v1/pools/shop/backends/{}", origin.address());
    let status: Value = serde_json::from_slice(&balancer.admin(&path).body).unwrap();
    status["standing"].clone()
}

#[test]
fn a_dead_backend_is_named_and_keys_drain_another() {
    let (mut a, b) = (Origin::named("a"), Origin::named("b"));
    let folder = tempfile::tempdir().unwrap();
    let pools = pool("shop", "round-robin", &[&a, &b]) + HEALTH;
    let (balancer, token) = steered(&folder, &pools);
    let admin = admin_of(&balancer);
    let arguments = ["top", "--admin", &admin, "--token-file", &token];
    let mut top = Terminal::start(&arguments, (80, 24));
    top.row(&a, "● ready");
    top.row(&b, "● ready");
    top.shows("✓ nothing is wrong: none of 2 backends is out, slow or failing");
    assert!(top.screen.lock().unwrap().screen().alternate_screen());

    a.refuse();
    top.row(&a, "✕ failing");
    top.shows("✕ shop: 1 of 2 backends is out: ");
    top.shows("its health checks fail:");
    a.accept_again();
    top.row(&a, "● ready");

    top.press(&format!("/{}\r", b.address()));
    top.shows("1/1 ");
    top.press("d");
    top.shows(&format!("drain {} in shop?", b.address()));
    top.press("n");
    top.shows("nothing was done");
    assert_eq!(standing(&balancer, &b), "ready");
    top.press("dy");
    top.row(&b, "◐ draining");
    assert_eq!(standing(&balancer, &b), "draining");
    top.press("ry");
    top.row(&b, "● ready");
    assert_eq!(standing(&balancer, &b), "ready");
    top.press("w7\ry");
    top.shows("weight 7 (configured 1)");

    top.press("?");
    top.shows("any key goes back");
    top.press(" q");
    assert_eq!(top.ends(), Some(0));
}

#[test]
fn what_does_not_answer_is_marked_and_goes_on() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut top = Terminal::start(&["top", "--admin", &admin_of(&balancer)], (80, 24));
    top.row(&origin, "● ready");
    // Without a token it says what to do, and does nothing.
    top.press("d");
    top.shows("--token-file");
    balancer.signal(Signal::STOP);
    top.shows("✕ STALE, as of ");
    top.row(&origin, "● ready");
    balancer.signal(Signal::CONT);
    top.waits_for("news", |text| !text.contains("STALE"));
    // Another process with the same address: the picture goes on with it.
    balancer.signal(Signal::USR2);
    top.shows("generation 2");
    top.waits_for("news", |text| !text.contains("STALE"));
    top.press("\x03");
    assert_eq!(top.ends(), Some(0));
}

#[test]
fn an_instance_that_ends_leaves_its_last_picture() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    // The narrowest screen that anybody uses.
    let mut top = Terminal::start(&["top", "--admin", &admin_of(&balancer)], (40, 20));
    top.shows("● ready");
    drop(balancer);
    top.shows("✕ STALE, as of ");
    top.shows("Connection refused");
    top.shows(&origin.address().to_string());
    // Esc alone, which could also begin the name of a key.
    top.press("\x1b");
    assert_eq!(top.ends(), Some(0));
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut top = Terminal::start(&["top", "--admin", &admin_of(&balancer)], (80, 24));
    top.row(&origin, "● ready");
    kill_process(Pid::from_child(&top.child), Signal::TERM).unwrap();
    assert_eq!(top.ends(), Some(128 + 15));
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let admin = admin_of(&balancer);
    let output = program(&["top", "--admin", &admin]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("`forecourt status`"), "{errors}");

    let output = program(&["top", "--once", "--width", "80", "--admin", &admin]);
    let picture = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{picture}");
    assert!(picture.contains(&origin.address().to_string()), "{picture}");
    assert!(
        picture.lines().all(|line| line.chars().count() <= 80),
        "{picture}"
    );

    drop(balancer);
    let output = program(&["top", "--once", "--admin", &admin]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    let mut top = Terminal::start(&["top", "--admin", &admin], (80, 24));
    assert_eq!(top.ends(), Some(3));
    top.shows("no instance answers");
}
