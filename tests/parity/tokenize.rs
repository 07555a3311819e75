//! Tokenizes JSON lines for `tests/parity/run.py`, which compares with Hugging Face's `tokenizers`.
//!
//! The argument is a folder; a line is `[first, second or null, max_length or null, strategy, stride]`; the answer is a
//! line of lists as Python shows them, ids, type ids, character offsets, words and special mask one behind the other, with a
//! `;` between windows; or `None` for an error.

use std::io::{BufRead, BufWriter, Write};

use bertless::{Encoding, Input, Tokenizer, Truncation, TruncationStrategy};

type Request = (String, Option<String>, Option<usize>, String, usize);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("the argument is a folder")?;
    let tokenizer = Tokenizer::load(folder)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let (first, second, max_length, strategy, stride): Request = serde_json::from_str(&line?)?;
        let input = match &second {
            None => Input::Text(&first),
            Some(second) => Input::Pair(&first, second),
        };
        let windows = match max_length {
            None => tokenizer.encode(input, None).map(|encoding| vec![encoding]),
            Some(max_length) => {
                let strategy = match strategy.as_str() {
                    "only_first" => TruncationStrategy::OnlyFirst,
                    "only_second" => TruncationStrategy::OnlySecond,
                    _ => TruncationStrategy::LongestFirst,
                };
                let truncation = Truncation {
                    max_length,
                    strategy,
                    stride,
                };
                tokenizer.encode_windows(input, &truncation)
            }
        };
        match windows {
            Ok(windows) => {
                for (index, window) in windows.iter().enumerate() {
                    let between = if index == 0 { "" } else { ";" };
                    write!(out, "{between}{}", shown(window, input))?;
                }
                writeln!(out)?;
            }
            Err(_) => writeln!(out, "None")?,
        }
    }
    out.flush()?;
    Ok(())
}

/// A window's lists, as Python shows them.
fn shown(window: &Encoding, input: Input<'_>) -> String {
    let mask: Vec<u8> = window
        .special_tokens_mask()
        .iter()
        .map(|&special| special.into())
        .collect();
    let words: Vec<String> = window
        .words
        .iter()
        .map(|word| word.map_or_else(|| "None".to_owned(), |word| word.to_string()))
        .collect();
    format!(
        "{:?}{:?}{:?}[{}]{mask:?}",
        window.ids,
        window.type_ids,
        window.char_offsets(input),
        words.join(", ")
    )
}
