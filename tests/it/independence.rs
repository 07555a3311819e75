//! A text's answer has the same bits alone, in any batch, in any order, and with any number of threads.

use std::path::Path;

use bertless::{
    AnswerOptions, Dtype, Encoding, Input, Model, ModelOptions, Pooling, PredictOptions,
    ZeroShotOptions,
};

const TEXTS: [&str; 7] = [
    "a good film",
    "",
    "The quick brown fox jumps over the lazy dog.",
    "worst movie ever",
    "It was a good year for people in London and in Paris, and they eat lunch in the rain, and they eat in the city.",
    "a",
    "unbelievable 12345",
];

#[test]
fn answers_do_not_depend_on_company_order_or_threads() {
    alone_and_in_company(Dtype::F32);
}

#[test]
fn nor_do_those_that_are_computed_in_bf16() {
    alone_and_in_company(Dtype::Bf16);
}

#[test]
fn nor_do_those_that_are_computed_in_bytes() {
    alone_and_in_company(Dtype::Int8);
}

/// Every family and task, each with texts and pairs that it answers.
fn alone_and_in_company(dtype: Dtype) {
    let pairs = TEXTS.iter().zip(TEXTS.iter().rev());
    let pairs = pairs.map(|(first, second)| Input::Pair(first, second));
    let masked = [
        "a good [MASK]",
        "the <mask> of the [MASK] in Paris",
        "a <mask>",
    ];
    let texts = TEXTS.into_iter().chain(masked).map(Input::Text);
    let inputs: Vec<Input<'_>> = texts.chain(pairs).collect();
    let families = ["bert", "distilbert", "electra", "mobilebert", "mpnet"];
    let tasks = ["base", "classify", "tokens", "question", "mask"];
    let mut names: Vec<String> = families
        .iter()
        .flat_map(|family| tasks.map(|task| format!("{family}-{task}")))
        .collect();
    names.extend(["bert-head-26", "sentence-mpnet"].map(str::to_owned));
    for name in names {
        let dir = fixture(&name);
        let model = |threads| {
            let options = ModelOptions::new().threads(threads).dtype(dtype);
            Model::load_with(&dir, options).unwrap()
        };
        let serial = model(1);
        let (mut answered, mut alone) = (Vec::new(), Vec::new());
        for &input in &inputs {
            if let Ok(answer) = serial.predict(input) {
                answered.push(input);
                alone.push(answer);
            }
        }
        assert!(answered.len() >= 2, "{name}");
        let backwards: Vec<Input<'_>> = answered.iter().rev().copied().collect();
        // Enough texts for several passes.
        let many: Vec<Input<'_>> = answered.iter().cycle().take(300).copied().collect();
        for threads in [1, 2, 3, 7] {
            let model = model(threads);
            for (&input, answer) in answered.iter().zip(&alone) {
                assert_eq!(
                    &model.predict(input).unwrap(),
                    answer,
                    "{name}, {threads} threads"
                );
            }
            let together = model.predict_batch(&answered).unwrap();
            assert_eq!(together, alone, "{name}, {threads} threads");
            let mut answers = model.predict_batch(&backwards).unwrap();
            answers.reverse();
            assert_eq!(answers, alone, "{name} backwards, {threads} threads");
            let answers = model.predict_batch(&many).unwrap();
            let mut answers = answers.chunks(alone.len());
            assert!(answers.all(|some| some == &alone[..some.len()]), "{name}");
        }
    }
}

fn fixture(name: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/models").join(name)
}

/// Windows are computed together with those of the same question and of others.
#[test]
fn questions_do_not_see_each_other() {
    let long = TEXTS.join(" ").repeat(8);
    let contexts = [TEXTS[4], &long, TEXTS[2]];
    let pairs: Vec<(&str, &str)> = (0..90)
        .map(|index| (TEXTS[index % TEXTS.len()], contexts[index % contexts.len()]))
        .collect();
    let answers = AnswerOptions {
        top_k: 3,
        max_window: 36,
        ..AnswerOptions::default()
    };
    for threads in [1, 3] {
        let options = ModelOptions::new()
            .threads(threads)
            .calls(PredictOptions::new().answers(answers.clone()));
        let model = Model::load_with(fixture("bert-question"), options).unwrap();
        let alone: Vec<_> = pairs[..21]
            .iter()
            .map(|&pair| model.predict(pair).unwrap())
            .collect();
        let together = model.predict_batch(&pairs).unwrap();
        assert!(together.chunks(21).all(|some| some == &alone[..some.len()]));
    }
}

/// Each label's score by itself is the one that it gets among many.
#[test]
fn labels_do_not_see_each_other() {
    let model = Model::load(fixture("bert-nli")).unwrap();
    let options = ZeroShotOptions {
        multi_label: true,
        ..ZeroShotOptions::default()
    };
    let options = PredictOptions::new().zero_shot(options);
    let labels: Vec<String> = (0..60).map(|index| format!("film {index}")).collect();
    let together = model.zero_shot_with(TEXTS[2], &labels, &options).unwrap();
    assert_eq!(together.scores.len(), labels.len());
    let mut tokens = 0;
    for score in &together.scores {
        let alone = model
            .zero_shot_with(TEXTS[2], [&score.label], &options)
            .unwrap();
        assert_eq!(alone.scores[0].label, score.label);
        assert_eq!(alone.scores[0].score, score.score);
        tokens += alone.n_tokens;
    }
    assert_eq!(together.n_tokens, tokens);
    // More than are computed together.
    assert!(tokens > 1024);
}

/// Where only first rows are asked for, the last layer computes no others: they have the bits that they have among all.
#[test]
fn a_first_row_does_not_depend_on_whether_others_are_asked_for() {
    for family in ["bert", "distilbert", "electra", "mobilebert", "mpnet"] {
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::Int8] {
            for threads in [1, 3] {
                let options = ModelOptions::new()
                    .dtype(dtype)
                    .threads(threads)
                    .pooling(Pooling::Cls)
                    .normalize(false);
                let model = Model::load_with(fixture(&format!("{family}-base")), options).unwrap();
                let firsts = model.embed_batch(TEXTS).unwrap();
                for (text, first) in TEXTS.iter().zip(firsts.iter()) {
                    let all = model.last_hidden_state(*text).unwrap();
                    assert_eq!(first, all.row(0).to_vec(), "{family} in {dtype}: {text}");
                }
            }
        }
    }
}

/// A text's tokens are all that its answer is made of.
#[test]
fn logits_of_encodings_are_those_of_their_text() {
    let model = Model::load(fixture("bert-classify")).unwrap();
    let encode = |text: &&str| model.tokenizer().encode(*text, None).unwrap();
    let tokens: Vec<_> = TEXTS.iter().map(encode).collect();
    let logits = model.logits_of_encodings(&tokens).unwrap();
    assert_eq!(logits, model.logits_batch(TEXTS).unwrap());
    let none = Encoding::from_ids(Vec::new());
    let error = model.logits_of_encodings(&[tokens[0].clone(), none]);
    assert!(error.unwrap_err().to_string().contains("input 1"));
    let other = Model::load(fixture("bert-base")).unwrap();
    assert!(other.logits_of_encodings(&tokens).is_err());
}

#[test]
fn one_model_serves_many_callers() {
    fn shared<T: Send + Sync>(_: &T) {}
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/bert-classify");
    let model = Model::load_with(dir, ModelOptions::new().threads(2)).unwrap();
    shared(&model);
    let expected = model.predict_batch(TEXTS).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(model.predict_batch(TEXTS).unwrap(), expected);
                }
            });
        }
    });
}
