//! Tokens to paths: the trees of `use` written out, and `crate`, `super` and `self` resolved from where they stand.

use crate::tokens::Token;

/// A path and the line on which its last name stands.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// The module that a file holds, as names from the root.
#[derive(Clone, Debug)]
pub(crate) struct Place(Vec<String>);

impl Place {
    /// The place of a file by its path below `src`.
    pub(crate) fn of_file(name: &str) -> Self {
        let stem = name.strip_suffix(".rs").unwrap_or(name);
        let mut modules: Vec<_> = stem.split('/').map(str::to_owned).collect();
        if modules.last().is_some_and(|last| last == "mod") || matches!(stem, "lib" | "main") {
            modules.pop();
        }
        Self(modules)
    }

    /// The room; none at the root.
    pub(crate) fn room(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Whether all of the file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.0.iter().any(|module| module == "tests")
    }
}

/// The paths into the house, from its root on: those that start in `crate`, and those by `super` and `self`.
pub(crate) fn of_house(place: &Place, tokens: &[Token<'_>]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut module = place.0.clone();
    // Braces that are open, and of each whether it is that of an inline module.
    let mut braces = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let previous = at.checked_sub(1).map_or("", |before| tokens[before].text);
        match token.text {
            "use" => {
                let (paths, length) = tree(&tokens[at + 1..]);
                found.extend(paths.iter().filter_map(|path| resolve(&module, path)));
                at += length;
            }
            "crate" | "super" | "self" if previous != "::" && !is_visibility(tokens, at) => {
                let path = plain(&tokens[at..]);
                if path.segments.len() > 1 {
                    found.extend(resolve(&module, &path));
                }
            }
            "{" => {
                let opens_module = at >= 2 && tokens[at - 2].text == "mod";
                if opens_module {
                    module.push(previous.to_owned());
                }
                braces.push(opens_module);
            }
            "}" => {
                let closes_module = braces.pop() == Some(true);
                if closes_module {
                    module.pop();
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Every path that a `use` names, as written out.
pub(crate) fn imported(tokens: &[Token<'_>]) -> Vec<Found> {
    let uses = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.text == "use");
    uses.flat_map(|(at, _)| tree(&tokens[at + 1..]).0).collect()
}

/// `pub(crate)` and `pub(super)` name no path.
fn is_visibility(tokens: &[Token<'_>], at: usize) -> bool {
    let text = |at: Option<usize>| {
        at.and_then(|at| tokens.get(at))
            .map_or("", |token| token.text)
    };
    text(at.checked_sub(1)) == "("
        && text(at.checked_sub(2)) == "pub"
        && text(at.checked_add(1)) == ")"
}

/// Names joined by `::`, as far as they go.
fn plain(tokens: &[Token<'_>]) -> Found {
    let mut segments = vec![tokens[0].text.to_owned()];
    let mut line = tokens[0].line;
    for pair in tokens[1..].chunks_exact(2) {
        if pair[0].text != "::" || !is_name(pair[1].text) {
            break;
        }
        segments.push(pair[1].text.to_owned());
        line = pair[1].line;
    }
    Found { segments, line }
}

/// The tree after `use`, written out, and how many tokens it takes.
fn tree(tokens: &[Token<'_>]) -> (Vec<Found>, usize) {
    let mut found: Vec<Found> = Vec::new();
    let mut stem: Vec<String> = Vec::new();
    let mut branches = Vec::new();
    let mut is_alias = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            ";" => return (found, at),
            "::" => {}
            "as" => is_alias = true,
            "{" => branches.push(stem.len()),
            "}" | "," => {
                stem.truncate(branches.last().copied().unwrap_or(0));
                if token.text == "}" {
                    branches.pop();
                }
                is_alias = false;
            }
            name if !is_alias => {
                stem.push(name.to_owned());
                let goes_on = tokens.get(at + 1).is_some_and(|next| next.text == "::");
                if !goes_on {
                    let line = token.line;
                    found.push(Found {
                        segments: stem.clone(),
                        line,
                    });
                }
            }
            _ => {}
        }
    }
    (found, tokens.len())
}

/// The path from the root, if it starts within the house.
fn resolve(module: &[String], path: &Found) -> Option<Found> {
    let mut base = match path.segments.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        _ => return None,
    };
    for segment in &path.segments[1..] {
        match segment.as_str() {
            "super" => drop(base.pop()),
            name => base.push(name.to_owned()),
        }
    }
    let line = path.line;
    Some(Found {
        segments: base,
        line,
    })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}
