use super::*;
use crate::batch::Encoding;
use crate::kernels::gemm::Rounding;
use crate::kernels::{Cpu, Threads};
use crate::model::Model;
use crate::tokenizer::{Truncation, TruncationStrategy};
use crate::train::fixture;
use crate::train::model::ops::oracle::{assert_close, random, widen};
use crate::weights::{Access, ModelFiles};

fn load(name: &str) -> (Network, Parameters) {
    let files = ModelFiles::open(&fixture(name), Access::Read).unwrap();
    Network::load(&files, None, 1, &Threads::default()).unwrap()
}

/// Texts of several lengths.
fn batch() -> Batch {
    let encoding = |ids: &[u32], second: usize| {
        let mut encoding = Encoding::from_ids(ids.to_vec());
        encoding.type_ids[second..].fill(1);
        encoding
    };
    let long: Vec<u32> = (0..21).map(|at| (at * at * 7 + 3) % 150).collect();
    Batch::new(&[
        encoding(&[2, 9, 11, 3, 20, 3], 4),
        encoding(&[5], 1),
        encoding(&long, 10),
    ])
}

/// Removes the token types for DistilBERT, which has none.
fn with_types(network: &Network, mut batch: Batch) -> Batch {
    if network.tables.types.is_none() {
        batch.type_ids.fill(0);
    }
    batch
}

const DROPOUT: Dropout = Dropout {
    seed: 3,
    step: 4,
    hidden: 0.2,
    attention: 0.3,
    head: 0.1,
};

const MODELS: [&str; 9] = [
    "bert-classify",
    "bert-tokens",
    "bert-question",
    "bert-gelu-new",
    "bert-relu",
    "distilbert-classify",
    "distilbert-tokens",
    "sentence-mean",
    "sentence-cls",
];

