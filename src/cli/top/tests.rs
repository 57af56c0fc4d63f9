//! What is seen and what keys do, on screens of memory.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::draw;
use super::view::{Deed, Mode, Picture, View, What, Wish};
use crate::admin::alarms;
use crate::admin::alarms::tests::{backend, stats};
use crate::admin::order::Past;
use crate::admin::stats::{BackendStats, LastFailure, Stats};

/// Four backends, of which `82` is ejected and `84` is drained.
fn night() -> Stats {
    let mut backends: Vec<_> = ["81", "82", "83", "84"].map(backend).into();
    let status = &mut backends[1].status;
    status.standing = "ejected".to_owned();
    status.why = Some("requests to it failed in a row".to_owned());
    status.failed_by.insert("connect-refused".to_owned(), 7);
    // Of the second 2026-01-02T03:04:05Z.
    status.since = Some(1_767_323_045 - 24);
    status.ejected_until = Some(1_767_323_045 + 6);
    backends[1].last_failure = Some(LastFailure {
        time: "2026-01-02T03:03:41Z".to_owned(),
        cause: "connect-refused".to_owned(),
    });
    backends[3].status.standing = "draining".to_owned();
    backends[2].times.p99_milliseconds = Some(812.0);
    of(backends)
}

fn of(backends: Vec<BackendStats>) -> Stats {
    let mut stats = stats(backends);
    stats.alarms = alarms::of(&stats);
    stats
}

fn view(stats: Stats) -> View {
    let picture = Picture {
        stats,
        change: None,
    };
    View::new("http://127.0.0.1:9900".to_owned(), picture, true)
}

fn seen(view: &mut View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw::screen(view, frame.area(), frame.buffer_mut()))
        .unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width.max(1)));
    let lines = lines.map(|cells| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn press(view: &mut View, keys: &str) -> Deed {
    let mut last = Deed::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '↓' => KeyCode::Down,
            '⇥' => KeyCode::End,
            key => KeyCode::Char(key),
        };
        last = view.key(KeyEvent::from(code));
    }
    last
}

/// The rows of the table, from the line below its titles on.
fn rows(screen: &str) -> Vec<&str> {
    let lines = screen.lines().skip_while(|line| !line.contains("p99 ms"));
    lines
        .skip(1)
        .take_while(|line| line.starts_with(['●', '✕', '◐', '○']))
        .collect()
}

#[test]
fn at_80_by_24_it_says_what_is_wrong_and_who() {
    let mut view = view(night());
    let screen = seen(&mut view, 80, 24);
    for part in [
        "forecourt 0.1.0",
        "● ready, serving",
        "up 1 h 2 min",
        "200 requests/s",
        "0 errors/s",
        "12 connections",
        "✕ shop: 1 of 4 backends is out: 82 (10.0.0.1:82) ejected",
        "→ start the backend",
        "○ shop: 1 of 4 backends is kept out by an operator",
        "tried again in 6 s at the latest",
        "connect-refused 7",
        "q leave",
    ] {
        assert!(screen.contains(part), "{part}\n{screen}");
    }
    let rows = rows(&screen);
    assert_eq!(rows.len(), 4, "{screen}");
    // The worst first, then the drained one, the others as configured.
    for (row, id) in rows.iter().zip(["82", "84", "81", "83"]) {
        assert!(row.contains(&format!("10.0.0.1:{id}")), "{screen}");
    }
    assert!(
        rows[0].contains("✕ ejected") && rows[0].contains("24s"),
        "{screen}"
    );
}

#[test]
fn on_40_columns_rows_and_alarms_are_there() {
    let mut view = view(night());
    let screen = seen(&mut view, 40, 24);
    let rows = rows(&screen);
    assert_eq!(rows.len(), 4, "{screen}");
    assert!(rows[0].starts_with("✕ ejected  82 10.0.0.1:82"), "{screen}");
    assert!(rows[3].ends_with(" 812"), "{screen}");
    assert!(
        screen.contains("✕ shop: 1 of 4 backends is out"),
        "{screen}"
    );
}

