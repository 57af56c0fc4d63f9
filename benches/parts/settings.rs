//! Configurations of any size, as an operator's script would write them.

use std::fmt::Write as _;

use forecourt::config::{self, Loaded, Options};

/// A file of so many pools with so many backends each, and a route to each pool; further routes go round
/// the pools.
pub(crate) fn settings(pools: usize, backends: usize, routes: usize) -> String {
    let mut text = String::from("[listeners.web]\naddress = \"127.0.0.1:0\"\n");
    for route in 0..routes.max(pools) {
        let pool = route % pools;
        let _ = write!(
            text,
            "\n[[routes]]\nhosts = [\"h{route}.shops.example\"]\npath_prefix = \"/\"\npool = \"p{pool}\"\n"
        );
    }
    for pool in 0..pools {
        let _ = write!(
            text,
            "\n[pools.p{pool}]\nstrategy = \"least-connections\"\nbackends = [\n"
        );
        for backend in 0..backends {
            let number = pool * backends + backend;
            let (high, low) = (number / 250, number % 250 + 1);
            let weight = 1 + number * 7 % 10;
            let _ = writeln!(
                text,
                "  {{ address = \"10.1.{high}.{low}:8080\", weight = {weight} }},"
            );
        }
        text.push_str("]\n");
    }
    text
}

/// Loads a configuration from a file of this text.
pub(crate) fn load(text: &str) -> Loaded {
    let folder = tempfile::tempdir().expect("there is room for a file");
    let file = folder.path().join("shop.toml");
    std::fs::write(&file, text).expect("there is room for a file");
    config::load(&file, &Options::new()).expect("the configuration is right")
}
