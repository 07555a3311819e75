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

/// Kind of an [`Error`], for callers that treat all errors of a kind alike: a service that chooses a status code, or a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is at fault. An HTTP service answers with 422.
    Input,
    /// An option has an invalid value, or the model cannot do what was asked. An HTTP service answers with 400.
    Option,
    /// The caller cancelled the call.
    Cancelled,
    /// The deadline of the call has passed. An HTTP service answers with 504.
    DeadlineExceeded,
    /// A file could not be read or written; trying again may help.
    Io,
    /// The files of a model are incomplete, damaged, or of a kind that is not supported.
    Model,
    /// A table, a recipe or a saved state of training is invalid.
    Training,
    /// The operating system could not start the threads.
    System,
}

/// Error of loading, running, packing or training a model.
///
/// Every variant names the file, key or weight at fault, and both values where two disagree. The message is one line
/// that says everything, so [`source`](std::error::Error::source) is always `None`. `Debug` prints the message, too:
/// it is what a `main` that returns an error shows.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// File at fault.
        path: PathBuf,
        /// Error of the operating system.
        cause: std::io::Error,
    },
    /// A part of a model is missing: none of the files that could hold it exists.
    #[error("{} has no {what}{}", dir.display(), list_given(given.as_deref()))]
    #[non_exhaustive]
    FileMissing {
        /// Folder that was searched.
        dir: PathBuf,
        /// Missing part, with the names of the files that could hold it.
        what: &'static str,
        /// Names of the files that the caller gave; `None` for a folder on disk.
        given: Option<Vec<String>>,
    },
    /// There is nothing at the path of a model.
    #[error("{}: {}", path.display(), missing_path(path))]
    #[non_exhaustive]
    PathMissing {
        /// Path that was given.
        path: PathBuf,
    },
    /// A path in one of a model's files leads out of the model's folder.
    #[error("{file} names {path:?}, which is not inside the model's folder")]
    #[non_exhaustive]
    PathOutside {
        /// File that holds the path.
        file: String,
        /// Path as written in the file.
        path: String,
    },
    /// A JSON file is malformed or has an unexpected structure.
    #[error("{file} cannot be read: {cause}")]
    #[non_exhaustive]
    Json {
        /// File at fault.
        file: String,
        /// Position and reason of the parser's error.
        cause: serde_json::Error,
    },
    /// A key of a configuration file has an invalid value.
    #[error("{file}: {key}: {reason}")]
    #[non_exhaustive]
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
    #[non_exhaustive]
    UnsupportedFamily {
        /// Value of `model_type` in config.json.
        found: String,
    },
    /// The model's head, or one of its modules, is not supported.
    #[error("architecture {found:?} is not supported")]
    #[non_exhaustive]
    UnsupportedArchitecture {
        /// Entry of `architectures` in config.json, or module of modules.json.
        found: String,
    },
    /// The activation function is not supported.
    #[error(
        "activation {found:?} is not supported: gelu, gelu_new, gelu_pytorch_tanh, relu, tanh and identity are"
    )]
    #[non_exhaustive]
    UnsupportedActivation {
        /// Name of the function in the configuration file.
        found: String,
    },
    /// The tokenizer is not a BERT WordPiece tokenizer, or has settings that cannot be reproduced exactly.
    #[error("{file}: {reason}")]
    #[non_exhaustive]
    UnsupportedTokenizer {
        /// File at fault.
        file: String,
        /// Part of the file that is not supported.
        reason: String,
    },
    /// The vocabulary is invalid.
    #[error("{file}: {reason}")]
    #[non_exhaustive]
    Vocabulary {
        /// File at fault.
        file: String,
        /// Fault that was found.
        reason: String,
    },
    /// A token that the model needs is not in its vocabulary.
    #[error("{file}: {key}: {token:?} is not in the vocabulary: name a token that is")]
    #[non_exhaustive]
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
        "{file}: {key}: {token:?} has id {id}, and the embedding table has {rows} rows: name a token whose id is below {rows}"
    )]
    #[non_exhaustive]
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
    #[non_exhaustive]
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
    #[non_exhaustive]
    Safetensors {
        /// File at fault.
        file: String,
        /// Fault that the check of the header found.
        reason: String,
    },
    /// The file is not a packed model, which `bertless pack` writes.
    #[error(
        "{file} is not a packed model, as `bertless pack` writes it{}",
        foreign_hint(file)
    )]
    #[non_exhaustive]
    PackedForeign {
        /// File at fault.
        file: String,
    },
    /// A packed model is in a model's folder, in place of the weights.
    #[error("{file} is a packed model: open the file itself, not its folder")]
    #[non_exhaustive]
    PackedInFolder {
        /// File at fault.
        file: String,
    },
    /// The packed model has another version of the format than this crate reads.
    #[error(
        "{file} is packed in version {found} of the format, {supported} can be read: pack it again"
    )]
    #[non_exhaustive]
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
    #[non_exhaustive]
    PackedDamaged {
        /// File at fault.
        file: String,
        /// Damaged part of the file.
        part: &'static str,
    },
    /// The weights of a model, or of one of its modules, exist only as a PyTorch pickle, which is never read.
    #[error("{} is a pickle, and only safetensors are read; this converts it: {}", file.display(), conversion(file))]
    #[non_exhaustive]
    WeightsPickled {
        /// Pickle, or index of several.
        file: PathBuf,
    },
    /// A weight that the model needs is missing from the checkpoint.
    #[error("weight {name} is missing")]
    #[non_exhaustive]
    WeightMissing {
        /// Name of the weight, without the family's prefix.
        name: String,
    },
    /// Two weights of the checkpoint have the same name without the family's prefix.
    #[error("weight {name} is there twice, once as {other}")]
    #[non_exhaustive]
    WeightTwice {
        /// Name of the weight in the checkpoint.
        name: String,
        /// Name of the other weight in the checkpoint.
        other: String,
    },
    /// The checkpoint holds a weight that the configured model does not have and that cannot be ignored, such as one
    /// with a misspelt name or of a layer beyond those in config.json.
    #[error("weight {name} is not expected: {reason}")]
    #[non_exhaustive]
    WeightUnexpected {
        /// Name of the weight in the checkpoint.
        name: String,
        /// Reason why the weight cannot be ignored.
        reason: String,
    },
    /// A weight has another shape than the configuration requires.
    #[error("weight {name} has shape {found:?}, expected {expected:?}")]
    #[non_exhaustive]
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
    #[non_exhaustive]
    WeightType {
        /// Name of the weight in the checkpoint.
        name: String,
        /// Type of the weight in the checkpoint.
        found: String,
    },
    /// A weight, or an output that was computed from the weights, is NaN or infinite.
    #[error("{what} is not finite")]
    #[non_exhaustive]
    NonFinite {
        /// Name of the weight or of the output.
        what: String,
    },
    /// A line of a training table is invalid.
    #[error("{file}, line {line}: {reason}")]
    #[non_exhaustive]
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
    #[non_exhaustive]
    Table {
        /// File at fault.
        file: String,
        /// Kind of the file, or its fault.
        reason: String,
    },
    /// A training recipe is invalid.
    #[error("{file}: {reason}")]
    #[non_exhaustive]
    Recipe {
        /// Recipe file.
        file: String,
        /// Fault of the recipe, with the line or the key.
        reason: String,
    },
    /// A training run cannot be resumed from its saved state.
    #[error("{file}: {reason}")]
    #[non_exhaustive]
    State {
        /// File at fault.
        file: String,
        /// Fault that was found.
        reason: String,
    },
    /// The model is for another task than the one that was requested.
    #[error("this is a model for {found}, not for {wanted}")]
    #[non_exhaustive]
    WrongTask {
        /// Requested task.
        wanted: &'static str,
        /// Task of the model.
        found: &'static str,
    },
    /// The input does not have the form that the model needs.
    #[error("{}{reason}", index.map(|index| format!("input {index}: ")).unwrap_or_default())]
    Input {
        /// Index of the input among those of the call, counted from 0; `None` for a call with a single input.
        index: Option<usize>,
        /// Form that was given, and form that is needed.
        reason: String,
    },
    /// The caller cancelled the call before it ended.
    #[error("the call was cancelled")]
    Cancelled,
    /// The deadline of the call passed before the call ended.
    #[error("the deadline of the call has passed")]
    DeadlineExceeded,
    /// An option has a value that is invalid, or that this model does not support.
    #[error("option {name}: {reason}")]
    #[non_exhaustive]
    Option {
        /// Name of the option.
        name: &'static str,
        /// Fault of the value.
        reason: String,
    },
    /// The threads could not be started.
    #[error("a pool of {threads} threads could not be started: {cause}")]
    #[non_exhaustive]
    Threads {
        /// Requested number of threads.
        threads: usize,
        /// Error of the operating system.
        cause: rayon::ThreadPoolBuildError,
    },
}

