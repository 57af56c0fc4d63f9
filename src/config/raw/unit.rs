//! Texts with a unit, each of a type of its own, so that the schema knows which one a key takes.

use std::ops::Deref;

use serde::Deserialize;

use super::loose::{Found, Shape};

macro_rules! texts {
    ($($(#[$story:meta])* $text:ident)+) => {
        $(
            $(#[$story])*
            #[derive(Debug, Deserialize)]
            #[serde(transparent)]
            pub(crate) struct $text(String);

            impl Shape for $text {
                const KIND: Found = Found::String;
            }

            impl Deref for $text {
                type Target = str;

                fn deref(&self) -> &str {
                    &self.0
                }
            }
        )+
    };
}

texts! {
    /// `"250ms"`, `"30s"`, `"5m"`, `"2h"` or `"1d"`.
    DurationText
    /// `"20%"`.
    PercentText
    /// `"500B/s"` or `"16KiB/s"`.
    RateText
    /// `"512B"`, `"16KiB"`, `"8MiB"` or `"1GiB"`.
    SizeText
}
