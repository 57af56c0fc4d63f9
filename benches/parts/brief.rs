//! Criterion, set to be brief: `cargo bench` should end while somebody still waits for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::Criterion;

/// Criterion with short times; the command line wins over them.
pub(crate) fn criterion(measurement: Duration) -> Criterion {
    Criterion::default()
        .warm_up_time(measurement / 4)
        .measurement_time(measurement)
        .sample_size(20)
        .nresamples(2_000)
        .without_plots()
        .output_directory(&folder())
        .configure_from_args()
}

/// Where Criterion keeps what it measured.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../criterion")
}