impl Error {
    /// Kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Input { .. } => ErrorKind::Input,
            Self::Option { .. } | Self::WrongTask { .. } => ErrorKind::Option,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::DeadlineExceeded => ErrorKind::DeadlineExceeded,
            Self::Io { .. } => ErrorKind::Io,
            Self::Threads { .. } => ErrorKind::System,
            Self::Data { .. } | Self::Table { .. } | Self::Recipe { .. } | Self::State { .. } => {
                ErrorKind::Training
            }
            Self::FileMissing { .. }
            | Self::PathMissing { .. }
            | Self::PathOutside { .. }
            | Self::Json { .. }
            | Self::Config { .. }
            | Self::UnsupportedFamily { .. }
            | Self::UnsupportedArchitecture { .. }
            | Self::UnsupportedActivation { .. }
            | Self::UnsupportedTokenizer { .. }
            | Self::Vocabulary { .. }
            | Self::TokenNotInVocabulary { .. }
            | Self::TokenWithoutRow { .. }
            | Self::EmbeddingOutOfRange { .. }
            | Self::Safetensors { .. }
            | Self::PackedForeign { .. }
            | Self::PackedInFolder { .. }
            | Self::PackedVersion { .. }
            | Self::PackedDamaged { .. }
            | Self::WeightsPickled { .. }
            | Self::WeightMissing { .. }
            | Self::WeightTwice { .. }
            | Self::WeightUnexpected { .. }
            | Self::WeightShape { .. }
            | Self::WeightType { .. }
            | Self::NonFinite { .. } => ErrorKind::Model,
        }
    }

    /// Creates the error of a single input.
    pub(crate) fn input(reason: impl Into<String>) -> Self {
        Self::Input {
            index: None,
            reason: reason.into(),
        }
    }

    /// Adds the index of the input at fault to an `Input` error. Other errors are returned as they are.
    pub(crate) fn at_index(self, index: usize) -> Self {
        match self {
            Self::Input { reason, .. } => Self::Input {
                index: Some(index),
                reason,
            },
            other => other,
        }
    }

    /// Puts the model's folder in front of a file that is named relative to it.
    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        if let Self::PathOutside { file, .. }
        | Self::Json { file, .. }
        | Self::Config { file, .. }
        | Self::UnsupportedTokenizer { file, .. }
        | Self::Vocabulary { file, .. }
        | Self::TokenNotInVocabulary { file, .. }
        | Self::TokenWithoutRow { file, .. } = &mut self
            && !Path::new(file.as_str()).starts_with(folder)
        {
            *file = folder.join(file.as_str()).display().to_string();
        }
        self
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Ending of the message of `FileMissing` for a model that is loaded from memory: the names of the given files.
fn list_given(given: Option<&[String]>) -> String {
    match given {
        None => String::new(),
        Some([]) => " (no file was given)".to_owned(),
        Some(names) => format!(" (given files: {})", names.join(", ")),
    }
}

