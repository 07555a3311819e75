//! Outputs of a teacher for each text, computed before the first step, so that no step pays for them.

use std::path::{Path, PathBuf};

use crate::batch::Input;
use crate::config::{Config, Task};
use crate::error::{Error, Result};
use crate::model::{Model, ModelOptions};
use crate::train::data::{Dataset, Labels};
use crate::train::recipe::Recipe;
use crate::train::task::TaskKind;
use crate::weights::{Access, Files};

/// Number of texts in a batch of the teacher.
const ASKED: usize = 512;

/// Texts of rows, one or two each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    texts: Vec<String>,
    /// Number of texts in a row.
    width: usize,
}

impl Texts {
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
pub(crate) struct Targets {
    /// Outputs, (examples, separately encoded texts of an example, width).
    numbers: Vec<f32>,
    width: usize,
    /// Number of texts of an example that have an output each.
    apart: usize,
    unasked: Option<Unasked>,
}

/// A teacher that has not run yet.
#[derive(Debug)]
struct Unasked {
    folder: PathBuf,
    options: ModelOptions,
    texts: Texts,
    /// Index of each of the student's outputs among the teacher's.
    order: Vec<usize>,
}

impl Targets {
    /// Wraps outputs that a table holds, (examples, width).
    pub(crate) fn known(numbers: Vec<f32>, width: usize) -> Self {
        Self {
            numbers,
            width,
            apart: 1,
            unasked: None,
        }
    }

    /// Prepares the recipe's teacher, which reads the texts with its own tokenizer. It runs later, in [`ask`](Self::ask).
    ///
    /// # Errors
    /// Any error of opening the teacher; `Option` if it is no teacher for this task or these labels.
    pub(crate) fn asked(
        recipe: &Recipe,
        max_length: usize,
        texts: Texts,
        labels: &Labels,
        threads: Option<usize>,
    ) -> Result<Self> {
        let distillation = recipe.distillation.as_ref();
        let folder = distillation.and_then(|it| it.teacher.clone());
        let folder = folder.unwrap_or_default();
        let config = teacher_of(&folder, recipe.task)?;
        let mut options =
            ModelOptions::new().max_length(max_length.min(config.encoder.max_tokens()));
        if let Some(threads) = threads {
            options = options.threads(threads);
        }
        if let Some(dtype) = distillation.and_then(|it| it.dtype) {
            options = options.dtype(dtype);
        }
        Ok(Self {
            numbers: Vec::new(),
            width: 0,
            apart: if config.head.task == Task::Embedding {
                texts.width
            } else {
                1
            },
            unasked: Some(Unasked {
                folder,
                options,
                texts,
                order: order(labels.names(), &config.head.labels),
            }),
        })
    }

    /// Runs the teacher, unless it has run. Calls `done(done, total)` with numbers of texts.
    ///
    /// # Errors
    /// Any error of the teacher; `Option` if the width of its outputs is not `width`.
    pub(crate) fn ask(&mut self, width: usize, done: &mut dyn FnMut(usize, usize)) -> Result<()> {
        let Some(unasked) = self.unasked.take() else {
            return Ok(());
        };
        let model = Model::load_with(&unasked.folder, unasked.options);
        let model = model.map_err(|error| match error {
            Error::WeightMissing { name } => Error::Option {
                name: "teacher",
                reason: format!("its checkpoint has no {name}"),
            },
            error => error,
        })?;
        let teacher_width = match model.task() {
            Task::Embedding => model.summary().embedding.unwrap_or_default(),
            _ => model.labels().len(),
        };
        if teacher_width != width {
            return Err(Error::Option {
                name: "teacher",
                reason: format!("it puts out {teacher_width} numbers, and the student {width}"),
            });
        }
        let texts: Vec<&str> = unasked.texts.iter().collect();
        let rows = texts.len() / unasked.texts.width.max(1);
        let per_row = texts.len() / rows.max(1);
        self.width = width;
        self.numbers.reserve_exact(rows * self.apart * width);
        for (at, some) in texts.chunks(ASKED * per_row).enumerate() {
            done(at * ASKED, rows);
            let outputs = match (model.task(), per_row) {
                (Task::Embedding, _) => model.embed_batch(some)?,
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
                match &unasked.order[..] {
                    [] => self.numbers.extend(row),
                    order => self.numbers.extend(order.iter().map(|&of| row[of])),
                }
            }
        }
        done(rows, rows);
        Ok(())
    }

    /// Returns the outputs for some examples in the order of the student's head: of separately encoded pairs all first texts,
    /// then all second ones.
    pub(crate) fn of(&self, examples: &[usize]) -> Vec<f32> {
        let mut found = Vec::with_capacity(examples.len() * self.apart * self.width);
        for text in 0..self.apart {
            for example in examples {
                let at = (example * self.apart + text) * self.width;
                found.extend_from_slice(&self.numbers[at..][..self.width]);
            }
        }
        found
    }
}

/// Reads the configuration of a teacher whose outputs are learned.
///
/// # Errors
/// Any error of reading its files; `Option` for a teacher of another task.
pub(crate) fn teacher_of(path: &Path, task: TaskKind) -> Result<Config> {
    let config = Config::read(&Files::open(path, Access::Read)?)?;
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
fn order(student: &[String], teacher: &[String]) -> Vec<usize> {
    let place = |label: &String| teacher.iter().position(|name| name == label);
    let order: Option<Vec<usize>> = student.iter().map(place).collect();
    order
        .filter(|order| order.len() == teacher.len())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_their_names() {
        let own = |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
        assert_eq!(order(&own(&["a", "b"]), &own(&["b", "a"])), [1, 0]);
        assert_eq!(order(&own(&["a", "b"]), &own(&["0", "1"])), [0; 0]);
        assert_eq!(order(&own(&["a"]), &own(&["a", "b"])), [0; 0]);
    }

    #[test]
    fn pairs_that_are_read_apart_give_first_texts_first() {
        let targets = Targets {
            apart: 2,
            ..Targets::known((0..8).map(|at| at as f32).collect(), 2)
        };
        assert_eq!(
            targets.of(&[1, 0]),
            [4.0, 5.0, 0.0, 1.0, 6.0, 7.0, 2.0, 3.0]
        );
        let targets = Targets::known(vec![0.0, 1.0, 2.0], 1);
        assert_eq!(targets.of(&[2, 0]), [2.0, 0.0]);
    }
}
