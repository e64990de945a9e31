//! Closed sets of label values: what a label can say is decided here, not by whoever calls.

/// Defines an enum whose values are the words of a label.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        $vis enum $name { $($(#[$case_doc])* $case),* }

        impl $name {
            /// Every one.
            $vis const ALL: &'static [Self] = &[$(Self::$case),*];

            /// The word.
            #[must_use]
            $vis const fn word(self) -> &'static str {
                match self { $(Self::$case => $word),* }
            }
        }
    };
}

pub(crate) use words;
