//! Figures as people read them: as short as they say what matters.

use ratatui::text::Span;

/// `361`, `31.0`, `0.42`, `0`.
pub(in crate::cli) fn rate(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value > 0.0 => format!("{value:.2}"),
        _ => "0".to_owned(),
    }
}

/// Milliseconds: `812`, `37.5`, `0.84`, or `–` where nothing was measured.
pub(in crate::cli) fn time(milliseconds: Option<f64>) -> String {
    match milliseconds {
        None => "–".to_owned(),
        Some(time) if time >= 100.0 => format!("{time:.0}"),
        Some(time) if time >= 1.0 => format!("{time:.1}"),
        Some(time) => format!("{time:.2}"),
    }
}

/// `33%`.
pub(super) fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "–".to_owned(), |part| format!("{:.0}%", part * 100.0))
}

/// `3 d 4 h`, `3 h 12 min`, `5 min`, `42 s`.
pub(in crate::cli) fn lasted(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    match (days, hours, minutes) {
        (1.., ..) => format!("{days} d {} h", hours % 24),
        (_, 1.., _) => format!("{hours} h {} min", minutes % 60),
        (_, _, 1..) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}

/// The same in at most four letters: `3d`, `12h`, `5m`, `42s`.
pub(super) fn lasted_short(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (days @ 1.., ..) => format!("{}d", days.min(999)),
        (_, hours @ 1.., _) => format!("{hours}h"),
        (_, _, minutes @ 1..) => format!("{minutes}m"),
        _ => format!("{seconds}s"),
    }
}

/// A mark and a word, so that colour is not the only carrier: `✕ ejected`.
pub(super) fn standing(word: &str) -> String {
    let mark = match word {
        "ready" => '●',
        "draining" => '◐',
        "maintenance" => '○',
        _ => '✕',
    };
    format!("{mark} {word}")
}

/// A text in exactly so many columns, cut by `…` if it is longer.
pub(super) fn fit(text: &str, columns: u16, to_the_right: bool) -> String {
    let columns = usize::from(columns);
    let mut text: String = text.chars().filter(|char| !char.is_control()).collect();
    if Span::raw(&*text).width() > columns {
        while Span::raw(&*text).width() >= columns.max(1) {
            text.pop();
        }
        if columns > 0 {
            text.push('…');
        }
    }
    let missing = " ".repeat(columns.saturating_sub(Span::raw(&*text).width()));
    if to_the_right {
        missing + &text
    } else {
        text + &missing
    }
}

/// Breaks a text between words into lines of so many columns; what is longer alone is cut. Lines after the first are
/// indented.
pub(super) fn wrapped(text: &str, columns: u16, indent: usize) -> Vec<String> {
    let columns = usize::from(columns).max(indent + 1);
    // What stands before the first word stays before it.
    let lead = text.len() - text.trim_start().len();
    let mut lines = vec![text[..lead].to_owned()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        let used = Span::raw(&**line).width();
        let is_bare = line.trim().is_empty();
        if !is_bare && used + 1 + Span::raw(word).width() > columns {
            lines.push(" ".repeat(indent) + word);
        } else {
            if !is_bare {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Sets parts one after the other into lines of so many columns, none of them broken.
pub(super) fn flowed(parts: &[String], columns: u16) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let room = lines.last().map(|line| Span::raw(&**line).width() + 3);
        match (lines.last_mut(), room) {
            (Some(line), Some(used))
                if used + Span::raw(&**part).width() <= usize::from(columns) =>
            {
                line.push_str(" · ");
                line.push_str(part);
            }
            _ => lines.push(part.clone()),
        }
    }
    lines
}

/// Seconds since 1970 of a time by RFC 3339.
pub(super) fn seconds(time: &str) -> Option<u64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    u64::try_from(time.as_second()).ok()
}

/// The time of day of a time by RFC 3339.
pub(super) fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}
