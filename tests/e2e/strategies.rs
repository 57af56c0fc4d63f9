//! Which backend is picked, as seen from outside.
