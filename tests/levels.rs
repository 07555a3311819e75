//! Instruction sets agree: the same text's embedding differs by at most 1e-5 from one to another.
//!
//! The level is chosen once a process, so this test runs itself again with `BERTLESS_CPU` set.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use bertless::{Dtype, Model, ModelOptions, Precision};

const TEXTS: [&str; 4] = [
    "a good film",
    "",
    "The quick brown fox jumps over the lazy dog.",
    "It was a good year for people in London and in Paris, and they eat lunch in the rain.",
];

const LEVELS: [&str; 6] = [
    "avx512-vnni",
    "avx512",
    "avx2-vnni",
    "avx2",
    "neon-dotprod",
    "neon",
];

/// What the error of an absent level says.
const NOT_HERE: &str = "is not an instruction set of this processor";

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
            all.extend(model.embed(text).unwrap());
        }
    }
    all
}

/// The numbers that a test prints in another process, on a level; or why it prints none.
fn printed(level: impl AsRef<OsStr>, test: &str) -> Result<Vec<f32>, String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("BERTLESS_CPU", level)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(text.into_owned() + &String::from_utf8_lossy(&output.stderr));
    }
    let numbers = text.split_once("numbers:").unwrap().1.lines().next();
    let numbers = numbers.unwrap().split_whitespace();
    Ok(numbers
        .map(|bits| f32::from_bits(bits.parse().unwrap()))
        .collect())
}

/// What the other tests run with a level forced.
#[test]
fn prints_embeddings() {
    print(&embeddings(Dtype::F32));
}

/// The same in int8, and behind that the bytes of what is packed.
#[test]
fn prints_int8() {
    let mut numbers = embeddings(Dtype::Int8);
    for name in MODELS {
        let packed = Model::pack(fixture(name), Precision::Int8).unwrap();
        numbers.extend(packed.to_vec().iter().map(|&byte| f32::from(byte)));
    }
    print(&numbers);
}

fn print(numbers: &[f32]) {
    assert!(numbers.len() > 100 && numbers.iter().all(|x| x.is_finite()));
    let bits: Vec<String> = numbers.iter().map(|x| x.to_bits().to_string()).collect();
    println!("numbers: {}", bits.join(" "));
}

/// What a test prints on each level that this processor has, with the level's name.
fn on_each(test: &str, mut check: impl FnMut(&str, &[f32])) {
    for level in LEVELS {
        match printed(level, test) {
            Ok(found) => check(level, &found),
            // Only for want of the level.
            Err(why) => {
                assert!(why.contains(NOT_HERE), "{level}: {why}");
                println!("{level}: not run");
            }
        }
    }
}

#[track_caller]
fn assert_near(level: &str, found: &[f32], portable: &[f32], bound: f32) {
    assert_eq!(found.len(), portable.len());
    let differences = found.iter().zip(portable).map(|(a, b)| (a - b).abs());
    let largest = differences.fold(0f32, f32::max);
    println!("{level}: differs from portable by {largest:.1e} at most");
    assert!(largest <= bound, "{level}: {largest:e}");
}

#[test]
fn levels_agree() {
    let portable = printed("portable", "prints_embeddings").unwrap();
    assert!(portable.len() > 100);
    on_each("prints_embeddings", |level, found| {
        assert_near(level, found, &portable, 1e-5);
    });
}

/// Packed files are the same to the bit. Sums are, too, but what goes into the next layer is rounded to one of 255 steps, and
/// a float that differs in its last bit may take the next of them, which is a few thousandths of an embedding. Here none
/// does, so that they differ by 5e-7.
#[test]
fn levels_agree_in_int8() {
    let portable = printed("portable", "prints_int8").unwrap();
    let count = embeddings(Dtype::Int8).len();
    let (embeddings, files) = portable.split_at(count);
    assert!(files.len() > 10 * count);
    on_each("prints_int8", |level, found| {
        assert!(found[count..] == *files, "{level}");
        assert_near(level, &found[..count], embeddings, 5e-3);
    });
}

#[test]
fn an_unknown_level_is_an_error() {
    let why = printed("mmx", "prints_embeddings").unwrap_err();
    assert!(why.contains("mmx") && why.contains(NOT_HERE), "{why}");
}

/// A name that is no text is not the same as no name.
#[cfg(unix)]
#[test]
fn a_level_that_is_not_unicode_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let why = printed(OsStr::from_bytes(b"portable\xff"), "prints_embeddings").unwrap_err();
    assert!(why.contains("xFF") && why.contains(NOT_HERE), "{why}");
}
