//! The answer as people read it.

use std::fmt::Write as _;

use crate::explain::answer::{Answer, Line, Own};
use crate::explain::pool::{Backend, Now, Standpoint, Taker};
use crate::explain::question::Chosen;

/// Renders an answer; every text of the request's own is written without control characters.
pub(super) fn render(answer: &Answer, color: bool) -> String {
    let paint = |style: &str, text: &str| {
        if color {
            format!("{style}{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, answer);
    if let Some(Own { route, answer }) = &answer.answered_by {
        let what = format!("{route} takes it, and answers by itself: {answer}");
        let _ = writeln!(out, "\n{}", paint(GREEN, &what));
    }
    match (&answer.taken_by, &answer.refused) {
        (Some(taker), _) => {
            let what = format!("{} takes it, for the pool {}", taker.route, taker.pool);
            let _ = writeln!(out, "\n{}", paint(GREEN, &what));
            let _ = backends(&mut out, taker);
        }
        (None, Some(refusal)) => {
            let what = format!(
                "refused with {} {}: {}",
                refusal.status, refusal.code, refusal.why
            );
            let _ = writeln!(out, "\n{}", paint(RED, &what));
        }
        (None, None) => {}
    }
    let _ = routes(&mut out, answer, &|verdict, text| match verdict {
        "takes" => paint(GREEN, text),
        "misses" => paint(DIM, text),
        _ => text.to_owned(),
    });
    out
}

fn head(out: &mut String, answer: &Answer) -> std::fmt::Result {
    let request = &answer.request;
    let scheme = if request.https { "https" } else { "http" };
    let place = match request.host.as_str() {
        "" => String::new(),
        host => format!("{scheme}://{host}"),
    };
    let question = if request.query.is_empty() { "" } else { "?" };
    let (method, path, query) = (&request.method, &request.path, &request.query);
    writeln!(out, "{method} {place}{path}{question}{query}")?;
    let chosen = match answer.listener.chosen {
        Chosen::Named => "",
        Chosen::Only => ", the only one",
        Chosen::Fits => ", assumed: it has the URL's port",
        Chosen::First => ", assumed: it is the first; --listener names another",
    };
    let listener = &answer.listener;
    writeln!(
        out,
        "  listener  {} ({}){chosen}",
        listener.name, listener.address
    )?;
    match (request.asked_https, request.https) {
        (Some(true), false) => writeln!(
            out,
            "  scheme    the listener has no TLS: this is what becomes of the same by http"
        )?,
        (Some(false), true) => writeln!(
            out,
            "  scheme    the listener has TLS: this is what becomes of the same by https"
        )?,
        _ => {}
    }
    let assumed = if request.peer_assumed {
        ", assumed; --client names another"
    } else {
        ""
    };
    match (request.client, request.peer) {
        (Some(client), Some(peer)) if client != peer.to_canonical() => {
            writeln!(
                out,
                "  client    {client}, says the trusted proxy {peer}{assumed}"
            )?;
        }
        (Some(client), _) if request.peer_trusted => {
            writeln!(out, "  client    {client}, itself a trusted proxy{assumed}")?;
        }
        (Some(client), _) => writeln!(out, "  client    {client}{assumed}")?,
        (None, _) => writeln!(out, "  client    without an address, by a Unix socket")?,
    }
    if !request.seen_as.is_empty() && request.seen_as != request.path {
        writeln!(
            out,
            "  path      seen by routes as {}",
            visible(&request.seen_as)
        )?;
    }
    Ok(())
}

fn backends(out: &mut String, taker: &Taker) -> std::fmt::Result {
    writeln!(out, "  strategy  {}", taker.strategy)?;
    if let Some(cookie) = &taker.cookie {
        writeln!(out, "  sticky    {cookie}")?;
    }
    match (&taker.backend, taker.by.as_deref()) {
        (Some(backend), Some(by)) => {
            let by = match by {
                "sticky-cookie" => "by the sticky cookie",
                "turn" => "whose turn it is",
                "load" => "which has least to do",
                "only" => "the only one that can take it",
                _ => "by the client's address",
            };
            writeln!(out, "  backend   {}, {by}", named(backend))?;
            return taker.now.as_ref().map_or(Ok(()), |now| standing(out, now));
        }
        _ if taker.now.is_some() => {
            return taker.now.as_ref().map_or(Ok(()), |now| standing(out, now));
        }
        _ if taker.share.is_empty() => {
            return writeln!(out, "  backend   none: no member of the pool may be picked");
        }
        _ => {}
    }
    for (index, backend) in taker.share.iter().enumerate().take(MEMBERS_SHOWN) {
        let label = if index == 0 { "backend" } else { "or" };
        let share = backend.share * 100.0;
        writeln!(
            out,
            "  {label:<9} {:<28} weight {:>3}  {share:>5.1} %",
            named(backend),
            backend.weight
        )?;
    }
    match taker.share.len().saturating_sub(MEMBERS_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  or        one of {more} more"),
    }
}

/// How things stand in the pool of a running instance.
fn standing(out: &mut String, now: &Now) -> std::fmt::Result {
    match now.held.as_deref() {
        Some("no-backend") => {
            writeln!(out, "  backend   none: no member of the pool may be picked")?
        }
        Some("waits") => writeln!(
            out,
            "  backend   none yet: all are full, it would wait for a place"
        )?,
        Some(_) => writeln!(out, "  backend   none: all are full, and so is the queue")?,
        None => {}
    }
    if now.panic {
        writeln!(
            out,
            "  panic     so few are well that requests go to all that are wanted"
        )?;
    }
    if now.in_flight_limit > 0 || now.queue_limit > 0 {
        let most = match now.in_flight_limit {
            0 => String::new(),
            most => format!(" of {most}"),
        };
        writeln!(
            out,
            "  limits    {}{most} in flight, {} of {} wait",
            now.in_flight, now.queued, now.queue_limit
        )?;
    }
    writeln!(out, "\nbackends, as they stand now:")?;
    for member in now.members.iter().take(MEMBERS_SHOWN) {
        let name = if member.id == member.address {
            member.address.clone()
        } else {
            format!("{} ({})", member.address, member.id)
        };
        writeln!(
            out,
            "  {name:<28} weight {:>3}{}  {:>4}{} in flight  {}",
            member.weight,
            ramp(member),
            member.in_flight,
            limit(member),
            outlook(member)
        )?;
    }
    match now.members.len().saturating_sub(MEMBERS_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more; --json shows them"),
    }
}

fn ramp(member: &Standpoint) -> String {
    match member.ramp {
        100 => String::new(),
        percent => format!(" at {percent} %"),
    }
}

fn limit(member: &Standpoint) -> String {
    match member.limit {
        0 => String::new(),
        most => format!(" of {most}"),
    }
}

fn outlook(member: &Standpoint) -> String {
    match (&member.out, &member.why) {
        (Some(word), Some(why)) if member.chance <= 0.0 => format!("no: {word}, {why}"),
        _ if member.chance >= 1.0 => "takes it".to_owned(),
        _ if member.chance > 0.0 => format!("{:.1} %", member.chance * 100.0),
        _ => "could".to_owned(),
    }
}

/// The address, and the id if it is another.
fn named(backend: &Backend) -> String {
    if backend.id == backend.address {
        backend.address.clone()
    } else {
        format!("{} ({})", backend.address, backend.id)
    }
}

fn routes(
    out: &mut String,
    answer: &Answer,
    paint: &dyn Fn(&str, &str) -> String,
) -> std::fmt::Result {
    if answer.routes.is_empty() && answer.other_host + answer.other_path == 0 {
        return Ok(());
    }
    writeln!(out, "\nroutes, in the order of precedence:")?;
    let width = |text: fn(&Line) -> &str| {
        let lengths = answer.routes.iter().map(|line| text(line).chars().count());
        lengths.max().unwrap_or(0).min(WIDEST)
    };
    let (names, takes) = (width(|line| &line.route), width(|line| &line.takes));
    for line in &answer.routes {
        let reason = match (line.verdict.as_str(), &line.reason) {
            ("misses", Some(reason)) => format!("no: {reason}"),
            (_, Some(reason)) => format!("could: {reason}"),
            _ => "takes it".to_owned(),
        };
        let text = format!("{:<names$}  {:<takes$}  {reason}", line.route, line.takes);
        writeln!(out, "  {}", paint(&line.verdict, &text))?;
    }
    let others = [(answer.other_path, "path"), (answer.other_host, "host")];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "  and {count} of another {what}; --all shows them")?;
    }
    Ok(())
}

/// A path as it is seen may have any byte in it.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
/// A wider column pushes what follows it to the side.
const WIDEST: usize = 60;
/// Beyond these nobody compares.
const MEMBERS_SHOWN: usize = 12;
