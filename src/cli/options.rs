//! Flags that select a model and its options, and parsers of values.

use std::ffi::OsStr;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use bertless::{Aggregation, Dtype, Model, ModelOptions, Pooling, PredictOptions, Thresholds};
use clap::Arg;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Common;
use super::output::warn;

/// Flags that select the model and how much of a text it reads.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelFlags {
    /// Folder of the model, or a file written by `bertless pack` [default: the built-in sentiment classifier]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Truncate texts to this many tokens, special tokens included [default: the model's limit]
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one())]
    pub(crate) max_length: Option<usize>,
    #[command(flatten)]
    pub(crate) dtype: DtypeFlag,
}

/// The flag for the type to compute in.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct DtypeFlag {
    /// Type that the encoder's dense layers compute in: f32 is exact; bf16 is smaller, less exact, and faster on processors
    /// with AVX512-BF16; int8 is the smallest and fastest [default: f32, or what the file was packed for]
    #[arg(long, value_name = "TYPE", value_parser = dtype())]
    pub(crate) dtype: Option<Dtype>,
}

impl DtypeFlag {
    /// Options with the type of the flag, if it was given.
    pub(crate) fn options(self) -> ModelOptions {
        match self.dtype {
            Some(dtype) => ModelOptions::new().dtype(dtype),
            None => ModelOptions::new(),
        }
    }
}

impl ModelFlags {
    /// Options that these flags set. A command adds its own.
    pub(crate) fn options(&self, common: &Common) -> ModelOptions {
        let mut options = self.dtype.options();
        if let Some(threads) = common.threads {
            options = options.threads(threads);
        }
        if let Some(tokens) = self.max_length {
            options = options.max_length(tokens);
        }
        options
    }

    pub(crate) fn load(&self, options: ModelOptions) -> Result<Model> {
        Ok(load(self.model.as_deref(), options)?)
    }
}

/// Loads the model from a folder or file, or the built-in one. Prints the tokenizer's warnings on standard error.
pub(crate) fn load(model: Option<&Path>, options: ModelOptions) -> bertless::Result<Model> {
    let model = match model {
        Some(path) => Model::load_with(path, options),
        None => Model::built_in_with(options),
    }?;
    warn(&model.tokenizer().warnings());
    Ok(model)
}

/// Makes `--model` required, for commands that the built-in model cannot serve.
pub(crate) fn required(model: Arg) -> Arg {
    model
        .required(true)
        .help("Folder of the model, or a file written by `bertless pack`")
}

/// Flags that say how an embedding is computed.
#[derive(Debug, clap::Args)]
pub(crate) struct EmbeddingFlags {
    /// How token vectors are combined into one vector [default: as the model was trained]
    #[arg(long, value_name = "NAME", value_parser = one_of(POOLINGS))]
    pooling: Option<Pooling>,
    /// Scale embeddings to length 1, after any truncation of dimensions that the model's files configure
    #[arg(long, conflicts_with = "no_normalize")]
    normalize: bool,
    /// Do not scale embeddings to length 1
    #[arg(long)]
    no_normalize: bool,
    /// Put the model's prompt of this name before every text
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// Put this text before every text, as E5 wants "query: " or "passage: "
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt")]
    prefix: Option<String>,
}

impl EmbeddingFlags {
    /// Loads the model that embeds as these flags say.
    pub(crate) fn load(&self, model: &ModelFlags, common: &Common) -> Result<Model> {
        model.load(self.apply(model.options(common), PredictOptions::new()))
    }

    /// Adds these flags to the options of loading a model and of its calls.
    pub(crate) fn apply(&self, mut options: ModelOptions, calls: PredictOptions) -> ModelOptions {
        if let Some(pooling) = self.pooling {
            options = options.pooling(pooling);
        }
        if self.normalize || self.no_normalize {
            options = options.normalize(self.normalize);
        }
        options.calls(match (&self.prompt, &self.prefix) {
            (Some(name), _) => calls.prompt(name),
            (None, Some(text)) => calls.prefix(text),
            (None, None) => calls,
        })
    }
}

/// A threshold for all labels, as in `0.3`, or for one, as in `joy=0.3`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    label: Option<String>,
    score: f32,
}

/// Merges thresholds; a later one overrides an earlier one. `None` if there are none.
pub(crate) fn thresholds(given: &[Threshold]) -> Option<Thresholds> {
    let mut thresholds = Thresholds::default();
    for Threshold { label, score } in given {
        match label {
            Some(label) => {
                thresholds.labels.insert(label.clone(), *score);
            }
            None => thresholds.default = *score,
        }
    }
    (!given.is_empty()).then_some(thresholds)
}

