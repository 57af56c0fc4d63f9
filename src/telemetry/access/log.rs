//! The worker's side of the access log, and the control that starts, redirects and ends it.
//!
//! Files are opened by the control, never by the writer: so a target that cannot be opened is an
//! error of the start or the reload that names it, and the log that works goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::record::{AccessRecord, Stamp};
use super::writer::{Message, Outlet, Writer};
use super::{AccessFormat, AccessTarget};
use crate::telemetry::names;
use crate::telemetry::recent::Remembering;

/// Starts the access log, makes a handle for each worker, and redirects it on reload.
#[derive(Debug)]
pub struct AccessControl {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    target: Mutex<AccessTarget>,
    /// Disconnected when the writer has ended.
    ended: Mutex<Receiver<()>>,
}

/// One worker's access log. Lines wait in its buffer until it holds 64 KiB or [`AccessLog::flush`]
/// is called, which the worker does at each of its ticks; dropping it flushes too.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    stamp: Stamp,
    remembering: Option<Remembering>,
}

/// What workers, writer and control have in common.
#[derive(Debug)]
pub(super) struct Shared {
    form: AtomicU8,
    dropped: AtomicU64,
    write_errors: AtomicU64,
    dropped_metric: metrics::Counter,
    write_errors_metric: metrics::Counter,
    /// Emptied buffers on their way back to the workers.
    spare: Mutex<Vec<Vec<u8>>>,
    /// An outlet that the writer is to take in place of its own.
    next: Mutex<Option<Outlet>>,
}

impl AccessControl {
    /// Opens the target and starts the writer's thread; it runs also while the log is off, so that a
    /// reload can turn it on. The [`Facade`](crate::telemetry::Facade) is installed before, or the
    /// losses are not in the metrics.
    ///
    /// # Errors
    /// What opening the file, or starting the thread, gave.
    pub fn start(target: AccessTarget, format: AccessFormat) -> io::Result<Self> {
        let outlet = open(&target)?;
        Self::start_with(target, format, outlet)
    }

    /// The part of [`AccessControl::start`] that does not open anything.
    pub(super) fn start_with(
        target: AccessTarget,
        format: AccessFormat,
        outlet: Outlet,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(form_of(&target, format)));
        let (queue, messages) = sync_channel(QUEUE_LENGTH);
        let (alive, ended) = sync_channel(0);
        let writer = Writer::new(messages, Arc::clone(&shared), outlet);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                let _alive = alive; // dropped when the writer ends, however it does
                writer.run();
            })?;
        Ok(Self {
            queue,
            shared,
            target: Mutex::new(target),
            ended: Mutex::new(ended),
        })
    }

    /// A handle for one worker.
    pub fn worker(&self) -> AccessLog {
        AccessLog {
            queue: self.queue.clone(),
            shared: Arc::clone(&self.shared),
            buffer: Vec::new(),
            stamp: Stamp::default(),
            remembering: None,
        }
    }

    /// Sends what comes from now on to another target, or in another format. What waits in workers'
    /// buffers still has the old format, so that a few such lines may stand among the new ones. Turned
    /// off, the log still writes what was in the buffers.
    ///
    /// # Errors
    /// What opening the file gave; then nothing has changed.
    pub fn retarget(&self, target: AccessTarget, format: AccessFormat) -> io::Result<()> {
        let mut current = lock(&self.target);
        match &target {
            // The outlet stays: what waits in workers' buffers was written for it.
            AccessTarget::Off => {}
            AccessTarget::File(_) | AccessTarget::Stdout if *current == target => {}
            AccessTarget::File(_) | AccessTarget::Stdout => self.hand_over(open(&target)?),
        }
        self.shared.form.store(form_of(&target, format), Relaxed);
        *current = target;
        Ok(())
    }

    /// Opens the file anew, for whoever has renamed it (SIGUSR1). Other targets stay as they are.
    ///
    /// # Errors
    /// What opening the file gave; then lines go on to the old one.
    pub fn reopen(&self) -> io::Result<()> {
        let current = lock(&self.target);
        match &*current {
            AccessTarget::File(_) => self.hand_over(open(&current)?),
            AccessTarget::Off | AccessTarget::Stdout => {}
        }
        Ok(())
    }

    /// Lines lost so far, because the queue was full or a write failed.
    pub fn dropped(&self) -> u64 {
        self.shared.losses().0
    }

    /// Writes that failed so far.
    pub fn write_errors(&self) -> u64 {
        self.shared.losses().1
    }

    /// Whether the writer's thread has not ended; while there is a control it only ends by a panic.
    pub fn is_alive(&self) -> bool {
        lock(&self.ended).try_recv() != Err(TryRecvError::Disconnected)
    }

    /// Waits until everything is written, at most for `patience`; says whether it was. All workers'
    /// handles must have been dropped before, for the writer goes on as long as one of them exists.
    pub fn finish(self, patience: Duration) -> bool {
        let Self { queue, ended, .. } = self;
        drop(queue);
        let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }

    fn hand_over(&self, outlet: Outlet) {
        *lock(&self.shared.next) = Some(outlet);
        // Wakes a writer that waits. If the queue is full it does not, and looks before it writes;
        // the control never waits for a disk.
        let _ = self.queue.try_send(Message::Look);
    }
}

