//! Tests of the vocabulary: ids of tokens and tokens of ids.

use super::*;

fn vocab<'a>(tokens: impl Iterator<Item = (&'a str, u32)>) -> Result<Vocab> {
    let (mut text, mut spans, mut ids) = (String::new(), Vec::new(), Vec::new());
    for (token, id) in tokens {
        text.push_str(token);
        spans.push([text.len() - token.len(), text.len()].map(|at| at as u32));
        ids.push(id);
    }
    Vocab::of_map("vocab.txt", "##", text, spans, &ids)
}

fn continuing(vocab: &Vocab, rest: &str) -> Option<u32> {
    let key = Key::new(rest.as_bytes(), 0, rest.len());
    vocab.lookup().find(Position::Later, key)
}

#[test]
fn both_ways() {
    let vocab = vocab(["[UNK]", "a", "##a", "ab", "##b"].into_iter().zip(0..)).unwrap();
    assert_eq!(vocab.id("ab"), Some(3));
    assert_eq!(vocab.id("##a"), Some(2));
    assert_eq!(continuing(&vocab, "b"), Some(4));
    assert_eq!(continuing(&vocab, "ab"), None);
    assert_eq!(vocab.token(3), Some("ab"));
    assert_eq!(vocab.token(5), None);
    assert_eq!(vocab.len(), 5);
}

#[test]
fn the_last_of_equals_counts() {
    let text = "a\na\n";
    let vocab = Vocab::new("vocab.txt", "##", text.into(), vec![[0, 1], [2, 3]]).unwrap();
    assert_eq!(vocab.id("a"), Some(1));
    assert_eq!((vocab.token(0), vocab.token(1)), (Some("a"), Some("a")));
}

#[test]
fn of_equals_in_a_map_only_the_last_is_there() {
    let vocab = vocab([("##a", 3), ("b", 0), ("##a", 1)].into_iter()).unwrap();
    assert_eq!(
        (vocab.id("##a"), continuing(&vocab, "a")),
        (Some(1), Some(1))
    );
    assert_eq!((vocab.token(1), vocab.token(3)), (Some("##a"), None));
    assert_eq!(vocab.len(), 2);
}

#[test]
fn the_longest_token_that_starts_a_word() {
    let vocab = vocab(
        ["a", "ab", "abcdefghij", "##é", "##éa"]
            .into_iter()
            .zip(0..),
    )
    .unwrap();
    let longest = |position, word: &str| {
        let key = Key::new(word.as_bytes(), 0, word.len());
        vocab.lookup().longest(position, key)
    };
    assert_eq!(longest(Position::First, "abc"), Some((1, 2)));
    assert_eq!(longest(Position::First, "abcdefghijk"), Some((2, 10)));
    assert_eq!(longest(Position::First, "é"), None);
    assert_eq!(longest(Position::Later, "éb"), Some((3, 2)));
    assert_eq!(longest(Position::Later, "è"), None);
}

/// The piece begins inside of its text, as it does after the first token of a word.
#[test]
fn the_longest_token_that_continues_a_word() {
    let long = format!("##{}", "x".repeat(20));
    let vocab = vocab(["a", "##bé", "##b", &long].into_iter().zip(0..)).unwrap();
    let longest = |word: &str| {
        let key = Key::new(word.as_bytes(), 1, word.len());
        vocab.lookup().longest(Position::Later, key)
    };
    assert_eq!(longest("abé"), Some((1, 3)));
    assert_eq!(longest("abè"), Some((2, 1)));
    assert_eq!(longest(&"x".repeat(30)), Some((3, 20)));
}

#[test]
fn a_repeated_token_of_a_map_is_there_once_wherever_it_stands() {
    let vocab = vocab([("a", 0), ("b", 1), ("a", 2)].into_iter()).unwrap();
    assert_eq!(vocab.id("a"), Some(2));
    let tokens = [0, 1, 2].map(|id| vocab.token(id));
    assert_eq!(tokens, [None, Some("b"), Some("a")]);
}

#[test]
fn ids_in_another_order_than_the_file_s() {
    let vocab = vocab([("a", 1), ("b", 0)].into_iter()).unwrap();
    assert_eq!((vocab.token(0), vocab.token(1)), (Some("b"), Some("a")));
    assert_eq!((vocab.id("a"), vocab.id("b")), (Some(1), Some(0)));
}

