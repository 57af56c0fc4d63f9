//! What has been measured, kept in a file as it comes: a run that was cut short goes on where it ended.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::measure::Sample;

/// The samples of a run, in memory and in a file of JSON lines whose first says what the run is.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    pub(crate) samples: Vec<Sample>,
}

impl Journal {
    /// Begins anew, or with what a run with the same title has left.
    pub(crate) fn open(folder: &Path, title: &str, resume: bool) -> Outcome<Self> {
        let path = folder.join("samples.jsonl");
        let title = serde_json::to_string(title)?;
        if !resume {
            let mut file = File::create(&path)?;
            writeln!(file, "{title}")?;
            return Ok(Self {
                file,
                samples: Vec::new(),
            });
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("nothing to resume, {}: {error}", path.display()))?;
        let mut lines = text.lines();
        if lines.next() != Some(title.as_str()) {
            return Err(format!(
                "{} is of a run with other arguments or programs; leave out --resume, or repeat those",
                path.display()
            )
            .into());
        }
        // A last line that is not whole was being written when the run ended.
        let samples: Vec<Sample> = lines
            .map_while(|line| serde_json::from_str(line).ok())
            .collect();
        let mut journal = Self {
            file: OpenOptions::new().write(true).truncate(true).open(&path)?,
            samples: Vec::new(),
        };
        writeln!(journal.file, "{title}")?;
        for sample in samples {
            journal.add(sample)?;
        }
        eprintln!("{} loads are measured already", journal.samples.len());
        Ok(journal)
    }

    /// Keeps a sample.
    pub(crate) fn add(&mut self, sample: Sample) -> Outcome<()> {
        writeln!(self.file, "{}", serde_json::to_string(&sample)?)?;
        self.samples.push(sample);
        Ok(())
    }

    pub(crate) fn find(&self, proxy: &str, scenario: &str, round: usize) -> Option<&Sample> {
        self.samples
            .iter()
            .find(|one| one.proxy == proxy && one.scenario == scenario && one.round == round)
    }
}

/// Where the run keeps what is not for the repository.
pub(crate) fn folder() -> Outcome<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("side_by_side");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
