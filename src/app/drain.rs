//! The end: keep serving for a while, then drain, then stop.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Running;
use super::reload::CLOSING;
use super::worker::Command;
use crate::listener::bind::remove;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the deadline and have been cut.
    pub cut: usize,
}

impl Running {
    /// Says that it is ending, while everything is served as before: time for whoever sends traffic to notice.
    pub fn announce_end(&self) {
        self.instance.draining();
    }

    /// Takes no new connections and waits until the last has ended, at most until `deadline`, or until
    /// `hurry` is ready. Then stops. Connections between two requests are kept for a short while, since a
    /// request may be on its way. WebSockets are told to go one after the other, or they would come back all at once.
    pub async fn drain(mut self, deadline: Duration, hurry: impl Future<Output = ()>) -> Drained {
        self.instance.draining();
        let begun = Instant::now();
        let idle_until = begun + IDLE_GRACE.min(deadline / 2);
        let (closed, mut all_closed) = mpsc::channel(1);
        for listened in &mut self.listening {
            listened.sockets.clear();
        }
        self.send_all(|| Command::Drain(idle_until, closed.clone()))
            .await;
        drop(closed);
        self.listening
            .iter()
            .for_each(|listened| remove(&listened.bound, listened.owner));
        let mut hurry = std::pin::pin!(hurry);
        // Connections count from when they are taken off the queue: only then is zero the end.
        let _ = tokio::time::timeout(CLOSING, all_closed.recv()).await;
        let spread = self.plan.server.shutdown.spread.min(deadline / 2);
        let mut told = 0;
        while self.budget.total() > 0 && begun.elapsed() < deadline {
            let share = called_off(begun.elapsed(), spread);
            if share != told {
                self.send_all(|| Command::CallOff(share)).await;
                told = share;
            }
            tokio::select! {
                () = &mut hurry => break,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let cut = self.budget.total();
        self.stop().await;
        Drained { cut }
    }

    async fn stop(&mut self) {
        self.ending.store(1, Ordering::Release);
        self.control.stop();
        self.send_all(|| Command::Stop).await;
        for thread in self.threads.drain(..) {
            // Its panics have been logged where they happened.
            let _ = thread.join();
        }
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
        if let Some(access) = self.access.take()
            && !access.finish(LAST_LINES)
        {
            tracing::warn!("the access log could not be written to its end in time");
        }
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces.take()
            && !traces.finish(LAST_SPANS)
        {
            tracing::warn!("the last traces could not be exported in time");
        }
    }

    async fn send_all(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // A worker that is gone needs no telling.
            let _ = worker.send(command()).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ending.store(1, Ordering::Release);
        self.control.stop();
        for worker in &self.workers {
            let _ = worker.try_send(Command::Stop);
        }
        if !thread::panicking() {
            self.threads
                .drain(..)
                .for_each(|thread| drop(thread.join()));
        }
    }
}

/// How many of 255 WebSockets are told to go by so long after the beginning.
fn called_off(elapsed: Duration, spread: Duration) -> u8 {
    if elapsed >= spread {
        return u8::MAX;
    }
    let passed = elapsed.as_secs_f64() / spread.as_secs_f64() * f64::from(STEPS);
    // Of a fraction below 1, so that it is below the number of steps.
    (passed as u8)
        .saturating_add(1)
        .saturating_mul(u8::MAX / STEPS)
}

/// In how many steps WebSockets are told to go; a divisor of 255.
const STEPS: u8 = 51;

/// How long a connection between two requests is kept when the process ends.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How often the drain looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);

/// How long the last lines of the access log may take.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How long the last spans may take.
#[cfg(feature = "otel")]
const LAST_SPANS: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_told_by_the_end_and_some_at_once() {
        let spread = Duration::from_secs(5);
        assert_eq!(called_off(Duration::ZERO, Duration::ZERO), 255);
        assert_eq!(called_off(Duration::ZERO, spread), 5);
        assert_eq!(called_off(spread / 2, spread), 130);
        assert_eq!(called_off(spread - Duration::from_nanos(1), spread), 255);
        assert_eq!(called_off(spread * 2, spread), 255);
        let shares = (0..100).map(|step| called_off(spread * step / 100, spread));
        assert!(shares.is_sorted());
    }
}