#[test]
fn of_a_well_instance_it_says_so() {
    let mut view = view(of(["81", "82"].map(backend).into()));
    let screen = seen(&mut view, 80, 24);
    assert!(
        screen.contains("✓ nothing is wrong: none of 2 backends is out, slow or failing"),
        "{screen}"
    );
}

#[test]
fn no_size_and_no_mode_breaks_it() {
    let mut view = view(night());
    let change = Past {
        generation: 4,
        at: "2026-01-02T03:02:05Z".to_owned(),
        who: "SIGHUP".to_owned(),
        changes: 3,
        what: vec!["pool shop: another strategy".to_owned()],
        digest: String::new(),
        current: true,
    };
    view.change = Some(change);
    view.lose("no instance answers".to_owned());
    for keys in ["", "?", "\x1ba", "\x1b/x", "\x1bw12", "\x1bd"] {
        press(&mut view, keys);
        for width in 1..60 {
            for height in 1..30 {
                seen(&mut view, width, height);
            }
        }
        view.mode = Mode::Look;
    }
    assert!(seen(&mut view, 120, 24).contains(
        "generation 4 came 2 min ago by SIGHUP: pool shop: another strategy, and 2 more"
    ));
}

#[test]
fn what_names_hold_does_not_drive_the_terminal() {
    let mut stats = night();
    stats.pools[0].name = "a\x1b[2Jb\n".to_owned();
    stats.pools[0].backends[0].status.id = "商店\u{7}".to_owned();
    let mut view = view(stats);
    let screen = seen(&mut view, 80, 24) + &draw::text(&mut view, 80);
    assert!(!screen.contains(['\x1b', '\u{7}']), "{screen:?}");
}

#[test]
fn ten_thousand_are_walked_through() {
    let backends = (0..10_000).map(|port| backend(&port.to_string()));
    let mut view = view(of(backends.collect()));
    let screen = seen(&mut view, 80, 24);
    assert!(
        screen.contains("1/10000") && rows(&screen)[0].contains("10.0.0.1:0"),
        "{screen}"
    );
    press(&mut view, "⇥");
    let screen = seen(&mut view, 80, 24);
    assert!(screen.contains("10000/10000"), "{screen}");
    assert!(
        rows(&screen).last().unwrap().contains("10.0.0.1:9999"),
        "{screen}"
    );
    press(&mut view, "g");
    for step in 1..40 {
        press(&mut view, "↓");
        let screen = seen(&mut view, 80, 24);
        let wanted = format!(" 10.0.0.1:{step} ");
        assert!(
            rows(&screen).iter().any(|row| row.contains(&wanted)),
            "{screen}"
        );
    }
    // As many rows as the screen has are made, no more: the text has a bound too.
    let text = draw::text(&mut view, 80);
    assert!(text.ends_with("and 9000 more") && text.lines().count() < 1_010);
}

#[test]
fn steering_is_asked_back() {
    let mut view = view(night());
    press(&mut view, "d");
    let screen = seen(&mut view, 80, 24);
    assert!(
        screen.contains("drain 10.0.0.1:82 in shop?") && screen.contains("y/n"),
        "{screen}"
    );
    assert_eq!(press(&mut view, "n"), Deed::Nothing);
    assert!(seen(&mut view, 80, 24).contains("nothing was done"));
    let wish = |what| {
        Deed::Steer(Wish {
            pool: "shop".to_owned(),
            address: "10.0.0.1:82".to_owned(),
            what,
        })
    };
    assert_eq!(press(&mut view, "dy"), wish(What::Drain));
    assert_eq!(press(&mut view, "ry"), wish(What::Ready));
    assert_eq!(press(&mut view, "my"), wish(What::Maintenance));
    assert_eq!(press(&mut view, "w12\n"), Deed::Nothing);
    assert_eq!(press(&mut view, "y"), wish(What::Weight(12)));
    // Whatever is pressed by mistake is no yes.
    for keys in ["d\n", "dd", "d\x1b", "dq", "w\ny", "w5\x1by"] {
        assert_eq!(press(&mut view, keys), Deed::Nothing, "{keys:?}");
        view.mode = Mode::Look;
    }
}

