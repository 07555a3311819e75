//! Vocabulary pruning: keeps only the tokens that a corpus needs. Word embeddings are most of a small model.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::checkpoint::CheckpointFiles;
use crate::batch::Input;
use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// A pruned vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pruned {
    /// Id of each kept token before pruning, in the order of the new ids.
    pub(crate) kept: Vec<u32>,
    pub(crate) coverage: Coverage,
}

/// Coverage of a corpus by a pruned vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Coverage {
    /// Size of the vocabulary before pruning.
    pub(crate) before: usize,
    /// Size of the vocabulary after pruning.
    pub(crate) after: usize,
    /// Number of tokens in the corpus.
    pub(crate) tokens: u64,
    /// Number of tokens in the corpus that are kept. The words of the others are spelt by smaller pieces.
    pub(crate) covered: u64,
    /// Number of tokens in the corpus that were unknown before pruning.
    pub(crate) unknown: u64,
}

/// Criteria for keeping a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PruneLimits {
    /// Minimum number of occurrences in the corpus.
    pub(crate) min_count: u64,
    /// Maximum size of the vocabulary; the most frequent tokens are kept.
    pub(crate) max_tokens: Option<usize>,
}

/// Keeps the corpus's frequent tokens, special tokens, and single characters, by which any of its words can still be spelt. If
/// `max_tokens` limits the size, only characters of ASCII and of the corpus are kept. Tokens outside the `rows` rows of the word
/// embeddings are dropped.
///
/// # Errors
/// Those of [`Tokenizer::encode`].
pub(crate) fn prune<'a>(
    tokenizer: &Tokenizer,
    texts: impl IntoIterator<Item = &'a str>,
    rows: usize,
    limits: PruneLimits,
) -> Result<Pruned> {
    let mut counts = vec![0u64; tokenizer.vocab_size()];
    let before = counts.len().min(rows);
    for text in texts {
        let encoding = tokenizer.encode(Input::Text(text), None)?;
        let tokens = encoding.ids.iter().zip(&encoding.sequences);
        for (&id, _) in tokens.filter(|(_, sequence)| sequence.is_some()) {
            counts[id as usize] += 1;
        }
    }
    let names = [
        tokenizer.mask_id(),
        tokenizer.pad_id(),
        Some(tokenizer.unk_id()),
    ];
    // The tokens around an empty text, which need not be marked as special.
    let ends = tokenizer.encode("", None)?.ids;
    let special =
        |id: u32| tokenizer.is_special(id) || names.contains(&Some(id)) || ends.contains(&id);
    let letter = |id: u32| {
        let token = tokenizer.id_to_token(id).unwrap_or_default();
        let mut letters = token.strip_prefix("##").unwrap_or(token).chars();
        let (first, second) = (letters.next(), letters.next());
        first.filter(|_| second.is_none())
    };
    let count = |id: u32| counts[id as usize];
    let all = 0..before as u32;
    let kept: Vec<u32> = match limits.max_tokens {
        None => all
            .filter(|&id| {
                special(id) || letter(id).is_some() || count(id) >= limits.min_count.max(1)
            })
            .collect(),
        Some(max_tokens) => {
            let always = |id: u32| special(id) || letter(id).is_some_and(|c| c.is_ascii());
            let mut kept: Vec<u32> = all.clone().filter(|&id| always(id)).collect();
            let mut others: Vec<u32> = all
                .filter(|&id| !always(id) && count(id) >= limits.min_count.max(1))
                .collect();
            others.sort_by_key(|&id| std::cmp::Reverse(count(id)));
            others.truncate(max_tokens.saturating_sub(kept.len()));
            kept.extend(others);
            kept.sort_unstable();
            kept
        }
    };
    let covered = kept.iter().map(|&id| counts[id as usize]).sum();
    let coverage = Coverage {
        before,
        after: kept.len(),
        tokens: counts.iter().sum(),
        covered,
        unknown: counts[tokenizer.unk_id() as usize],
    };
    Ok(Pruned { kept, coverage })
}