/// Ending of the message for a path with nothing at it.
fn missing_path(path: &Path) -> String {
    let name = path.to_string_lossy();
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [owner, model] if !owner.is_empty() && !model.is_empty() && !owner.starts_with('.') => {
            format!(
                "there is no such file or folder. If this is the name of a model on the Hugging Face Hub, download its files \
             first, for example with `hf download {name} --local-dir {model}`, and give that folder"
            )
        }
        _ => "there is no such file or folder".to_owned(),
    }
}

/// Ending of the message for a file that is not a packed model: what to do with a file of this name.
fn foreign_hint(file: &str) -> String {
    let path = Path::new(file);
    let ending = path.extension().and_then(std::ffi::OsStr::to_str);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("onnx") => ": ONNX is not read, only safetensors. Give the folder with config.json and model.safetensors of \
                         the checkpoint that the file was exported from"
            .to_owned(),
        Some("gguf") => ": GGUF is not read, only safetensors. Give the folder with config.json and model.safetensors of \
                         the original checkpoint"
            .to_owned(),
        Some("bin" | "pt" | "pth") => format!(
            ": it is a pickle, and only safetensors are read. Convert it, then give its folder: {}",
            conversion(path)
        ),
        _ => ": if it belongs to a model in several files, give their folder".to_owned(),
    }
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
