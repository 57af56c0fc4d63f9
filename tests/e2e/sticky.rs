//! Sessions keep their backend.