pub(crate) fn threshold(argument: &str) -> Result<Threshold, String> {
    let (label, score) = match argument.rsplit_once('=') {
        Some((label, score)) => (Some(label.to_owned()), score),
        None => (None, argument),
    };
    match score.parse::<f32>() {
        Ok(score) if (0.0..=1.0).contains(&score) => Ok(Threshold { label, score }),
        _ => Err("expected a number from 0 to 1, or LABEL=NUMBER".to_owned()),
    }
}

/// Parses `--aggregation`.
pub(crate) fn aggregation() -> impl TypedValueParser<Value = Aggregation> {
    use Aggregation::{Average, First, Max, None, Simple};
    one_of([
        ("none", None),
        ("simple", Simple),
        ("first", First),
        ("average", Average),
        ("max", Max),
    ])
}

/// Parses a type to compute in.
pub(crate) fn dtype() -> impl TypedValueParser<Value = Dtype> {
    one_of([
        ("f32", Dtype::F32),
        ("bf16", Dtype::Bf16),
        ("int8", Dtype::Int8),
    ])
}

const POOLINGS: [(&str, Pooling); 6] = [
    ("cls", Pooling::Cls),
    ("mean", Pooling::Mean),
    ("max", Pooling::Max),
    ("mean-sqrt-len", Pooling::MeanSqrtLen),
    ("weighted-mean", Pooling::WeightedMean),
    ("last-token", Pooling::LastToken),
];

/// Parses one of several names into its value. Help and errors list the names.
pub(crate) fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    choices: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(choices.map(|(name, _)| name)).try_map(move |name| {
        let chosen = choices.iter().find(|choice| choice.0 == name);
        chosen.map(|choice| choice.1).ok_or("unknown name")
    })
}

/// Parses the path of a file or folder to write, which cannot be `-`.
pub(crate) fn to_write<P: TypedValueParser>(paths: P) -> impl TypedValueParser<Value = P::Value>
where
    P::Value: AsRef<OsStr>,
{
    paths.try_map(|path| {
        if path.as_ref() == "-" {
            return Err(
                "it cannot be written to standard output: name a file (./- for one called -)",
            );
        }
        Ok(path)
    })
}

/// Parses the path of a table that is read more than once, which cannot be `-`.
pub(crate) fn to_read_again<P: TypedValueParser>(
    paths: P,
) -> impl TypedValueParser<Value = P::Value>
where
    P::Value: AsRef<OsStr>,
{
    paths.try_map(|path| {
        if path.as_ref() == "-" {
            return Err(
                "a table is read more than once, and standard input cannot be: name a file",
            );
        }
        Ok(path)
    })
}

/// Parses a count, which is at least 1.
pub(crate) fn at_least_one() -> impl TypedValueParser<Value = usize> {
    whole(1, u32::MAX as usize)
}

/// Parses a seed. TOML has no larger integers.
pub(crate) fn seed() -> impl TypedValueParser<Value = u64> {
    whole(0, i64::MAX as u64)
}

/// Parses a whole number from `least` to `most`.
pub(crate) fn whole<T: Bounded>(least: T, most: T) -> impl TypedValueParser<Value = T> {
    let expected = format!("expected a whole number from {least} to {most}");
    number(least..=most, expected)
}

/// Parses a number within `range`. Any other argument is refused with the message `expected`.
pub(crate) fn number<T: Bounded>(
    range: RangeInclusive<T>,
    expected: impl Into<String>,
) -> impl TypedValueParser<Value = T> {
    let expected = expected.into();
    move |argument: &str| match argument.parse::<T>() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(expected.clone()),
    }
}

/// A type of numbers that flags take.
pub(crate) trait Bounded:
    FromStr + Display + PartialOrd + Clone + Send + Sync + 'static
{
}

impl<T: FromStr + Display + PartialOrd + Clone + Send + Sync + 'static> Bounded for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_for_all_and_for_one() {
        let given = ["0.3", "a=b=0.7", "c=1"].map(|argument| threshold(argument).unwrap());
        let thresholds = thresholds(&given).unwrap();
        assert_eq!(thresholds.default, 0.3);
        assert_eq!(thresholds.labels["a=b"], 0.7);
        assert_eq!(thresholds.labels["c"], 1.0);
        for wrong in ["", "x", "x=", "nan", "a=inf", "1.01", "-0.1"] {
            assert!(threshold(wrong).is_err(), "{wrong}");
        }
        assert_eq!(super::thresholds(&[]), None);
    }

    #[test]
    fn poolings_have_the_names_that_they_are_printed_with() {
        for (name, pooling) in POOLINGS {
            assert_eq!(serde_json::to_value(pooling).unwrap(), name);
        }
    }
}
