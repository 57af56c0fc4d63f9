//! The view as lines on a screen of any size: what is wrong first, then the backends, then all about the selected one.
//!
//! Only rows that are on the screen are made. Colours say nothing that marks and words do not.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

use super::table::{columns, label, row, title};
use super::view::{Mode, View};
use super::words::{clock, fit, flowed, lasted, percent, rate, seconds, standing, time, wrapped};
use crate::admin::stats::{BackendStats, PoolStats};

type Lines = Vec<Line<'static>>;

/// Draws the whole of it.
pub(super) fn screen(view: &mut View, area: Rect, buffer: &mut Buffer) {
    let (width, height) = (area.width, usize::from(area.height));
    let mut lines = match view.mode {
        Mode::Help => help(width),
        Mode::Alarms => alarms(view, width, usize::MAX),
        Mode::Look | Mode::Filter | Mode::Weight(_) | Mode::Ask(_) => main(view, width, height),
    };
    let foot = foot(view, width);
    lines.truncate(height.saturating_sub(foot.len()));
    lines.resize(height.saturating_sub(foot.len()), Line::default());
    lines.extend(foot);
    for (line, y) in lines.iter().zip(area.top()..area.bottom()) {
        buffer.set_line(area.left(), y, line, width);
    }
}

/// One picture as text, with as many rows as there are, up to [`MOST_ROWS`].
pub(super) fn text(view: &mut View, width: u16) -> String {
    let mut lines = head(view, width);
    lines.extend(alarms(view, width, usize::MAX));
    let columns = columns(view, width);
    lines.push(title(view, &columns, width));
    let all = view.places.len();
    let rows = (0..all.min(MOST_ROWS)).filter_map(|at| row(view, at, &columns, width, false));
    lines.extend(rows);
    if all > MOST_ROWS {
        lines.push(Line::raw(format!("and {} more", all - MOST_ROWS)));
    }
    let texts = lines
        .iter()
        .map(|line| line.to_string().trim_end().to_owned());
    texts.collect::<Vec<_>>().join("\n")
}

fn main(view: &mut View, width: u16, height: usize) -> Lines {
    let mut lines = head(view, width);
    // A small screen is for the rows: of the rest there is what fits.
    lines.truncate((height / 3).max(1));
    lines.extend(alarms(view, width, (height / 3).saturating_sub(1)));
    let mut about = details(view, width);
    let foot = foot(view, width).len();
    let room = height.saturating_sub(lines.len() + foot + 1);
    about.truncate(room.saturating_sub(FEWEST_ROWS));
    let page = room - about.len().min(room);
    view.page = page;
    let (at, last) = (view.at(), view.places.len().saturating_sub(page));
    let first = (at + 1).saturating_sub(page.max(1));
    view.top = view.top.clamp(first, at).min(last);
    let columns = columns(view, width);
    lines.push(title(view, &columns, width));
    let end = lines.len() + page;
    let rows = view.top..view.places.len().min(view.top + page);
    let rows = rows.filter_map(|at| row(view, at, &columns, width, true));
    let rows: Vec<_> = rows.collect();
    lines.extend(rows);
    if view.places.is_empty() && page > 0 {
        let filter = &view.filter;
        lines.push(Line::raw(format!(
            "no backend has \"{filter}\" in its pool, id or address"
        )));
    }
    lines.resize(end, Line::default());
    lines.extend(about);
    lines
}

/// The instance in a few figures, and whether they are of now.
fn head(view: &View, width: u16) -> Lines {
    let stats = &view.stats;
    let state = match stats.state.as_str() {
        "serving" => "● ready, serving".to_owned(),
        state => format!("○ not ready, {state}"),
    };
    let times = &stats.times;
    let parts = [
        format!("forecourt {}", stats.version),
        state,
        format!("up {}", lasted(stats.uptime_seconds)),
        format!("generation {}", stats.generation),
        format!("{} connections", stats.connections),
        format!("{} requests/s", rate(stats.requests_per_second)),
        format!("{} errors/s", rate(stats.errors_per_second)),
        format!("p50 {} ms", time(times.p50_milliseconds)),
        format!("p99 {} ms", time(times.p99_milliseconds)),
        format!("at {}", view.admin),
    ];
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines: Lines = flowed(&parts, width)
        .into_iter()
        .map(|line| Line::styled(line, bold))
        .collect();
    if view.is_stale() {
        let why = view.gone.as_deref().unwrap_or("no news comes");
        let text = format!(
            "✕ STALE, as of {} ago: {why}; asking again",
            lasted(view.age.as_secs())
        );
        let style = view
            .paint(Color::Red)
            .add_modifier(Modifier::BOLD | Modifier::REVERSED);
        // First: it is about all the rest.
        let wrapped = wrapped(&text, width, 2).into_iter();
        lines.splice(0..0, wrapped.map(|line| Line::styled(line, style)));
    }
    if let Some(text) = changed(view) {
        lines.push(Line::raw(fit(&text, width, false)));
    }
    lines
}

