//! Source to tokens: names and punctuation with their lines; comments, texts and characters are left out.
//!
//! No parser of Rust, only as much of one as it takes not to be fooled by a comment or a quote.

/// A name, a keyword, `::`, or one character of punctuation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'s> {
    pub(crate) text: &'s str,
    pub(crate) line: usize,
}

/// Reads a whole source file.
pub(crate) fn read(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = next(rest, first);
        let (text, after) = rest.split_at(length);
        if is_token {
            let text = text.strip_prefix("r#").unwrap_or(text);
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Whether the tokens start with these words.
pub(crate) fn spell(tokens: &[Token<'_>], words: &[&str]) -> bool {
    tokens.len() >= words.len()
        && tokens
            .iter()
            .zip(words)
            .all(|(token, word)| token.text == *word)
}

/// The tokens without the items that `#[cfg(test)]` stands before.
pub(crate) fn without_tests<'s>(tokens: &[Token<'s>]) -> Vec<Token<'s>> {
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        if spell(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            rest = after_item(&rest[7..]);
        } else {
            kept.push(*first);
            rest = after;
        }
    }
    kept
}

/// What follows an item, which ends with a semicolon or with the brace that closes its block.
fn after_item<'t, 's>(tokens: &'t [Token<'s>]) -> &'t [Token<'s>] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return &tokens[at + 1..];
                }
            }
            ";" if depth == 0 => return &tokens[at + 1..],
            _ => {}
        }
    }
    &[]
}

/// The length of what stands at the start of `rest`, never 0, and whether it is a token.
fn next(rest: &str, first: char) -> (usize, bool) {
    if let Some(length) = comment(rest).or_else(|| quoted(rest)) {
        return (length, false);
    }
    if rest.starts_with("r#") && rest[2..].starts_with(is_name_start) {
        return (2 + name(&rest[2..]), true);
    }
    if is_name_start(first) {
        return (name(rest), true);
    }
    if first.is_ascii_digit() {
        return (name(rest), false);
    }
    if rest.starts_with("::") {
        return (2, true);
    }
    (first.len_utf8(), !first.is_whitespace())
}

fn is_name_start(first: char) -> bool {
    first.is_alphabetic() || first == '_'
}

fn name(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len())
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(rest.len())
}

/// The length of the text, character or lifetime at the start.
fn quoted(rest: &str) -> Option<usize> {
    let bare = rest.trim_start_matches(['b', 'c', 'r']);
    let prefix = &rest[..rest.len() - bare.len()];
    if !matches!(prefix, "" | "b" | "c" | "r" | "br" | "cr") {
        return None;
    }
    if prefix.ends_with('r') {
        let inner = bare.trim_start_matches('#');
        let fence = &bare[..bare.len() - inner.len()];
        let text = inner.strip_prefix('"')?;
        let end = format!("\"{fence}");
        let length = text.find(&end).map_or(text.len(), |at| at + end.len());
        return Some(prefix.len() + fence.len() + 1 + length);
    }
    match bare.chars().next()? {
        '"' => Some(prefix.len() + closed(bare, '"')),
        '\'' if is_lifetime(bare) => Some(prefix.len() + 1 + name(&bare[1..])),
        '\'' => Some(prefix.len() + closed(bare, '\'')),
        _ => None,
    }
}

/// A name after a quote is a lifetime, unless a second quote follows its first character.
fn is_lifetime(rest: &str) -> bool {
    let mut after = rest[1..].chars();
    after.next().is_some_and(is_name_start) && after.next() != Some('\'')
}

fn closed(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + character.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
