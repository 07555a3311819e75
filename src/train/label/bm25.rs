//! BM25 search: finds texts that share rare words, to mine pairs from unpaired texts.

use std::collections::HashMap;

/// Saturation of term frequency, `k1`: the lower, the less repeated words add.
const K1: f64 = 1.2;
/// Length normalization, `b`: from 0 (none) to 1 (full).
const B: f64 = 0.75;

/// An inverted index of texts (Okapi BM25, Robertson and Zaragoza 2009).
#[derive(Debug)]
pub(crate) struct Bm25Index {
    /// Postings of each word: text indices and numbers of occurrences.
    postings: HashMap<String, Vec<(u32, u32)>>,
    /// Number of words in each text.
    lengths: Vec<u32>,
    mean: f64,
}

impl Bm25Index {
    /// Builds the index. Texts are identified by their position in `texts`.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut postings: HashMap<String, Vec<(u32, u32)>> = HashMap::new();
        let mut lengths = Vec::new();
        for (text, number) in texts.into_iter().zip(0..) {
            let mut length = 0;
            for word in words(text) {
                length += 1;
                let postings = postings.entry(word).or_default();
                match postings.last_mut() {
                    Some((last, count)) if *last == number => *count += 1,
                    _ => postings.push((number, 1)),
                }
            }
            lengths.push(length);
        }
        let sum: f64 = lengths.iter().map(|&length| f64::from(length)).sum();
        Self {
            mean: sum / lengths.len().max(1) as f64,
            postings,
            lengths,
        }
    }

    /// Returns the indices of the `count` best matches of a query and their scores, best first; ties are in index order. Texts
    /// that share no word with the query, and `except`, are left out.
    pub(crate) fn best(
        &self,
        query: &str,
        count: usize,
        except: Option<usize>,
    ) -> Vec<(usize, f64)> {
        let mut scores: HashMap<u32, f64> = HashMap::new();
        for word in words(query) {
            let Some(postings) = self.postings.get(&word) else {
                continue;
            };
            let having = postings.len() as f64;
            let rare = (1.0 + (self.lengths.len() as f64 - having + 0.5) / (having + 0.5)).ln();
            for &(text, count) in postings {
                let length = f64::from(self.lengths[text as usize]) / self.mean;
                let count = f64::from(count);
                let share = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
                *scores.entry(text).or_default() += rare * share;
            }
        }
        let found = scores
            .into_iter()
            .map(|(text, score)| (text as usize, score));
        let mut found: Vec<(usize, f64)> =
            found.filter(|(text, _)| Some(*text) != except).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(count);
        found
    }

    /// Pairs each text with its `count` best matches. Each pair of different texts is returned once.
    pub(crate) fn pairs(&self, texts: &[&str], count: usize) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let found = self.best(text, count, Some(number)).into_iter();
            pairs.extend(found.map(|(other, _)| (number.min(other), number.max(other))));
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

/// Splits a text into runs of letters and digits, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 5] = [
        "The cat sat on the mat.",
        "A cat!",
        "Dogs and cats: a DOG barks.",
        "the the the",
        "",
    ];

    #[test]
    fn scores_are_those_of_the_formula() {
        let index = Bm25Index::new(TEXTS);
        let found = index.best("Cat", 9, None);
        // Two of five texts have it, once each; they are 6 and 2 words long, the mean is 17 / 5.
        let rare = (1.0f64 + 3.5 / 2.5).ln();
        let score = |length: f64| rare * 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * length / 3.4));
        assert_eq!(
            found.iter().map(|found| found.0).collect::<Vec<_>>(),
            [1, 0]
        );
        assert!((found[0].1 - score(2.0)).abs() < 1e-12);
        assert!((found[1].1 - score(6.0)).abs() < 1e-12);
        assert_eq!(index.best("cat", 1, Some(1))[0].0, 0);
        assert_eq!(index.best("bird", 9, None), []);
        assert_eq!(Bm25Index::new([]).best("cat", 1, None), []);
    }

    #[test]
    fn rare_words_count_more_than_frequent_ones() {
        let index = Bm25Index::new(["cat x", "cat y", "dog z"]);
        assert_eq!(index.best("cat dog", 1, None)[0].0, 2);
    }

    #[test]
    fn every_pair_is_there_once() {
        let index = Bm25Index::new(TEXTS);
        assert_eq!(index.pairs(&TEXTS, 1), [(0, 1), (0, 3), (1, 2)]);
    }
}
