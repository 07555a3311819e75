//! `bertless inspect`: the properties of a model.

use std::path::PathBuf;

use anyhow::{Result, bail};
use bertless::{Packed, Summary};

use super::Common;
use super::options::{DtypeFlag, ModelFlags, at_least_one};
use super::output::{Output, printable};

/// Print the properties of a model: family, task, labels, layers, parameters, size
///
/// With --json, prints an object {"family", "architecture", "task", "layers", "hidden", "heads", "vocabulary", "max_length",
/// "labels", "score", "pooling", "embedding", "parameters", "bytes", "dtype", "packed": {"version", "digest"} or null,
/// "warnings"}. A warning names a setting that may make answers worse than intended, such as a tokenizer that
/// lower-cases texts of a cased model.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// Folder of the model, or a file written by `bertless pack` [default: the built-in sentiment classifier]
    #[arg(value_name = "MODEL")]
    path: Option<PathBuf>,
    /// Folder or file of the model, given as a flag
    #[arg(short, long, value_name = "MODEL", conflicts_with = "path")]
    model: Option<PathBuf>,
    /// Truncate texts to this many tokens, special tokens included
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one())]
    max_length: Option<usize>,
    /// Check the weights of a packed file against their digest; all else is checked whenever the file is opened
    #[arg(long)]
    verify: bool,
}

pub(crate) fn run(arguments: InspectArgs, common: &Common, output: &mut Output) -> Result<()> {
    let flags = ModelFlags {
        model: arguments.path.or(arguments.model),
        max_length: arguments.max_length,
        dtype: DtypeFlag::default(),
    };
    if arguments.verify {
        // Verifies before loading, so that a damaged file is reported as damaged and not by some other error of loading.
        let Some(file) = &flags.model else {
            bail!("--verify is for packed files: none is named");
        };
        if file.is_dir() {
            bail!(
                "{}: --verify is for packed files, this is a folder",
                file.display()
            );
        }
        Packed::verify(file)?;
    }
    let model = flags.load(flags.options(common))?;
    let warnings = model.tokenizer().warnings();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let summary = model.summary();
    output.answer(
        &SummaryRecord {
            summary,
            warnings: &warnings,
        },
        || report(summary, &warnings),
    )
}

/// A line of JSON.
#[derive(serde::Serialize)]
struct SummaryRecord<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    warnings: &'a [String],
}

fn report(summary: &Summary, warnings: &[String]) -> String {
    let mut rows = vec![
        ("family", summary.family.to_string()),
        ("architecture", printable(&summary.architecture)),
        ("task", summary.task.to_string()),
        ("layers", summary.num_hidden_layers.to_string()),
        ("hidden size", summary.hidden_size.to_string()),
        ("heads", summary.num_attention_heads.to_string()),
        ("vocabulary", summary.vocab_size.to_string()),
        ("longest text", format!("{} tokens", summary.max_length)),
        ("labels", printable(&summary.labels.join(", "))),
        (
            "score",
            summary.score_function.map(name).unwrap_or_default(),
        ),
        (
            "pooling",
            summary
                .pooling
                .iter()
                .map(name)
                .collect::<Vec<_>>()
                .join(", "),
        ),
        (
            "embedding",
            summary
                .embedding_dim
                .map(|width| format!("{width} numbers"))
                .unwrap_or_default(),
        ),
        ("parameters", summary.parameters.to_string()),
        ("size", format!("{:.1} MB", summary.bytes as f64 / 1e6)),
        ("stored as", summary.dtype.clone()),
        (
            "packed",
            summary.packed.as_ref().map_or_else(String::new, |packed| {
                format!("format {}, digest {}", packed.version, packed.digest)
            }),
        ),
    ];
    rows.extend(
        warnings
            .iter()
            .map(|warning| ("warning", printable(warning))),
    );
    rows.retain(|(_, value)| !value.is_empty());
    let lines: Vec<String> = rows
        .iter()
        .map(|(key, value)| format!("{key:13} {value}"))
        .collect();
    lines.join("\n")
}

/// The name that a value is written with in JSON.
fn name(value: impl serde::Serialize) -> String {
    let name = serde_json::to_value(value).ok();
    name.and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}
