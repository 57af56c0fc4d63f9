//! What packages ship beside the program: completions for shells, and man pages. Both are made of the command line itself.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, fail};

/// For which shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Which pages.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write a page for each command into this folder, in place of one for the program to the standard output.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Completions {
    pub(super) fn execute(&self) -> ExitCode {
        // Made in memory, for the library panics where nobody reads any more.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "forecourt", &mut script);
        print(&script)
    }
}

impl Man {
    pub(super) fn execute(&self) -> ExitCode {
        let command = Cli::command();
        let done = match &self.out {
            Some(folder) => clap_mangen::generate_to(command, folder),
            None => {
                let mut page = Vec::new();
                match clap_mangen::Man::new(command).render(&mut page) {
                    Ok(()) => return print(&page),
                    Err(error) => Err(error),
                }
            }
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        }
    }
}

/// Whoever reads it may stop reading: that is no failure.
fn print(text: &[u8]) -> ExitCode {
    use io::Write as _;
    let _ = io::stdout().write_all(text);
    ExitCode::SUCCESS
}
