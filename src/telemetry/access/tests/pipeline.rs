//! From a worker's buffer to the file, with and without trouble on the way.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::super::log::{FLUSH_BYTES, JSON, QUEUE_LENGTH, Shared};
use super::super::writer::{Message, Outlet, Writer};
use super::super::{AccessControl, AccessFormat, AccessTarget};
use super::{json_of, small};

/// A sink that says when it is written to, and then waits until it may go on.
struct Gate {
    entered: SyncSender<()>,
    go_on: Receiver<()>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.try_send(());
        let _ = self.go_on.recv(); // an error means that the gate is open for good
        self.seen.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_blocked_writer_costs_counted_lines_and_no_time() {
    for format in [
        AccessFormat::Json,
        AccessFormat::Combined,
        AccessFormat::Text,
    ] {
        block_a_writer(format);
    }
}

fn block_a_writer(format: AccessFormat) {
    let (entered, wait_entered) = sync_channel(1);
    let (open, go_on) = sync_channel(0);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let gate = Gate {
        entered,
        go_on,
        seen: Arc::clone(&seen),
    };
    let control =
        AccessControl::start_with(AccessTarget::Stdout, format, Outlet(Some(Box::new(gate))))
            .unwrap();
    let mut log = control.worker();

    log.write(&small(b"/first"));
    log.flush();
    wait_entered.recv().unwrap();
    for _ in 0..QUEUE_LENGTH {
        log.write(&small(b"/queued"));
        log.flush();
    }
    assert_eq!(control.dropped(), 0, "what fits the queue is not lost");
    for _ in 0..3 {
        log.write(&small(b"/waits"));
        log.flush();
    }
    assert_eq!(control.dropped(), 0, "a few lines take no place, and wait");
    let mut lost = 3;
    while control.dropped() == 0 {
        log.write(&small(b"/lost"));
        lost += 1;
    }
    assert_eq!((control.dropped(), log.dropped()), (lost, lost));
    let mut gone = control.worker();
    gone.write(&small(b"/lost-too"));
    drop(gone);
    assert_eq!(control.dropped(), lost + 1, "it had nowhere to wait");

    drop(open);
    drop(log);
    assert!(control.finish(PATIENCE));
    let seen = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
    assert_eq!(seen.lines().count(), 1 + QUEUE_LENGTH);
    assert!(!seen.contains("/lost") && !seen.contains("/waits"));
}

#[test]
fn a_control_does_not_wait_for_a_blocked_writer() {
    let (entered, wait_entered) = sync_channel(1);
    let (open, go_on) = sync_channel(0);
    let gate = Gate {
        entered,
        go_on,
        seen: Arc::default(),
    };
    let control = AccessControl::start_with(
        AccessTarget::Stdout,
        AccessFormat::Text,
        Outlet(Some(Box::new(gate))),
    )
    .unwrap();
    let mut log = control.worker();
    for _ in 0..=QUEUE_LENGTH {
        log.write(&small(b"/"));
        log.flush();
    }
    wait_entered.recv().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    control
        .retarget(AccessTarget::File(path.clone()), AccessFormat::Text)
        .unwrap();
    control.reopen().unwrap();
    assert!(control.is_alive());
    assert!(!control.finish(Duration::ZERO), "it is still blocked");
    drop((open, log));
    assert!(path.exists());
}

#[test]
fn full_buffers_go_by_themselves_and_the_rest_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let control =
        AccessControl::start(AccessTarget::File(path.clone()), AccessFormat::Json).unwrap();
    let line = json_of(&small(b"/")).len();
    let lines = 2 * FLUSH_BYTES / line + 1;
    let mut log = control.worker();
    for _ in 0..lines {
        log.write(&small(b"/"));
    }
    wait_for_bytes(&path, FLUSH_BYTES);
    drop(log);
    assert!(control.is_alive());
    assert!(control.finish(PATIENCE));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), lines);
    assert!(
        text.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

#[test]
fn after_a_rename_reopening_begins_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, renamed) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let control =
        AccessControl::start(AccessTarget::File(path.clone()), AccessFormat::Json).unwrap();
    let mut log = control.worker();
    log.write(&small(b"/before"));
    log.flush();
    wait_for_bytes(&path, 1);
    fs::rename(&path, &renamed).unwrap();
    control.reopen().unwrap();
    log.write(&small(b"/after"));
    drop(log);
    assert!(control.finish(PATIENCE));
    let (old, new) = (
        fs::read_to_string(renamed).unwrap(),
        fs::read_to_string(path).unwrap(),
    );
    assert!(old.contains("/before") && !old.contains("/after"), "{old}");
    assert!(new.contains("/after") && !new.contains("/before"), "{new}");
}

