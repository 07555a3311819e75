//! The files of a trained model's folder other than the weights; they are known before the first step.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::parameters::Parameter;
use crate::config::{Family, TRANSFORMER_FILES};
use crate::error::{Error, Result};
use crate::train::atomic::{replace_bytes, replace_tensors, view};
use crate::train::task::{TaskKind, TaskSpec};
use crate::weights::ModelFiles;

const CONFIG: &str = "config.json";
const MODULES: &str = "modules.json";

/// Tokenizer files that a folder may have.
const TOKENIZER: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
];
/// File of sentence-transformers beside its module list and the encoder's length limit.
const SENTENCE: &str = "config_sentence_transformers.json";

/// Sizes of a student that differ from the initial model's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Shape {
    pub(crate) layers: Option<usize>,
    pub(crate) hidden: Option<usize>,
    pub(crate) heads: Option<usize>,
    pub(crate) intermediate: Option<usize>,
    pub(crate) vocabulary: Option<usize>,
}

/// Files of a model's folder by name, without the weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CheckpointFiles(BTreeMap<String, Vec<u8>>);

impl CheckpointFiles {
    /// Reads the files of a model's folder.
    ///
    /// # Errors
    /// `Io`; `Json` for files that list other files.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let mut checkpoint = Self(BTreeMap::new());
        let config = read(folder, CONFIG)?.ok_or_else(|| Error::FileMissing {
            dir: folder.to_owned(),
            what: CONFIG,
            given: None,
        })?;
        checkpoint.0.insert(CONFIG.to_owned(), config);
        let sentence = TRANSFORMER_FILES.into_iter().chain([SENTENCE, MODULES]);
        for name in TOKENIZER.into_iter().chain(sentence) {
            checkpoint.take(folder, name)?;
        }
        let modules = checkpoint.json(MODULES)?;
        for module in modules.as_array().into_iter().flatten() {
            // The encoder's own module is the folder itself, or its files are elsewhere and not read here.
            if let Some(path) = module["path"].as_str().filter(|path| !path.is_empty()) {
                crate::weights::join_within("", path, MODULES)?;
                checkpoint.take(folder, &format!("{path}/config.json"))?;
            }
        }
        Ok(checkpoint)
    }

    fn take(&mut self, folder: &Path, name: &str) -> Result<()> {
        if let Some(bytes) = read(folder, name)? {
            self.0.insert(name.to_owned(), bytes);
        }
        Ok(())
    }

    /// Returns a file as JSON; null if it does not exist.
    ///
    /// # Errors
    /// `Json`.
    pub(crate) fn json(&self, name: &str) -> Result<Value> {
        let Some(bytes) = self.0.get(name) else {
            return Ok(Value::Null);
        };
        serde_json::from_slice(bytes).map_err(|cause| Error::Json {
            file: name.to_owned(),
            cause,
        })
    }

    /// Adds or replaces a file.
    pub(crate) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.to_owned(), bytes);
    }

    /// Adds or replaces a JSON file.
    pub(crate) fn put_json(&mut self, name: &str, value: &Value) {
        let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
        text.push('\n');
        self.put(name, text.into_bytes());
    }

    /// Returns whether a file of this name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Edits the keys of config.json.
    fn configure(&mut self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<()> {
        let mut config = self.json(CONFIG)?;
        if let Some(keys) = config.as_object_mut() {
            change(keys);
        }
        self.put_json(CONFIG, &config);
        Ok(())
    }

    /// Sets the student's sizes in the configuration.
    ///
    /// # Errors
    /// `Json` for an invalid configuration.
    pub(crate) fn reshape(&mut self, family: Family, shape: Shape) -> Result<()> {
        let names = match family {
            Family::DistilBert => ["n_layers", "dim", "n_heads", "hidden_dim"],
            _ => [
                "num_hidden_layers",
                "hidden_size",
                "num_attention_heads",
                "intermediate_size",
            ],
        };
        let sizes = [shape.layers, shape.hidden, shape.heads, shape.intermediate];
        if let Some(width) = shape.hidden {
            self.pool_width(width)?;
        }
        self.configure(|keys| {
            let all = names
                .into_iter()
                .zip(sizes)
                .chain([("vocab_size", shape.vocabulary)]);
            for (name, size) in all {
                if let Some(size) = size {
                    keys.insert(name.to_owned(), size.into());
                }
            }
        })
    }

    /// Rewrites the configuration for a task with these labels. An embedding model with CLS or mean pooling stays as it is; any
    /// other model becomes one with mean pooling and normalized embeddings.
    ///
    /// # Errors
    /// `Json` for an invalid configuration.
    pub(crate) fn for_task(
        &mut self,
        family: Family,
        task: TaskKind,
        labels: &[String],
    ) -> Result<()> {
        let TaskSpec {
            architecture,
            problem_type,
            ..
        } = task.spec();
        let name = match family {
            Family::DistilBert => "DistilBert",
            _ => "Bert",
        };
        self.configure(|keys| {
            keys.insert(
                "architectures".to_owned(),
                json!([format!("{name}{architecture}")]),
            );
            for key in [
                "id2label",
                "label2id",
                "num_labels",
                "problem_type",
                "_name_or_path",
                // Activation of a single output, as cross-encoders of sentence-transformers store it.
                "sentence_transformers",
                "sbert_ce_default_activation_function",
                "torch_dtype",
            ] {
                keys.remove(key);
            }
            keys.insert("dtype".to_owned(), json!("float32"));
            if *problem_type == Some("regression") {
                let identity = json!({"activation_fn": "torch.nn.modules.linear.Identity"});
                keys.insert("sentence_transformers".to_owned(), identity);
            }
            if let Some(problem) = problem_type {
                keys.insert("problem_type".to_owned(), json!(problem));
            }
            if !labels.is_empty() {
                let named = labels.iter().enumerate();
                let by_id = named
                    .clone()
                    .map(|(id, label)| (id.to_string(), json!(label)));
                keys.insert("id2label".to_owned(), Value::Object(by_id.collect()));
                let by_label = named.map(|(id, label)| (label.clone(), json!(id)));
                keys.insert("label2id".to_owned(), Value::Object(by_label.collect()));
            }
        })?;
        match *architecture {
            "Model" if !self.has(MODULES) => self.pool_by_mean(),
            "Model" => Ok(()),
            _ => {
                self.0.retain(|name, _| {
                    let name = name.as_str();
                    let sentence =
                        TRANSFORMER_FILES.contains(&name) || [SENTENCE, MODULES].contains(&name);
                    !sentence && !name.contains('/')
                });
                Ok(())
            }
        }
    }

    /// Sets the width of the encoder's rows in the modules behind it.
    fn pool_width(&mut self, width: usize) -> Result<()> {
        let modules: Vec<String> = self
            .0
            .keys()
            .filter(|name| name.contains('/'))
            .cloned()
            .collect();
        for name in modules {
            let mut module = self.json(&name)?;
            for key in ["word_embedding_dimension", "embedding_dimension"] {
                if let Some(dimension) = module.get_mut(key) {
                    *dimension = width.into();
                }
            }
            self.put_json(&name, &module);
        }
        Ok(())
    }

    fn pool_by_mean(&mut self) -> Result<()> {
        let config = self.json(CONFIG)?;
        let width = config
            .get("dim")
            .or_else(|| config.get("hidden_size"))
            .cloned();
        let module = |idx: usize, path: &str, kind: &str| {
            json!({
                "idx": idx,
                "name": idx.to_string(),
                "path": path,
                "type": format!("sentence_transformers.models.{kind}"),
            })
        };
        let modules = [
            module(0, "", "Transformer"),
            module(1, "1_Pooling", "Pooling"),
            module(2, "2_Normalize", "Normalize"),
        ];
        self.put_json(MODULES, &json!(modules));
        let pooling = json!({
            "word_embedding_dimension": width,
            "pooling_mode_cls_token": false,
            "pooling_mode_mean_tokens": true,
            "pooling_mode_max_tokens": false,
            "pooling_mode_mean_sqrt_len_tokens": false,
        });
        self.put_json("1_Pooling/config.json", &pooling);
        Ok(())
    }

    /// Returns the files in memory, as a model can be opened from them.
    pub(crate) fn files(&self) -> ModelFiles {
        let all = self.0.iter();
        all.fold(ModelFiles::new(), |files, (name, bytes)| {
            files.with(name, bytes.clone())
        })
    }

    /// Writes the folder with these weights. Each file is the old or the new one at any moment; the weights come last.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn write<'a>(
        &self,
        folder: &Path,
        parameters: impl Iterator<Item = &'a Parameter>,
    ) -> Result<()> {
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|cause| Error::Io {
                path: parent.to_owned(),
                cause,
            })?;
            // A file with the same content need not be written to the disk again.
            if fs::read(&path).is_ok_and(|old| old == *bytes) {
                continue;
            }
            replace_bytes(&path, bytes)?;
        }
        let tensors = parameters.map(|parameter| {
            (
                parameter.name.clone(),
                view(&parameter.shape, &parameter.values),
            )
        });
        // transformers requires this metadata.
        let path = folder.join("model.safetensors");
        replace_tensors(&path, tensors, "format", "pt".to_owned())
    }
}

