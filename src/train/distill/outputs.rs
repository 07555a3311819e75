//! Outputs of a teacher for each text, computed before the first step, so that no step pays for them.

use std::path::{Path, PathBuf};

use crate::batch::Input;
use crate::config::{Config, Task};
use crate::error::{Error, Result};
use crate::model::{Model, ModelOptions};
use crate::train::data::{Dataset, Labels};
use crate::train::recipe::Recipe;
use crate::train::task::TaskKind;
use crate::weights::{Access, ModelFiles};

/// Number of texts in a batch of the teacher.
const BATCH_SIZE: usize = 512;

/// Texts of rows, one or two each.
#[derive(Clone, Debug, Default)]
pub(crate) struct TeacherTexts {
    texts: Vec<String>,
    /// Number of texts in a row.
    width: usize,
}

impl TeacherTexts {
    /// Collects the texts of all rows.
    pub(crate) fn of<'a>(datasets: impl Iterator<Item = &'a Dataset>) -> Self {
        let mut found = Self::default();
        for row in datasets.flat_map(|dataset| &dataset.rows) {
            found.width = row.texts().count();
            let texts = row.texts().map(|cell| cell.text().to_owned());
            found.texts.extend(texts);
        }
        found
    }

    pub(crate) fn join(mut self, other: Self) -> Self {
        self.texts.extend(other.texts);
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }
}

/// A teacher's outputs with a row per text: logits or embeddings.
#[derive(Debug)]
pub(crate) struct TeacherOutputs {
    /// Outputs, (examples, separately encoded texts of an example, width).
    values: Vec<f32>,
    width: usize,
    /// Number of texts of an example that have an output each: 2 for pairs whose texts are encoded separately, else 1.
    texts_per_example: usize,
    pending: Option<Pending>,
}

/// The inputs of a teacher that has not run yet.
#[derive(Debug)]
struct Pending {
    folder: PathBuf,
    options: ModelOptions,
    texts: TeacherTexts,
    /// Index of each of the student's outputs among the teacher's.
    label_permutation: Vec<usize>,
}

impl TeacherOutputs {
    /// Wraps outputs that a table holds, (examples, width).
    pub(crate) fn from_table(values: Vec<f32>, width: usize) -> Self {
        Self {
            values,
            width,
            texts_per_example: 1,
            pending: None,
        }
    }

    /// Prepares the recipe's teacher, which reads the texts with its own tokenizer. It runs later, in [`compute`](Self::compute).
    ///
    /// # Errors
    /// Any error of opening the teacher; `Option` if it is no teacher for this task or these labels.
    pub(crate) fn lazy(
        recipe: &Recipe,
        max_length: usize,
        texts: TeacherTexts,
        labels: &Labels,
        threads: Option<usize>,
    ) -> Result<Self> {
        let distillation = recipe.distillation.as_ref();
        let folder = distillation.and_then(|it| it.teacher.clone());
        let folder = folder.unwrap_or_default();
        let config = teacher_config(&folder, recipe.task)?;
        let mut options =
            ModelOptions::new().max_length(max_length.min(config.encoder.max_tokens()));
        if let Some(threads) = threads {
            options = options.threads(threads);
        }
        if let Some(dtype) = distillation.and_then(|it| it.dtype) {
            options = options.dtype(dtype);
        }
        Ok(Self {
            values: Vec::new(),
            width: 0,
            texts_per_example: if config.head.task == Task::Embedding {
                texts.width
            } else {
                1
            },
            pending: Some(Pending {
                folder,
                options,
                texts,
                label_permutation: label_permutation(labels.names(), &config.head.labels),
            }),
        })
    }

