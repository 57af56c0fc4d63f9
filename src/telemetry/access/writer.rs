//! The one thread that writes the access log. It may wait for the disk or the pipe; nobody waits for it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::log::Shared;

/// What comes to the writer.
#[derive(Debug)]
pub(super) enum Message {
    /// Whole lines.
    Lines(Vec<u8>),
    /// There is a new outlet.
    Look,
}

/// Where lines go; nowhere if the log is off.
pub(super) struct Outlet(pub(super) Option<Box<dyn Write + Send>>);

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Outlet(open)"
        } else {
            "Outlet(off)"
        })
    }
}

/// The writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    messages: Receiver<Message>,
    shared: Arc<Shared>,
    outlet: Outlet,
    /// Whether the last write failed: a failure is logged when it begins and when it ends.
    failing: bool,
    /// Whether a failed write has left half a line behind.
    torn: bool,
}

impl Writer {
    pub(super) fn new(messages: Receiver<Message>, shared: Arc<Shared>, outlet: Outlet) -> Self {
        Self {
            messages,
            shared,
            outlet,
            failing: false,
            torn: false,
        }
    }

    /// Writes until all senders are gone and everything is written.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.messages.recv() {
            if let Some(outlet) = self.shared.take_next() {
                self.outlet = outlet;
                self.torn = false;
            }
            match message {
                Message::Lines(lines) => {
                    self.write(&lines);
                    self.shared.give_back(lines);
                }
                Message::Look => {}
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let Some(sink) = &mut self.outlet.0 else {
            return;
        };
        let mut written = 0;
        let mut result = Ok(());
        if self.torn {
            // Half a line is ended first, so that it spoils no whole one.
            result = write_all(sink, b"\n", &mut 0);
            self.torn = result.is_err();
        }
        if result.is_ok() {
            result = write_all(sink, lines, &mut written);
        }
        match result {
            Ok(()) => {
                if mem::take(&mut self.failing) {
                    tracing::info!("access log is written again");
                }
            }
            Err(error) => {
                self.torn |= written > 0 && lines[written - 1] != b'\n';
                self.shared.count_write_error();
                self.shared.count_dropped(&lines[written..]);
                if !mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "access log cannot be written; lines are lost and counted");
                }
            }
        }
    }
}

/// Writes all bytes; `written` says how far it came if there is an error.
fn write_all(sink: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match sink.write(&bytes[*written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
