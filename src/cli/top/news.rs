//! What comes from outside while `forecourt top` runs: pictures of the instance, keys, signals, and what came of a wish.
//!
//! Threads of their own send them; none of them is waited for at the end, they end with the process.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};

use super::super::backend::path_of;
use super::view::{Picture, Wish};
use crate::admin::client::{self, AdminAddress, ClientError};
use crate::admin::order::Past;
use crate::admin::status::BackendStatus;

/// One thing that came.
#[derive(Debug)]
pub(super) enum News {
    Picture(Box<Picture>),
    /// Why there is none.
    Gone(String),
    Key(KeyEvent),
    /// What came of a wish.
    Said(String),
    /// Another size is another drawing.
    Resized,
    /// One that ends the program, with this code.
    Signal(u8),
}

/// A running instance and by what right it is steered.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) admin: AdminAddress,
    pub(super) token: Option<String>,
}

impl Instance {
    pub(super) fn can_steer(&self) -> bool {
        self.token.is_some() || matches!(self.admin, AdminAddress::Unix(_))
    }

    /// The figures of the next second, which the instance has us wait for; with what its configuration has changed, if
    /// that is another one than `known`.
    pub(super) async fn picture(&self, known: Option<u64>) -> Result<Picture, ClientError> {
        let strange = |error: serde_json::Error| {
            ClientError::Strange(self.admin.to_string(), error.to_string())
        };
        let token = self.token.as_deref();
        let stats = client::ask_as(&self.admin, "/v1/stats", token).await?;
        if let Some(why) = stats.refused() {
            return Err(ClientError::Strange(self.admin.to_string(), why));
        }
        let stats: crate::admin::stats::Stats =
            serde_json::from_slice(&stats.body).map_err(strange)?;
        let change = if known == Some(stats.generation) {
            None
        } else {
            // Whoever has no history (the demo) or is about to change it has a picture all the same.
            let history = client::ask_as(&self.admin, "/v1/config/history", token).await;
            let history: Option<Vec<Past>> = history
                .ok()
                .and_then(|answer| serde_json::from_slice(&answer.body).ok());
            history.and_then(|history| history.into_iter().find(|past| past.current))
        };
        Ok(Picture { stats, change })
    }

    /// Sends a picture each second, and signals.
    ///
    /// # Errors
    /// When there is no runtime, no thread or no place for a signal's handler.
    pub(super) fn watch(&self, known: u64, news: &Sender<News>) -> io::Result<()> {
        let (instance, news) = (self.clone(), news.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let context = runtime.enter();
        let [hangup, interrupt, terminate] = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::terminate(),
        ]
        .map(|kind| signal(kind).map(|signal| (signal, kind.as_raw_value())));
        let (mut hangup, mut interrupt, mut terminate) = (hangup?, interrupt?, terminate?);
        drop(context);
        thread::Builder::new().spawn(move || {
            runtime.block_on(async {
                let number = tokio::select! {
                    () = instance.send_pictures(known, &news) => return,
                    _ = hangup.0.recv() => hangup.1,
                    _ = interrupt.0.recv() => interrupt.1,
                    _ = terminate.0.recv() => terminate.1,
                };
                // As a shell tells of it.
                let code = u8::try_from(128 + number).unwrap_or(1);
                let _ = news.send(News::Signal(code));
            });
        })?;
        Ok(())
    }

    /// Until nobody wants them any more.
    async fn send_pictures(&self, known: u64, news: &Sender<News>) {
        let mut known = Some(known);
        loop {
            let one = match self.picture(known).await {
                Ok(picture) => {
                    known = Some(picture.stats.generation);
                    News::Picture(Box::new(picture))
                }
                Err(error) => {
                    tokio::time::sleep(AGAIN).await;
                    // Whoever comes back may be another process, with the same number.
                    known = None;
                    News::Gone(error.to_string())
                }
            };
            if news.send(one).is_err() {
                return;
            }
        }
    }

    /// Asks for what is wished, and sends what came of it.
    pub(super) fn steer(&self, wish: Wish, news: &Sender<News>) {
        let (instance, news) = (self.clone(), news.clone());
        thread::spawn(move || {
            let said = match super::super::ask_plainly(instance.put(&wish)) {
                Ok(said) => said,
                Err(error) => format!("not done: {error}"),
            };
            let _ = news.send(News::Said(said));
        });
    }

    async fn put(&self, wish: &Wish) -> String {
        let path = path_of(&wish.pool, &wish.address);
        let token = self.token.as_deref();
        let answer = match client::put(&self.admin, &path, token, wish.body()).await {
            Ok(answer) => answer,
            Err(error) => return format!("not done: {error}"),
        };
        if let Some(why) = answer.refused() {
            return format!("refused: {why}");
        }
        match serde_json::from_slice::<BackendStatus>(&answer.body) {
            Ok(status) => format!(
                "{} in {} is {} now, weight {}, {} in flight",
                status.address, wish.pool, status.standing, status.weight, status.in_flight
            ),
            Err(error) => format!("done, but the answer cannot be read: {error}"),
        }
    }
}

/// Sends what is pressed, from a thread of its own.
pub(super) fn keys(news: &Sender<News>) {
    let news = news.clone();
    thread::spawn(move || {
        loop {
            let one = match event::read() {
                Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => News::Key(key),
                Ok(Event::Resize(..)) => News::Resized,
                Ok(_) => continue,
                // The terminal is gone.
                Err(_) => News::Signal(1),
            };
            let last = matches!(one, News::Signal(_));
            if news.send(one).is_err() || last {
                return;
            }
        }
    });
}

/// When an instance that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);
