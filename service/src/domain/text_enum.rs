//! Closed sets of words: one spelling for the database, for JSON and for the code.

/// A word that is not one of a closed set, such as a status written by a newer release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {set}; known are: {known}")]
pub struct UnknownText {
    /// The set that was asked, by its type's name.
    pub set: &'static str,
    /// The word that was found.
    pub found: String,
    /// The words of the set.
    pub known: String,
}

/// Declares an enum whose variants are words, with `as_str`, `ALL`, `Display`, `FromStr`, serde and the OpenAPI
/// schema, all by the same spelling.
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident => $text:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        $vis enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in order of declaration.
            $vis const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The one spelling of this value.
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        // By hand, because the derive does not see a spelling that comes out of a macro.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|value| value.as_str())))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::UnknownText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == text);
                found.ok_or_else(|| $crate::domain::UnknownText {
                    set: stringify!($name),
                    found: text.to_owned(),
                    known: [$($text,)+].join(", "),
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    text_enum! {
        /// Two words.
        enum Side { Left => "left", FarRight => "far_right", }
    }

    #[test]
    fn every_word_reads_back() {
        for side in Side::ALL {
            assert_eq!(side.as_str().parse(), Ok(*side));
            assert_eq!(serde_json::to_string(side).unwrap(), format!("\"{side}\""));
        }
    }

    #[test]
    fn an_unknown_word_names_the_known_ones() {
        let error = "up".parse::<Side>().unwrap_err();
        assert_eq!(error.to_string(), "`up` is not a Side; known are: left, far_right");
    }
}
