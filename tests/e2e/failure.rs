//! What clients get when backends misbehave, and what is tried again.