#[test]
fn a_reload_changes_target_and_format_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let control = AccessControl::start(AccessTarget::Off, AccessFormat::Json).unwrap();
    let mut log = control.worker();
    assert!(!log.is_on());
    log.write(&small(b"/nobody-sees"));
    log.flush();

    control
        .retarget(AccessTarget::File(first.clone()), AccessFormat::Json)
        .unwrap();
    assert!(log.is_on());
    log.write(&small(b"/one"));
    log.flush();
    wait_for_bytes(&first, 1);

    let nowhere = folder.path().join("no/such/folder");
    assert!(
        control
            .retarget(AccessTarget::File(nowhere), AccessFormat::Text)
            .is_err()
    );
    log.write(&small(b"/two"));
    log.flush();
    control
        .retarget(AccessTarget::File(second.clone()), AccessFormat::Text)
        .unwrap();
    log.write(&small(b"/three"));
    control
        .retarget(AccessTarget::Off, AccessFormat::Text)
        .unwrap();
    log.write(&small(b"/nobody-sees"));
    drop(log);
    assert!(control.finish(PATIENCE));
    let (first, second) = (
        fs::read_to_string(first).unwrap(),
        fs::read_to_string(second).unwrap(),
    );
    assert!(
        (first.clone() + &second).contains("/two"),
        "a refused reload does not stop the log"
    );
    assert!(
        first.starts_with("{\"@timestamp\"") && first.contains("/one"),
        "{first}"
    );
    assert!(
        second.ends_with("\"GET /three\" 200 512B 12.345ms\n"),
        "{second}"
    );
    assert!(!(first + &second).contains("/nobody-sees"));
}

/// A sink that does what its script says: takes so many bytes, or fails; at last takes all.
struct Scripted {
    script: VecDeque<Option<usize>>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self.script.pop_front() {
            Some(Some(count)) => count.min(bytes.len()),
            Some(None) => return Err(io::ErrorKind::StorageFull.into()),
            None => bytes.len(),
        };
        self.seen.lock().unwrap().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_counted_lines_says_so_once_and_is_survived() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    // The first buffer: two bytes, then full. The second: full. The third: as usual.
    let script = VecDeque::from([Some(2), None, None]);
    let sink = Scripted {
        script,
        seen: Arc::clone(&seen),
    };
    let shared = Arc::new(Shared::new(JSON));
    let (queue, messages) = sync_channel(8);
    for lines in ["a1\na2\n", "b1\n", "c1\nc2\n"] {
        // The first line is torn after "a1": its line feed is missing.
        queue.send(Message::Lines(lines.into())).unwrap();
    }
    drop(queue);
    let said = Said::default();
    let writer = said.clone();
    let operator = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    crate::telemetry::logging::alone_with(operator, || {
        Writer::new(messages, Arc::clone(&shared), Outlet(Some(Box::new(sink)))).run();
    });
    assert_eq!(
        String::from_utf8(seen.lock().unwrap().clone()).unwrap(),
        "a1\nc1\nc2\n"
    );
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    assert_eq!(said.matches("cannot be written").count(), 1, "{said}");
    assert_eq!(said.matches("written again").count(), 1, "{said}");
    assert_eq!(shared.losses(), (3, 2));
}

/// Waits, without a clock, until the writer has come that far.
fn wait_for_bytes(path: &Path, bytes: usize) {
    while fs::metadata(path).unwrap().len() < bytes as u64 {
        std::thread::yield_now();
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
