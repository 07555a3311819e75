//! Answers texts in chunks that are large enough to keep the model busy and small enough to bound memory.

use std::io::IsTerminal;

use anyhow::Result;
use bertless::Input;
use indicatif::ProgressDrawTarget;

use super::input::{Item, ItemSource};
use super::output::Output;
use super::progress::{Look, Progress};

/// Largest number of texts in a chunk.
const TEXTS: usize = 256;
/// Number of bytes of text after which a chunk is full.
const BYTES: usize = 1 << 20;

/// Answers all items of a source: calls `answer` on each chunk, and `take` on each answer, in order.
///
/// An error of `answer` names its text. Texts before it have been answered by then; texts after it have not.
pub(crate) fn answer_all<S: ItemSource, A>(
    mut source: S,
    output: &mut Output,
    mut answer: impl FnMut(&[Input<'_>]) -> Result<Vec<A>>,
    mut take: impl FnMut(&mut Output, S::Item, A) -> Result<()>,
) -> Result<()> {
    let mut progress = None;
    let mut texts = 0;
    loop {
        let (items, end) = chunk(&mut source);
        let inputs: Vec<Input<'_>> = items.iter().map(|item| item.as_ref().input()).collect();
        let answers = match inputs[..] {
            [] => Ok(Vec::new()),
            _ => answer(&inputs),
        };
        texts += items.len() as u64;
        match answers {
            Ok(answers) => {
                for (item, answer) in items.into_iter().zip(answers) {
                    take(output, item, answer)?;
                }
            }
            Err(error) => {
                let (index, error) = culprit(error, items.len());
                let before = index.unwrap_or_default();
                let answers = match before {
                    0 => Vec::new(),
                    _ => answer(&inputs[..before])?,
                };
                let mut items = items.into_iter();
                for (item, answer) in items.by_ref().take(before).zip(answers) {
                    take(output, item, answer)?;
                }
                return Err(match (index, items.next()) {
                    (Some(_), Some(item)) => item.as_ref().location.blame(error),
                    _ => error,
                });
            }
        }
        output.flush()?;
        match end {
            End::Full => {
                let progress = progress.get_or_insert_with(|| bar(&source));
                progress.set_message(format!("{texts} texts"));
                progress.set_position(source.progress().0);
            }
            End::Over => return Ok(()),
            End::Failed(error) => return Err(error),
        }
    }
}

/// Splits the error of a chunk of `len` texts into the index of the text at fault, if it is known, and the error without it.
fn culprit(error: anyhow::Error, len: usize) -> (Option<usize>, anyhow::Error) {
    match error.downcast() {
        Ok(bertless::Error::Input { index, reason }) => {
            let error = bertless::Error::Input {
                index: None,
                reason,
            };
            (index.or((len == 1).then_some(0)), error.into())
        }
        Ok(other) => ((len == 1).then_some(0), other.into()),
        Err(error) => ((len == 1).then_some(0), error),
    }
}

/// A bar of the bytes read. It is hidden where standard output is a terminal, since answers appear there.
fn bar(source: &impl ItemSource) -> Progress {
    let size = source.progress().1;
    let progress = Progress::new(size.map_or(Look::Spinner, |_| Look::Share));
    progress.set_length(size.unwrap_or_default());
    if std::io::stdout().is_terminal() {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    progress
}

/// Why a chunk ends.
enum End {
    Full,
    Over,
    Failed(anyhow::Error),
}

fn chunk<S: ItemSource>(source: &mut S) -> (Vec<S::Item>, End) {
    let mut items: Vec<S::Item> = Vec::new();
    let mut bytes = 0;
    while items.len() < TEXTS && bytes < BYTES {
        if !items.is_empty() && source.would_wait() {
            break;
        }
        match source.next() {
            Ok(Some(item)) => {
                let Item { first, second, .. } = item.as_ref();
                bytes += first.len() + second.as_ref().map_or(0, String::len);
                items.push(item);
            }
            Ok(None) => return (items, End::Over),
            Err(error) => return (items, End::Failed(error)),
        }
    }
    (items, End::Full)
}

#[cfg(test)]
mod tests {
    use super::super::lines::Location;
    use super::*;

    /// Counts up to a number, and then fails or ends.
    struct Numbers {
        next: usize,
        last: usize,
        fails: bool,
    }

    impl ItemSource for Numbers {
        type Item = Item;

        fn next(&mut self) -> Result<Option<Item>> {
            self.next += 1;
            if self.next > self.last {
                anyhow::ensure!(!self.fails, "no more");
                return Ok(None);
            }
            Ok(Some(Item {
                first: self.next.to_string(),
                second: None,
                location: Location::Argument(self.next),
            }))
        }
    }

    /// Which texts are answered if `bad` cannot be, in chunks of which sizes, and the error.
    fn run(last: usize, fails: bool, bad: &str) -> (usize, Vec<usize>, Option<String>) {
        let (mut answered, mut sizes) = (0, Vec::new());
        let numbers = Numbers {
            next: 0,
            last,
            fails,
        };
        let done = answer_all(
            numbers,
            &mut Output::new(false),
            |inputs| {
                sizes.push(inputs.len());
                match inputs.iter().position(|input| input.first() == bad) {
                    Some(index) => Err(bertless::Error::Input {
                        index: Some(index),
                        reason: "bad".to_owned(),
                    }
                    .into()),
                    None => Ok(vec![(); inputs.len()]),
                }
            },
            |_, item, ()| {
                answered += 1;
                assert_eq!(item.first, answered.to_string());
                Ok(())
            },
        );
        (
            answered,
            sizes,
            done.err().map(|error| format!("{error:#}")),
        )
    }

    #[test]
    fn all_are_answered_in_bounded_chunks() {
        assert_eq!(run(600, false, ""), (600, vec![256, 256, 88], None));
        assert_eq!(run(256, false, ""), (256, vec![256], None));
        assert_eq!(run(0, false, ""), (0, vec![], None));
    }

    #[test]
    fn what_stands_ahead_of_an_error_is_answered() {
        let error = Some("no more".to_owned());
        assert_eq!(run(3, true, ""), (3, vec![3], error));
        let error = Some("text 258: bad".to_owned());
        assert_eq!(run(260, false, "258"), (257, vec![256, 4, 1], error));
    }
}
