//! Values with a unit: durations, sizes and rates.

use std::time::Duration;

/// Why a text is no value with a unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    #[error("{0:?} has no number")]
    NoNumber(String),
    #[error("{0:?} has no unit")]
    NoUnit(String),
    #[error("{text:?} has the unit {unit:?}, which does not exist")]
    UnknownUnit { text: String, unit: String },
    #[error("{0:?} is too much")]
    TooMuch(String),
}

/// Reads `"250ms"`, `"30s"`, `"5m"`, `"2h"` or `"1d"`.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        "" => return Err(UnitError::NoUnit(text.to_owned())),
        _ => return Err(unknown(text, unit)),
    };
    match number.checked_mul(milliseconds).map(Duration::from_millis) {
        Some(duration) if duration <= DURATION_MOST => Ok(duration),
        _ => Err(UnitError::TooMuch(text.to_owned())),
    }
}

/// Reads `"512B"`, `"16KiB"`, `"8MiB"`, `"1GiB"` or `"0"`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        // Nothing of any unit.
        "" if number == 0 => 1,
        "" => return Err(UnitError::NoUnit(text.to_owned())),
        _ => return Err(unknown(text, unit)),
    };
    number
        .checked_mul(bytes)
        .ok_or_else(|| UnitError::TooMuch(text.to_owned()))
}

/// Reads `"500B/s"`, `"16KiB/s"` or `"0"`, in bytes a second.
pub(super) fn rate(text: &str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    let Some(each_second) = trimmed.strip_suffix("/s") else {
        let (number, unit) = split(text)?;
        return match unit {
            "" if number == 0 => Ok(0),
            "" => Err(UnitError::NoUnit(text.to_owned())),
            _ => Err(unknown(text, unit)),
        };
    };
    match size(each_second.trim_end()) {
        // What is wrong is said of the whole.
        Err(UnitError::NoNumber(_)) => Err(UnitError::NoNumber(text.to_owned())),
        Err(UnitError::NoUnit(_)) => Err(UnitError::NoUnit(text.to_owned())),
        Err(UnitError::TooMuch(_)) => Err(UnitError::TooMuch(text.to_owned())),
        Err(UnitError::UnknownUnit { unit, .. }) => Err(unknown(text, &format!("{unit}/s"))),
        Ok(bytes) => Ok(bytes),
    }
}

/// Reads `"20%"`, from 0 to 100.
pub(super) fn percent(text: &str) -> Result<u8, UnitError> {
    let (number, unit) = split(text)?;
    match (unit, u8::try_from(number)) {
        ("%", Ok(percent)) if percent <= 100 => Ok(percent),
        ("%", _) => Err(UnitError::TooMuch(text.to_owned())),
        ("", _) => Err(UnitError::NoUnit(text.to_owned())),
        _ => Err(unknown(text, unit)),
    }
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let trimmed = text.trim();
    let digits = trimmed
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber(text.to_owned()));
    }
    // Digits only, so what fails is the size.
    let number = number
        .parse()
        .map_err(|_| UnitError::TooMuch(text.to_owned()))?;
    Ok((number, unit.trim_start()))
}

fn unknown(text: &str, unit: &str) -> UnitError {
    UnitError::UnknownUnit {
        text: text.to_owned(),
        unit: unit.to_owned(),
    }
}

/// A year: beyond all use, and safe to add to any clock.
const DURATION_MOST: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, proptest};
    use regex::Regex;
    use schemars::{JsonSchema, SchemaGenerator};

    use super::*;
    use crate::config::raw::unit::{DurationText, PercentText, RateText, SizeText};

    /// Whether the schema takes a text if, and only if, it is read.
    fn agree<T: JsonSchema, V>(text: &str, read: &Result<V, UnitError>) -> bool {
        let schema = T::json_schema(&mut SchemaGenerator::default());
        let pattern = schema.get("pattern").and_then(|pattern| pattern.as_str());
        let pattern = Regex::new(pattern.unwrap()).unwrap();
        match read {
            Err(UnitError::TooMuch(_)) => true,
            read => pattern.is_match(text) == read.is_ok(),
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("30"), Err(UnitError::NoUnit("30".to_owned())));
        assert_eq!(duration("s"), Err(UnitError::NoNumber("s".to_owned())));
        assert_eq!(duration("-1s"), Err(UnitError::NoNumber("-1s".to_owned())));
        assert!(matches!(
            duration("1.5s"),
            Err(UnitError::UnknownUnit { .. })
        ));
        assert_eq!(duration("400d"), Err(UnitError::TooMuch("400d".to_owned())));
    }

    #[test]
    fn sizes() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("16KiB"), Ok(16_384));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("16"), Err(UnitError::NoUnit("16".to_owned())));
        assert_eq!(size("16KB"), Err(unknown("16KB", "KB")));
        assert_eq!(
            size("99999999999GiB"),
            Err(UnitError::TooMuch("99999999999GiB".to_owned()))
        );
    }

    #[test]
    fn shares() {
        assert_eq!(percent("20%"), Ok(20));
        assert_eq!(percent(" 100 %"), Ok(100));
        assert_eq!(percent("0%"), Ok(0));
        assert_eq!(percent("20"), Err(UnitError::NoUnit("20".to_owned())));
        assert_eq!(percent("101%"), Err(UnitError::TooMuch("101%".to_owned())));
        assert_eq!(percent("-1%"), Err(UnitError::NoNumber("-1%".to_owned())));
        assert_eq!(percent("1.5%"), Err(unknown("1.5%", ".5%")));
        assert_eq!(
            percent("99999999999%"),
            Err(UnitError::TooMuch("99999999999%".to_owned()))
        );
    }

    #[test]
    fn rates() {
        assert_eq!(rate("500B/s"), Ok(500));
        assert_eq!(rate("16KiB/s"), Ok(16_384));
        assert_eq!(rate(" 1 MiB/s "), Ok(1 << 20));
        assert_eq!(rate("0"), Ok(0));
        assert_eq!(rate("0B/s"), Ok(0));
        assert_eq!(rate("500"), Err(UnitError::NoUnit("500".to_owned())));
        assert_eq!(rate("500/s"), Err(UnitError::NoUnit("500/s".to_owned())));
        assert_eq!(rate("500B"), Err(unknown("500B", "B")));
        assert_eq!(rate("4kbit/s"), Err(unknown("4kbit/s", "kbit/s")));
        assert_eq!(rate("B/s"), Err(UnitError::NoNumber("B/s".to_owned())));
        let most = "99999999999GiB/s";
        assert_eq!(rate(most), Err(UnitError::TooMuch(most.to_owned())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (duration(&text), size(&text), rate(&text), percent(&text));
        }

        #[test]
        fn the_schema_takes_what_is_read(text in " ?[0-9]{0,3} ?(ms|s|m|h|d|B|KiB|MiB|KB|%|)(/s| /s|/m|)[ .]?") {
            assert!(agree::<DurationText, _>(&text, &duration(&text)), "{text:?}");
            assert!(agree::<SizeText, _>(&text, &size(&text)), "{text:?}");
            assert!(agree::<RateText, _>(&text, &rate(&text)), "{text:?}");
            assert!(agree::<PercentText, _>(&text, &percent(&text)), "{text:?}");
        }

        #[test]
        fn what_is_written_in_milliseconds_is_read(milliseconds in 0_u64..31_536_000_000) {
            assert_eq!(duration(&format!("{milliseconds}ms")), Ok(Duration::from_millis(milliseconds)));
        }
    }
}
