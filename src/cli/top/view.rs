//! The picture of an instance, how it is looked at, and what a key does to that.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::rows::{Place, Sort, ordered};
use crate::admin::order::Past;
use crate::admin::stats::{BackendStats, PoolStats, Stats};

/// What the instance says.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) stats: Stats,
    /// What its configuration has changed; nothing where that is known.
    pub(super) change: Option<Past>,
}

/// The picture and how it is looked at.
#[derive(Debug)]
pub(super) struct View {
    /// Where the instance is.
    pub(super) admin: String,
    pub(super) stats: Stats,
    pub(super) change: Option<Past>,
    /// Why there is no newer picture.
    pub(super) gone: Option<String>,
    /// How old the picture is.
    pub(super) age: Duration,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// What came of the last wish.
    pub(super) said: String,
    pub(super) colored: bool,
    /// Those that are shown, in order; made anew with the picture, not with each drawing.
    pub(super) places: Vec<Place>,
    /// The first row on the screen; drawing keeps the selected one in sight.
    pub(super) top: usize,
    /// Rows on the screen when it was drawn last.
    pub(super) page: usize,
    /// The selected one by name: rows move.
    selected: Option<(String, String)>,
    at: usize,
    can_steer: bool,
}

/// Whom a key is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Look,
    Help,
    /// All that is wrong.
    Alarms,
    Filter,
    /// The digits of a weight.
    Weight(String),
    /// To be answered by y or n.
    Ask(Wish),
}

/// What is wished of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) pool: String,
    pub(super) address: String,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Drain,
    Ready,
    Maintenance,
    Weight(u32),
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    Leave,
    Steer(Wish),
}

impl Wish {
    /// As the admin API takes it.
    pub(super) fn body(&self) -> String {
        match self.what {
            What::Drain => json!({ "state": "draining" }),
            What::Ready => json!({ "state": "ready" }),
            What::Maintenance => json!({ "state": "maintenance" }),
            What::Weight(weight) => json!({ "weight": weight }),
        }
        .to_string()
    }

    /// What happens then.
    pub(super) fn question(&self) -> String {
        let Self {
            pool,
            address,
            what,
        } = self;
        match what {
            What::Drain => format!("drain {address} in {pool}? Nothing new is sent to it."),
            What::Ready => format!("let {address} in {pool} take requests again?"),
            What::Maintenance => {
                format!("take {address} in {pool} out? Not even bound sessions reach it.")
            }
            What::Weight(weight) => format!("give {address} in {pool} the weight {weight}?"),
        }
    }
}

impl View {
    pub(super) fn new(admin: String, picture: Picture, can_steer: bool) -> Self {
        let mut view = Self {
            admin,
            stats: picture.stats,
            change: picture.change,
            gone: None,
            age: Duration::ZERO,
            sort: Sort::Worst,
            filter: String::new(),
            mode: Mode::Look,
            said: String::new(),
            colored: false,
            places: Vec::new(),
            top: 0,
            page: 1,
            selected: None,
            at: 0,
            can_steer,
        };
        view.arrange();
        view
    }

    /// The number of the configuration in the picture.
    pub(super) fn generation(&self) -> u64 {
        self.stats.generation
    }

    /// Takes a new picture.
    pub(super) fn update(&mut self, picture: Picture) {
        self.stats = picture.stats;
        if picture.change.is_some() {
            self.change = picture.change;
        }
        self.gone = None;
        self.arrange();
    }

    /// Keeps the picture that there is, and why there is no newer one.
    pub(super) fn lose(&mut self, why: String) {
        self.gone = Some(why);
    }

    pub(super) fn grow_old(&mut self, age: Duration) {
        self.age = age;
    }

    /// Whether what is seen may no longer be so.
    pub(super) fn is_stale(&self) -> bool {
        self.gone.is_some() || self.age >= STALE
    }

    pub(super) fn say(&mut self, text: String) {
        self.said = text;
    }