#[test]
fn the_prefix_alone_continues_no_word() {
    for prefix in ["##", "##########"] {
        let tokens = ["a".to_owned(), prefix.to_owned(), format!("{prefix}a")];
        let (mut text, mut spans) = (String::new(), Vec::new());
        for token in &tokens {
            spans.push([text.len(), text.len() + token.len()].map(|at| at as u32));
            text += token;
        }
        // Begins as the longer prefix does, and differs after eight bytes.
        spans.push([text.len(), text.len() + 11].map(|at| at as u32));
        text += "########xya";
        let vocab = Vocab::new("vocab.txt", prefix, text.into(), spans).unwrap();
        assert_eq!(continuing(&vocab, "a"), Some(2), "{prefix}");
        assert_eq!(continuing(&vocab, ""), None, "{prefix}");
        for (id, token) in (0..).zip(&tokens) {
            assert_eq!(vocab.id(token), Some(id), "{prefix}");
        }
    }
}

#[test]
fn many_tokens_are_all_found() {
    let tokens: Vec<String> = (0..5000).map(|i| format!("##{}", i * 7919)).collect();
    let vocab = vocab(tokens.iter().map(String::as_str).zip(0..)).unwrap();
    for (id, token) in tokens.iter().enumerate() {
        assert_eq!(vocab.id(token), Some(id as u32));
        assert_eq!(continuing(&vocab, &token[2..]), Some(id as u32));
    }
    assert_eq!(continuing(&vocab, "x"), None);
}

#[test]
fn ids_of_three_bytes() {
    let tokens: Vec<String> = (0..70_000).map(|i| format!("{i}")).collect();
    let vocab = vocab(tokens.iter().map(String::as_str).zip(0..)).unwrap();
    for (id, token) in tokens.iter().enumerate().step_by(999) {
        assert_eq!(vocab.id(token), Some(id as u32));
        assert_eq!(vocab.token(id as u32), Some(token.as_str()));
    }
}

/// No word begins with `##`, but one may with `a`.
#[test]
fn tokens_that_continue_words_are_whole_where_a_word_can_be_one() {
    let tokens = ["##", "##b", "a", "ab", "b"];
    let whole = |vocab: &Vocab, token: &str| {
        let key = Key::new(token.as_bytes(), 0, token.len());
        vocab.lookup().find(Position::First, key)
    };
    for (prefix, found, later) in [
        ("##", None, Some(1)),
        ("a", Some(1), Some(3)),
        ("", Some(1), Some(4)),
    ] {
        let (mut text, mut spans) = (String::new(), Vec::new());
        for token in tokens {
            spans.push([text.len(), text.len() + token.len()].map(|at| at as u32));
            text += token;
        }
        let vocab = Vocab::new("vocab.txt", prefix, text.into(), spans).unwrap();
        assert_eq!(whole(&vocab, "##b"), found);
        assert_eq!(continuing(&vocab, "b"), later);
        assert_eq!(whole(&vocab, "ab"), Some(3));
        for (id, token) in (0..).zip(tokens) {
            assert_eq!((vocab.id(token), vocab.token(id)), (Some(id), Some(token)));
        }
    }
}

#[test]
fn a_token_of_64_kib_is_refused() {
    let vocab = |len: usize| vocab([("a".repeat(len).as_str(), 0), ("b", 1)].into_iter());
    let longest = vocab(65_535).unwrap();
    assert_eq!(longest.id(&"a".repeat(65_535)), Some(0));
    assert_eq!(longest.token(1), Some("b"));
    let error = vocab(65_536).unwrap_err();
    assert!(error.to_string().contains("65536 bytes"), "{error}");
}

#[test]
fn ids_that_cannot_be() {
    for tokens in [
        &[("a", 1), ("b", 1)][..],
        &[("a", u32::MAX)],
        &[("", 0)],
        &[],
    ] {
        let error = vocab(tokens.iter().copied()).unwrap_err();
        assert!(matches!(error, Error::Vocabulary { .. }), "{error}");
    }
}
