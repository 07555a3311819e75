//! `bertless pack`: writes a model as one file.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bertless::{
    Error, Model, PackOptions, Packed, PackedMatrix, PackedSection, QuantizationOutcome,
    WeightFormat,
};
use clap::builder::PathBufValueParser;
use serde::Serialize;

use super::columns::{
    self,
    Column::{Left, Right},
};
use super::input::{InputFormat, Inputs, Item, ItemSource};
use super::options::{number, one_of, to_write};
use super::output::{Output, printable, warn};
use super::progress::{Look, Progress};

/// Convert a model folder into one file that opens without conversion: weights, vocabulary and settings
///
/// Every command accepts the file in place of a folder. It is written to a temporary file beside FILE, which is then renamed,
/// so FILE is never half-written. An existing file is kept unless --force is given.
///
/// With --dtype int8 each matrix of the encoder has a line with its quantization error (the root mean square of the
/// differences, divided by that of the weights) and the type that it is stored as. A matrix whose error is above --max-error
/// stays in f32. With --calibrate the line also has the error of the matrix's outputs, measured on every eighth token,
/// which is held out from calibration; --max-error then applies to that.
///
/// With --json an object {"file", "dtype", "version", "digest", "bytes", "kinds": [{"kind", "tensors", "bytes"}],
/// "matrices": [{"name", "error", "output_error", "stored": "int8", "f32_as_asked", "f32_for_error" or
/// "f32_for_width"}]}.
#[derive(Debug, clap::Args)]
pub(crate) struct PackArgs {
    /// Folder of a Hugging Face or sentence-transformers model
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// File to write, such as model.safetensors
    #[arg(short, long, value_name = "FILE", value_parser = to_write(PathBufValueParser::new()))]
    output: PathBuf,
    /// Type that weights are stored in. f32: the same answers to the bit. f16: half the size, computed in f32. bf16: half the
    /// size, the encoder's matrices are computed in bf16. int8: a quarter of the size for the encoder's matrices, which are
    /// computed in int8, and for word and position embeddings; all else in f32
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = one_of(WeightFormat::ALL.map(|precision| (precision.name(), precision))))]
    dtype: WeightFormat,
    /// With int8, keep matrices in f32 whose names contain this (* matches any text); may be given several times
    #[arg(long, value_name = "PATTERN")]
    keep_f32: Vec<String>,
    /// With int8, keep matrices in f32 whose error would be above this [default: 0.03]
    #[arg(long, value_name = "ERROR", value_parser = number(0.0..=f64::MAX, "expected a number, 0 or more"))]
    max_error: Option<f64>,
    /// With int8, calibrate the quantization on the texts of this file: one per line, or .jsonl; some 500 typical sentences are
    /// enough. Tables (.csv, and .tsv without --pairs) are refused
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,
    /// Calibrate on pairs, as for a cross-encoder or a question answerer: two columns separated by a tab, without a header, or
    /// objects of .jsonl
    #[arg(long, requires = "calibrate")]
    pairs: bool,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct PackReport {
    file: PathBuf,
    dtype: WeightFormat,
    version: u32,
    digest: String,
    bytes: usize,
    kinds: Vec<PackedSection>,
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
        return Err(Error::Io {
            path: file,
            cause: source,
        }
        .into());
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
    fn of(packed: &Packed, file: PathBuf, dtype: WeightFormat) -> Self {
        let summary = packed.summary();
        Self {
            file,
            dtype,
            version: summary.version,
            digest: summary.digest,
            bytes: packed.bytes(),
            kinds: packed.sections(),
            matrices: packed.matrices().to_vec(),
        }
    }

    /// Formats a line for each matrix that int8 applies to, one for each kind of tensor, and one for the total.
    fn table(&self) -> String {
        let line = |name: &str, tensors: usize, bytes: usize| {
            let share = format!("{:.1}%", 100.0 * bytes as f64 / self.bytes as f64);
            let size = format!("{:.2} MB", bytes as f64 / 1e6);
            let columns = [Left(12), Right(5), Right(13), Right(6)];
            columns::row(&columns, " ", &[name, &tensors.to_string(), &size, &share])
        };
        let mut lines = table_of(&self.matrices);
        let kinds = self.kinds.iter();
        lines.extend(kinds.map(|kind| line(kind.kind, kind.tensors, kind.bytes)));
        let tensors = self.kinds.iter().map(|kind| kind.tensors).sum();
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

/// Formats name, errors and type of each matrix, with a header and an empty line behind it.
fn table_of(matrices: &[PackedMatrix]) -> Vec<String> {
    let Some(first) = matrices.first() else {
        return Vec::new();
    };
    let number = |error: f64| format!("{error:.5}");
    let outputs = first.output_error.map(|_| "outputs".to_owned());
    let header = ("matrix", "error".to_owned(), outputs, "stored");
    let lines = matrices.iter().map(|matrix| {
        let stored = match matrix.stored {
            QuantizationOutcome::Int8 => "int8",
            QuantizationOutcome::F32Requested => "f32, as asked",
            QuantizationOutcome::F32ForError => "f32, for its error",
            QuantizationOutcome::F32ForWidth => "f32, for its width",
            _ => "f32",
        };
        let outputs = matrix.output_error.map(number);
        (&*matrix.name, number(matrix.error), outputs, stored)
    });
    let cells = |(name, error, outputs, stored): (&str, _, Option<_>, &str)| {
        let cells = [
            Some(name.to_owned()),
            Some(error),
            outputs,
            Some(stored.to_owned()),
        ];
        cells.into_iter().flatten().collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(lines).map(cells).collect();
    let mut columns = vec![Right(8); rows[0].len()];
    columns[0] = Left(0);
    columns[rows[0].len() - 1] = Left(0);
    vec![columns::table(&columns, " ", &rows), String::new()]
}

/// Reads the texts or pairs to calibrate on: lines that are not empty, or objects of a .jsonl file.
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
