//! A call: a model, options, and what both mean for the texts that are computed.

use std::ops::Range;

use super::Model;
use super::predict_options::{Combine, LongTexts, PredictOptions, Prompt};
use crate::batch::{AsInput, Batch, Encoding, Input, OutputRows};
use crate::config::Task;
use crate::error::{Error, Result};
use crate::kernels::{ExecContext, Interrupt};
use crate::tasks::check_finite;
use crate::tasks::heads::Head;
use crate::tokenizer::{Truncation, TruncationStrategy};

/// Number of tokens per thread that are computed together: enough for large matrix products, few enough that most of
/// what goes from layer to layer stays in a core's L2 cache (1,024 take 1 to 2 % longer).
const TOKENS_PER_THREAD: usize = 256;

/// What a call computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Logits of the model's head.
    Logits,
    /// Embeddings of the texts.
    Embeddings,
}

/// A model with the options of one call.
#[derive(Debug)]
pub(super) struct Call<'m> {
    pub(super) model: &'m Model,
    pub(super) options: &'m PredictOptions,
    pub(super) max_length: usize,
    output: Output,
    /// Text in front of each text to embed; empty if there is none.
    prompt: &'m str,
    /// Number of tokens at the front of a text that belong to the prompt and are not pooled.
    skip: usize,
    interrupt: Interrupt,
}

/// A tokenized input: one encoding, or several if a long text is read in windows.
#[derive(Debug)]
pub(super) struct Prepared<I> {
    pub(super) input: I,
    pub(super) windows: Vec<Encoding>,
}

impl<I> Prepared<I> {
    /// Number of tokens of all windows together.
    pub(super) fn n_tokens(&self) -> usize {
        self.windows.iter().map(Encoding::len).sum()
    }

    /// Whether tokens were cut off.
    pub(super) fn truncated(&self) -> bool {
        self.windows.iter().any(|window| window.truncated)
    }
}

impl Model {
    /// Starts a call of the model's task.
    pub(super) fn call<'m>(&'m self, options: &'m PredictOptions) -> Result<Call<'m>> {
        let output = match self.head {
            Head::None => Output::Embeddings,
            _ => Output::Logits,
        };
        self.call_for(output, options)
    }

    /// Starts a call that computes `output`.
    ///
    /// # Errors
    /// `Option` for options that do not fit the model.
    pub(super) fn call_for<'m>(
        &'m self,
        output: Output,
        options: &'m PredictOptions,
    ) -> Result<Call<'m>> {
        options.check(self)?;
        let prompt = self.prompt_text(&options.prompt)?.unwrap_or_default();
        let mut call = Call {
            model: self,
            options,
            max_length: options.max_length.unwrap_or(self.max_length),
            output,
            prompt: match output {
                Output::Embeddings => prompt,
                Output::Logits => "",
            },
            skip: 0,
            interrupt: options.interrupt(),
        };
        if !call.prompt.is_empty() && !self.embedding.includes_prompt() {
            // The prompt's tokens, without the special token at the end.
            let encoding = call.truncate(Input::Text(call.prompt))?;
            let ends = encoding.sequences.last() == Some(&None);
            call.skip = encoding.len() - usize::from(ends);
        }
        Ok(call)
    }

    /// Text of a prompt; `None` if there is none.
    fn prompt_text<'m>(&'m self, prompt: &'m Prompt) -> Result<Option<&'m str>> {
        let sentence = &self.config.sentence;
        let name = match prompt {
            Prompt::Prefix(text) => return Ok(Some(text)),
            Prompt::Default => match &sentence.default_prompt {
                Some(name) => return Ok(sentence.prompts.get(name).map(String::as_str)),
                None => return Ok(None),
            },
            Prompt::Named(name) => name,
        };
        if let Some(prompt) = sentence.prompts.get(name) {
            return Ok(Some(prompt));
        }
        let known: Vec<&str> = sentence.prompts.keys().map(String::as_str).collect();
        let reason = if known.is_empty() {
            format!("the model has no prompts, so none named {name:?}")
        } else {
            let known = known.join(", ");
            format!("the model has no prompt {name:?}, only {known}")
        };
        Err(Error::Option {
            name: "prompt",
            reason,
        })
    }
}

impl<'m> Call<'m> {
    /// Tokenizes an input and keeps at most as many tokens as the call allows.
    fn truncate(&self, input: Input<'_>) -> Result<Encoding> {
        let truncation = Truncation::to(self.max_length);
        self.model.tokenizer.encode(input, Some(&truncation))
    }

