//! The standing of a backend: health's verdict and the operator's word, kept apart and read together.
//!
//! Apart, because each must survive the other: a backend taken into maintenance while failing is still
//! failing when it comes back, and a probe that succeeds must not end a drain.

use std::fmt;

use crate::telemetry::meters::Ejection;

/// May it be picked, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The operator wants it empty: sticky requests only.
    Draining,
    /// Requests found it failing: nobody, for a while.
    Ejected,
    /// Health says no: nobody.
    Failing,
    /// The operator took it out: nobody.
    Maintenance,
    /// Everybody.
    Ready,
}

/// Health's verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It does not answer as it should.
    Failing,
    /// Nobody knows yet, and it is out until somebody does; never taken for one of those that could serve.
    Unproven,
    /// It answers, or nobody asks.
    #[default]
    Well,
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
    pub fn of(health: Health, word: OperatorWord) -> Self {
        match (word, health) {
            (OperatorWord::Maintenance, _) => Self::Maintenance,
            (OperatorWord::Draining | OperatorWord::Ready, Health::Failing | Health::Unproven) => {
                Self::Failing
            }
            (OperatorWord::Draining, Health::Well) => Self::Draining,
            (OperatorWord::Ready, Health::Well) => Self::Ready,
        }
    }

    /// Joins an ejection to it: less than failing, which says more, and more than draining, for the same reason.
    #[must_use]
    pub fn with(self, ejection: Option<Ejection>) -> Self {
        match (self, ejection) {
            (Self::Draining | Self::Ready, Some(_)) => Self::Ejected,
            (standing, _) => standing,
        }
    }

    /// Whether requests that no cookie binds may go there.
    pub fn takes_new(self) -> bool {
        match self {
            Self::Ready => true,
            Self::Draining | Self::Ejected | Self::Failing | Self::Maintenance => false,
        }
    }

    /// Whether requests that a cookie binds to it may go there.
    pub fn takes_bound(self) -> bool {
        match self {
            Self::Ready | Self::Draining => true,
            Self::Ejected | Self::Failing | Self::Maintenance => false,
        }
    }

    /// The word for it in the admin API and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Ejected => "ejected",
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

impl Health {
    pub(super) fn to_bits(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failing => 1,
            Self::Unproven => 2,
        }
    }

    /// Reads what [`Health::to_bits`] wrote; nothing else is ever stored.
    pub(super) fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::Failing,
            2 => Self::Unproven,
            _ => Self::Well,
        }
    }
}

impl OperatorWord {
    /// The word for it in the admin API and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
            Self::Ready => "ready",
        }
    }

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
        assert_eq!(Standing::of(Health::Well, Ready), Standing::Ready);
        assert_eq!(Standing::of(Health::Well, Draining), Standing::Draining);
        assert_eq!(
            Standing::of(Health::Well, Maintenance),
            Standing::Maintenance
        );
        for health in [Health::Failing, Health::Unproven] {
            assert_eq!(Standing::of(health, Ready), Standing::Failing);
            assert_eq!(Standing::of(health, Draining), Standing::Failing);
            assert_eq!(Standing::of(health, Maintenance), Standing::Maintenance);
        }
    }

    #[test]
    fn verdicts_read_back() {
        for health in [Health::Failing, Health::Unproven, Health::Well] {
            assert_eq!(Health::from_bits(health.to_bits()), health);
        }
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
