//! `forecourt demo`: its options, and the demo from start to end.

use std::future::pending;
use std::io::{self, IsTerminal, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{self, MissedTickBehavior};

use super::backends::Fleet;
use super::control;
use super::figures::Figures;
use super::screen::{Addresses, Screen};
use super::setup::{self, Wishes};
use crate::app::{Forecourt, Running, StartError};
use crate::config::{self, Report};
use crate::plan::AdminToken;
use crate::plan::listener::ListenAddress;
use crate::telemetry::Colors;
use crate::telemetry::logging::{self, AlreadyInstalled};

/// The options of `forecourt demo`.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// End by itself after this time, such as `30s` or `5m`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasting: Option<Duration>,
    /// The shop's port on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The admin API's port on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 9900)]
    admin_port: u16,
    /// Let sessions lose their backend, to see what that costs.
    #[arg(long)]
    no_sticky: bool,
    /// Write the access log to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Print the configuration of the demo and end.
    #[arg(long)]
    print_config: bool,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The embedded backends cannot be had.
    #[error("the demo's backends: {0}")]
    Backends(io::Error),
    /// The options make no good configuration: the same port twice.
    #[error("the demo's configuration is refused\n{0}")]
    Configuration(#[from] Report),
    /// The process has a log already.
    #[error(transparent)]
    Log(#[from] AlreadyInstalled),
    /// No runtime, or no signals.
    #[error(transparent)]
    System(io::Error),
    /// The balancer did not start: an address cannot be had, most likely.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Demo {
    /// Runs the demo to its end. `colored` says whether standard output may have colours.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(self, colored: bool, log_colors: Colors) -> Result<(), DemoError> {
        let fleet = Arc::new(Fleet::start().map_err(DemoError::Backends)?);
        let text = setup::configuration(&fleet, &self.wishes());
        if self.print_config {
            // Whoever reads it may stop reading.
            let _ = io::stdout().write_all(text.as_bytes());
            return Ok(());
        }
        let mut loaded = config::load_text(&text, Path::new(setup::NAME), &config::Options::new())?;
        // Of this run alone, and in no file: the page that is opened with it can steer.
        let token = new_token().map_err(DemoError::System)?;
        if let Some(admin) = &mut loaded.plan.admin {
            admin.token = Some(AdminToken::new(token.as_bytes()));
        }
        let log = logging::install(loaded.plan.log.level, log_colors)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DemoError::System)?;
        // Before anything is served: a signal that comes early must not have its default meaning.
        let signals = runtime
            .block_on(async { Signals::new() })
            .map_err(DemoError::System)?;
        let control = runtime
            .block_on(async { control::open() })
            .map_err(DemoError::Backends)?;
        let running = Forecourt::start(loaded.plan, Some(log))?;
        let control = (control.0, control.1, token);
        self.show(&runtime, running, fleet, control, signals, colored);
        Ok(())
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            port: self.port,
            admin_port: self.admin_port,
            sticky: !self.no_sticky,
            access_log: self.access_log.clone(),
        }
    }

    fn show(
        &self,
        runtime: &Runtime,
        running: Running,
        fleet: Arc<Fleet>,
        (control, control_address, token): (TcpListener, SocketAddr, String),
        mut signals: Signals,
        colored: bool,
    ) {
        let begun = Instant::now();
        let mut screen = Screen::new(colored, can_redraw());
        let shop = running.addresses().find_map(|(_, address)| tcp(address));
        if let (Some(shop), Some(admin)) = (shop, running.admin_address().and_then(tcp)) {
            let addresses = Addresses {
                shop,
                admin,
                control: control_address,
                token,
            };
            screen.welcome(&fleet, &addresses, !self.no_sticky);
        }
        let snapshot = running.snapshot();
        runtime.block_on(async {
            tokio::spawn(control::run(control, Arc::clone(&fleet)));
            let mut ended = std::pin::pin!(async {
                tokio::select! {
                    () = passed(self.lasting) => {}
                    () = signals.next() => {}
                }
            });
            let mut frames = time::interval(FRAME);
            frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = &mut ended => break,
                    _ = frames.tick(), if screen.is_live() => screen.refresh(&Figures::of(&snapshot, &fleet)),
                }
            }
        });
        let lasted = begun.elapsed();
        runtime.block_on(async {
            let deadline = running.plan().server.shutdown.deadline;
            // A second signal is impatience.
            running.drain(deadline, signals.next()).await;
        });
        screen.summary(&Figures::of(&snapshot, &fleet), lasted);
    }
}

/// The signals that end the demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn passed(time: Option<Duration>) {
    match time {
        Some(time) => time::sleep(time).await,
        None => pending().await,
    }
}

/// 192 random bits, as they can stand in an address and behind `Bearer`.
fn new_token() -> io::Result<String> {
    let mut bytes = [0; 24];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn tcp(address: &ListenAddress) -> Option<SocketAddr> {
    match address {
        ListenAddress::Tcp(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    }
}

/// Whether the table can be drawn in its place.
fn can_redraw() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A duration of the command line.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    let positive = parsed.and_then(|time| Duration::try_from(time).ok());
    positive
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "expected a time such as `30s` or `5m`".to_owned())
}

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "30", "0s", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