    /// Tokenizes an input, with the prompt in front, and refuses what the task cannot read.
    ///
    /// # Errors
    /// `Input`, without an index; `Option` if a window has no room.
    pub(super) fn prepare<I: AsInput>(&self, input: I) -> Result<Prepared<I>> {
        let text = input.as_input();
        let task = self.model.task();
        let windows = if self.output == Output::Logits && task == Task::QuestionAnswering {
            self.question_windows(text)?
        } else {
            let pair = matches!(text, Input::Pair(..));
            if pair && matches!(task, Task::TokenClassification | Task::FillMask) {
                return Err(Error::input(format!("{task} takes one text, not a pair")));
            }
            if self.output == Output::Logits && task == Task::FillMask {
                vec![self.truncate(text)?]
            } else {
                self.text_windows(text)?
            }
        };
        if self.output == Output::Logits && task == Task::FillMask {
            self.check_mask(&windows)?;
        }
        if windows.iter().any(|window| window.ids.is_empty()) {
            return Err(Error::input(
                "there is no token in the text, and the tokenizer puts none around it",
            ));
        }
        Ok(Prepared { input, windows })
    }

    /// Tokenizes a text or pair, with the prompt in front, and cuts its end or cuts it into windows.
    fn text_windows(&self, input: Input<'_>) -> Result<Vec<Encoding>> {
        let with_prompt = |text: &str| format!("{}{text}", self.prompt);
        let LongTexts::Windows { stride, .. } = self.options.long_texts else {
            if self.prompt.is_empty() {
                return Ok(vec![self.truncate(input)?]);
            }
            let first = with_prompt(input.first());
            return Ok(vec![self.truncate(match input {
                Input::Text(_) => Input::Text(&first),
                Input::Pair(_, second) => Input::Pair(&first, second),
            })?]);
        };
        let tokenizer = &self.model.tokenizer;
        let prompt_tokens = match self.prompt {
            "" => 0,
            prompt => tokenizer.encode(prompt, None)?.len() - tokenizer.special_tokens(false),
        };
        let max_length = self.max_length.saturating_sub(prompt_tokens);
        let room = max_length.saturating_sub(tokenizer.special_tokens(input.second().is_some()));
        let truncation = Truncation {
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: stride.unwrap_or(room / 4),
        };
        let mut windows = tokenizer.encode_windows(input, &truncation)?;
        // Nothing is lost: what one window lacks, another has.
        windows
            .iter_mut()
            .for_each(|window| window.truncated = false);
        match input {
            // Each window is read after the prompt.
            Input::Text(text) if !self.prompt.is_empty() => windows
                .iter()
                .map(|window| self.truncate(Input::Text(&with_prompt(&text[span(window)]))))
                .collect(),
            _ => Ok(windows),
        }
    }

    /// Refuses a text without a mask.
    fn check_mask(&self, windows: &[Encoding]) -> Result<()> {
        let tokenizer = &self.model.tokenizer;
        for encoding in windows {
            if !encoding.ids.iter().any(|&id| self.is_mask(id)) {
                let mask = tokenizer.mask_token();
                return Err(Error::input(if encoding.truncated {
                    format!("there is no {mask} in the part of the text that the model can read")
                } else {
                    format!("there is no {mask} in the text")
                }));
            }
        }
        Ok(())
    }

    /// Whether a token is a mask.
    pub(super) fn is_mask(&self, id: u32) -> bool {
        Some(id) == self.model.tokenizer.mask_id()
    }

    /// Tokenizes inputs and groups them into batches that are computed together. The items of a batch have at most as
    /// many tokens as the threads' budget, unless it is a single item.
    pub(super) fn batches<I: AsInput>(
        &self,
        inputs: impl IntoIterator<Item = I>,
    ) -> impl Iterator<Item = Vec<Result<Prepared<I>>>> {
        let inputs = inputs.into_iter().map(|input| self.prepare(input));
        let tokens = |item: &Result<Prepared<I>>| item.as_ref().map_or(0, Prepared::n_tokens);
        self.model.token_batches(inputs, tokens)
    }

    /// Tokenizes inputs like [`batches`](Self::batches), up to the first that has an error.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare), with the index of the input.
    pub(super) fn batches_or_error<I: AsInput>(
        &self,
        inputs: impl IntoIterator<Item = I>,
    ) -> impl Iterator<Item = Result<Vec<Prepared<I>>>> {
        let mut first = 0;
        self.batches(inputs).map(move |items| {
            let start = first;
            first += items.len();
            let item = |(index, item): (usize, Result<Prepared<I>>)| {
                item.map_err(|error| error.at_index(start + index))
            };
            items.into_iter().enumerate().map(item).collect()
        })
    }

