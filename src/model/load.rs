//! Opening a model: from a folder, a packed file, or files in memory.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use super::{Model, ModelOptions, Summary};
use crate::config::{Config, TRANSFORMER_FILES, Task};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::kernels::{BufferPool, Cpu, Engine, Threads, cpu, threads};
use crate::tasks::Similarity;
use crate::tasks::embedding::EmbeddingHead;
use crate::tasks::heads::Head;
use crate::tokenizer::Tokenizer;
use crate::weights::{Access, ModelFiles, Residency, Store, join_within};

/// Environment variable that names the instruction set to use instead of the best one; for tests and benchmarks.
const FORCED_CPU: &str = "BERTLESS_CPU";

impl Model {
    /// Opens the folder of a Hugging Face or sentence-transformers model, or a packed file that [`pack`](Self::pack)
    /// made from one.
    ///
    /// A folder holds `config.json`, `model.safetensors` (or shards and their index), and `tokenizer.json` or
    /// `vocab.txt`; with `modules.json` it is an embedding model. Of a packed file, header, settings and vocabulary are
    /// checked. Its weights are used in place if the file is mapped (`ModelOptions::map`), and read into memory
    /// otherwise.
    ///
    /// # Errors
    /// An [`Error`] that names the file, key or weight at fault.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, ModelOptions::default())
    }

    /// Opens a model's folder or a packed file, with options.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and `Option` for options that the model cannot follow.
    pub fn load_with(path: impl AsRef<Path>, options: ModelOptions) -> Result<Self> {
        let files = ModelFiles::open(path.as_ref(), access(&options))?;
        Self::open(&files, options)
    }

    /// Opens a packed file in memory: bytes of the program, as [`include_model!`](crate::include_model) embeds them, or
    /// bytes that were received.
    ///
    /// Weights are used in place. Bytes that are not aligned to 64, as most vectors are not, are copied first and then
    /// freed: for a moment twice the file is in memory. [`from_reader`](Self::from_reader) needs it once.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/packed/bert-classify.safetensors");
    /// let bytes = std::fs::read(path).expect("a packed file"); // or the body of a response
    /// let model = bertless::Model::from_bytes(bytes)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`load`](Self::load), without `Io`.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        Self::from_bytes_with(bytes, ModelOptions::default())
    }

    /// Opens a packed file in memory, with options.
    ///
    /// # Errors
    /// Those of [`load_with`](Self::load_with), without `Io`.
    pub fn from_bytes_with(
        bytes: impl Into<Cow<'static, [u8]>>,
        options: ModelOptions,
    ) -> Result<Self> {
        Self::open(&ModelFiles::packed_bytes(bytes.into())?, options)
    }

    /// Opens a packed file of `len` bytes that `reader` gives, such as a download whose length is known.
    ///
    /// The bytes are read into aligned memory, where the weights are used in place. The file is in memory once.
    ///
    /// # Errors
    /// `Io` if reading fails, or if there are fewer or more than `len` bytes; otherwise those of [`load`](Self::load).
    pub fn from_reader(reader: impl Read, len: usize) -> Result<Self> {
        Self::from_reader_with(reader, len, ModelOptions::default())
    }

    /// Opens a packed file of `len` bytes that `reader` gives, with options.
    ///
    /// # Errors
    /// Those of [`from_reader`](Self::from_reader) and [`load_with`](Self::load_with).
    pub fn from_reader_with(reader: impl Read, len: usize, options: ModelOptions) -> Result<Self> {
        Self::open(&ModelFiles::packed_reader(reader, len)?, options)
    }

    /// Opens a model whose files are in memory: those of a folder, or a single packed file.
    ///
    /// While a folder's files are loaded, the given bytes and the weights packed from them are both in memory.
    /// Afterwards owned bytes of weights are freed, except for the word-embedding table, unless a clone of `files` holds
    /// them, too. Borrowed bytes are left alone.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn from_files(files: ModelFiles) -> Result<Self> {
        Self::from_files_with(files, ModelOptions::default())
    }

    /// Opens a model whose files are in memory, with options.
    ///
    /// # Errors
    /// Those of [`load_with`](Self::load_with).
    pub fn from_files_with(files: ModelFiles, options: ModelOptions) -> Result<Self> {
        let files = files.open_if_packed()?;
        let mut model = Self::open(&files, options)?;
        drop(files);
        model.encoder.release_checkpoint();
        Ok(model)
    }

    pub(super) fn open(files: &ModelFiles, options: ModelOptions) -> Result<Self> {
        let in_folder = |error: Error| match files.path("") {
            Some(folder) => error.in_folder(&folder),
            None => error,
        };
        Self::open_files(files, options).map_err(in_folder)
    }

    fn open_files(files: &ModelFiles, options: ModelOptions) -> Result<Self> {
        let engine = engine(options.threads)?;
        let config = Config::read(files)?;
        if config.head.task == Task::Embedding && options.pooling.is_none() {
            refuse_lost_modules(files)?;
        }
        let tokenizer = Tokenizer::open(files, &config.folder, config.sentence.lower_case)?;
        tokenizer.check_rows(config.encoder.vocab_size)?;
        if config.head.task == Task::FillMask {
            tokenizer.check_mask_row(config.encoder.vocab_size)?;
        }
        let max_length = max_length(files, &config, &tokenizer, &options)?;

        let access = access(&options);
        let threads = &engine.threads;
        let names = config.encoder.family.tensor_names();
        let store = Store::open(files, &config.folder, names, access, threads)?;
        let store = match options.dtype {
            Some(dtype) => store.with_compute_dtype(dtype)?,
            None => store,
        };
        let weights = store.weights();
        let residency = if Head::shares_word_embeddings(&config.head) {
            Residency::InMemory
        } else {
            Residency::OnDemand
        };
        let encoder = Encoder::load(&weights, &config.encoder, residency)?;
        let head = Head::load(&weights, &config.encoder, &config.head)?;
        let hidden = config.encoder.hidden_size;
        let mut embedding = EmbeddingHead::load(files, &config.sentence, hidden, access, threads)?;
        store.reject_unexpected(config.encoder.num_hidden_layers)?;
        if let Some(pooling) = options.pooling {
            embedding.set_pooling(pooling);
        }
        if let Some(normalize) = options.normalize {
            embedding.set_normalize(normalize);
        }
        let similarity = match &config.sentence.similarity {
            Some(name) => Similarity::by_name(name)?,
            None => Similarity::default(),
        };
        let summary = summary(&config, &store, max_length, &embedding, files);
        let model = Self {
            config,
            tokenizer,
            encoder,
            head,
            embedding,
            similarity,
            options,
            max_length,
            dtype: store.compute_dtype(),
            scratch: BufferPool::new(engine.threads.count()),
            engine,
            summary,
        };
        // Options of calls that do not fit are found now and not by the first call.
        model.call(&model.options.calls)?;
        Ok(model)
    }
}

