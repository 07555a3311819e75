//! `bertless pack`: a model in one file.

use std::path::PathBuf;

use anyhow::Result;
use bertless::{Error, Model, Packed, PackedKind, Precision};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::output::{Output, printable};

/// Make one file of a model, ready to be used where it lies: weights, vocabulary and settings
///
/// Every command takes the file in place of a folder, and opens it without converting anything. It is written under
/// another name beside it and then renamed, so there is never half of it. A file that is there already is kept, unless
/// --force is given.
///
/// With --json an object {"file", "dtype", "version", "digest", "bytes", "kinds": [{"kind", "tensors", "bytes"}]}.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a Hugging Face or sentence-transformers model
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// The file to write, such as model.safetensors
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How large weights are stored. f32: as they are computed with, same answers to the bit; f16, bf16: half the size,
    /// computed in f32; int8: tables of words and positions in a quarter of the size, all else in f32
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision())]
    dtype: Precision,
    /// Write over a file that is there already
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    dtype: Precision,
    version: u32,
    digest: String,
    bytes: usize,
    kinds: Vec<PackedKind>,
}

pub(crate) fn run(arguments: Arguments, output: &mut Output) -> Result<()> {
    let file = arguments.output;
    // Ahead of the work; it is checked again behind it.
    if !arguments.force && file.symlink_metadata().is_ok() {
        let source = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "there is such a file already (--force writes over it)",
        );
        return Err(Error::Io { path: file, source }.into());
    }
    let packed = Model::pack(&arguments.model, arguments.dtype)?;
    match arguments.force {
        true => packed.replace(&file)?,
        false => packed.save(&file)?,
    }
    let report = Report::of(&packed, file, arguments.dtype);
    match output.json {
        true => output.object(&report),
        false => Ok(output.line(report.table())?),
    }
}

impl Report {
    fn of(packed: &Packed, file: PathBuf, dtype: Precision) -> Self {
        let summary = packed.summary();
        Self {
            file,
            dtype,
            version: summary.version,
            digest: summary.digest,
            bytes: packed.bytes(),
            kinds: packed.inventory(),
        }
    }

    /// A line for each kind of tensor, and one for all of them.
    fn table(&self) -> String {
        let line = |name: &str, tensors: usize, bytes: usize| {
            let share = 100.0 * bytes as f64 / self.bytes as f64;
            let size = bytes as f64 / 1e6;
            format!("{name:12} {tensors:5} {size:10.2} MB {share:5.1}%")
        };
        let kinds = self.kinds.iter();
        let mut lines: Vec<String> = kinds
            .clone()
            .map(|kind| line(kind.kind, kind.tensors, kind.bytes))
            .collect();
        let tensors = kinds.map(|kind| kind.tensors).sum();
        lines.push(line("all", tensors, self.bytes));
        lines.push(format!(
            "{} ({}, format {}, digest {})",
            printable(&self.file.display().to_string()),
            self.dtype,
            self.version,
            self.digest
        ));
        lines.join("\n")
    }
}

fn precision() -> impl TypedValueParser<Value = Precision> {
    let names = Precision::ALL.map(Precision::name);
    PossibleValuesParser::new(names).try_map(|name| {
        let mut all = Precision::ALL.into_iter();
        all.find(|precision| precision.name() == name)
            .ok_or("is no type")
    })
}