    /// Computes the outputs of texts, those of one text after those of the text before. The windows of a text are
    /// combined, except those of token and question heads.
    pub(super) fn outputs<I>(&self, texts: &[Prepared<I>]) -> Result<Vec<f32>> {
        let windows = texts.iter().flat_map(|text| &text.windows);
        let mut outputs = Vec::new();
        for batch in self.model.token_batches(windows, |window| window.len()) {
            outputs.extend(self.window_outputs(&batch)?);
        }
        let width = match (self.output, &self.model.head) {
            (Output::Embeddings, _) => self.model.embedding.width(),
            (Output::Logits, Head::Sequence(_)) => self.model.labels().len(),
            (Output::Logits, _) => return Ok(outputs),
        };
        Ok(self.combine(texts, outputs, width))
    }

    /// Combines the windows of each text. `outputs` has `width` values per window.
    fn combine<I>(&self, texts: &[Prepared<I>], outputs: Vec<f32>, width: usize) -> Vec<f32> {
        let LongTexts::Windows { combine, .. } = self.options.long_texts else {
            return outputs;
        };
        if texts.iter().all(|text| text.windows.len() == 1) {
            return outputs;
        }
        let mut rest = outputs.as_slice();
        let mut combined = Vec::with_capacity(texts.len() * width);
        for text in texts {
            let windows;
            (windows, rest) = rest.split_at(text.windows.len() * width);
            if text.windows.len() == 1 {
                combined.extend_from_slice(windows);
                continue;
            }
            let column = |at: usize| windows[at..].iter().step_by(width).copied();
            let start = combined.len();
            combined.extend((0..width).map(|at| match combine {
                Combine::Mean => {
                    let sum: f64 = column(at).map(f64::from).sum();
                    (sum / text.windows.len() as f64) as f32
                }
                Combine::Max => column(at).fold(f32::NEG_INFINITY, f32::max),
            }));
            if self.output == Output::Embeddings {
                self.model.embedding.renormalize(&mut combined[start..]);
            }
        }
        combined
    }

    /// Number of values that [`outputs`](Self::outputs) gives a text.
    pub(super) fn output_len<I>(&self, text: &Prepared<I>) -> usize {
        match (self.output, &self.model.head) {
            (Output::Embeddings, _) | (Output::Logits, Head::None) => self.model.embedding.width(),
            (Output::Logits, Head::Sequence(_)) => self.model.labels().len(),
            (Output::Logits, Head::Tokens(head)) => text.n_tokens() * head.outputs(),
            (Output::Logits, Head::MaskedLm(_)) => {
                let ids = text.windows.iter().flat_map(|window| &window.ids);
                ids.filter(|&&id| self.is_mask(id)).count() * self.model.config.encoder.vocab_size
            }
        }
    }

    /// Computes the outputs of texts that are computed together.
    fn window_outputs(&self, windows: &[&Encoding]) -> Result<Vec<f32>> {
        let model = self.model;
        let windows = windows.iter().copied();
        match (self.output, &model.head) {
            (Output::Embeddings, _) | (Output::Logits, Head::None) => self.embed_encodings(windows),
            (Output::Logits, Head::Sequence(head)) => self.forward(
                windows,
                OutputRows::First,
                |_, _| {},
                |exec, _, rows| Ok(head.forward(exec, rows)),
            ),
            (Output::Logits, Head::Tokens(_)) => self.token_logits(windows),
            (Output::Logits, Head::MaskedLm(_)) => self.mlm_logits(windows, |&id| self.is_mask(id)),
        }
    }