/// Files and folders of an embedding model of sentence-transformers, beside its modules.json.
const SENTENCE_FILES: [&str; 3] = [
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];

/// Refuses the files of an embedding model of sentence-transformers without its modules.json. Without that file the model
/// would open as a plain encoder, whose embeddings have another pooling and another length.
fn refuse_lost_modules(files: &ModelFiles) -> Result<()> {
    let lost = || SENTENCE_FILES.iter().any(|name| files.has(name));
    if !files.has("modules.json") && lost() {
        return Err(files.missing_error(
            "modules.json",
            "modules.json, which says how sentence-transformers computes its embeddings: get that file, too, or choose a \
             pooling (ModelOptions::pooling, --pooling)",
        ));
    }
    Ok(())
}

/// Starts `threads` threads, by default as many as the CPU quota grants, and chooses the best instruction set or the
/// one that `BERTLESS_CPU` names.
///
/// # Errors
/// `Option` for 0 threads and for an instruction set that this processor lacks, `Threads` if they cannot be started.
pub(crate) fn engine(threads: Option<usize>) -> Result<Engine> {
    let count = match threads {
        Some(0) => {
            return Err(Error::Option {
                name: "threads",
                reason: "0 threads compute nothing".to_owned(),
            });
        }
        Some(count) => count,
        None => threads::default_thread_count(),
    };
    let cpu = match std::env::var_os(FORCED_CPU) {
        None => Cpu::detect(),
        Some(name) => name
            .to_str()
            .and_then(Cpu::from_name)
            .ok_or_else(|| Error::Option {
                name: FORCED_CPU,
                reason: format!(
                    "{name:?} is not an instruction set of this processor (known are {})",
                    cpu::NAMES.join(", ")
                ),
            })?,
    };
    let threads = Threads::new(count).map_err(|cause| Error::Threads {
        threads: count,
        cause,
    })?;
    Ok(Engine::new(cpu, threads))
}

