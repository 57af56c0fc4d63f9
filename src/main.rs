//! Exit codes; nothing else. What the commands do is in the library's `cli`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    forecourt::cli::Cli::parse().execute()
}
