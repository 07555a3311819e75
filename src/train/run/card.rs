//! Model cards: what a trained model is, its metrics, and how it was trained.

use std::fmt::Write;
use std::path::Path;

use super::log::Figures;
use crate::config::EncoderConfig;
use crate::train::data::Source;
use crate::train::model::vocabulary::Coverage;
use crate::train::recipe::Recipe;
use crate::train::task::{LabelSet, TaskSpec};

/// Contents of a model card.
pub(crate) struct Card<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) encoder: &'a EncoderConfig,
    pub(crate) labels: &'a [String],
    /// Number of trained parameters.
    pub(crate) parameters: usize,
    /// Number of training examples.
    pub(crate) examples: usize,
    pub(crate) coverage: Option<Coverage>,
    /// Metrics of the saved model; `None` without evaluation examples.
    pub(crate) best: Option<&'a Figures>,
}

impl Card<'_> {
    /// Formats the card as Markdown, with the metadata that model hubs read at its head.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let recipe = self.recipe;
        let task = recipe.task.spec();
        let TaskSpec {
            library_name,
            pipeline_tag,
            does,
            ..
        } = task;
        let name = recipe
            .output
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        writeln!(
            out,
            "---\nlibrary_name: {library_name}\npipeline_tag: {pipeline_tag}\n---\n\n# {name}\n"
        )?;
        let EncoderConfig {
            family,
            num_hidden_layers: layers,
            hidden_size: hidden,
            num_attention_heads: heads,
            vocab_size,
            ..
        } = self.encoder;
        writeln!(
            out,
            "A model of the family {} that {does}: {layers} layers, hidden size {hidden}, {heads} attention heads, \
             {vocab_size} tokens, {:.1} million parameters. Trained with bertless {}.",
            family.name(),
            self.parameters as f64 / 1e6,
            env!("CARGO_PKG_VERSION"),
        )?;
        if task.labels == LabelSet::Named && !self.labels.is_empty() {
            writeln!(out, "\nLabels: {}.", self.labels.join(", "))?;
        }
        let usage = recipe.usage(Path::new(&*name));
        writeln!(out, "\n```sh\n{usage}\n```")?;
        if let Some(best) = self.best {
            let tables: Vec<String> = recipe.data.dev.iter().map(named).collect();
            writeln!(
                out,
                "\n## Evaluation\n\nOn {}, after step {}:\n",
                tables.join(", "),
                best.step
            )?;
            writeln!(out, "| metric | |\n|---|---:|")?;
            for (name, figure) in &best.figures {
                writeln!(out, "| {name} | {figure:.4} |")?;
            }
            writeln!(
                out,
                "\nThe same rows selected this step, so evaluate the model on others, too."
            )?;
        }
        writeln!(out, "\n## Training\n")?;
        writeln!(
            out,
            "- initial model `{}`, whose licence applies to this model, too",
            recipe.model.display()
        )?;
        let teacher = recipe.distillation.as_ref().map(|it| &it.teacher);
        match teacher {
            Some(Some(teacher)) => writeln!(out, "- taught by `{}`", teacher.display())?,
            Some(None) => writeln!(out, "- taught by logits in the tables")?,
            None => {}
        }
        let lists = [
            ("training tables", &recipe.data.train),
            ("tables of texts without labels", &recipe.data.unlabelled),
        ];
        for (says, sources) in lists {
            if !sources.is_empty() {
                let tables: Vec<String> = sources.iter().map(named).collect();
                writeln!(out, "- {says}: {}", tables.join(", "))?;
            }
        }
        writeln!(
            out,
            "- {} training examples, seed {}",
            self.examples, recipe.training.seed
        )?;
        if let Some(Coverage {
            before,
            after,
            tokens,
            covered,
            ..
        }) = self.coverage
        {
            let percent = 100.0 * covered as f64 / tokens.max(1) as f64;
            writeln!(
                out,
                "- vocabulary pruned from {before} to {after} tokens, which are {percent:.2}% of the tokens in its texts"
            )?;
        }
        let command = if recipe.distils() { "distill" } else { "train" };
        let recipe = toml::to_string(recipe).unwrap_or_default();
        writeln!(
            out,
            "\nRecipe, for `bertless {command}`:\n\n```toml\n{recipe}```"
        )
    }
}

/// Names a table and the condition on its rows.
fn named(source: &Source) -> String {
    match &source.only {
        Some(only) => format!(
            "`{}` where {}",
            source.file.display(),
            String::from(only.clone())
        ),
        None => format!("`{}`", source.file.display()),
    }
}
