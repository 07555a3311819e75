//! Sizes of packed files in int8.

use std::path::{Path, PathBuf};

use bertless::{Model, WeightFormat};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::fixture;

/// What the tensors of a kind take in a file.
fn bytes_of(packed: &bertless::Packed, kind: &str) -> usize {
    let kinds = packed.sections();
    let mut kinds = kinds.iter().filter(|found| found.kind == kind);
    kinds.next().unwrap().bytes
}

/// The sizes of a BERT encoder that decide how large its file is.
struct Sizes {
    layers: usize,
    hidden: usize,
    intermediate: usize,
    words: usize,
    positions: usize,
}

impl Sizes {
    /// (n, k) of each matrix of a layer.
    fn layer(&self) -> [(usize, usize); 4] {
        let (hidden, inner) = (self.hidden, self.intermediate);
        let up = (inner, hidden);
        [(3 * hidden, hidden), (hidden, hidden), up, (hidden, inner)]
    }

    /// A byte a weight, n padded to panels and k to groups of four.
    fn matrices(&self) -> usize {
        let padded = |(n, k): (usize, usize)| n.next_multiple_of(16) * k.next_multiple_of(4);
        self.layers * self.layer().map(padded).iter().sum::<usize>()
    }

    /// A byte a number; a table of fewer than 64 rows is in f32.
    fn tables(&self) -> usize {
        let row = |rows: usize| if rows < 64 { 4 } else { 1 };
        let rows = [self.words, self.positions, 2];
        rows.iter()
            .map(|&rows| rows * row(rows) * self.hidden)
            .sum()
    }

    /// A scale and a sum for each channel of a matrix, its bias, a scale for each row of a table, and norms.
    fn numbers(&self) -> usize {
        let channels = self.layer().map(|(n, _)| 2 * n.next_multiple_of(16) + n);
        let layer = channels.iter().sum::<usize>() + 4 * self.hidden;
        let rows = [self.words, self.positions].into_iter();
        let rows: usize = rows.filter(|&rows| rows >= 64).sum();
        4 * (self.layers * layer + rows + 2 * self.hidden)
    }
}

/// The arithmetic of a file's size, to the byte.
#[test]
fn files_are_as_large_as_their_numbers() {
    let dir = fixture("bert-head-26");
    let config = std::fs::read(dir.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let size = |key: &str| config[key].as_u64().unwrap() as usize;
    let packed = Model::pack(&dir, WeightFormat::Int8).unwrap();
    let own = Sizes {
        layers: size("num_hidden_layers"),
        hidden: size("hidden_size"),
        intermediate: size("intermediate_size"),
        words: size("vocab_size"),
        positions: size("max_position_embeddings"),
    };
    assert_eq!(bytes_of(&packed, "matrices"), own.matrices());
    assert_eq!(bytes_of(&packed, "tables"), own.tables());
    assert_eq!(bytes_of(&packed, "numbers"), own.numbers());
}

/// TinyBERT's.
const TINY: Sizes = Sizes {
    layers: 4,
    hidden: 312,
    intermediate: 1200,
    words: 30_522,
    positions: 512,
};

/// The folder of a model of these sizes with any weights.
fn write(sizes: &Sizes, vocabulary: &str, dir: &Path) {
    let &Sizes {
        layers,
        hidden,
        intermediate,
        words,
        positions,
    } = sizes;
    let config = json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": positions,
        "num_attention_heads": 12,
        "num_hidden_layers": layers,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": words,
    });
    let norm = |name: &str| ["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![hidden]));
    let table = |name: &str, rows| {
        (
            format!("embeddings.{name}_embeddings.weight"),
            vec![rows, hidden],
        )
    };
    let mut shapes = vec![
        table("word", words),
        table("position", positions),
        table("token_type", 2),
    ];
    shapes.extend(norm("embeddings.LayerNorm"));
    for layer in (0..layers).map(|layer| format!("encoder.layer.{layer}")) {
        for (dense, n, k) in [
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", intermediate, hidden),
            ("output.dense", hidden, intermediate),
        ] {
            shapes.push((format!("{layer}.{dense}.weight"), vec![n, k]));
            shapes.push((format!("{layer}.{dense}.bias"), vec![n]));
        }
        shapes.extend(norm(&format!("{layer}.attention.output.LayerNorm")));
        shapes.extend(norm(&format!("{layer}.output.LayerNorm")));
    }
    let mut random = 1u32;
    let mut number = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let numbers = (0..shape.iter().product()).flat_map(|_| number().to_le_bytes());
            let bytes = numbers.collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.unwrap())
    });
    let weights = safetensors::serialize(views, None).unwrap();
    std::fs::write(dir.join("model.safetensors"), weights).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    std::fs::write(dir.join("vocab.txt"), vocabulary).unwrap();
}

/// BERT's own vocabulary, from the folder that `tests/it/real.rs` tells of.
fn vocabulary() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("BERTLESS_SHARED");
    let shared = shared.map_or_else(|| root.join("../shared"), PathBuf::from);
    let file = shared.join("models/vocabs/bert-base-uncased/vocab.txt");
    let vocabulary = std::fs::read_to_string(&file).ok();
    if vocabulary.is_none() {
        let needed = std::env::var_os("BERTLESS_REAL").is_some_and(|set| set == "1");
        assert!(!needed, "{} is not there", file.display());
        eprintln!("skipped: {} is not there", file.display());
    }
    vocabulary
}

/// The encoder alone; a pooler takes 0.39 MB more.
#[test]
fn a_model_of_tinybert_s_size_takes_15_mb_at_most() {
    let Some(vocabulary) = vocabulary() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    write(&TINY, &vocabulary, dir.path());
    let packed = Model::pack(dir.path(), WeightFormat::Int8).unwrap();
    assert_eq!(bytes_of(&packed, "matrices"), TINY.matrices());
    assert_eq!(bytes_of(&packed, "tables"), TINY.tables());
    assert_eq!(bytes_of(&packed, "numbers"), TINY.numbers());
    println!("{} bytes, {:?}", packed.bytes(), packed.sections());
    assert!(packed.bytes() <= 15_000_000, "{}", packed.bytes());
}