#[cfg(feature = "mmap")]
fn access(options: &ModelOptions) -> Access {
    options.map.map_or(Access::Read, Access::Map)
}

#[cfg(not(feature = "mmap"))]
fn access(_: &ModelOptions) -> Access {
    Access::Read
}

/// Maximum number of tokens of a text: the one of the options, else that of the files; never more than the number of
/// positions.
fn max_length(
    files: &ModelFiles,
    config: &Config,
    tokenizer: &Tokenizer,
    options: &ModelOptions,
) -> Result<usize> {
    let positions = config.encoder.max_tokens();
    if let Some(requested) = options.max_length {
        check_max_length(config, tokenizer, requested)?;
        return Ok(requested);
    }
    let limit = config.sentence.max_tokens.or(tokenizer.model_max_length());
    let max_length = limit.map_or(positions, |limit| limit.min(positions));
    if let Some(reason) = no_room(tokenizer, max_length) {
        let (file, key) = if max_length == positions {
            ("config.json", "max_position_embeddings")
        } else {
            (max_length_file(files, &config.folder), "max_seq_length")
        };
        return Err(Error::Config {
            file: join_within(&config.folder, file, file)?,
            key: key.to_owned(),
            reason,
        });
    }
    Ok(max_length)
}

/// Refuses a maximum number of tokens that the model has no positions for, or that has no room for a word.
pub(super) fn check_max_length(
    config: &Config,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Result<()> {
    let positions = config.encoder.max_tokens();
    let reason = if max_length > positions {
        Some(format!(
            "{max_length} tokens are asked for, the model has {positions} positions"
        ))
    } else {
        no_room(tokenizer, max_length)
    };
    match reason {
        None => Ok(()),
        Some(reason) => Err(Error::Option {
            name: "max_length",
            reason,
        }),
    }
}

/// Reason why a maximum number of tokens is too small, if it is.
fn no_room(tokenizer: &Tokenizer, max_length: usize) -> Option<String> {
    let specials = tokenizer.special_tokens(false);
    (max_length <= specials)
        .then(|| format!("{max_length} leaves no room for a word beside {specials} special tokens"))
}

/// Name of the file in which sentence-transformers limits the length of texts.
fn max_length_file(files: &ModelFiles, folder: &str) -> &'static str {
    let is_there = |name: &&str| join_within(folder, name, name).is_ok_and(|file| files.has(&file));
    let mut names = TRANSFORMER_FILES.into_iter();
    names.find(is_there).unwrap_or(TRANSFORMER_FILES[0])
}

fn summary(
    config: &Config,
    store: &Store,
    max_length: usize,
    embedding: &EmbeddingHead,
    files: &ModelFiles,
) -> Summary {
    let task = config.head.task;
    let embeds = task == Task::Embedding;
    Summary {
        family: config.encoder.family,
        architecture: config.head.architecture.clone(),
        task,
        num_hidden_layers: config.encoder.num_hidden_layers,
        hidden_size: config.encoder.hidden_size,
        num_attention_heads: config.encoder.num_attention_heads,
        vocab_size: config.encoder.vocab_size,
        max_length,
        labels: config.head.labels.clone(),
        score_function: (task == Task::Classification).then_some(config.head.score),
        pooling: if embeds {
            embedding.pooling().to_vec()
        } else {
            Vec::new()
        },
        embedding_dim: embeds.then(|| embedding.width()),
        parameters: store.parameters(),
        bytes: store.byte_len(),
        dtype: store.storage_dtype(),
        packed: files.packed().map(|file| file.summary()),
    }
}
