//! What an operator has set at run time beside his word: a weight in the place of the configuration's.

/// A weight that was set at run time. It holds as long as the configuration says what it said then: whoever writes
/// another weight into the file has said something newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteeredWeight {
    /// The share that was asked for; 0 for nothing new.
    pub weight: u32,
    /// What the configuration said when it was.
    pub configured: u32,
}

impl SteeredWeight {
    /// The weight that holds where the configuration says `configured`.
    pub fn over(steered: Option<Self>, configured: u32) -> u32 {
        match steered {
            Some(steered) if steered.configured == configured => steered.weight,
            Some(_) | None => configured,
        }
    }
}

/// The largest weight: tables of the strategies grow with the sum of them.
pub const WEIGHT_MOST: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_word_wins() {
        let steered = Some(SteeredWeight {
            weight: 0,
            configured: 3,
        });
        assert_eq!(SteeredWeight::over(None, 3), 3);
        assert_eq!(SteeredWeight::over(steered, 3), 0);
        assert_eq!(SteeredWeight::over(steered, 5), 5);
    }
}
