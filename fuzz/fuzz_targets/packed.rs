//! A packed file with any bytes of its checked part changed and its digest made anew, as somebody would who means harm:
//! an error, or a model that answers, and the same whether the file is read or used in place. The digest itself stands
//! between this and mere accidents.
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

fn after(file: &[u8], key: &[u8]) -> Option<usize> {
    let at = file.windows(key.len()).position(|window| window == key)?;
    Some(at + key.len())
}

/// Writes the digest that the file would have.
fn seal(file: &mut [u8]) -> Option<()> {
    let (digest, checked) = (after(file, DIGEST)?, after(file, CHECKED)?);
    let digits = std::str::from_utf8(file.get(checked..checked + 12)?).ok()?;
    let end: usize = digits.parse().ok()?;
    let mut hash = Xxh3::new();
    hash.update(&file[..digest]);
    hash.update(file.get(digest + 16..end)?);
    let text = format!("{:016x}", hash.digest());
    file[digest..][..16].copy_from_slice(text.as_bytes());
    Some(())
}

fn place() -> PathBuf {
    std::env::temp_dir().join(format!("bertless-fuzz-{}", std::process::id()))
}

fuzz_target!(|data: &[u8]| {
    let mut file = packed().to_vec();
    // Three bytes say where, one what.
    for change in data.as_chunks::<4>().0 {
        let &[low, middle, high, byte] = change;
        let len = file.len();
        file[u32::from_le_bytes([low, middle, high, 0]) as usize % len] = byte;
    }
    let _ = seal(&mut file);
    let path = place();
    std::fs::write(&path, &file).unwrap();
    let options = ModelOptions::new().threads(1);
    // SAFETY: the file is this process's own, and is written to only when the model that maps it is gone.
    let in_place = unsafe { options.clone().map() };
    let (read, mapped) = (
        Model::load_with(&path, options),
        Model::load_with(&path, in_place),
    );
    // Numbers that are read are looked at; those that are used in place show in the answer.
    let unseen = matches!(read, Err(Error::NonFinite { .. }));
    assert!(
        unseen || read.is_ok() == mapped.is_ok(),
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
