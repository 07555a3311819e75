//! Loads a packed file of which arbitrary bytes are changed, as in an attack. Loading must return an error, or a model that answers
//! without a panic. A model that is read into memory and one that is mapped must give the same answer.
//!
//! The digest is computed anew after the changes, since it would otherwise reject the file: against accidental changes the digest
//! alone protects.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bertless::{Error, Model, ModelOptions, PackOptions, WeightFormat};
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::Xxh3;

const DIGEST: &[u8] = br#""digest":""#;
const TEXTS: [&str; 2] = [
    "The quick brown fox jumps over the lazy dog.",
    "A fine film.",
];
const CHECKED: &[u8] = br#""checked":""#;

fn packed() -> &'static [u8] {
    static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
    PACKED.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = root.join("../fixtures/models/bert-classify");
        let options = PackOptions::new(WeightFormat::Int8).calibrate(TEXTS);
        Model::pack_with(dir, options).unwrap().to_vec()
    })
}

fn end_of_key(file: &[u8], key: &[u8]) -> Option<usize> {
    let at = file.windows(key.len()).position(|window| window == key)?;
    Some(at + key.len())
}

/// Computes the digest of the file and writes it into the header. Returns `None` if the header has no digest.
fn seal(file: &mut [u8]) -> Option<()> {
    let (digest, checked) = (end_of_key(file, DIGEST)?, end_of_key(file, CHECKED)?);
    let digits = std::str::from_utf8(file.get(checked..checked + 12)?).ok()?;
    let end: usize = digits.parse().ok()?;
    let mut hash = Xxh3::new();
    hash.update(&file[..digest]);
    hash.update(file.get(digest + 16..end)?);
    let text = format!("{:016x}", hash.digest());
    file[digest..][..16].copy_from_slice(text.as_bytes());
    Some(())
}

fn file_path() -> PathBuf {
    std::env::temp_dir().join(format!("bertless-fuzz-{}", std::process::id()))
}

fuzz_target!(|data: &[u8]| {
    let mut file = packed().to_vec();
    // Of each four bytes, three are the position of a change and the fourth is the new byte.
    for change in data.as_chunks::<4>().0 {
        let &[low, middle, high, byte] = change;
        let len = file.len();
        file[u32::from_le_bytes([low, middle, high, 0]) as usize % len] = byte;
    }
    let _ = seal(&mut file);
    let path = file_path();
    std::fs::write(&path, &file).unwrap();
    let options = ModelOptions::new().threads(1);
    // SAFETY: only this process writes to the file, and only after the model that maps it has been dropped.
    let in_place = unsafe { options.clone().map() };
    let (read, mapped) = (
        Model::load_with(&path, options),
        Model::load_with(&path, in_place),
    );
    // Loading by reading detects numbers that are not finite. With a mapped file they only show in the answer.
    let non_finite = matches!(read, Err(Error::NonFinite { .. }));
    assert!(
        non_finite || read.is_ok() == mapped.is_ok(),
        "{read:?} {mapped:?}"
    );
    let answer = |model: &Model| model.predict("The quick brown fox, unbelievably.").ok();
    if let (Ok(model), Ok(mapped)) = (&read, &mapped) {
        assert_eq!(answer(model), answer(mapped));
    }
    if let Ok(model) = &mapped {
        let _ = answer(model);
        let tokens = model.tokenizer().vocab_size() as u32;
        for id in 0..tokens.min(1000) {
            let _ = model.tokenizer().id_to_token(id);
        }
    }
});
