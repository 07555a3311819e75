//! `bertless predict`: answers of a model's task.

use anyhow::Result;
use bertless::{
    Aggregation, AnswerOptions, Input, Model, ModelOptions, PredictOptions, Task, ZeroShotOptions,
};
use serde::Serialize;

use super::input::{InputFlags, Inputs, Item};
use super::options::{
    EmbeddingFlags, ModelFlags, Threshold, aggregation, at_least_one, threshold, thresholds, whole,
};
use super::output::{Output, note};
use super::stream::answer_all;
use super::{Common, rerank, show, usage};

/// Run the model's task on texts: classify, tag entities, answer questions, fill masks, embed or rerank
///
/// With --json, each line is an object. It begins with the input ("text"; "text" and "text_pair"; or "question" and
/// "context") and ends with "n_tokens" and "truncated". Between them are the keys of the model's task:
///
///   classifier       "label", "score", "scores": [{"label", "score"}], highest first
///
///   multi-label      "label", "score", "labels": [..] (those that reach their threshold), "scores"
///
///   tokens           "entities": [{"label", "score", "text", "start", "end"}], in characters
///
///   questions        "answer", "score", "start", "end", "no_answer_score", "answers": [{"answer", "score", "start", "end"}]
///
///   masks            "masks": [[{"token", "id", "score", "text"}]], a list for each mask
///
///   embeddings       "embedding": [..]
///
/// With --labels the keys are those of a classifier. With --query each line is {"text", "index", "score"}, best first.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    input: InputFlags,
    /// Number of scores, answers, or words per mask to print [default: all scores, 1 answer, 5 words]
    #[arg(short = 'k', long, value_name = "K", value_parser = at_least_one())]
    top_k: Option<usize>,
    /// Lowest score at which a label applies, for all labels (0.3) or for one (joy=0.3) [default: 0.5]
    #[arg(long = "threshold", value_name = "[LABEL=]SCORE", value_parser = threshold)]
    thresholds: Vec<Threshold>,
    /// How token labels are merged into entities
    #[arg(long, value_name = "NAME", default_value = "simple", value_parser = aggregation())]
    aggregation: Aggregation,
    #[command(flatten)]
    question: QuestionFlags,
    /// Rank the texts by relevance to this query
    #[arg(long, value_name = "QUERY", conflicts_with_all = ["pairs", "jsonl", "question", "labels"])]
    query: Option<String>,
    /// Classify into these labels, separated by commas, with an entailment (NLI) model
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    #[arg(conflicts_with_all = ["pairs", "question"])]
    labels: Vec<String>,
    /// Score each of --labels independently: several may apply
    #[arg(long, requires = "labels")]
    multi_label: bool,
    /// Hypothesis that states a label, with {} in place of the label [default: This example is {}.]
    #[arg(long, value_name = "SENTENCE", requires = "labels")]
    template: Option<String>,
    /// Name or id of the model's entailment label [default: the one that begins with "entail"; if labels have no names, the
    /// last]
    #[arg(long, value_name = "NAME_OR_ID", requires = "labels")]
    entailment_label: Option<String>,
    #[command(flatten)]
    embedding: EmbeddingFlags,
}

/// Flags of question answering.
#[derive(Debug, clap::Args)]
struct QuestionFlags {
    /// Question to answer from each text, or from --context
    #[arg(long, value_name = "QUESTION")]
    question: Option<String>,
    /// Text to find the answer in
    #[arg(long, value_name = "TEXT", requires = "question", conflicts_with_all = ["texts", "file"])]
    context: Option<String>,
    /// Allow the answer that the text has no answer
    #[arg(long)]
    allow_no_answer: bool,
    /// Longest answer, in tokens [default: 15]
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one())]
    max_answer_tokens: Option<usize>,
    /// Overlap of the windows of a long context, in tokens [default: 128, or what fits]
    #[arg(long, value_name = "TOKENS", value_parser = whole(0, u32::MAX as usize))]
    stride: Option<usize>,
}

impl QuestionFlags {
    fn options(&self) -> AnswerOptions {
        let defaults = AnswerOptions::default();
        AnswerOptions {
            allow_no_answer: self.allow_no_answer,
            max_answer_tokens: self.max_answer_tokens.unwrap_or(defaults.max_answer_tokens),
            stride: self.stride,
            ..defaults
        }
    }
}