/// How this generation differs from the last one.
fn changed(view: &View) -> Option<String> {
    let past = view.change.as_ref();
    let past = past.filter(|past| past.generation == view.generation())?;
    let first = past.what.first()?;
    let more = match past.changes - 1 {
        0 => String::new(),
        more => format!(", and {more} more (`forecourt config history`)"),
    };
    let ago = match (seconds(&view.stats.time), seconds(&past.at)) {
        (Some(now), Some(then)) => format!("{} ago", lasted(now.saturating_sub(then))),
        _ => past.at.clone(),
    };
    Some(format!(
        "generation {} came {ago} by {}: {first}{more}",
        past.generation, past.who
    ))
}

/// What is wrong and what to do about it, in so many lines at most.
fn alarms(view: &View, width: u16, most: usize) -> Lines {
    let alarms = &view.stats.alarms;
    if alarms.is_empty() {
        let all: usize = view
            .stats
            .pools
            .iter()
            .map(|pool| pool.backends.len())
            .sum();
        let text = format!("✓ nothing is wrong: none of {all} backends is out, slow or failing");
        return vec![Line::styled(
            fit(&text, width, false),
            view.paint(Color::Green),
        )];
    }
    let mut lines = Lines::new();
    for (at, alarm) in alarms.iter().enumerate() {
        let pool = alarm.pool.as_ref();
        let pool = pool.map_or_else(String::new, |pool| format!("{pool}: "));
        let (mark, color) = if alarm.grave {
            ("✕", Color::Red)
        } else {
            ("○", Color::Yellow)
        };
        let style = view.paint(color).add_modifier(Modifier::BOLD);
        let what = wrapped(&format!("{mark} {pool}{}", alarm.what), width, 2);
        let remedy = wrapped(&format!("  → {}", alarm.remedy), width, 4);
        if lines.len() + what.len() > most.saturating_sub(usize::from(at + 1 < alarms.len())) {
            let text = format!("… {} more alarms: `a` shows all", alarms.len() - at);
            lines.push(Line::styled(text, style));
            break;
        }
        lines.extend(what.into_iter().map(|line| Line::styled(line, style)));
        if lines.len() + remedy.len() <= most {
            lines.extend(remedy.into_iter().map(Line::raw));
        }
    }
    lines
}

/// All about the selected backend.
fn details(view: &View, width: u16) -> Lines {
    let Some((pool, backend)) = view.row(view.at()) else {
        return Lines::new();
    };
    let status = &backend.status;
    let since = view.since(backend);
    let since = since.map_or_else(String::new, |since| format!(" for {}", lasted(since)));
    let why = status.why.as_ref();
    let why = why.map_or_else(String::new, |why| format!(", {why}"));
    let back = status.ejected_until.and_then(|until| {
        let left = until.saturating_sub(seconds(&view.stats.time)?);
        Some(format!("; tried again in {left} s at the latest"))
    });
    let stands = format!(
        "{} in {}: {}{since}{why}{}",
        label(backend),
        pool.name,
        standing(&status.standing),
        back.unwrap_or_default()
    );
    let style = view.style_of(&status.standing);
    let rule = Line::styled("─".repeat(usize::from(width)), Style::new());
    let mut lines = vec![rule];
    let stands = wrapped(&stands, width, 2).into_iter();
    lines.extend(stands.map(|line| Line::styled(line, style)));
    lines.extend(
        flowed(&facts(pool, backend), width)
            .into_iter()
            .map(Line::raw),
    );
    lines
}

