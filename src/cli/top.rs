//! `forecourt top`: a running instance, live in the terminal, over its admin API.
//!
//! In reading order: this file (the options, the terminal, one loop), `news` (what comes from outside: figures, keys,
//! signals), `view` (the picture and how it is looked at; what a key does), `rows` (which backends, in which order),
//! `draw` (lines on a screen of any size) with `table` (its rows), `words` (figures as people read them). All but the first two are pure: they
//! know no terminal, no instance and no clock.

mod draw;
mod news;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod view;
pub(super) mod words;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use self::news::{Instance, News};
use self::view::{Deed, View};
use super::reach::Reach;
use super::{Color, NO_INSTANCE, complain, fail, say};

/// The options of `forecourt top`.
#[derive(Debug, clap::Args)]
pub(super) struct Top {
    #[command(flatten)]
    reach: Reach,
    /// Print one picture as text and end.
    #[arg(long)]
    once: bool,
    /// Columns of that picture.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "once", value_parser = clap::value_parser!(u16).range(20..=500))]
    width: u16,
}

impl Top {
    /// Shows it until it is left.
    pub(super) fn execute(&self, color: Color) -> ExitCode {
        let has_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if !self.once && !has_terminal {
            complain(
                "error: this is no terminal, and `top` needs one: `forecourt status` prints how the backends stand, \
                 and `forecourt top --once` one picture",
            );
            return ExitCode::FAILURE;
        }
        let token = match self.reach.token() {
            Ok(token) => token,
            Err(error) => return fail(&error),
        };
        let instance = Instance {
            admin: self.reach.address(),
            token,
        };
        // Before the screen is taken: whoever has the wrong address reads it where it was written.
        let first = match super::ask_plainly(instance.picture(None)) {
            Ok(Ok(first)) => first,
            Ok(Err(error)) => {
                complain(&format!("error: {error}"));
                return NO_INSTANCE.into();
            }
            Err(error) => return fail(&error),
        };
        let mut view = View::new(instance.admin.to_string(), first, instance.can_steer());
        if self.once {
            say(&draw::text(&mut view, self.width));
            return ExitCode::SUCCESS;
        }
        view.colored = color.on_stdout();
        match on_the_screen(&mut view, &instance) {
            Ok(code) => code,
            Err(error) => fail(&error),
        }
    }
}

/// Takes the terminal, and gives it back on every way out; a panic gives it back too (ratatui's hook).
fn on_the_screen(view: &mut View, instance: &Instance) -> io::Result<ExitCode> {
    let (sender, news) = std::sync::mpsc::channel();
    // Before the screen is taken: a signal that comes early must not leave the terminal as it is then.
    instance.watch(view.generation(), &sender)?;
    let mut terminal = ratatui::try_init()?;
    news::keys(&sender);
    let shown = show(&mut terminal, view, &news, |deed| {
        instance.steer(deed, &sender);
    });
    let restored = ratatui::try_restore();
    let code = shown?;
    restored.map(|()| code)
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    view: &mut View,
    news: &Receiver<News>,
    steer: impl Fn(view::Wish),
) -> io::Result<ExitCode> {
    let mut seen = Instant::now();
    loop {
        terminal.draw(|frame| draw::screen(view, frame.area(), frame.buffer_mut()))?;
        let mut next = match news.recv_timeout(TICK) {
            Ok(next) => Some(next),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
        };
        // All that has come meanwhile, for one drawing: whoever holds a key down must not run ahead of the screen.
        while let Some(one) = next {
            match one {
                News::Picture(picture) => {
                    seen = Instant::now();
                    view.update(*picture);
                }
                News::Gone(why) => view.lose(why),
                News::Said(text) => view.say(text),
                News::Resized => {}
                News::Signal(code) => return Ok(code.into()),
                News::Key(key) => match view.key(key) {
                    Deed::Nothing => {}
                    Deed::Leave => return Ok(ExitCode::SUCCESS),
                    Deed::Steer(wish) => steer(wish),
                },
            }
            next = news.try_recv().ok();
        }
        view.grow_old(seen.elapsed());
    }
}

/// How often the age of the picture is looked at.
const TICK: Duration = Duration::from_millis(500);
