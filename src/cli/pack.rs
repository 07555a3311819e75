//! `bertless pack`: a model in one file.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bertless::{Error, Model, PackOptions, Packed, PackedKind, PackedMatrix, Precision, Stored};
use clap::builder::PathBufValueParser;
use serde::Serialize;

use super::input::{InputFormat, Inputs, Item};
use super::options::{number, one_of, to_write};
use super::output::{Output, printable, warn};
use super::progress::{Look, Progress};

/// Make one file of a model, ready to be used where it lies: weights, vocabulary and settings
///
/// Every command takes the file in place of a folder, and opens it without converting anything. It is written under
/// another name beside it and then renamed, so there is never half of it. A file that is there already is kept, unless
/// --force is given.
///
/// In int8 there is a line for each matrix of the encoder: how far its weights move (root mean square of the
/// differences, as a share of that of the weights), and what it is stored as. One that moves too far stays in f32. With
/// --calibrate the line also says how far its outputs move, for every eighth token of the texts, which it is not calibrated
/// by; then it is that which may be too far.
///
/// With --json an object {"file", "dtype", "version", "digest", "bytes", "kinds": [{"kind", "tensors", "bytes"}],
/// "matrices": [{"name", "error", "output_error", "stored": "int8", "f32_as_asked", "f32_for_error" or
/// "f32_for_width"}]}.
#[derive(Debug, clap::Args)]
pub(crate) struct PackArgs {
    /// The folder of a Hugging Face or sentence-transformers model
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// The file to write, such as model.safetensors
    #[arg(short, long, value_name = "FILE", value_parser = to_write(PathBufValueParser::new()))]
    output: PathBuf,
    /// How large weights are stored. f32: as they are computed with, same answers to the bit; f16: half the size, computed
    /// in f32; bf16: half the size, the encoder's matrices computed in bf16; int8: the encoder's matrices, computed in int8, and tables of words and positions in a quarter of
    /// the size, all else in f32
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = one_of(Precision::ALL.map(|precision| (precision.name(), precision))))]
    dtype: Precision,
    /// Of int8, leave matrices in f32 whose names contain this, where * is any text; may be given several times
    #[arg(long, value_name = "PATTERN")]
    keep_f32: Vec<String>,
    /// Of int8, leave matrices in f32 whose error would be above this [default: 0.03]
    #[arg(long, value_name = "ERROR", value_parser = number(0.0..=f64::MAX, "expected a number, 0 or more"))]
    max_error: Option<f64>,
    /// Of int8, quantise by what these texts, one a line or objects of .jsonl, make of the model's inside, so that its outputs
    /// stay near; some 500 sentences of all kinds that it is for. A table (.csv, or .tsv without --pairs) is refused
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,
    /// Of --calibrate, each line is a pair, as a cross-encoder or a question answerer reads it: two columns with a tab between
    /// them, without a header, or an object of .jsonl
    #[arg(long, requires = "calibrate")]
    pairs: bool,
    /// Write over a file that is there already
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct PackReport {
    file: PathBuf,
    dtype: Precision,
    version: u32,
    digest: String,
    bytes: usize,
    kinds: Vec<PackedKind>,
    matrices: Vec<PackedMatrix>,
}

pub(crate) fn run(arguments: PackArgs, output: &mut Output) -> Result<()> {
    let file = arguments.output;
    // Ahead of the work; it is checked again behind it.
    if !arguments.force && file.symlink_metadata().is_ok() {
        let source = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "there is such a file already (--force writes over it)",
        );
        return Err(Error::Io { path: file, source }.into());
    }
    let mut options = PackOptions::new(arguments.dtype);
    if let Some(error) = arguments.max_error {
        options = options.max_error(error);
    }
    if let Some(path) = &arguments.calibrate {
        options = if arguments.pairs {
            let pair = |item: Item| (item.first, item.second.unwrap_or_default());
            options.calibrate_pairs(calibrating(path, InputFormat::Pair)?.into_iter().map(pair))
        } else {
            let items = calibrating(path, InputFormat::Text)?.into_iter();
            options.calibrate(items.map(|item| item.first))
        };
    }
    let patterns = arguments.keep_f32.into_iter();
    let options = patterns.fold(options, PackOptions::keep_f32);
    let progress = Progress::new(Look::Spinner);
    progress.set_message(match arguments.calibrate {
        Some(_) => "calibrating and packing",
        None => "packing",
    });
    let bar = progress.clone();
    let options = options.watch(move |done, of| {
        if done == 1 {
            bar.set_style(Look::Share.style());
        }
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    let packed = Model::pack_with(&arguments.model, options)?;
    progress.set_message("writing");
    if arguments.force {
        packed.replace(&file)?;
    } else {
        packed.save(&file)?;
    }
    drop(progress);
    warn(packed.warnings());
    let report = PackReport::of(&packed, file, arguments.dtype);
    output.answer(&report, || report.table())
}

impl PackReport {
    fn of(packed: &Packed, file: PathBuf, dtype: Precision) -> Self {
        let summary = packed.summary();
        Self {
            file,
            dtype,
            version: summary.version,
            digest: summary.digest,
            bytes: packed.bytes(),
            kinds: packed.inventory(),
            matrices: packed.matrices().to_vec(),
        }
    }

    /// A line for each matrix that int8 is for, one for each kind of tensor, and one for all of them.
    fn table(&self) -> String {
        let line = |name: &str, tensors: usize, bytes: usize| {
            let share = 100.0 * bytes as f64 / self.bytes as f64;
            let size = bytes as f64 / 1e6;
            format!("{name:12} {tensors:5} {size:10.2} MB {share:5.1}%")
        };
        let kinds = self.kinds.iter();
        let mut lines = table_of(&self.matrices);
        let kind = |kind: &PackedKind| line(kind.kind, kind.tensors, kind.bytes);
        lines.extend(kinds.clone().map(kind));
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

/// Name, error and type of each matrix, under a line that says so.
fn table_of(matrices: &[PackedMatrix]) -> Vec<String> {
    let longest = matrices.iter().map(|matrix| matrix.name.len()).max();
    let Some(width) = longest else {
        return Vec::new();
    };
    let outputs = match matrices[0].output_error {
        Some(_) => " outputs ",
        None => "",
    };
    let mut lines = vec![format!("{:width$}    error {outputs}stored", "matrix")];
    lines.extend(matrices.iter().map(|matrix| {
        let stored = match matrix.stored {
            Stored::Int8 => "int8",
            Stored::F32AsAsked => "f32, as asked",
            Stored::F32ForError => "f32, for its error",
            Stored::F32ForWidth => "f32, for its width",
            _ => "f32",
        };
        let outputs = match matrix.output_error {
            Some(error) => format!("{error:8.5} "),
            None => String::new(),
        };
        format!(
            "{:width$} {:8.5} {outputs}{stored}",
            matrix.name, matrix.error
        )
    }));
    lines.push(String::new());
    lines
}

/// Texts, or pairs, to calibrate by: those of lines that are not empty, or of objects in a file of JSON lines.
fn calibrating(path: &Path, form: InputFormat) -> Result<Vec<Item>> {
    let mut inputs = Inputs::of_file(path, form)?;
    if form == InputFormat::Text {
        inputs = inputs.texts_alone("there are two texts: --pairs reads pairs");
    }
    let mut items = Vec::new();
    while let Some(item) = inputs.next()? {
        if !item.first.trim().is_empty() || item.second.is_some() {
            items.push(item);
        }
    }
    if items.is_empty() {
        bail!("{} has no line of text", path.display())
    } else {
        Ok(items)
    }
}