fn facts(pool: &PoolStats, backend: &BackendStats) -> Vec<String> {
    let status = &backend.status;
    let times = &backend.times;
    let set = status.weight != status.weight_configured;
    let set = if set {
        format!(" (configured {})", status.weight_configured)
    } else {
        String::new()
    };
    let limit = if status.limit == 0 {
        String::new()
    } else {
        format!(" of {}", status.limit)
    };
    let failed = status.failed_by.iter();
    let failed: Vec<_> = failed
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    vec![
        format!("weight {}{set}", status.weight),
        format!("{}{limit} in flight", status.in_flight),
        format!("{} requests/s", rate(backend.requests_per_second)),
        format!(
            "p50 {} p90 {} p99 {} ms",
            time(times.p50_milliseconds),
            time(times.p90_milliseconds),
            time(times.p99_milliseconds)
        ),
        format!("5xx {}/s", rate(backend.errors_per_second)),
        format!("failed {}/s", rate(backend.failures_per_second)),
        backend
            .last_failure
            .as_ref()
            .map_or_else(String::new, |last| {
                format!("last by {} at {}", last.cause, clock(&last.time))
            }),
        if failed.is_empty() {
            String::new()
        } else {
            format!("failed so far: {}", failed.join(", "))
        },
        format!(
            "share {} of {} wanted",
            percent(backend.share_got),
            percent(Some(backend.share_wanted))
        ),
        if pool.sticky {
            format!("{} bound requests/s", rate(backend.sticky_per_second))
        } else {
            String::new()
        },
        status.check.as_ref().map_or_else(String::new, |check| {
            let word = check.cause.as_ref().unwrap_or(&check.result);
            format!("last check {word}, {} in a row", check.in_row)
        }),
    ]
}

/// The keys, a question, what is typed, or what came of it.
fn foot(view: &View, width: u16) -> Lines {
    let text = match &view.mode {
        Mode::Ask(wish) => format!("{} y/n", wish.question()),
        Mode::Filter => format!(
            "filter by pool, id or address: {}▏ (Enter keeps it, Esc clears it)",
            view.filter
        ),
        Mode::Weight(digits) => {
            format!("weight: {digits}▏ (0 to 65535, Enter; Esc leaves it as it is)")
        }
        Mode::Help | Mode::Alarms => "any key goes back, q leaves".to_owned(),
        Mode::Look if !view.said.is_empty() => view.said.clone(),
        Mode::Look => return vec![Line::raw(fit(&keys(view, width), width, false))],
    };
    let style = Style::new().add_modifier(Modifier::BOLD);
    let lines = wrapped(&text, width, 0).into_iter();
    lines
        .map(|line| Line::styled(fit(&line, width, false), style))
        .collect()
}

fn keys(view: &View, width: u16) -> String {
    let filter = if view.filter.is_empty() {
        String::new()
    } else {
        format!("[/{}] ", view.filter)
    };
    let shown = format!(
        "{}/{}",
        view.at() + usize::from(!view.places.is_empty()),
        view.places.len()
    );
    if width < 76 {
        return format!("{filter}{shown}  ? help  q leave");
    }
    let sort = view.sort.as_str();
    format!(
        "{filter}{shown}  ? help  s sort: {sort}  / filter  d drain  r ready  w weight  q leave"
    )
}

fn help(width: u16) -> Lines {
    let lines = HELP
        .iter()
        .flat_map(|(key, does)| wrapped(&format!("{key:<12} {does}"), width, 13));
    let title = Line::styled("forecourt top", Style::new().add_modifier(Modifier::BOLD));
    [title, Line::default()]
        .into_iter()
        .chain(lines.map(Line::raw))
        .collect()
}

const HELP: [(&str, &str); 13] = [
    ("↑ ↓ k j", "select a backend; PgUp, PgDn, Home, End too"),
    (
        "s",
        "next order; by digit: 0 worst first, 1 name, 2 standing, 3 requests/s, 4 p99, 5 errors, 6 in flight",
    ),
    ("/", "only backends with this text in pool, id or address"),
    ("a", "all that is wrong, with what can be done"),
    (
        "d",
        "drain the backend: nothing new is sent to it, bound sessions stay",
    ),
    ("r", "let it take requests again"),
    ("m", "take it out: not even bound sessions reach it"),
    ("w", "set its weight; steering is asked back by y/n"),
    ("q Esc ^C", "leave"),
    ("err/s", "answers by 5xx and failed attempts, together"),
    (
        "got, want",
        "its share of the pool's requests, and the one that its weight stands for",
    ),
    ("since", "for how long it has stood so; – : since the start"),
    (
        "marks",
        "● ready  ◐ draining  ○ maintenance  ✕ failing, ejected",
    ),
];

impl View {
    pub(super) fn paint(&self, color: Color) -> Style {
        if self.colored {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    pub(super) fn style_of(&self, standing: &str) -> Style {
        match standing {
            "ready" => self.paint(Color::Green),
            "draining" | "maintenance" => self.paint(Color::Yellow),
            _ => self.paint(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// For how many seconds it has stood so.
    pub(super) fn since(&self, backend: &BackendStats) -> Option<u64> {
        let since = backend.status.since?;
        Some(seconds(&self.stats.time)?.saturating_sub(since))
    }
}

/// For the table on a small screen, whatever else there is to say.
const FEWEST_ROWS: usize = 5;

/// Of one picture as text: who has more asks for JSON.
const MOST_ROWS: usize = 1_000;
