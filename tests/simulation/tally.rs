//! What has happened in all runs together: a simulation in which nothing happens holds every invariant.

macro_rules! tally {
    ($($name:ident),* $(,)?) => {
        /// Counts of what happened.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: u64,)*
        }

        impl Tally {
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// What has never happened.
            pub(crate) fn missing(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name)),*];
                let none = all.into_iter().filter(|(_, count)| *count == 0);
                none.map(|(name, _)| name).collect()
            }
        }
    };
}

tally! {
    requests, ended, answered, refused, retries, over_budget, bound, waited, from_queue, displaced, timed_out, let_by,
    left, checks, ejected, spared, panics, reloads, words, weights,
}