/// Reads a file of a folder, if it exists.
fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::Io { path, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::fixture;
    use crate::train::model::parameters::Parameters;

    #[test]
    fn an_embedder_becomes_a_classifier() {
        let mut checkpoint = CheckpointFiles::of(&fixture("sentence-weighted")).unwrap();
        assert!(checkpoint.has(MODULES) && checkpoint.has("1_Pooling/config.json"));
        let labels = ["no", "yes"].map(str::to_owned);
        checkpoint
            .for_task(Family::Bert, TaskKind::Classification, &labels)
            .unwrap();
        let config = checkpoint.json(CONFIG).unwrap();
        assert_eq!(
            config["architectures"],
            json!(["BertForSequenceClassification"])
        );
        assert_eq!(config["id2label"], json!({"0": "no", "1": "yes"}));
        assert_eq!(config["label2id"]["yes"], 1);
        assert_eq!(config["problem_type"], "single_label_classification");
        assert!(!checkpoint.has(MODULES) && !checkpoint.has("1_Pooling/config.json"));
        assert!(checkpoint.has("tokenizer.json"));
    }

    #[test]
    fn a_classifier_becomes_an_embedder_of_another_shape() {
        let mut checkpoint = CheckpointFiles::of(&fixture("distilbert-classify")).unwrap();
        let shape = Shape {
            layers: Some(1),
            intermediate: Some(8),
            ..Shape::default()
        };
        checkpoint.reshape(Family::DistilBert, shape).unwrap();
        checkpoint
            .for_task(Family::DistilBert, TaskKind::MultipleNegatives, &[])
            .unwrap();
        let config = checkpoint.json(CONFIG).unwrap();
        assert_eq!(
            (&config["n_layers"], &config["hidden_dim"]),
            (&json!(1), &json!(8))
        );
        assert_eq!(config["architectures"], json!(["DistilBertModel"]));
        assert_eq!(config.get("id2label"), None);
        assert_eq!(checkpoint.json(MODULES).unwrap()[2]["path"], "2_Normalize");
        let pooling = checkpoint.json("1_Pooling/config.json").unwrap();
        assert_eq!(pooling["word_embedding_dimension"], config["dim"]);
    }

    #[test]
    fn an_embedder_that_becomes_narrower_pools_narrower_rows() {
        let mut checkpoint = CheckpointFiles::of(&fixture("sentence-dot")).unwrap();
        let shape = Shape {
            hidden: Some(6),
            ..Shape::default()
        };
        checkpoint.reshape(Family::Bert, shape).unwrap();
        checkpoint
            .for_task(Family::Bert, TaskKind::Similarity, &[])
            .unwrap();
        let pooling = checkpoint.json("1_Pooling/config.json").unwrap();
        assert_eq!(pooling["embedding_dimension"], 6);
        assert_eq!(pooling["pooling_mode"], "mean");
    }

    #[test]
    fn a_folder_is_written_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = CheckpointFiles::of(&fixture("sentence-weighted")).unwrap();
        let mut parameters = Parameters::default();
        parameters.add(Parameter {
            name: "a".to_owned(),
            shape: vec![2],
            values: vec![1.0, 2.0],
            decays: true,
        });
        for _ in 0..2 {
            checkpoint.write(dir.path(), parameters.iter()).unwrap();
        }
        assert_eq!(CheckpointFiles::of(dir.path()).unwrap(), checkpoint);
        let bytes = fs::read(dir.path().join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(
            tensors.tensor("a").unwrap().data(),
            [0, 0, 128, 63, 0, 0, 0, 64]
        );
    }

    #[test]
    fn no_folder_is_no_blueprint() {
        let dir = tempfile::tempdir().unwrap();
        let error = CheckpointFiles::of(dir.path()).unwrap_err();
        assert!(
            matches!(error, Error::FileMissing { what: CONFIG, .. }),
            "{error}"
        );
        fs::write(dir.path().join(CONFIG), "{}").unwrap();
        fs::write(dir.path().join(MODULES), r#"[{"path": "../out"}]"#).unwrap();
        let error = CheckpointFiles::of(dir.path()).unwrap_err();
        assert!(matches!(error, Error::PathOutside { .. }), "{error}");
    }
}