    /// Where in the order the selected row is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn row(&self, at: usize) -> Option<(&PoolStats, &BackendStats)> {
        let (pool, backend) = *self.places.get(at)?;
        let pool = self.stats.pools.get(pool)?;
        Some((pool, pool.backends.get(backend)?))
    }

    /// Puts the rows in order, and finds the selected one again. One that is gone leaves the selection where it was; as
    /// long as nobody has moved it, it stays on top.
    fn arrange(&mut self) {
        self.places = ordered(&self.stats, self.sort, &self.filter);
        let found = self.selected.as_ref().and_then(|(pool, address)| {
            self.places.iter().position(|(at, index)| {
                let candidate = &self.stats.pools[*at];
                candidate.name == *pool && candidate.backends[*index].status.address == *address
            })
        });
        self.at = found.unwrap_or(self.at);
        self.at = self.at.min(self.places.len().saturating_sub(1));
    }

    fn select(&mut self, at: usize) {
        self.at = at.min(self.places.len().saturating_sub(1));
        let name = self.row(self.at);
        self.selected = name.map(|(pool, one)| (pool.name.clone(), one.status.address.clone()));
    }

    /// What a key does; steering is asked back first.
    pub(super) fn key(&mut self, key: KeyEvent) -> Deed {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Deed::Leave,
                _ => Deed::Nothing,
            };
        }
        match std::mem::replace(&mut self.mode, Mode::Look) {
            Mode::Look => self.look(key.code),
            Mode::Help | Mode::Alarms => match key.code {
                KeyCode::Char('q') => Deed::Leave,
                _ => Deed::Nothing,
            },
            Mode::Filter => self.write_filter(key.code),
            Mode::Weight(digits) => self.write_weight(digits, key.code),
            Mode::Ask(wish) => match key.code {
                KeyCode::Char('y' | 'Y') => {
                    self.said = "asking the instance …".to_owned();
                    Deed::Steer(wish)
                }
                _ => {
                    self.said = "nothing was done".to_owned();
                    Deed::Nothing
                }
            },
        }
    }

    fn look(&mut self, key: KeyCode) -> Deed {
        self.said.clear();
        let page = self.page.max(1);
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Deed::Leave,
            KeyCode::Up | KeyCode::Char('k') => self.select(self.at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.at + 1),
            KeyCode::PageUp => self.select(self.at.saturating_sub(page)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.select(self.at + page),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::Char('a') => self.mode = Mode::Alarms,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('s') => self.sort_by(self.sort.next()),
            KeyCode::Char(digit @ '0'..='6') => {
                self.sort_by(Sort::ALL[digit as usize - '0' as usize]);
            }
            KeyCode::Char('d') => self.ask(What::Drain),
            KeyCode::Char('r') => self.ask(What::Ready),
            KeyCode::Char('m') => self.ask(What::Maintenance),
            KeyCode::Char('w') => self.ask_weight(),
            _ => {}
        }
        Deed::Nothing
    }

    fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.arrange();
    }

    fn write_filter(&mut self, key: KeyCode) -> Deed {
        match key {
            KeyCode::Enter => return Deed::Nothing,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Backspace => {
                self.filter.pop();
                self.mode = Mode::Filter;
            }
            KeyCode::Char(char) => {
                self.filter.push(char);
                self.mode = Mode::Filter;
            }
            _ => self.mode = Mode::Filter,
        }
        self.arrange();
        Deed::Nothing
    }

    fn write_weight(&mut self, mut digits: String, key: KeyCode) -> Deed {
        match key {
            KeyCode::Esc => return Deed::Nothing,
            KeyCode::Enter => {
                match digits.parse() {
                    Ok(weight) => self.ask(What::Weight(weight)),
                    Err(_) => self.said = "no weight was given".to_owned(),
                }
                return Deed::Nothing;
            }
            KeyCode::Backspace => {
                digits.pop();
            }
            KeyCode::Char(digit) if digit.is_ascii_digit() && digits.len() < DIGITS => {
                digits.push(digit);
            }
            _ => {}
        }
        self.mode = Mode::Weight(digits);
        Deed::Nothing
    }

    fn ask_weight(&mut self) {
        if self.may_steer() {
            // The row must be the same when the digits are there.
            self.select(self.at);
            self.mode = Mode::Weight(String::new());
        }
    }

    fn ask(&mut self, what: What) {
        if !self.may_steer() {
            return;
        }
        self.select(self.at);
        self.mode = match &self.selected {
            Some((pool, address)) => Mode::Ask(Wish {
                pool: pool.clone(),
                address: address.clone(),
                what,
            }),
            None => Mode::Look,
        };
    }

    fn may_steer(&mut self) -> bool {
        if !self.can_steer {
            self.said =
                "to steer, leave and come back with --token-file FILE (that of [admin] token_file)"
                    .to_owned();
        } else if self.places.is_empty() {
            self.said = "there is no row to steer".to_owned();
        }
        self.can_steer && !self.places.is_empty()
    }
}

/// After so long without a new picture it is marked as old; one comes each second.
const STALE: Duration = Duration::from_millis(3_000);

/// Of a weight: the largest is 65535.
const DIGITS: usize = 5;
