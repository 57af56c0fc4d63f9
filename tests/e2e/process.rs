//! Starting, stopping, draining, signals and exit codes.
