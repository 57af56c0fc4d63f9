//! Which route and pool take a request.
