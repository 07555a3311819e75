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
        /// File at fault.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A part of a model is missing: none of the files that could hold it exists.
    #[error("{} has no {what}", dir.display())]
    FileMissing {
        /// Folder that was searched.
        dir: PathBuf,
        /// Missing part, with the names of the files that could hold it.
        what: &'static str,
    },
    /// A path in one of a model's files leads out of the model's folder.
    #[error("{file} names {path:?}, which is not inside the model's folder")]
    PathOutside {
        /// File that holds the path.
        file: String,
        /// Path as written in the file.
        path: String,
    },
    /// A JSON file is malformed or has an unexpected structure.
    #[error("{file} cannot be read")]
    Json {
        /// File at fault.
        file: String,
        /// Position and reason of the parser's error.
        source: serde_json::Error,
    },
    /// A key of a configuration file has an invalid value.
    #[error("{file}: {key}: {reason}")]
    Config {
        /// File at fault.
        file: String,
        /// Key at fault.
        key: String,
        /// Fault of the value.
        reason: String,
    },
    /// The model belongs to a family that this crate does not implement.
    #[error(
        "model family {found:?} is not supported: bert, distilbert, electra, mobilebert and mpnet are"
    )]
    UnsupportedFamily {
        /// Value of `model_type` in config.json.
        found: String,
    },
    /// The model's head, or one of its modules, is not supported.
    #[error("architecture {found:?} is not supported")]
    UnsupportedArchitecture {
        /// Entry of `architectures` in config.json, or module of modules.json.
        found: String,
    },
    /// The activation function is not supported.
    #[error(
        "activation {found:?} is not supported: gelu, gelu_new, gelu_pytorch_tanh, relu, tanh and identity are"
    )]
    UnsupportedActivation {
        /// Name of the function in the configuration file.
        found: String,
    },
    /// The tokenizer is not a BERT WordPiece tokenizer, or has settings that cannot be reproduced exactly.
    #[error("{file}: {reason}")]
    UnsupportedTokenizer {
        /// File at fault.
        file: String,
        /// Part of the file that is not supported.
        reason: String,
    },
    /// The vocabulary is invalid.
    #[error("{file}: {reason}")]
    Vocabulary {
        /// File at fault.
        file: String,
        /// Fault that was found.
        reason: String,
    },
    /// A token that the model needs is not in its vocabulary.
    #[error("{file}: {key}: {token:?} is not in the vocabulary: name a token that is")]
    TokenNotInVocabulary {
        /// File that names the token, or that could name another one.
        file: String,
        /// Key of the token in the file.
        key: String,
        /// Token.
        token: String,
    },
    /// A token that is added to every text has no row in the embedding table.
    #[error(
        "{file}: {key}: {token:?} has id {id}, and the embedding table has {rows} rows: name a token that has one"
    )]
    TokenWithoutRow {
        /// File that names the token.
        file: String,
        /// Key of the token in the file.
        key: String,
        /// Token.
        token: String,
        /// Id of the token.
        id: u32,
        /// Number of rows of the table.
        rows: usize,
    },
    /// A token id, type id or position has no row in the model's embedding table.
    #[error("{table} has {rows} rows, but row {id} was asked for")]
    EmbeddingOutOfRange {
        /// Name of the embedding table.
        table: &'static str,
        /// Requested row.
        id: usize,
        /// Number of rows of the table.
        rows: usize,
    },
    /// The file is not a safetensors file, or is damaged.
    #[error("{file} is not a valid safetensors file: {reason}")]
    Safetensors {
        /// File at fault.
        file: String,
        /// Fault that the check of the header found.
        reason: String,
    },
    /// The file is not a packed model, which `bertless pack` writes.
    #[error(
        "{file} is not a packed model, as `bertless pack` writes it: of a model in several files, give the folder"
    )]
    PackedForeign {
        /// File at fault.
        file: String,
    },
    /// A packed model is in a model's folder, in place of the weights.
    #[error("{file} is a packed model: open the file itself, not its folder")]
    PackedInFolder {
        /// File at fault.
        file: String,
    },
    /// The packed model has another version of the format than this crate reads.
    #[error(
        "{file} is packed in version {found} of the format, {supported} can be read: pack it again"
    )]
    PackedVersion {
        /// File at fault.
        file: String,
        /// Version of the file.
        found: usize,
        /// Version that this crate reads.
        supported: usize,
    },
    /// The packed model has changed since it was written.
    #[error("{file} is damaged in its {part}")]
    PackedDamaged {
        /// File at fault.
        file: String,
        /// Damaged part of the file.
        part: &'static str,
    },
    /// The weights of a model, or of one of its modules, exist only as a PyTorch pickle, which is never read.
    #[error("{} is a pickle, and only safetensors are read; this converts it: {}", file.display(), conversion(file))]
    WeightsPickled {
        /// Pickle, or index of several.
        file: PathBuf,
    },
    /// A weight that the model needs is missing from the checkpoint.
    #[error("weight {name} is missing")]
    WeightMissing {
        /// Name of the weight, without the family's prefix.
        name: String,
    },
    /// Two weights of the checkpoint have the same name without the family's prefix.
    #[error("weight {name} is there twice, once as {other}")]
    WeightTwice {
        /// Name of the weight in the checkpoint.
        name: String,
        /// Name of the other weight in the checkpoint.
        other: String,
    },
    /// The checkpoint holds a weight that the configured model does not have and that cannot be ignored, such as one
    /// with a misspelt name or of a layer beyond those in config.json.
    #[error("weight {name} is not expected: {reason}")]
    WeightUnexpected {
        /// Name of the weight in the checkpoint.
        name: String,
        /// Reason why the weight cannot be ignored.
        reason: String,
    },
    /// A weight has another shape than the configuration requires.
    #[error("weight {name} has shape {found:?}, expected {expected:?}")]
    WeightShape {
        /// Name of the weight in the checkpoint.
        name: String,
        /// Shape that the configuration requires.
        expected: Vec<usize>,
        /// Shape in the checkpoint.
        found: Vec<usize>,
    },
    /// A weight is stored in a type that is not supported.
    #[error("weight {name} is stored as {found}: F32, F16, BF16, F64 and I64 can be read")]
    WeightType {
        /// Name of the weight in the checkpoint.
        name: String,
        /// Type of the weight in the checkpoint.
        found: String,
    },
    /// A weight, or an output that was computed from the weights, is NaN or infinite.
    #[error("{what} is not finite")]
    NonFinite {
        /// Name of the weight or of the output.
        what: String,
    },
    /// A line of a training table is invalid.
    #[error("{file}, line {line}: {reason}")]
    Data {
        /// Table file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// Fault that was found.
        reason: String,
    },
    /// A file is not a table or text that can be read, or holds nothing to train on.
    #[error("{file}: {reason}")]
    Table {
        /// File at fault.
        file: String,
        /// Kind of the file, or its fault.
        reason: String,
    },
    /// A training recipe is invalid.
    #[error("{file}: {reason}")]
    Recipe {
        /// Recipe file.
        file: String,
        /// Fault of the recipe, with the line or the key.
        reason: String,
    },
    /// A training run cannot be resumed from its saved state.
    #[error("{file}: {reason}")]
    State {
        /// File at fault.
        file: String,
        /// Fault that was found.
        reason: String,
    },
    /// The model is for another task than the one that was requested.
    #[error("this is a model for {found}, not for {wanted}")]
    WrongTask {
        /// Requested task.
        wanted: &'static str,
        /// Task of the model.
        found: &'static str,
    },
    /// The input does not have the form that the model needs.
    #[error("{reason}")]
    Input {
        /// Form that was given, and form that is needed.
        reason: String,
    },
    /// An option has a value that is invalid, or that this model does not support.
    #[error("option {name}: {reason}")]
    Option {
        /// Name of the option.
        name: &'static str,
        /// Fault of the value.
        reason: String,
    },
    /// The threads could not be started.
    #[error("a pool of {threads} threads could not be started")]
    Threads {
        /// Requested number of threads.
        threads: usize,
        /// Error of the operating system.
        source: rayon::ThreadPoolBuildError,
    },
}

/// Shell command that writes model.safetensors beside a pickle, or beside the pickles that an index lists.
fn conversion(file: &Path) -> String {
    let dir = file.parent().unwrap_or(file);
    let pickles = if file.extension().is_some_and(|ending| ending == "json") {
        format!("glob.glob({:?})", dir.join("pytorch_model-*.bin"))
    } else {
        format!("[{file:?}]")
    };
    format!(
        "python3 -c 'import glob, torch, safetensors.torch as s; s.save_file({{k: v.contiguous().clone() for f in {pickles} \
         for k, v in torch.load(f, map_location=\"cpu\", weights_only=True).items()}}, {:?}, {{\"format\": \"pt\"}})'",
        dir.join("model.safetensors")
    )
}