pub(crate) fn run(arguments: PredictArgs, common: &Common, output: &mut Output) -> Result<()> {
    let options = arguments.options(common);
    let PredictArgs {
        model,
        input,
        top_k,
        question,
        query,
        labels,
        multi_label,
        template,
        entailment_label,
        ..
    } = arguments;
    let asks = question.question.is_some();
    let inputs = match (question.question, question.context) {
        (Some(question), Some(context)) => Inputs::pair(question, context),
        (Some(question), None) => input.open()?.ask(question)?,
        _ => input.open()?,
    };
    let labels = trimmed_labels(&labels)?;
    let model = model.load(options)?;
    if asks && model.task() != Task::QuestionAnswering {
        anyhow::bail!(
            "--question is for models that answer questions, this is one for {}",
            model.task()
        );
    }
    if let Some(query) = query {
        let inputs = inputs.texts_alone("there are two texts: --query ranks single ones");
        return rerank::run(&model, &query, inputs, top_k, output);
    }
    if labels.is_empty() {
        let task = model.task();
        return answer_all(
            inputs,
            output,
            |inputs| Ok(model.predict_batch(inputs)?),
            |output, item, prediction| {
                output.answer(&PredictionRecord::new(task, &item, &prediction), || {
                    show::prediction(&item, &prediction)
                })
            },
        );
    }
    let defaults = ZeroShotOptions::default();
    let mut options = PredictOptions::new().zero_shot(ZeroShotOptions {
        multi_label,
        template: template.unwrap_or(defaults.template),
        entailment_label: entailment_label.or_else(|| last_of_unnamed_labels(&model)),
    });
    if let Some(top_k) = top_k {
        options = options.top_k(top_k);
    }
    let classify = |inputs: &[Input<'_>]| {
        let each = inputs.iter().enumerate();
        each.map(|(index, input)| match *input {
            Input::Text(text) => Ok(model.zero_shot_with(text, &labels, &options)?),
            Input::Pair(..) => Err(bertless::Error::Input {
                index: Some(index),
                reason: "--labels are for texts, not for pairs".to_owned(),
            }
            .into()),
        })
        .collect()
    };
    answer_all(inputs, output, classify, |output, item, answer| {
        output.answer(
            &PredictionRecord::new(Task::Classification, &item, &answer),
            || show::classification(&item, &answer),
        )
    })
}

impl PredictArgs {
    fn options(&self, common: &Common) -> ModelOptions {
        let mut calls = PredictOptions::new()
            .aggregation(self.aggregation)
            .answers(self.question.options());
        if let Some(thresholds) = thresholds(&self.thresholds) {
            calls = calls.thresholds(thresholds);
        }
        if let Some(top_k) = self.top_k {
            calls = calls.top_k(top_k);
        }
        self.embedding.apply(self.model.options(common), calls)
    }
}

/// The id of the label that transformers takes for entailment where labels have no names: the last one. Says so.
fn last_of_unnamed_labels(model: &Model) -> Option<String> {
    let mut labels = model.labels().iter().enumerate();
    let last = model.labels().len().checked_sub(1)?;
    let unnamed =
        labels.all(|(id, label)| *label == format!("LABEL_{id}") || *label == id.to_string());
    if !unnamed || model.task() != Task::Classification || model.entailment_label().is_some() {
        return None;
    }
    note(format_args!(
        "warning: the model's labels have no names, so label {last}, the last one, is taken to mean entailment; \
         --entailment-label says which one does"
    ));
    Some(last.to_string())
}

/// Trims spaces around labels. An empty label is a usage error.
fn trimmed_labels(labels: &[String]) -> Result<Vec<&str>> {
    let labels: Vec<&str> = labels.iter().map(|label| label.trim()).collect();
    if labels.contains(&"") {
        Err(usage("a label of --labels is empty"))
    } else {
        Ok(labels)
    }
}

/// A line of JSON: the input, then the answer.
#[derive(Serialize)]
struct PredictionRecord<'a, A> {
    #[serde(flatten)]
    input: InputFields<'a>,
    #[serde(flatten)]
    answer: &'a A,
}

#[derive(Serialize)]
#[serde(untagged)]
enum InputFields<'a> {
    Text { text: &'a str },
    Pair { text: &'a str, text_pair: &'a str },
    Question { question: &'a str, context: &'a str },
}

impl<'a, A> PredictionRecord<'a, A> {
    fn new(task: Task, item: &'a Item, answer: &'a A) -> Self {
        let input = match (item.input(), task) {
            (Input::Text(text), _) => InputFields::Text { text },
            (Input::Pair(question, context), Task::QuestionAnswering) => {
                InputFields::Question { question, context }
            }
            (Input::Pair(text, text_pair), _) => InputFields::Pair { text, text_pair },
        };
        Self { input, answer }
    }
}

#[cfg(test)]
mod tests {
    use bertless::Prediction;

    use super::super::lines::Location;
    use super::*;

    #[test]
    fn a_line_begins_with_what_was_asked() {
        let item = |second: Option<&str>| Item {
            first: "a\tb".to_owned(),
            second: second.map(str::to_owned),
            location: Location::Only,
        };
        let json = r#"{"embedding":[0.1,-2.0],"n_tokens":3,"truncated":false}"#;
        let prediction: Prediction = serde_json::from_str(json).unwrap();
        let line = |item: &Item, task| {
            serde_json::to_string(&PredictionRecord::new(task, item, &prediction)).unwrap()
        };
        let answer = r#""embedding":[0.1,-2.0],"n_tokens":3,"truncated":false}"#;
        let text = line(&item(None), Task::Embedding);
        assert_eq!(text, format!(r#"{{"text":"a\tb",{answer}"#));
        let pair = line(&item(Some("c")), Task::Classification);
        assert_eq!(pair, format!(r#"{{"text":"a\tb","text_pair":"c",{answer}"#));
        let question = line(&item(Some("c")), Task::QuestionAnswering);
        assert_eq!(
            question,
            format!(r#"{{"question":"a\tb","context":"c",{answer}"#)
        );
    }
}
