//! Errors of the crate: one variant for each cause that a caller can act on.

use std::path::{Path, PathBuf};

/// Result type of this crate, with [`Error`] as its default error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Number of characters of an input that an error quotes.
#[cfg(feature = "train")]
const EXCERPT: usize = 200;

/// Cuts a quoted input to its first 200 characters.
#[cfg(feature = "train")]
pub(crate) fn excerpt(input: &str) -> std::borrow::Cow<'_, str> {
    match input.char_indices().nth(EXCERPT) {
        None => input.into(),
        Some((end, _)) => format!("{}…", &input[..end]).into(),
    }
}

/// Error of loading, running, packing or training a model.
///
/// Every variant names the file, key or weight at fault, and both values where two disagree. Messages are one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// None of the files that could hold this part of a model is there.
    #[error("{} has no {what}", dir.display())]
    FileMissing {
        /// The folder that was searched.
        dir: PathBuf,
        /// The part, with the file names that would have served.
        what: &'static str,
    },
    /// A path in a model's files leads out of the model's folder.
    #[error("{file} names {path:?}, which is not inside the model's folder")]
    PathOutside {
        /// The file that holds the path.
        file: String,
        /// The path as written there.
        path: String,
    },
    /// A JSON file cannot be read as what it should be.
    #[error("{file} cannot be read")]
    Json {
        /// The file.
        file: String,
        /// Where and why the parser stopped.
        source: serde_json::Error,
    },
    /// A key of a configuration file has a value that no model can have.
    #[error("{file}: {key}: {reason}")]
    Config {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The model is not of a family that this crate implements.
    #[error(
        "model family {found:?} is not supported: bert, distilbert, electra, mobilebert and mpnet are"
    )]
    UnsupportedFamily {
        /// `model_type` of config.json.
        found: String,
    },
    /// The family is known, but the head on top of it is not.
    #[error("architecture {found:?} is not supported")]
    UnsupportedArchitecture {
        /// The entry of `architectures` in config.json, or the module of modules.json.
        found: String,
    },
    /// The activation function has no implementation here.
    #[error(
        "activation {found:?} is not supported: gelu, gelu_new, gelu_pytorch_tanh, relu, tanh and identity are"
    )]
    UnsupportedActivation {
        /// Its name in the configuration file.
        found: String,
    },
    /// The tokenizer is not a BERT WordPiece tokenizer, or not one that can be followed exactly.
    #[error("{file}: {reason}")]
    UnsupportedTokenizer {
        /// The file.
        file: String,
        /// Which part of it is not supported.
        reason: String,
    },
    /// The vocabulary cannot be used.
    #[error("{file}: {reason}")]
    Vocabulary {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A token that the model cannot do without is not in its vocabulary.
    #[error("{file}: {key}: {token:?} is not in the vocabulary: name a token that is")]
    TokenNotInVocabulary {
        /// The file that names the token, or that would name another one.
        file: String,
        /// The key there.
        key: String,
        /// The token.
        token: String,
    },
    /// A token that stands in every text has no row in the embedding table.
    #[error(
        "{file}: {key}: {token:?} has id {id}, and the embedding table has {rows} rows: name a token that has one"
    )]
    TokenWithoutRow {
        /// The file that names the token.
        file: String,
        /// The key there.
        key: String,
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// How many rows the table has.
        rows: usize,
    },
    /// A token id, type id or position has no row in the model's embedding table.
    #[error("{table} has {rows} rows, but row {id} was asked for")]
    EmbeddingOutOfRange {
        /// The table.
        table: &'static str,
        /// The row that was asked for.
        id: usize,
        /// How many rows the table has.
        rows: usize,
    },
    /// The file is not a safetensors file, or a damaged one.
    #[error("{file} is not a valid safetensors file: {reason}")]
    Safetensors {
        /// The file.
        file: String,
        /// What the check of its header found.
        reason: String,
    },
    /// The file is no packed model: one that `bertless pack` has written.
    #[error(
        "{file} is not a packed model, as `bertless pack` writes it: of a model in several files, give the folder"
    )]
    PackedForeign {
        /// The file.
        file: String,
    },
    /// A packed model has been put into a folder, in place of the weights there.
    #[error("{file} is a packed model: open the file itself, not its folder")]
    PackedInFolder {
        /// The file.
        file: String,
    },
    /// The file is a packed model of another version of the format.
    #[error(
        "{file} is packed in version {found} of the format, {supported} can be read: pack it again"
    )]
    PackedVersion {
        /// The file.
        file: String,
        /// Its version.
        found: usize,
        /// The version that can be read.
        supported: usize,
    },
    /// The file is a packed model that has changed since it was written.
    #[error("{file} is damaged in its {part}")]
    PackedDamaged {
        /// The file.
        file: String,
        /// Where the damage is.
        part: &'static str,
    },
    /// The weights of a model, or of one of its modules, are there only as PyTorch pickles them.
    #[error("{} is a pickle, and only safetensors are read; this converts it: {}", file.display(), conversion(file))]
    WeightsPickled {
        /// The file, or the index of several.
        file: PathBuf,
    },
    /// A weight that the model needs is not in the checkpoint.
    #[error("weight {name} is missing")]
    WeightMissing {
        /// Its name, without the family's prefix.
        name: String,
    },
    /// Two weights of the checkpoint have one name once the family's prefix is taken off.
    #[error("weight {name} is there twice, once as {other}")]
    WeightTwice {
        /// Its name in the checkpoint.
        name: String,
        /// The other name.
        other: String,
    },
    /// The checkpoint holds a weight that cannot be left out, but that the model as configured does not have: a misspelt
    /// name, or more layers than config.json says.
    #[error("weight {name} is not expected: {reason}")]
    WeightUnexpected {
        /// Its name in the checkpoint.
        name: String,
        /// Why it cannot be one that is simply not needed.
        reason: String,
    },
    /// A weight has another shape than the configuration says.
    #[error("weight {name} has shape {found:?}, expected {expected:?}")]
    WeightShape {
        /// Its name in the checkpoint.
        name: String,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
        /// The shape in the checkpoint.
        found: Vec<usize>,
    },
    /// A weight is stored in a type that cannot be read as numbers of a model.
    #[error("weight {name} is stored as {found}: F32, F16, BF16, F64 and I64 can be read")]
    WeightType {
        /// Its name in the checkpoint.
        name: String,
        /// Its type in the checkpoint.
        found: String,
    },
    /// A weight, or a number computed from the weights, is NaN or infinite.
    #[error("{what} is not finite")]
    NonFinite {
        /// The weight's name, or which output.
        what: String,
    },
    /// A line of a table to learn from cannot be read as what it should be.
    #[error("{file}, line {line}: {reason}")]
    Data {
        /// The table.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is no table or text that can be read, or nothing can be learned from it.
    #[error("{file}: {reason}")]
    Table {
        /// The file.
        file: String,
        /// What it is, or what is wrong with it.
        reason: String,
    },
    /// The recipe of a training cannot be read.
    #[error("{file}: {reason}")]
    Recipe {
        /// The recipe.
        file: String,
        /// What is wrong with it, with the line or the key.
        reason: String,
    },
    /// The state of a run of training cannot be gone on from.
    #[error("{file}: {reason}")]
    State {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model answers another question than the one that was put.
    #[error("this is a model for {found}, not for {wanted}")]
    WrongTask {
        /// What the caller asked for.
        wanted: &'static str,
        /// What the model does.
        found: &'static str,
    },
    /// The input is not of the form that the model needs.
    #[error("{reason}")]
    Input {
        /// What was given, and what is needed.
        reason: String,
    },
    /// An option has a value that this model cannot follow.
    #[error("option {name}: {reason}")]
    Option {
        /// The option.
        name: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The thread pool could not be made.
    #[error("a pool of {threads} threads could not be started")]
    Threads {
        /// How many threads were asked for.
        threads: usize,
        /// Error of the operating system.
        source: rayon::ThreadPoolBuildError,
    },
}

/// The command that writes model.safetensors beside a pickle, or beside the pickles that an index lists.
fn conversion(file: &Path) -> String {
    let dir = file.parent().unwrap_or(file);
    let pickles = match file.extension().is_some_and(|ending| ending == "json") {
        true => format!("glob.glob({:?})", dir.join("pytorch_model-*.bin")),
        false => format!("[{file:?}]"),
    };
    format!(
        "python3 -c 'import glob, torch, safetensors.torch as s; s.save_file({{k: v.contiguous().clone() for f in {pickles} \
         for k, v in torch.load(f, map_location=\"cpu\", weights_only=True).items()}}, {:?}, {{\"format\": \"pt\"}})'",
        dir.join("model.safetensors")
    )
}