    /// Runs the teacher, unless it has run. Calls `done(done, total)` with numbers of texts.
    ///
    /// # Errors
    /// Any error of the teacher; `Option` if the width of its outputs is not `width`.
    pub(crate) fn compute(
        &mut self,
        width: usize,
        done: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let model = Model::load_with(&pending.folder, pending.options).map_err(blame_teacher)?;
        let teacher_width = match model.task() {
            Task::Embedding => model.summary().embedding_dim.unwrap_or_default(),
            _ => model.labels().len(),
        };
        if teacher_width != width {
            return Err(Error::Option {
                name: "teacher",
                reason: format!("its output has {teacher_width} values, and the student's {width}"),
            });
        }
        let texts: Vec<&str> = pending.texts.iter().collect();
        let rows = texts.len() / pending.texts.width.max(1);
        let per_row = texts.len() / rows.max(1);
        self.width = width;
        self.values
            .reserve_exact(rows * self.texts_per_example * width);
        for (at, some) in texts.chunks(BATCH_SIZE * per_row).enumerate() {
            done(at * BATCH_SIZE, rows);
            let outputs = match (model.task(), per_row) {
                (Task::Embedding, _) => model.embed_batch(some)?.into_array(),
                (_, 2) => {
                    let pairs = some.chunks_exact(2);
                    let pairs: Vec<(&str, &str)> = pairs.map(|both| (both[0], both[1])).collect();
                    model.logits_batch(&pairs)?
                }
                _ => {
                    let inputs: Vec<Input<'_>> = some.iter().map(|&text| text.into()).collect();
                    model.logits_batch(&inputs)?
                }
            };
            for row in outputs.rows() {
                match &pending.label_permutation[..] {
                    [] => self.values.extend(row),
                    permutation => self.values.extend(permutation.iter().map(|&of| row[of])),
                }
            }
        }
        done(rows, rows);
        Ok(())
    }

    /// Returns the outputs for some examples in the order of the student's head: of separately encoded pairs all first texts,
    /// then all second ones.
    pub(crate) fn of(&self, examples: &[usize]) -> Vec<f32> {
        let mut found = Vec::with_capacity(examples.len() * self.texts_per_example * self.width);
        for text in 0..self.texts_per_example {
            for example in examples {
                let at = (example * self.texts_per_example + text) * self.width;
                found.extend_from_slice(&self.values[at..][..self.width]);
            }
        }
        found
    }
}

/// Names the teacher in an error about a weight that its checkpoint lacks.
pub(super) fn blame_teacher(error: Error) -> Error {
    match error {
        Error::WeightMissing { name } => Error::Option {
            name: "teacher",
            reason: format!("its checkpoint has no {name}"),
        },
        error => error,
    }
}

/// Reads the configuration of a teacher whose outputs are learned.
///
/// # Errors
/// Any error of reading its files; `Option` for a teacher of another task.
pub(crate) fn teacher_config(path: &Path, task: TaskKind) -> Result<Config> {
    let config = Config::read(&ModelFiles::open(path, Access::Read)?)?;
    let wanted = task.spec().model_task;
    match config.head.task {
        found if found == wanted => Ok(config),
        found => Err(Error::Option {
            name: "teacher",
            reason: format!("it is for {}, and not for {}", found.name(), wanted.name()),
        }),
    }
}

/// Returns the teacher's index of each of the student's labels; empty if the labels differ, or are the same in the same order.
fn label_permutation(student: &[String], teacher: &[String]) -> Vec<usize> {
    let index = |label: &String| teacher.iter().position(|name| name == label);
    let permutation: Option<Vec<usize>> = student.iter().map(index).collect();
    permutation
        .filter(|permutation| permutation.len() == teacher.len())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_their_names() {
        let of = |student: &[&str], teacher: &[&str]| {
            let [student, teacher] = [student, teacher].map(|names| {
                names
                    .iter()
                    .map(|&name| name.to_owned())
                    .collect::<Vec<_>>()
            });
            label_permutation(&student, &teacher)
        };
        assert_eq!(of(&["a", "b"], &["b", "a"]), [1, 0]);
        assert_eq!(of(&["a", "b"], &["0", "1"]), [0; 0]);
        assert_eq!(of(&["a"], &["a", "b"]), [0; 0]);
    }

    #[test]
    fn pairs_that_are_read_apart_give_first_texts_first() {
        let targets = TeacherOutputs {
            texts_per_example: 2,
            ..TeacherOutputs::from_table((0..8).map(|at| at as f32).collect(), 2)
        };
        assert_eq!(
            targets.of(&[1, 0]),
            [4.0, 5.0, 0.0, 1.0, 6.0, 7.0, 2.0, 3.0]
        );
        let targets = TeacherOutputs::from_table(vec![0.0, 1.0, 2.0], 1);
        assert_eq!(targets.of(&[2, 0]), [2.0, 0.0]);
    }
}
