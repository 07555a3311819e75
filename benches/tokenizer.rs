//! Benchmarks of tokenizing and of opening a tokenizer, on one thread: `cargo bench --bench tokenizer`.
//!
//! Uses the vocabulary of bert-base-uncased and lines of real data sets if the folder of data and models exists, which
//! `BERTLESS_SHARED` names (by default `../shared`, beside the checkout). Otherwise uses a few sentences, and the small vocabulary
//! of a fixture, which splits them into many more tokens. Tokenizing is bound by the look-up of words: three memory accesses per
//! word.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use bertless::{ModelFiles, Tokenizer};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Map, Value, json};

/// Maximum number of lines of a text.
const LINES: usize = 2000;
const SHORT: &str = "An absolute delight from start to finish.";
const ENGLISH: [&str; 4] = [
    "The film is a delight, and it was in the end all that we hoped for.",
    "She lives in New York; she works at ACME Corp. since 1999!",
    "Is it not what was to be expected of him, then?",
    "Unbelievably, incomprehensibly, the photosynthesising antediluvian yawned.",
];
const MULTILINGUAL: [&str; 4] = [
    "Zoë Müller isst Äpfel, während José Piñata trinkt.",
    "一架飞机正在起飞。",
    "Самолёт взлетает, а мы смотрим на него.",
    "كتبت المساعدة في تدوينة نشرتها يوم الإثنين. 😀👍🏽",
];

fn shared() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::var_os("BERTLESS_SHARED") {
        Some(shared) => root.join(shared),
        None => root.join("../shared"),
    }
}

/// Reads a vocabulary. Returns its bytes and its name.
fn vocabulary() -> (Vec<u8>, &'static str) {
    match std::fs::read(shared().join("models/vocabs/bert-base-uncased/vocab.txt")) {
        Ok(vocabulary) => (vocabulary, "bert-base-uncased"),
        Err(_) => {
            let fixture = "fixtures/models/bert-classify/vocab.txt";
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture);
            (std::fs::read(path).expect("a vocabulary"), "fixture")
        }
    }
}

/// Returns lines of the data files, equally many of each, or `others` if a file is missing.
fn lines(files: &[&str], others: &[&str]) -> Vec<String> {
    let read = |file: &&str| std::fs::read_to_string(shared().join("data").join(file)).ok();
    match files.iter().map(read).collect::<Option<Vec<String>>>() {
        Some(texts) => texts
            .iter()
            .flat_map(|text| text.lines().skip(1).take(LINES / files.len()))
            .map(|line| line.trim_end_matches(|c: char| c == '\t' || c.is_ascii_digit()))
            .map(str::to_owned)
            .collect(),
        None => others.iter().map(|&line| line.to_owned()).collect(),
    }
}

/// Returns a `tokenizer.json` with this vocabulary.
fn tokenizer_json(vocabulary: &str) -> Vec<u8> {
    let ids = (0..).map(Value::from);
    let vocab: Map<String, Value> = vocabulary.lines().map(str::to_owned).zip(ids).collect();
    let special = |token: &str| json!({"id": vocab[token], "content": token, "special": true});
    let file = json!({
        "added_tokens": [special("[UNK]"), special("[CLS]"), special("[SEP]"), special("[MASK]")],
        "normalizer": {"type": "BertNormalizer", "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": ["[SEP]", vocab["[SEP]"]],
            "cls": ["[CLS]", vocab["[CLS]"]],
        },
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocab},
    });
    serde_json::to_vec(&file).expect("JSON")
}

/// Asserts that every ASCII piece of the line, unless it is the unknown token, is its token in lower case.
fn check(tokenizer: &Tokenizer, line: &str) {
    let encoding = tokenizer.encode(line, None).expect("tokens");
    assert!(encoding.len() > 2, "{line}");
    let tokens = encoding.ids.iter().zip(&encoding.offsets);
    for (&id, &(start, end)) in tokens.skip(1).take(encoding.len() - 2) {
        let piece = &line[start as usize..end as usize];
        let token = tokenizer.id_to_token(id).expect("a token");
        let token = token.strip_prefix("##").unwrap_or(token);
        if piece.is_ascii() && id != tokenizer.unk_id() {
            assert_eq!(piece.to_lowercase(), token, "{line}");
        }
    }
}

fn tokenize(criterion: &mut Criterion) {
    let (vocabulary, name) = vocabulary();
    let files = ModelFiles::new().with("vocab.txt", vocabulary);
    let tokenizer = Tokenizer::from_files(files).expect("a tokenizer");
    let multilingual = ["zh", "ru", "ja", "de", "fr"].map(|l| format!("stsb_multi/{l}_dev.tsv"));
    let multilingual = multilingual.each_ref().map(String::as_str);
    let texts = [
        ("english", lines(&["sst2/dev.tsv"], &ENGLISH)),
        ("multilingual", lines(&multilingual, &MULTILINGUAL)),
        ("short", vec![SHORT.to_owned()]),
    ];
    let mut group = criterion.benchmark_group(format!("tokenize/{name}"));
    for (kind, lines) in &texts {
        lines.iter().for_each(|line| check(&tokenizer, line));
        let bytes: usize = lines.iter().map(String::len).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(kind),
            lines,
            |bencher, lines| {
                bencher.iter(|| {
                    for line in lines {
                        black_box(tokenizer.encode(black_box(line.as_str()), None))
                            .expect("tokens");
                    }
                });
            },
        );
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let (vocabulary, name) = vocabulary();
    let text = String::from_utf8(vocabulary).expect("UTF-8");
    let mut group = criterion.benchmark_group(format!("open/{name}"));
    let json = tokenizer_json(&text);
    for (file, bytes) in [
        ("vocab.txt", text.clone().into_bytes()),
        ("tokenizer.json", json),
    ] {
        // The bytes are static, as in a program with an embedded model, so that no copy is measured.
        let bytes: &'static [u8] = bytes.leak();
        let open =
            || Tokenizer::from_files(ModelFiles::new().with(file, bytes)).expect("a tokenizer");
        let tokenizer = open();
        assert_eq!(tokenizer.vocab_size(), text.lines().count());
        check(&tokenizer, SHORT);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(file), |bencher| {
            bencher.iter(open)
        });
    }
    group.finish();
}

criterion_group!(benches, tokenize, open);
criterion_main!(benches);