    /// Computes the logits of all tokens, (tokens, head outputs), of a token head.
    pub(super) fn token_logits<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
    ) -> Result<Vec<f32>> {
        let Head::Tokens(head) = &self.model.head else {
            return Err(self.model.wrong_task("labels of tokens"));
        };
        self.forward_all(encodings, |exec, batch, rows| {
            let mut logits = vec![0.0; batch.rows() * head.outputs()];
            head.forward(exec, rows, &mut logits);
            Ok(logits)
        })
    }

    /// Computes logits over the vocabulary, (chosen tokens, vocabulary), for the tokens whose id is chosen.
    pub(super) fn mlm_logits<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        chosen: impl Fn(&u32) -> bool,
    ) -> Result<Vec<f32>> {
        let model = self.model;
        let Head::MaskedLm(head) = &model.head else {
            return Err(model.wrong_task("words for masks"));
        };
        let hidden = model.encoder.hidden_size();
        self.forward_all(encodings, |exec, batch, rows| {
            let rows = rows.chunks_exact(hidden).zip(&batch.ids);
            let rows = rows.filter(|(_, id)| chosen(id));
            let rows: Vec<f32> = rows.flat_map(|(row, _)| row.iter().copied()).collect();
            head.forward(exec, &rows, &model.encoder)
        })
    }

    /// Computes embeddings, (texts, width). The prompt's tokens are not pooled if the model's files say so.
    fn embed_encodings<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
    ) -> Result<Vec<f32>> {
        let (embedding, skip) = (&self.model.embedding, self.skip);
        let outputs = if embedding.cls_only() && skip == 0 {
            OutputRows::First
        } else {
            OutputRows::All
        };
        let vectors = self.forward(
            encodings,
            outputs,
            |_, _| {},
            |exec, batch, rows| {
                let starts = batch.starts_of(outputs);
                Ok(embedding.forward(exec, rows, &starts, skip))
            },
        )?;
        check_finite("an embedding", &vectors)?;
        Ok(vectors)
    }

    /// Runs texts through the encoder together, and all their rows through `head`.
    pub(super) fn forward_all<'e, T>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        head: impl FnOnce(&ExecContext, &Batch, &[f32]) -> Result<T>,
    ) -> Result<T> {
        self.forward(encodings, OutputRows::All, |_, _| {}, head)
    }

    /// Runs texts through the encoder together, and their output rows through `head`. Calls `observe(layer, rows)`
    /// after the embeddings (layer 0) and after each layer.
    pub(super) fn forward<'e, T>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        outputs: OutputRows,
        observe: impl FnMut(usize, &[f32]),
        head: impl FnOnce(&ExecContext, &Batch, &[f32]) -> Result<T>,
    ) -> Result<T> {
        let model = self.model;
        let batch = Batch::new(encodings);
        let mut scratch = model.scratch.take();
        let exec = model.engine.interruptible(self.interrupt.clone());
        let rows = model
            .encoder
            .forward(&exec, &batch, outputs, &mut scratch, observe)?;
        head(&exec, &batch, rows)
    }
}

impl Model {
    /// Groups items into batches that are computed together: as many items as the threads' token budget allows, at
    /// least one.
    pub(super) fn token_batches<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        tokens: impl Fn(&T) -> usize,
    ) -> impl Iterator<Item = Vec<T>> {
        token_batches(TOKENS_PER_THREAD * self.threads(), items, tokens)
    }
}

/// Groups items into batches of at most `max_tokens` tokens, but of at least one item.
fn token_batches<T>(
    max_tokens: usize,
    items: impl IntoIterator<Item = T>,
    tokens: impl Fn(&T) -> usize,
) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter().fuse();
    // The item that did not fit into the batch before.
    let mut left = None;
    std::iter::from_fn(move || {
        let mut batch: Vec<T> = left.take().into_iter().collect();
        let mut sum: usize = batch.iter().map(&tokens).sum();
        for item in items.by_ref() {
            sum += tokens(&item);
            if sum > max_tokens && !batch.is_empty() {
                left = Some(item);
                break;
            }
            batch.push(item);
        }
        (!batch.is_empty()).then_some(batch)
    })
}

/// Byte range of the tokens of a window in its text.
fn span(window: &Encoding) -> Range<usize> {
    let tokens = window.offsets.iter().zip(&window.sequences);
    let mut tokens = tokens.filter_map(|(offset, sequence)| sequence.map(|_| offset));
    let first = tokens.next();
    match (first, tokens.next_back().or(first)) {
        (Some(&(start, _)), Some(&(_, end))) => start as usize..end as usize,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_at_most_the_token_budget_but_at_least_one_item() {
        let whole = 100;
        let batches_of = |lengths: &[usize]| -> Vec<Vec<usize>> {
            token_batches(whole, lengths.iter().copied(), |&length| length).collect()
        };
        assert!(batches_of(&[]).is_empty());
        assert_eq!(batches_of(&[whole, 1, 2]), [vec![whole], vec![1, 2]]);
        assert_eq!(
            batches_of(&[1, whole - 1, 2]),
            [vec![1, whole - 1], vec![2]]
        );
        assert_eq!(
            batches_of(&[whole + 1, 3 * whole, 0]),
            [vec![whole + 1], vec![3 * whole], vec![0]]
        );
    }
}