impl AccessLog {
    /// Whether lines are wanted: if not, nobody needs to make a record.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.shared.form.load(Relaxed) != OFF
    }

    /// The same, which remembers too.
    #[must_use]
    pub fn with_memory(mut self, remembering: Remembering) -> Self {
        self.remembering = Some(remembering);
        self
    }

    /// Whether a request is to be remembered, on or off as the log may be; asked of each, once.
    #[inline]
    pub fn wants(&mut self, notable: bool, took: Duration) -> bool {
        let remembering = self.remembering.as_mut();
        remembering.is_some_and(|remembering| remembering.wants(notable, took))
    }

    /// Remembers a request.
    pub fn keep(&mut self, record: &AccessRecord<'_>, notable: bool) {
        if let Some(remembering) = &mut self.remembering {
            remembering.keep(record, notable);
        }
    }

    /// Writes one line into the buffer, and hands the buffer over if it is full. Never waits.
    pub fn write(&mut self, record: &AccessRecord<'_>) {
        match self.shared.form.load(Relaxed) {
            JSON => record.write_json(&mut self.stamp, &mut self.buffer),
            COMBINED => record.write_combined(&mut self.stamp, &mut self.buffer),
            TEXT => record.write_text(&mut self.stamp, &mut self.buffer),
            _ => return,
        }
        if self.buffer.len() >= FLUSH_BYTES {
            self.flush();
        }
    }

    /// Hands over what there is. Never waits: if the queue is full the lines wait here until they are enough for a place in
    /// it, and are dropped and counted then.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        match self
            .queue
            .try_send(Message::Lines(mem::take(&mut self.buffer)))
        {
            Ok(()) => self.buffer = self.shared.take_buffer(),
            Err(TrySendError::Full(Message::Lines(lines))) if lines.len() < FLUSH_BYTES => {
                self.buffer = lines;
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                if let Message::Lines(lines) = message {
                    self.buffer = lines;
                    self.drop_lines();
                }
            }
        }
    }

    /// Lines lost so far, by all workers together.
    pub fn dropped(&self) -> u64 {
        self.shared.losses().0
    }

    fn drop_lines(&mut self) {
        self.shared.count_dropped(&self.buffer);
        self.buffer.clear();
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
        self.drop_lines();
    }
}

impl Shared {
    pub(super) fn new(form: u8) -> Self {
        Self {
            form: AtomicU8::new(form),
            dropped: AtomicU64::new(0),
            write_errors: AtomicU64::new(0),
            dropped_metric: metrics::counter!(names::LOG_DROPPED.name),
            write_errors_metric: metrics::counter!(names::LOG_WRITE_ERRORS.name),
            spare: Mutex::default(),
            next: Mutex::default(),
        }
    }

    /// The outlet to change to, if there is a new one.
    pub(super) fn take_next(&self) -> Option<Outlet> {
        lock(&self.next).take()
    }

    /// Lines dropped and writes that failed, so far.
    pub(super) fn losses(&self) -> (u64, u64) {
        (self.dropped.load(Relaxed), self.write_errors.load(Relaxed))
    }

    /// Takes back a buffer whose lines are written.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = lock(&self.spare);
        // One of unusual size (a flood of long paths) is not kept.
        if spare.len() < QUEUE_LENGTH && buffer.capacity() <= 2 * BUFFER_BYTES {
            spare.push(buffer);
        }
    }

    /// Counts the lines in `lines` as lost.
    pub(super) fn count_dropped(&self, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        self.dropped.fetch_add(count, Relaxed);
        self.dropped_metric.increment(count);
    }

    /// Counts a write that failed.
    pub(super) fn count_write_error(&self) {
        self.write_errors.fetch_add(1, Relaxed);
        self.write_errors_metric.increment(1);
    }

    fn take_buffer(&self) -> Vec<u8> {
        let spare = lock(&self.spare).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }
}

fn open(target: &AccessTarget) -> io::Result<Outlet> {
    let file = match target {
        // Readable by the group, for those who collect logs; addresses of clients are not for all.
        AccessTarget::File(path) => OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)?,
        AccessTarget::Off => return Ok(Outlet(None)),
        // A descriptor of its own: std's stdout would look for line ends and buffer the rest.
        AccessTarget::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
    };
    let sink: Box<dyn Write + Send> = Box::new(file);
    Ok(Outlet(Some(sink)))
}

fn form_of(target: &AccessTarget, format: AccessFormat) -> u8 {
    match (target, format) {
        (AccessTarget::Off, _) => OFF,
        (AccessTarget::File(_) | AccessTarget::Stdout, AccessFormat::Combined) => COMBINED,
        (AccessTarget::File(_) | AccessTarget::Stdout, AccessFormat::Json) => JSON,
        (AccessTarget::File(_) | AccessTarget::Stdout, AccessFormat::Text) => TEXT,
    }
}

/// Nothing can be half done under these locks, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const OFF: u8 = 0;
pub(super) const JSON: u8 = 1;
const TEXT: u8 = 2;
const COMBINED: u8 = 3;

/// A buffer of this size is handed over: large enough for few system calls and wake-ups; four times as much costs no less,
/// and the slowest requests wait longer where the writer shares the worker's CPU.
pub(super) const FLUSH_BYTES: usize = 64 * 1024;

/// Room for one more line above that, as a rule.
const BUFFER_BYTES: usize = FLUSH_BYTES + 4 * 1024;

/// Buffers that may wait for the writer, full ones as a rule: then they are some 4 MiB, about a tenth of a second of a busy
/// machine.
pub(super) const QUEUE_LENGTH: usize = 64;
