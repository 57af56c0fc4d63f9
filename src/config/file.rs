//! Files that are served: error pages and the bodies of fixed responses, read when the configuration is loaded.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::problem::Source;
use super::raw::action::FILE_BYTES_MOST;

/// Why a file cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{0}")]
    Unreadable(String),
    #[error("the file has more than {} KiB", FILE_BYTES_MOST / 1024)]
    TooLong,
    #[error("the file is not UTF-8")]
    NotText,
}

/// Reads the body of a response, whatever it is.
pub(crate) fn body(path: &Path) -> Result<Arc<[u8]>, FileError> {
    read(path).map(Into::into)
}

/// Reads a page. It is shown behind the configuration's own files if something is wrong within it.
pub(crate) fn page(path: &Path) -> Result<Source, FileError> {
    let text = String::from_utf8(read(path)?).map_err(|_| FileError::NotText)?;
    Ok(Source::new(usize::MAX, path.to_owned(), text))
}

/// Reads no more than is needed to see that it is too much.
fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable =
        |error: io::Error| FileError::Unreadable(format!("{}: {error}", path.display()));
    // Opening a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileError::Unreadable(format!(
            "{}: not a file",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MOST {
        return Err(FileError::TooLong);
    }
    Ok(bytes)
}

impl FileError {
    /// What to do about it.
    pub(crate) fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(_) => None,
            Self::TooLong => Some("what is larger belongs to a backend, which can stream it"),
            Self::NotText => Some("save the page as UTF-8"),
        }
    }
}

/// The type of a file by its extension.
pub(crate) fn content_type(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let known = TYPES.iter().find(|(known, _)| *known == extension);
    known.map(|(_, content_type)| *content_type)
}

/// What error pages and small answers are made of.
pub(crate) const TYPES: [(&str, &str); 13] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("xml", "application/xml"),
    ("xhtml", "application/xhtml+xml"),
    ("svg", "image/svg+xml"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("jpg", "image/jpeg"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_and_no_text_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        fs::write(&path, vec![b'a'; FILE_BYTES_MOST as usize]).unwrap();
        assert_eq!(body(&path).unwrap().len() as u64, FILE_BYTES_MOST);
        fs::write(&path, vec![b'a'; FILE_BYTES_MOST as usize + 1]).unwrap();
        assert_eq!(body(&path), Err(FileError::TooLong));
        fs::write(&path, b"caf\xe9").unwrap();
        assert!(body(&path).is_ok());
        assert_eq!(page(&path).unwrap_err(), FileError::NotText);
        let error = body(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("not a file"), "{error}");
    }

    #[test]
    fn types_are_by_extension() {
        for (file, expected) in [
            ("errors/404.HTML", Some("text/html; charset=utf-8")),
            ("a.json", Some("application/json")),
            ("a.pdf", None),
            ("html", None),
        ] {
            assert_eq!(content_type(Path::new(file)), expected, "{file}");
        }
    }
}
