//! The table of backends: its columns, as many as fit, and a line for each row that is on the screen.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::rows::{Sort, errors};
use super::view::View;
use super::words::{clock, fit, lasted_short, percent, rate, standing, time};
use crate::admin::stats::{BackendStats, PoolStats};

/// A column of the table: from which width of the screen on it is there, how wide it is, and what it says.
pub(super) struct Column {
    title: &'static str,
    from: u16,
    width: u16,
    is_number: bool,
    sort: Option<Sort>,
    text: fn(&View, &PoolStats, &BackendStats) -> String,
}

/// Those that fit the screen; the backend has what the others leave.
pub(super) fn columns(view: &View, width: u16) -> Vec<Column> {
    let mut columns: Vec<_> = COLUMNS
        .into_iter()
        .filter(|one| one.from <= width)
        .collect();
    let pools = view
        .stats
        .pools
        .iter()
        .map(|pool| pool.name.chars().count());
    let pool = u16::try_from(pools.max().unwrap_or(0)).unwrap_or(u16::MAX);
    let used = |columns: &[Column]| columns.iter().map(|one| one.width + 1).sum::<u16>() - 1;
    if let Some(column) = columns.iter_mut().find(|one| one.title == "pool") {
        column.width = pool.clamp(4, 16);
    }
    let mut left = width.saturating_sub(used(&columns));
    let standing = columns
        .iter_mut()
        .find(|one| one.sort == Some(Sort::Standing));
    if let Some(column) = standing.filter(|_| left >= 24) {
        // With room for the longest word.
        column.width = 13;
        left -= 3;
    }
    if let Some(column) = columns.iter_mut().find(|one| one.title == "why") {
        column.width = left.saturating_sub(30);
        left -= column.width;
    }
    if let Some(column) = columns.iter_mut().find(|one| one.sort == Some(Sort::Name)) {
        column.width = left;
    }
    columns
}

const fn column(
    title: &'static str,
    (from, width): (u16, u16),
    sort: Option<Sort>,
    text: fn(&View, &PoolStats, &BackendStats) -> String,
) -> Column {
    Column {
        title,
        from,
        width,
        is_number: true,
        sort,
        text,
    }
}

const fn words(column: Column) -> Column {
    Column {
        is_number: false,
        ..column
    }
}

const COLUMNS: [Column; 14] = [
    words(column(
        "standing",
        (0, 10),
        Some(Sort::Standing),
        |_, _, b| standing(&b.status.standing),
    )),
    column("since", (76, 5), None, |view, _, b| {
        view.since(b).map_or_else(|| "–".to_owned(), lasted_short)
    }),
    words(column("pool", (60, 8), None, |_, pool, _| {
        pool.name.clone()
    })),
    words(column("backend", (0, 0), Some(Sort::Name), |_, _, b| {
        label(b)
    })),
    column("flight", (70, 7), Some(Sort::InFlight), |_, _, b| {
        match b.status.limit {
            0 => b.status.in_flight.to_string(),
            most => format!("{}/{most}", b.status.in_flight),
        }
    }),
    column("req/s", (0, 6), Some(Sort::Rate), |_, _, b| {
        rate(b.requests_per_second)
    }),
    column("p50 ms", (90, 6), None, |_, _, b| {
        time(b.times.p50_milliseconds)
    }),
    column("p99 ms", (0, 7), Some(Sort::P99), |_, _, b| {
        time(b.times.p99_milliseconds)
    }),
    column("err/s", (54, 6), Some(Sort::Errors), |_, _, b| {
        rate(errors(b))
    }),
    column("weight", (100, 6), None, |_, _, b| {
        b.status.weight.to_string()
    }),
    column("got", (90, 4), None, |_, _, b| percent(b.share_got)),
    column("want", (90, 4), None, |_, _, b| {
        percent(Some(b.share_wanted))
    }),
    column("bound/s", (120, 7), None, |_, _, b| {
        rate(b.sticky_per_second)
    }),
    words(column("why", (140, 0), None, |_, _, b| why(b))),
];

pub(super) fn label(backend: &BackendStats) -> String {
    let status = &backend.status;
    if status.id == status.address {
        status.address.clone()
    } else {
        format!("{} {}", status.id, status.address)
    }
}

/// Why it is out, or else how it failed last.
fn why(backend: &BackendStats) -> String {
    let last = backend.last_failure.as_ref();
    let last = last.map(|last| format!("{} at {}", last.cause, clock(&last.time)));
    let why = backend.status.why.clone();
    why.or(last).unwrap_or_default()
}

pub(super) fn title(view: &View, columns: &[Column], width: u16) -> Line<'static> {
    let titles = columns.iter().map(|column| {
        let is_sorted = column.sort.is_some() && column.sort == Some(view.sort);
        let title = if is_sorted {
            format!("{}▾", column.title)
        } else {
            column.title.to_owned()
        };
        fit(&title, column.width, column.is_number)
    });
    let text = titles.collect::<Vec<_>>().join(" ");
    Line::styled(
        fit(&text, width, false),
        Style::new().add_modifier(Modifier::UNDERLINED),
    )
}

pub(super) fn row(
    view: &View,
    at: usize,
    columns: &[Column],
    width: u16,
    marks_selected: bool,
) -> Option<Line<'static>> {
    let (pool, backend) = view.row(at)?;
    let mut spans = Vec::new();
    let mut used = 0;
    for column in columns {
        let style = match column.sort {
            Some(Sort::Standing) => view.style_of(&backend.status.standing),
            Some(Sort::Errors) if errors(backend) > 0.0 => view.paint(Color::Red),
            _ => Style::new(),
        };
        let text = (column.text)(view, pool, backend);
        spans.push(Span::styled(
            fit(&text, column.width, column.is_number),
            style,
        ));
        spans.push(Span::raw(" "));
        used += column.width + 1;
    }
    spans.pop();
    spans.push(Span::raw(
        " ".repeat(usize::from((width + 1).saturating_sub(used))),
    ));
    let line = Line::from(spans);
    let is_selected = marks_selected && at == view.at();
    let style = Style::new().add_modifier(Modifier::REVERSED);
    Some(if is_selected { line.style(style) } else { line })
}
