//! The standing of a backend: health's verdict and the operator's word, kept apart and read together.
//!
//! Apart, because each must survive the other: a backend taken into maintenance while failing is still
//! failing when it comes back, and a probe that succeeds must not end a drain.

use std::fmt;

/// May it be picked, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The operator wants it empty: sticky requests only.
    Draining,
    /// Health says no: nobody.
    Failing,
    /// The operator took it out: nobody.
    Maintenance,
    /// Everybody.
    Ready,
}

/// What the operator wants of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperatorWord {
    /// Keep what is bound, take nothing new.
    Draining,
    /// Take nothing.
    Maintenance,
    /// Take what comes.
    #[default]
    Ready,
}

impl Standing {
    /// Joins the two. Maintenance is said first, since nobody need care about its health; failing
    /// before draining, since a draining backend that fails must not be given even its bound sessions.
    pub fn of(healthy: bool, word: OperatorWord) -> Self {
        match (word, healthy) {
            (OperatorWord::Maintenance, _) => Self::Maintenance,
            (OperatorWord::Draining | OperatorWord::Ready, false) => Self::Failing,
            (OperatorWord::Draining, true) => Self::Draining,
            (OperatorWord::Ready, true) => Self::Ready,
        }
    }

    /// Whether requests that no cookie binds may go there.
    pub fn takes_new(self) -> bool {
        match self {
            Self::Ready => true,
            Self::Draining | Self::Failing | Self::Maintenance => false,
        }
    }

    /// Whether requests that a cookie binds to it may go there.
    pub fn takes_bound(self) -> bool {
        match self {
            Self::Ready | Self::Draining => true,
            Self::Failing | Self::Maintenance => false,
        }
    }

    /// The word for it in the admin API and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Failing => "failing",
            Self::Maintenance => "maintenance",
            Self::Ready => "ready",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl OperatorWord {
    pub(super) fn to_bits(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Draining => 1,
            Self::Maintenance => 2,
        }
    }

    /// Reads what [`OperatorWord::to_bits`] wrote; nothing else is ever stored.
    pub(super) fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::Draining,
            2 => Self::Maintenance,
            _ => Self::Ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_are_joined_with_the_graver_first() {
        use OperatorWord::{Draining, Maintenance, Ready};
        assert_eq!(Standing::of(true, Ready), Standing::Ready);
        assert_eq!(Standing::of(false, Ready), Standing::Failing);
        assert_eq!(Standing::of(true, Draining), Standing::Draining);
        assert_eq!(Standing::of(false, Draining), Standing::Failing);
        assert_eq!(Standing::of(true, Maintenance), Standing::Maintenance);
        assert_eq!(Standing::of(false, Maintenance), Standing::Maintenance);
    }

    #[test]
    fn words_read_back() {
        for word in [
            OperatorWord::Ready,
            OperatorWord::Draining,
            OperatorWord::Maintenance,
        ] {
            assert_eq!(OperatorWord::from_bits(word.to_bits()), word);
        }
    }
}
