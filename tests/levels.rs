//! Instruction sets agree: the same text's embedding differs by at most 1e-5 from one to another.
//!
//! The level is chosen once a process, so this test runs itself again with `BERTLESS_CPU` set.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use bertless::Model;

const TEXTS: [&str; 4] = [
    "a good film",
    "",
    "The quick brown fox jumps over the lazy dog.",
    "It was a good year for people in London and in Paris, and they eat lunch in the rain.",
];

/// What the error of an absent level says.
const NOT_HERE: &str = "is not an instruction set of this processor";

fn embeddings() -> Vec<f32> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
    let mut all = Vec::new();
    for name in ["bert-base", "mobilebert-base", "sentence-mpnet"] {
        let model = Model::load(models.join(name)).unwrap();
        for text in TEXTS {
            all.extend(model.embed(text).unwrap());
        }
    }
    all
}

/// What another process says: its numbers, or why it has none.
fn on(level: impl AsRef<OsStr>) -> Result<Vec<f32>, String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "prints_embeddings", "--nocapture"])
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
    let numbers = embeddings();
    assert!(numbers.len() > 100 && numbers.iter().all(|x| x.is_finite()));
    let bits: Vec<String> = numbers.iter().map(|x| x.to_bits().to_string()).collect();
    println!("numbers: {}", bits.join(" "));
}

#[test]
fn levels_agree() {
    let portable = on("portable").unwrap();
    assert!(portable.len() > 100);
    for level in [
        "avx512-vnni",
        "avx512",
        "avx2-vnni",
        "avx2",
        "neon-dotprod",
        "neon",
    ] {
        match on(level) {
            Ok(found) => {
                assert_eq!(found.len(), portable.len());
                let differences = found.iter().zip(&portable).map(|(a, b)| (a - b).abs());
                let largest = differences.fold(0f32, f32::max);
                println!("{level}: differs from portable by {largest:.1e} at most");
                assert!(largest <= 1e-5, "{level}: {largest:e}");
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
