//! Tokenizes JSON lines for `tests/parity/run.py`, which compares with Hugging Face's `tokenizers`.
//!
//! The argument is a folder; a line is `[first, second or null, max_length or null, strategy, stride]`; the answer is a
//! line of windows `[ids, type ids, character offsets, words, special mask]`, or `null` for an error.

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
        let shown = |encoding: Encoding| {
            let offsets = encoding.char_offsets(input);
            let mask: Vec<u8> = encoding
                .special_tokens_mask()
                .into_iter()
                .map(u8::from)
                .collect();
            (
                encoding.ids,
                encoding.type_ids,
                offsets,
                encoding.words,
                mask,
            )
        };
        let windows = windows
            .ok()
            .map(|windows| windows.into_iter().map(shown).collect::<Vec<_>>());
        serde_json::to_writer(&mut out, &windows)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}
