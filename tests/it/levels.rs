//! Instruction sets agree: the embeddings of a text differ by at most 1e-5 between them, in rounded types by more, and
//! their packed files are the same to the bit.
//!
//! A process chooses its instruction set once, so this test runs itself again with `BERTLESS_CPU` set.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use bertless::{Dtype, Model, ModelOptions, WeightFormat};

const TEXTS: [&str; 4] = [
    "a good film",
    "",
    "The quick brown fox jumps over the lazy dog.",
    "It was a good year for people in London and in Paris, and they eat lunch in the rain.",
];

/// What the error of an absent level says.
const NOT_HERE: &str = "is not an instruction set of this processor";

/// How far levels may be apart. Sums of rounded numbers are the same, but what is between them is rounded a little
/// differently, and a number that is halfway between two of bf16, or of int8's 255, may become the one or the other (2.5e-6
/// and 5e-7 where that does not happen, as here).
const TYPES: [(Dtype, f32); 3] = [(Dtype::F32, 1e-5), (Dtype::Bf16, 1e-3), (Dtype::Int8, 5e-3)];

const MODELS: [&str; 3] = ["bert-base", "mobilebert-base", "sentence-mpnet"];

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/models").join(name)
}

fn embeddings(dtype: Dtype) -> Vec<f32> {
    let mut all = Vec::new();
    for name in MODELS {
        let options = ModelOptions::new().dtype(dtype);
        let model = Model::load_with(fixture(name), options).unwrap();
        for text in TEXTS {
            all.extend(model.embed(text).unwrap().embedding);
        }
    }
    all
}

/// The bytes of the models packed in int8.
fn packed() -> Vec<f32> {
    let pack = |name| {
        Model::pack(fixture(name), WeightFormat::Int8)
            .unwrap()
            .to_vec()
    };
    let bytes = MODELS.into_iter().flat_map(pack);
    bytes.map(f32::from).collect()
}

/// What another process says: its numbers in each type and of what it packs, or why it has none.
fn on(level: impl AsRef<OsStr>) -> Result<Vec<Vec<f32>>, String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "levels::prints_numbers", "--nocapture"])
        .env("BERTLESS_CPU", level)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(text.into_owned() + &String::from_utf8_lossy(&output.stderr));
    }
    let lines = text.split("numbers:").skip(1);
    let numbers = |line: &str| {
        let numbers = line.lines().next().unwrap().split_whitespace();
        let numbers = numbers.map(|bits| f32::from_bits(bits.parse().unwrap()));
        numbers.collect()
    };
    Ok(lines.map(numbers).collect())
}

/// What the other tests run with a level forced.
#[test]
fn prints_numbers() {
    let of_types = TYPES.map(|(dtype, _)| embeddings(dtype));
    for numbers in of_types.into_iter().chain([packed()]) {
        assert!(numbers.len() > 100 && numbers.iter().all(|x| x.is_finite()));
        let bits: Vec<String> = numbers.iter().map(|x| x.to_bits().to_string()).collect();
        println!("numbers: {}", bits.join(" "));
    }
}

#[test]
fn levels_agree() {
    let portable = on("portable").unwrap();
    assert_eq!(portable.len(), TYPES.len() + 1);
    assert!(portable[0] != portable[1] && portable[0] != portable[2]);
    for level in [
        "avx512-bf16",
        "avx512-vnni",
        "avx512",
        "avx2-vnni",
        "avx2",
        "neon-dotprod",
        "neon",
    ] {
        match on(level) {
            Ok(found) => {
                assert!(found.last() == portable.last(), "{level} packs other bytes");
                for ((found, portable), (dtype, bound)) in found.iter().zip(&portable).zip(TYPES) {
                    assert_eq!(found.len(), portable.len());
                    let differences = found.iter().zip(portable).map(|(a, b)| (a - b).abs());
                    let largest = differences.fold(0f32, f32::max);
                    println!("{level}, {dtype}: differs from portable by {largest:.1e} at most");
                    assert!(largest <= bound, "{level}, {dtype}: {largest:e}");
                }
            }
            // Only for want of the level.
            Err(why) => {
                assert!(why.contains(NOT_HERE), "{level}: {why}");
                println!("{level}: not run");
            }
        }
    }
}

#[test]
fn an_unknown_level_is_an_error() {
    let why = on("mmx").unwrap_err();
    assert!(why.contains("mmx") && why.contains(NOT_HERE), "{why}");
}

/// A name that is no text is not the same as no name.
#[cfg(unix)]
#[test]
fn a_level_that_is_not_unicode_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let why = on(OsStr::from_bytes(b"portable\xff")).unwrap_err();
    assert!(why.contains("xFF") && why.contains(NOT_HERE), "{why}");
}
