//! Names of the variants of public enums, as command lines and configuration files have them.

/// Implements `Display` and `FromStr` for an enum whose variants have these names. `$option` names the option in the error
/// for another name.
macro_rules! named {
    ($type:ident, $option:literal, $($variant:ident => $name:literal),+ $(,)?) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $name,)+
                })
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;

            fn from_str(name: &str) -> $crate::error::Result<Self> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    other => Err($crate::error::Error::Option {
                        name: $option,
                        reason: format!("{other:?} is not one of {}", [$($name),+].join(", ")),
                    }),
                }
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use crate::{
        Aggregation, Combine, Pooling, ScoreFunction, Similarity, TruncationStrategy, WeightFormat,
    };

    /// Tests that a variant is read from the name that it is printed with, in JSON too.
    #[test]
    fn a_name_is_read_as_it_is_printed() {
        macro_rules! check {
            ($type:ident, $($name:literal),+) => {
                for name in [$($name),+] {
                    assert_eq!(name.parse::<$type>().unwrap().to_string(), name);
                }
                let error = "other".parse::<$type>().unwrap_err().to_string();
                assert!(error.contains("\"other\"") && error.contains("one of"), "{error}");
            };
        }
        check!(Aggregation, "none", "simple", "first", "average", "max");
        check!(Combine, "mean", "max");
        check!(
            Pooling,
            "cls",
            "mean",
            "max",
            "mean-sqrt-len",
            "weighted-mean",
            "last-token"
        );
        check!(WeightFormat, "f32", "f16", "bf16", "int8");
        check!(ScoreFunction, "softmax", "sigmoid", "identity");
        check!(Similarity, "cosine", "dot", "euclidean", "manhattan");
        check!(
            TruncationStrategy,
            "longest-first",
            "only-first",
            "only-second"
        );
        let json = serde_json::to_string(&Pooling::MeanSqrtLen).unwrap();
        assert_eq!(json, format!("{:?}", Pooling::MeanSqrtLen.to_string()));
    }
}
