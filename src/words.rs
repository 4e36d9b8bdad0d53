//! Choices that have a word each: on the command line, in Python, in a plan.
//!
//! An enum made by the macro `words` is said by its words everywhere. This room knows
//! none of the choices.

use std::fmt;

/// A choice among a few words.
pub trait Word: Copy + 'static {
    /// Every choice, in the order that help and messages list them.
    const ALL: &'static [Self];

    /// The word that chooses it.
    fn word(self) -> &'static str;

    /// What it means, in a line.
    fn about(self) -> &'static str;
}

/// No choice has this word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownWord {
    /// What was said.
    pub word: String,
    /// What could have been said.
    pub known: Vec<&'static str>,
}

impl UnknownWord {
    /// That `word` is none of `W`.
    pub fn of<W: Word>(word: &str) -> UnknownWord {
        let known = W::ALL.iter().map(|choice| choice.word()).collect();
        UnknownWord { word: word.to_owned(), known }
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {}, not {:?}", self.known.join(", "), self.word)
    }
}

impl std::error::Error for UnknownWord {}

/// The choice that `word` stands for.
///
/// # Errors
///
/// [`UnknownWord`] with the words there are.
pub fn parse<W: Word>(word: &str) -> Result<W, UnknownWord> {
    let choice = W::ALL.iter().find(|choice| choice.word() == word);
    choice.copied().ok_or_else(|| UnknownWord::of::<W>(word))
}

/// Makes an enum whose variants have a word each. The first line of the
/// documentation of a variant is what help says of it.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $(
                #[doc = $about:literal]
                $(#[$variant_meta:meta])*
                $variant:ident = $word:literal,
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = $about]
                $(#[$variant_meta])*
                #[serde(rename = $word)]
                $variant,
            )+
        }

        impl $crate::words::Word for $name {
            const ALL: &'static [$name] = &[$($name::$variant),+];

            fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            fn about(self) -> &'static str {
                match self {
                    $($name::$variant => $about,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::words::Word::word(*self))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(text: &str) -> Result<$name, $crate::words::UnknownWord> {
                $crate::words::parse(text)
            }
        }
    };
}
pub(crate) use words;

/// Stores a type as the text that it is displayed as and parsed from.
macro_rules! stored_as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<$name, D::Error> {
                let text = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(input)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use stored_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    words! {
        /// A light.
        pub enum Light {
            /// Stop.
            Red = "red",
            /// Go.
            Green = "green",
        }
    }

    #[test]
    fn a_choice_is_what_its_word_says() {
        for &choice in Light::ALL {
            assert_eq!(choice.to_string().parse::<Light>(), Ok(choice));
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(json, format!("\"{choice}\""));
            assert_eq!(serde_json::from_str::<Light>(&json).unwrap(), choice);
        }
        assert_eq!(Light::Green.about().trim(), "Go.");
    }

    #[test]
    fn an_unknown_word_names_the_known_ones() {
        let error = "blue".parse::<Light>().unwrap_err();
        assert_eq!(error.to_string(), "must be red, green, not \"blue\"");
    }
}
