//! What the admin API tells and does.