#[test]
fn the_forward_pass_without_dropout_is_inference() {
    for name in MODELS {
        let (network, parameters) = load(name);
        let model = Model::load(fixture(name)).unwrap();
        let texts = [
            "A great film, with wonderful acting!",
            "no",
            "the end of it all, again and again",
        ];
        let truncation = Truncation {
            max_length: model.max_length(),
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let encode = |text: &&str| model.tokenizer().encode(*text, Some(&truncation)).unwrap();
        let batch = Batch::new(&texts.iter().map(encode).collect::<Vec<_>>());
        let tape = forward(&network, &parameters, &batch, &Dropout::NONE, Retain::All);
        let hidden = network.config.hidden_size;
        let mut head = Vec::new();
        for (text, rows) in texts.iter().zip(batch.starts.windows(2)) {
            let states = model.hidden_states(*text).unwrap();
            assert_eq!(states.len(), network.layers.len() + 1);
            for (index, state) in states.iter().enumerate() {
                let state_of_text = &tape.hidden(index)[rows[0] * hidden..rows[1] * hidden];
                assert_close(name, state_of_text, &widen(state.as_slice().unwrap()), 1e-6);
            }
            match network.head {
                Head::Embedding { .. } => head.extend(model.embed(text).unwrap().iter()),
                _ => head.extend(model.logits(*text).unwrap()),
            }
        }
        assert_close(name, tape.output(), &widen(&head), 1e-6);
    }
}

/// Random gradients for all outputs of a pass except one hidden state.
fn output_gradients(network: &Network, batch: &Batch, tape: &Tape) -> OutputGradients {
    let len = batch.rows() * network.config.hidden_size;
    let projections = |index| [1, 2, 3].map(|part| random(10 * index + part, len));
    let layers = network.layers.len() as u64;
    let mut gradients = OutputGradients {
        head: random(1, tape.output().len()),
        hidden: vec![random(2, len), Vec::new(), random(3, len)],
        projections: (0..layers).map(projections).collect(),
    };
    if tape.retain == Retain::Head {
        gradients.hidden.truncate(network.layers.len());
        gradients.projections.pop();
    }
    gradients
}

fn loss(outputs: &OutputGradients, found: &oracle::Outputs) -> f64 {
    let dot =
        |d: &[f32], x: &[f64]| -> f64 { d.iter().zip(x).map(|(&d, x)| f64::from(d) * x).sum() };
    let hidden = outputs.hidden.iter().zip(&found.hidden);
    let projections = outputs.projections.iter().flatten();
    let projections = projections.zip(found.projections.iter().flatten());
    dot(&outputs.head, &found.head)
        + hidden
            .chain(projections)
            .map(|(d, x)| dot(d, x))
            .sum::<f64>()
}

/// Runs a forward pass on one thread.
fn forward(
    network: &Network,
    parameters: &Parameters,
    batch: &Batch,
    dropout: &Dropout,
    retain: Retain,
) -> Tape {
    let mut tape = Tape::default();
    let exec = ExecContext::serial();
    network
        .forward(&exec, parameters, batch, dropout, retain, &mut tape)
        .unwrap();
    tape
}

/// Runs the backward pass on one thread.
fn backward(
    network: &Network,
    parameters: &Parameters,
    batch: &Batch,
    tape: &mut Tape,
    outputs: &OutputGradients,
) -> Gradients {
    let mut gradients = parameters.gradients();
    let exec = ExecContext::serial();
    network.backward(&exec, parameters, batch, tape, outputs, &mut gradients);
    gradients
}

#[test]
fn gradients_of_every_parameter_agree_with_differences() {
    for (name, retain) in [
        ("bert-classify", Retain::All),
        ("bert-classify", Retain::Head),
        ("bert-tokens", Retain::All),
        ("distilbert-classify", Retain::All),
        ("distilbert-classify", Retain::Head),
        ("sentence-mean", Retain::All),
        ("sentence-cls", Retain::Head),
    ] {
        let (network, parameters) = load(name);
        let batch = with_types(&network, batch());
        let mut tape = forward(&network, &parameters, &batch, &DROPOUT, retain);
        let mut values: Vec<Vec<f64>> = parameters.iter().map(|p| widen(&p.values)).collect();
        let expected = oracle::forward(&network, &values, &batch, &DROPOUT, retain);
        assert_close(name, tape.output(), &expected.head, 2e-6);

        let outputs = output_gradients(&network, &batch, &tape);
        let gradients = backward(&network, &parameters, &batch, &mut tape, &outputs);
        for (index, (parameter, found)) in parameters.iter().zip(gradients.iter()).enumerate() {
            let stride = (parameter.values.len() / 7).max(1);
            let mut chosen: Vec<usize> = (0..parameter.values.len()).step_by(stride).collect();
            // Includes rows of the embedding tables that the batch uses, which are among the first.
            chosen.push(3.min(parameter.values.len() - 1));
            let mut expected = Vec::new();
            for &at in &chosen {
                let mut at_distance = |step: f64| {
                    let before = values[index][at];
                    values[index][at] = before + step;
                    let found = oracle::forward(&network, &values, &batch, &DROPOUT, retain);
                    values[index][at] = before;
                    loss(&outputs, &found)
                };
                const STEP: f64 = 1e-5;
                expected.push((at_distance(STEP) - at_distance(-STEP)) / (2.0 * STEP));
            }
            let found: Vec<f32> = chosen.iter().map(|&at| found[at]).collect();
            let what = format!("{name}, {retain:?}, {}", parameter.name);
            assert_close(&what, &found, &expected, 2e-5);
        }
    }
}

#[test]
fn what_is_left_out_for_the_head_alone_changes_nothing() {
    for name in [
        "bert-classify",
        "distilbert-classify",
        "sentence-cls",
        "sentence-mean",
    ] {
        let (network, parameters) = load(name);
        let batch = with_types(&network, batch());
        let [all, head] = [Retain::All, Retain::Head].map(|retain| {
            let mut tape = forward(&network, &parameters, &batch, &Dropout::NONE, retain);
            let outputs = OutputGradients {
                head: random(1, tape.output().len()),
                ..Default::default()
            };
            let gradients = backward(&network, &parameters, &batch, &mut tape, &outputs);
            (tape.output().to_vec(), gradients)
        });
        assert_eq!(all.0, head.0, "{name}");
        for (parameter, (all, head)) in parameters.iter().zip(all.1.iter().zip(head.1.iter())) {
            assert_close(
                &format!("{name}, {}", parameter.name),
                head,
                &widen(all),
                2e-6,
            );
        }
    }
}

#[test]
fn gradients_are_the_same_bits_at_any_number_of_threads_and_add_up() {
    for (name, rounding) in [
        ("bert-classify", Rounding::None),
        ("bert-classify", Rounding::Bf16),
        ("sentence-mean", Rounding::None),
    ] {
        let (mut network, parameters) = load(name);
        network.rounding = rounding;
        let batch = batch();
        let mut all = Vec::new();
        for threads in [1, 2, 3] {
            let exec = ExecContext::new(Cpu::detect(), &Threads::new(threads).unwrap());
            let mut tape = Tape::default();
            let mut gradients = parameters.gradients();
            // Runs again: earlier contents of the tape must not matter, nor those of gradients that were cleared.
            for clears in [true, true, false] {
                if clears {
                    gradients.clear();
                }
                network
                    .forward(&exec, &parameters, &batch, &DROPOUT, Retain::All, &mut tape)
                    .unwrap();
                let outputs = output_gradients(&network, &batch, &tape);
                let tape = &mut tape;
                network.backward(&exec, &parameters, &batch, tape, &outputs, &mut gradients);
                let bits = gradients.iter().flatten().map(|x| x.to_bits());
                if clears {
                    all.push(bits.collect::<Vec<_>>());
                }
            }
            let twice = gradients.iter().flatten();
            for (twice, once) in twice.zip(&all[0]) {
                let expected = 2.0 * f32::from_bits(*once);
                assert!((twice - expected).abs() <= 1e-5 * expected.abs().max(1.0));
            }
        }
        assert!(
            all.iter().all(|bits| *bits == all[0]),
            "{name}, {rounding:?}"
        );
    }
}

#[test]
fn layers_round_on_both_ways_and_heads_do_not() {
    for (name, head) in [
        ("bert-classify", ["classifier", "bert.pooler"]),
        ("distilbert-classify", ["classifier", "pre_classifier"]),
    ] {
        let (mut network, parameters) = load(name);
        network.rounding = Rounding::Bf16;
        let exact = network.without_rounding();
        let batch = with_types(&network, batch());
        let [mut tape, mut rounded] = [&exact, &network]
            .map(|network| forward(network, &parameters, &batch, &DROPOUT, Retain::All));
        assert_ne!(tape.output(), rounded.output(), "{name}");
        let pass = PassContext {
            exec: &ExecContext::serial(),
            parameters: &parameters,
            starts: &batch.starts,
            firsts: None,
            dropout: DROPOUT,
            rounding: Rounding::None,
        };
        let last = batch.rows() * network.config.hidden_size;
        let rows = rounded.hidden[network.layers.len()][..last].to_vec();
        let expected = rounded.output().to_vec();
        network.head.forward(&pass, &rows, &mut rounded.head);
        assert_eq!(rounded.output(), expected, "{name}");

        // Both backward passes start from the same values.
        let outputs = OutputGradients {
            head: random(1, tape.output().len()),
            ..Default::default()
        };
        let [exact, rounded] = [&exact, &network]
            .map(|network| backward(network, &parameters, &batch, &mut tape, &outputs));
        for (parameter, (exact, rounded)) in parameters.iter().zip(exact.iter().zip(rounded.iter()))
        {
            let what = format!("{name}, {}", parameter.name);
            let name = &parameter.name;
            let is_matrix = name.ends_with(".weight") && !name.to_lowercase().contains("norm");
            if head.iter().any(|head| name.starts_with(head)) {
                assert_eq!(exact, rounded, "{what}");
            } else if name.contains(".layer.") && is_matrix {
                assert_ne!(exact, rounded, "{what}");
            }
            // Rounding to bf16 has a relative error of at most 2^-9. A few products follow each other, and the gradients of
            // queries and keys are differences of their results.
            let length = |numbers: &mut dyn Iterator<Item = f32>| -> f64 {
                numbers.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
            };
            let off = length(&mut exact.iter().zip(rounded).map(|(a, b)| a - b));
            let all = length(&mut exact.iter().copied());
            assert!(off <= 0.05 * all + 1e-6, "{what}: {off} of {all}");
        }
    }
}

#[test]
fn a_smaller_batch_after_a_larger_one_sees_nothing_of_it() {
    for rounding in [Rounding::None, Rounding::Bf16] {
        let (mut network, parameters) = load("bert-classify");
        network.rounding = rounding;
        // Includes a text without tokens.
        let small = [&[2, 7, 3][..], &[]].map(|ids| Encoding::from_ids(ids.to_vec()));
        let small = Batch::new(&small);
        let exec = ExecContext::serial();
        let pass = |tape: &mut Tape, batch: &Batch| {
            network
                .forward(&exec, &parameters, batch, &DROPOUT, Retain::Head, tape)
                .unwrap();
            let outputs = output_gradients(&network, batch, tape);
            let mut gradients = parameters.gradients();
            network.backward(&exec, &parameters, batch, tape, &outputs, &mut gradients);
            gradients.iter().flatten().copied().collect::<Vec<f32>>()
        };
        let expected = pass(&mut Tape::default(), &small);
        let mut tape = Tape::default();
        pass(&mut tape, &batch());
        assert_eq!(pass(&mut tape, &small), expected, "{rounding:?}");
    }
}

#[test]
fn names_are_those_of_the_checkpoint() {
    for name in [
        "bert-classify",
        "bert-question",
        "distilbert-classify",
        "distilbert-tokens",
    ] {
        let (_, parameters) = load(name);
        let bytes = std::fs::read(fixture(name).join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut expected: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        expected.sort();
        let mut found: Vec<String> = parameters.iter().map(|p| p.name.clone()).collect();
        found.sort();
        assert_eq!(found, expected, "{name}");
        for parameter in parameters.iter() {
            assert_eq!(
                parameter.shape,
                file.tensor(&parameter.name).unwrap().shape()
            );
            let plain = parameter.shape.len() == 2;
            assert_eq!(parameter.decays, plain, "{}", parameter.name);
        }
    }
}

#[test]
fn a_fresh_network_and_a_fresh_head_are_made_where_a_checkpoint_has_none() {
    let (network, _) = load("bert-classify");
    let kind = HeadKind::Sequence { labels: 5 };
    let build = |seed| Network::build(network.config(), kind, &Init::fresh(seed)).unwrap();
    let (fresh, parameters) = build(7);
    assert_eq!(
        (
            fresh.outputs(),
            parameters == build(7).1,
            parameters == build(8).1
        ),
        (5, true, false)
    );

    // An embedding model becomes a classifier: the encoder is the checkpoint's, the head is missing there.
    let files = ModelFiles::open(&fixture("sentence-mean"), Access::Read).unwrap();
    let (classifier, parameters) =
        Network::load(&files, Some(kind), 7, &Threads::default()).unwrap();
    assert_eq!(classifier.outputs(), 5);
    let words = parameters.iter().next().unwrap();
    assert_eq!(words.name, "bert.embeddings.word_embeddings.weight");
    assert_eq!(
        words.values,
        load("sentence-mean").1.iter().next().unwrap().values
    );
    let last = parameters.iter().last().unwrap();
    assert_eq!(
        (&last.name[..], &last.values[..]),
        ("classifier.bias", &[0.0; 5][..])
    );
}

#[test]
fn what_cannot_learn_is_refused_by_name() {
    for (name, culprit) in [
        ("mpnet-classify", "family mpnet"),
        ("bert-mask", "masked-language"),
        ("sentence-max", "pooling"),
    ] {
        let files = ModelFiles::open(&fixture(name), Access::Read).unwrap();
        let error = Network::load(&files, None, 1, &Threads::default()).unwrap_err();
        assert!(error.to_string().contains(culprit), "{name}: {error}");
    }
    let (network, parameters) = load("bert-classify");
    let batch = Batch::new(&[Encoding::from_ids(vec![100_000])]);
    let mut tape = Tape::default();
    let error = network.forward(
        &ExecContext::serial(),
        &parameters,
        &batch,
        &Dropout::NONE,
        Retain::Head,
        &mut tape,
    );
    assert!(matches!(
        error,
        Err(crate::Error::EmbeddingOutOfRange { id: 100_000, .. })
    ));
}
