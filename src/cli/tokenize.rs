//! `bertless tokenize`: the tokens of texts.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::Result;
use bertless::{Encoding, Input, ModelOptions, Tokenizer, Truncation, TruncationStrategy};
use clap::ValueEnum;
use serde::Serialize;

use super::Common;
use super::input::{InputFlags, Item};
use super::options::{self, at_least_one, whole};
use super::output::{Output, printable, warn};
use super::stream::answer_all;

/// Split texts into the tokens that a model reads
///
/// Prints the tokens of each text, separated by spaces; with --json an object {"ids", "tokens", "type_ids", "offsets":
/// [[start, end]..]}. Offsets count characters of the text that the token comes from. Texts are truncated only with
/// --max-length; with --stride the rest follows in overlapping windows, one per line.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenizeArgs {
    /// Folder of the model, or a file written by `bertless pack`
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Folder with a tokenizer; it needs no weights
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    tokenizer_only: Option<PathBuf>,
    #[command(flatten)]
    input: InputFlags,
    /// Truncate texts to this many tokens, special tokens included [default: no limit]
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one())]
    max_length: Option<usize>,
    /// Split long texts into windows; each shares this many tokens with the one before
    #[arg(long, value_name = "TOKENS", requires = "max_length")]
    #[arg(value_parser = whole(0, u32::MAX as usize))]
    stride: Option<usize>,
    /// Which text of a pair is truncated
    #[arg(
        long,
        value_enum,
        default_value = "longest-first",
        requires = "max_length"
    )]
    truncation: Strategy,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Strategy {
    LongestFirst,
    OnlyFirst,
    OnlySecond,
}

impl From<Strategy> for TruncationStrategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::LongestFirst => Self::LongestFirst,
            Strategy::OnlyFirst => Self::OnlyFirst,
            Strategy::OnlySecond => Self::OnlySecond,
        }
    }
}

/// A line of JSON.
#[derive(Serialize)]
struct TokenizationRecord<'a> {
    ids: &'a [u32],
    tokens: &'a [Cow<'a, str>],
    type_ids: &'a [u32],
    offsets: Vec<(usize, usize)>,
}

pub(crate) fn run(arguments: TokenizeArgs, common: &Common, output: &mut Output) -> Result<()> {
    if arguments.model.is_none() && arguments.tokenizer_only.is_none() {
        return Err(super::usage("give --model or --tokenizer-only"));
    }
    let inputs = arguments.input.open()?;
    let tokenizer = match (arguments.tokenizer_only, arguments.model) {
        (Some(dir), _) => {
            let tokenizer = Tokenizer::load(dir)?;
            warn(&tokenizer.warnings());
            tokenizer
        }
        // A model may tell its tokenizer more than the tokenizer's own files do.
        (None, Some(dir)) => {
            let chosen = ModelOptions::new().threads(common.threads.unwrap_or(1));
            options::load(Some(&dir), chosen)?.tokenizer().clone()
        }
        (None, None) => return Err(super::usage("give --model or --tokenizer-only")),
    };
    let truncation = arguments.max_length.map(|max_length| Truncation {
        max_length,
        strategy: arguments.truncation.into(),
        stride: arguments.stride.unwrap_or(0),
    });
    let windows = arguments.stride.is_some();
    let encode = |input: &Input<'_>| -> Result<Vec<Encoding>> {
        Ok(match &truncation {
            Some(truncation) if windows => tokenizer.encode_windows(*input, truncation)?,
            truncation => vec![tokenizer.encode(*input, truncation.as_ref())?],
        })
    };
    answer_all(
        inputs,
        output,
        |inputs| inputs.iter().map(encode).collect(),
        |output, item, encodings| {
            encodings
                .iter()
                .try_for_each(|encoding| print(&tokenizer, &item, encoding, output))
        },
    )
}

fn print(
    tokenizer: &Tokenizer,
    item: &Item,
    encoding: &Encoding,
    output: &mut Output,
) -> Result<()> {
    let token = |&id: &u32| match tokenizer.id_to_token(id) {
        Some(token) => Cow::Borrowed(token),
        None => Cow::Owned(format!("#{id}")),
    };
    let tokens: Vec<Cow<'_, str>> = encoding.ids.iter().map(token).collect();
    output.answer(
        &TokenizationRecord {
            ids: &encoding.ids,
            tokens: &tokens,
            type_ids: &encoding.type_ids,
            offsets: encoding.char_offsets(item.input()),
        },
        || printable(&tokens.join(" ")),
    )
}