/// Rewrites a model's files for the kept tokens. The sizes in its configuration are left to the caller.
///
/// # Errors
/// `Json` for invalid files.
pub(crate) fn apply(
    checkpoint: &mut CheckpointFiles,
    tokenizer: &Tokenizer,
    kept: &[u32],
) -> Result<()> {
    let new_ids: HashMap<u64, u64> = kept.iter().map(|&old| u64::from(old)).zip(0..).collect();
    // A file may give an added token another id than the tokenizer does.
    let number = |content: &Value| {
        let content = content.as_str().or_else(|| content["content"].as_str())?;
        let old = tokenizer.token_to_id(content)?;
        new_ids.get(&u64::from(old)).copied()
    };
    let token = |old: &u32| tokenizer.id_to_token(*old).unwrap_or_default();
    if checkpoint.has("vocab.txt") {
        let lines: String = kept.iter().map(|old| format!("{}\n", token(old))).collect();
        checkpoint.put("vocab.txt", lines.into_bytes());
    }
    let mut changed = |name: &str, change: &dyn Fn(&mut Map<String, Value>)| -> Result<()> {
        let mut value = checkpoint.json(name)?;
        if let Some(object) = value.as_object_mut() {
            change(object);
            checkpoint.put_json(name, &value);
        }
        Ok(())
    };
    let renumber = |value: &mut Value| {
        if let Some(new) = value.as_u64().and_then(|old| new_ids.get(&old)) {
            *value = (*new).into();
        }
    };
    changed("tokenizer.json", &|tokenizer| {
        if let Some(vocabulary) = tokenizer
            .get_mut("model")
            .and_then(|model| model.get_mut("vocab"))
        {
            let new = kept
                .iter()
                .zip(0u64..)
                .map(|(old, new)| (token(old).to_owned(), new.into()));
            *vocabulary = Value::Object(new.collect());
        }
        if let Some(Value::Array(added)) = tokenizer.get_mut("added_tokens") {
            added.retain(|added| number(added).is_some());
            for added in added {
                if let Some(new) = number(added) {
                    added["id"] = new.into();
                }
            }
        }
        if let Some(Value::Object(padding)) = tokenizer.get_mut("padding") {
            padding.entry("pad_id").and_modify(renumber);
        }
        if let Some(Value::Object(ends)) = tokenizer.get_mut("post_processor") {
            // BertProcessing: ["[SEP]", 102].
            for end in ["sep", "cls"] {
                if let Some(Value::Array(pair)) = ends.get_mut(end) {
                    pair.iter_mut().for_each(renumber);
                }
            }
            // TemplateProcessing: {"[SEP]": {"ids": [102], ..}}.
            let specials = ends
                .get_mut("special_tokens")
                .and_then(Value::as_object_mut);
            for special in specials.into_iter().flat_map(Map::values_mut) {
                if let Some(Value::Array(ids)) = special.get_mut("ids") {
                    ids.iter_mut().for_each(renumber);
                }
            }
        }
    })?;
    changed("tokenizer_config.json", &|config| {
        if let Some(Value::Object(added)) = config.get_mut("added_tokens_decoder") {
            let new = |(_, token): (String, Value)| Some((number(&token)?.to_string(), token));
            *added = std::mem::take(added).into_iter().filter_map(new).collect();
        }
    })?;
    changed("added_tokens.json", &|added| {
        let new = |(token, _): (String, Value)| {
            let new = number(&Value::String(token.clone()))?;
            Some((token, new.into()))
        };
        *added = std::mem::take(added).into_iter().filter_map(new).collect();
    })?;
    changed("config.json", &|config| {
        config.entry("pad_token_id").and_modify(renumber);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: PruneLimits = PruneLimits {
        min_count: 1,
        max_tokens: None,
    };
    const CORPUS: [&str; 3] = ["A great film!", "the film, the wonderful acting", "great"];

    #[test]
    fn what_the_corpus_has_is_spelt_as_before() {
        // One with tokenizer.json, one with vocab.txt.
        for name in ["distilbert-classify", "bert-classify"] {
            let mut checkpoint = CheckpointFiles::of(&crate::train::fixture(name)).unwrap();
            let old = Tokenizer::open(&checkpoint.files(), "", false).unwrap();
            let Pruned { kept, coverage } = prune(&old, CORPUS, old.vocab_size(), KEEP).unwrap();
            assert!(kept.len() < old.vocab_size(), "nothing to prune");
            assert_eq!(
                (coverage.before, coverage.after),
                (old.vocab_size(), kept.len())
            );
            assert_eq!(coverage.covered, coverage.tokens);
            apply(&mut checkpoint, &old, &kept).unwrap();
            let new = Tokenizer::open(&checkpoint.files(), "", false).unwrap();
            assert_eq!(new.vocab_size(), kept.len());
            for text in CORPUS {
                let [old, new] =
                    [&old, &new].map(|tokenizer| tokenizer.encode(text, None).unwrap());
                let again: Vec<u32> = new.ids.iter().map(|&id| kept[id as usize]).collect();
                assert_eq!(again, old.ids, "{text}");
                assert_eq!(new.offsets, old.offsets);
            }
            for (id, token) in [(old.mask_id(), new.mask_id()), (old.pad_id(), new.pad_id())] {
                assert_eq!(token.map(|token| kept[token as usize]), id);
            }
        }
    }

    /// Files whose ids of added tokens are not the tokenizer's, and a special token that has no row.
    #[test]
    fn added_tokens_go_by_what_they_are_called() {
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nab\ncd\nef\n<e>\n";
        let decoder = r#"{"50": {"content": "<e>", "special": true}, "51": {"content": "cd"}, "52": {"content": "ef"}}"#;
        let config =
            format!(r#"{{"tokenizer_class": "BertTokenizer", "added_tokens_decoder": {decoder}}}"#);
        let mut checkpoint = CheckpointFiles::default();
        checkpoint.put("vocab.txt", vocabulary.as_bytes().to_vec());
        checkpoint.put("tokenizer_config.json", config.into_bytes());
        let old = Tokenizer::open(&checkpoint.files(), "", false).unwrap();
        assert_eq!(old.mask_id(), Some(8));
        let kept = prune(&old, ["ab cd"], 8, KEEP).unwrap().kept;
        assert_eq!(kept, [0, 1, 2, 3, 4, 5, 7]);
        apply(&mut checkpoint, &old, &kept).unwrap();
        let new = Tokenizer::open(&checkpoint.files(), "", false).unwrap();
        for text in ["abcd<e>", "cd ab [UNK]"] {
            let ids = new.encode(text, None).unwrap().ids;
            let ids: Vec<u32> = ids.into_iter().map(|id| kept[id as usize]).collect();
            assert_eq!(ids, old.encode(text, None).unwrap().ids, "{text}");
        }
    }

    #[test]
    fn rare_tokens_are_spelt_by_smaller_ones() {
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nab\nb\n##b\na\ncab\n##ab\n";
        let files =
            crate::weights::ModelFiles::new().with("vocab.txt", vocabulary.as_bytes().to_vec());
        let tokenizer = Tokenizer::from_files(files).unwrap();
        let keep = |min_count, max_tokens| {
            prune(
                &tokenizer,
                ["ab ab cab", "d"],
                11,
                PruneLimits {
                    min_count,
                    max_tokens,
                },
            )
        };
        let pruned = keep(2, None).unwrap();
        assert_eq!(pruned.kept, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let coverage = Coverage {
            before: 11,
            after: 9,
            tokens: 4,
            covered: 3,
            unknown: 1,
        };
        assert_eq!(pruned.coverage, coverage);
        // The most frequent token beside special tokens and letters, which are always kept.
        assert_eq!(keep(1, Some(9)).unwrap().kept, pruned.kept);
        assert_eq!(keep(1, Some(3)).unwrap().kept, [0, 1, 2, 3, 4, 6, 7, 8]);
        assert_eq!(
            keep(1, Some(99)).unwrap().kept,
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
    }
}