#[test]
fn without_a_token_it_says_what_to_do() {
    let mut view = view(night());
    let picture = Picture {
        stats: night(),
        change: None,
    };
    let mut bare = View::new(view.admin.clone(), picture, false);
    for key in ["d", "r", "m", "w"] {
        assert_eq!(press(&mut bare, key), Deed::Nothing);
        assert_eq!(bare.mode, Mode::Look);
        assert!(seen(&mut bare, 80, 24).contains("--token-file"));
    }
    press(&mut view, "d");
    assert_ne!(view.mode, Mode::Look);
}

#[test]
fn the_selected_one_stays_selected_when_rows_move() {
    let mut view = view(night());
    press(&mut view, "1↓↓");
    let mut stats = night();
    stats.pools[0].backends.swap(0, 2);
    stats.pools[0].backends[0].status.standing = "failing".to_owned();
    press(&mut view, "0");
    view.update(Picture {
        stats,
        change: None,
    });
    press(&mut view, "d");
    assert!(seen(&mut view, 80, 24).contains("drain 10.0.0.1:83 in shop?"));
}

#[test]
fn rows_are_sorted_and_filtered_by_keys() {
    let mut stats = night();
    stats.pools[0].backends[0].requests_per_second = 1.0;
    stats.pools[0].backends[3].status.in_flight = 9;
    let mut other = stats.pools[0].clone();
    other.name = "orders".to_owned();
    stats.pools.push(other);
    let mut view = view(stats);
    let first = |view: &mut View| {
        let screen = seen(view, 80, 40);
        rows(&screen)[0].to_owned()
    };
    press(&mut view, "1");
    assert!(first(&mut view).contains("orders"));
    press(&mut view, "4");
    assert!(first(&mut view).contains("10.0.0.1:83"));
    press(&mut view, "6");
    assert!(first(&mut view).contains("10.0.0.1:84"));
    press(&mut view, "/shop\n");
    let screen = seen(&mut view, 80, 40);
    assert_eq!(rows(&screen).len(), 4, "{screen}");
    assert!(rows(&screen).iter().all(|row| row.contains("shop")));
    press(&mut view, "/zzz\n");
    assert!(seen(&mut view, 80, 40).contains("no backend has \"shopzzz\""));
    press(&mut view, "/\x1b");
    assert_eq!(rows(&seen(&mut view, 80, 40)).len(), 8);
}

#[test]
fn the_last_picture_stays_and_is_marked_stale() {
    let mut view = view(night());
    view.lose("no instance answers at http://127.0.0.1:9900: Connection refused".to_owned());
    view.grow_old(Duration::from_secs(7));
    let screen = seen(&mut view, 80, 24);
    assert!(
        screen.starts_with("✕ STALE, as of 7 s ago: no instance answers"),
        "{screen}"
    );
    assert_eq!(rows(&screen).len(), 4, "{screen}");
    view.update(Picture {
        stats: night(),
        change: None,
    });
    view.grow_old(Duration::ZERO);
    assert!(!seen(&mut view, 80, 24).contains("STALE"));
    // Nobody says that it is gone, and nothing comes: it hangs.
    view.grow_old(Duration::from_secs(4));
    assert!(seen(&mut view, 80, 24).contains("STALE, as of 4 s ago: no news comes"));
}

#[test]
fn without_colors_there_are_none() {
    for (colored, expected) in [(false, false), (true, true)] {
        let mut view = view(night());
        view.colored = colored;
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal
            .draw(|frame| draw::screen(&mut view, frame.area(), frame.buffer_mut()))
            .unwrap();
        let mut cells = terminal.backend().buffer().content().iter();
        let has_color = cells.any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(has_color, expected);
    }
}

#[test]
fn it_is_left_by_every_key_that_says_so() {
    let mut view = view(night());
    for keys in ["q", "\x1b", "?q", "aq"] {
        assert_eq!(press(&mut view, keys), Deed::Leave, "{keys:?}");
    }
    for keys in ["", "?", "/x", "w1", "d"] {
        press(&mut view, keys);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(key), Deed::Leave, "{keys:?}");
    }
}
