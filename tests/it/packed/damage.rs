//! Damaged or foreign files in place of packed ones.

use std::io::{Seek, SeekFrom, Write};

use bertless::{Error, Model, Packed, WeightFormat};

use xxhash_rust::xxh3::Xxh3;

use super::{at, fixture, one_thread, packed};

fn open(bytes: Vec<u8>) -> Result<Model, Error> {
    Model::from_bytes_with(at(bytes, 0), one_thread())
}

/// Where the checked part of a file ends, as its own beginning says.
fn checked(file: &[u8]) -> usize {
    let key = br#""checked":""#;
    let start = file
        .windows(key.len())
        .position(|window| window == key)
        .unwrap()
        + key.len();
    let digits = std::str::from_utf8(&file[start..][..12]).unwrap();
    digits.parse().unwrap()
}

#[test]
fn every_flipped_byte_of_header_settings_and_vocabulary_is_an_error() {
    let file = packed(&fixture("bert-classify"), WeightFormat::F32);
    let checked = checked(file);
    assert!(checked > 10_000 && checked < file.len());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("m");
    std::fs::write(&path, file).unwrap();
    let mut open = std::fs::File::options().write(true).open(&path).unwrap();
    let mut write = |at: usize, byte: u8| {
        open.seek(SeekFrom::Start(at as u64)).unwrap();
        open.write_all(&[byte]).unwrap();
    };
    // Every byte of the header, where most can go wrong, and every 97th of the rest.
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let rest = (header..checked).step_by(97);
    for (index, at) in (0..header).chain(rest).enumerate() {
        write(at, file[at] ^ (1 << (index % 8)));
        match Model::load_with(&path, one_thread()) {
            Ok(_) => panic!("byte {at} is not missed"),
            Err(
                Error::PackedDamaged { .. }
                | Error::PackedForeign { .. }
                | Error::PackedVersion { .. },
            ) => {}
            Err(other) => panic!("byte {at}: {other}"),
        }
        write(at, file[at]);
    }
    assert!(Model::load_with(&path, one_thread()).is_ok());
}

#[test]
fn a_flipped_byte_of_the_weights_is_found_by_verify() {
    let file = packed(&fixture("bert-classify"), WeightFormat::F32);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("m");
    std::fs::write(&path, file).unwrap();
    assert!(Packed::verify(&path).is_ok());
    let mut bytes = file.to_vec();
    let weights = checked(file)..file.len();
    for at in [
        weights.start,
        (weights.start + weights.end) / 2,
        weights.end - 1,
    ] {
        bytes[at] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        let error = Packed::verify(&path).unwrap_err();
        let damaged = matches!(
            error,
            Error::PackedDamaged {
                part: "weights",
                ..
            }
        );
        assert!(damaged, "byte {at}: {error}");
        bytes[at] = file[at];
    }
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let file = packed(&fixture("bert-classify"), WeightFormat::F32);
    let lens = (0..file.len()).step_by(1009).chain(0..200);
    for len in lens.chain([file.len() - 1]) {
        let error = open(file[..len].to_vec()).unwrap_err();
        let expected = matches!(
            error,
            Error::PackedDamaged { .. } | Error::PackedForeign { .. } | Error::Safetensors { .. }
        );
        assert!(expected, "{len} bytes: {error}");
    }
    let mut longer = file.to_vec();
    longer.push(0);
    assert!(matches!(open(longer), Err(Error::Safetensors { .. })));
}

#[test]
fn another_version_and_another_format_are_told_apart() {
    let file = packed(&fixture("bert-classify"), WeightFormat::F32);
    let key = br#""version":""#;
    let mut windows = file.windows(key.len());
    let at = windows.position(|window| window == key).unwrap() + key.len();
    assert_eq!(&file[at..][..4], b"0002");
    for (version, number) in [(b"0001", 1), (b"0003", 3)] {
        let mut other = file.to_vec();
        other[at..][..4].copy_from_slice(version);
        let error = open(other).unwrap_err();
        assert!(
            matches!(
                error,
                Error::PackedVersion {
                    found,
                    supported: 2,
                    ..
                } if found == number
            ),
            "{error}"
        );
    }

    let foreign = std::fs::read(fixture("bert-classify").join("model.safetensors")).unwrap();
    for bytes in [foreign, Vec::new(), b"{}".to_vec(), vec![0xFF; 1000]] {
        assert!(matches!(open(bytes), Err(Error::PackedForeign { .. })));
    }
}

/// The digest that a file would have, written into it.
fn seal(file: &mut [u8]) {
    let key = br#""digest":""#;
    let end = checked(file);
    let mut windows = file.windows(key.len());
    let digest = windows.position(|window| window == key).unwrap() + key.len();
    let mut hash = Xxh3::new();
    hash.update(&file[..digest]);
    hash.update(&file[digest + 16..end]);
    let text = format!("{:016x}", hash.digest());
    file[digest..][..16].copy_from_slice(text.as_bytes());
}

/// A digest is no signature: whoever changes a file can make it right. Then nothing is promised but that nothing
/// panics. `fuzz/fuzz_targets/packed.rs` does the same for longer.
#[test]
fn bytes_changed_under_a_right_digest_are_an_error_or_a_model() {
    let file = packed(&fixture("bert-classify"), WeightFormat::Int8);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("m");
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let end = checked(file);
    let (mut opened, mut refused) = (0, 0);
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (random >> 33) as usize % below
    };
    for turn in 0..1500 {
        let mut bytes = file.to_vec();
        // The stamp itself has tests of its own.
        let start = if turn % 2 == 0 { header } else { 160 };
        for _ in 0..=next(4) {
            let at = start + next(end - start);
            bytes[at] = match next(3) {
                0 => 0xFF,
                1 => bytes[at] ^ 1,
                _ => next(256) as u8,
            };
        }
        seal(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        match Model::load_with(&path, one_thread()) {
            Err(_) => refused += 1,
            Ok(model) => {
                opened += 1;
                let _ = model.predict("The quick brown fox, unbelievably.");
                let tokenizer = model.tokenizer();
                for id in 0..tokenizer.vocab_size().min(1000) as u32 {
                    let _ = tokenizer.id_to_token(id);
                }
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} {refused}");
}

/// A right digest, and a type that a later version may have.
#[test]
fn a_type_that_is_not_known_is_an_error() {
    let file = packed(&fixture("bert-classify"), WeightFormat::Int8);
    for (from, to) in [
        (r#""dtype":"int8""#, r#""dtype":"int4""#),
        (r#""dtype":"int8""#, r#""etype":"int8""#),
    ] {
        let mut bytes = file.to_vec();
        let mut windows = file.windows(from.len());
        let at = windows.position(|window| window == from.as_bytes());
        bytes[at.unwrap()..][..to.len()].copy_from_slice(to.as_bytes());
        seal(&mut bytes);
        let error = open(bytes).unwrap_err();
        let expected =
            matches!(&error, Error::PackedDamaged { part, .. } if part.starts_with("dtype"));
        assert!(expected, "{error}");
    }
}

/// It would be read as a checkpoint, whose tensors have other names and shapes.
#[test]
fn a_packed_file_in_a_folder_is_not_its_weights() {
    let place = tempfile::tempdir().unwrap();
    let dir = fixture("bert-classify");
    for name in ["config.json", "vocab.txt"] {
        std::fs::copy(dir.join(name), place.path().join(name)).unwrap();
    }
    let packed = Model::pack(&dir, WeightFormat::F32).unwrap();
    let file = place.path().join("model.safetensors");
    packed.save(&file).unwrap();
    assert!(Model::load_with(&file, one_thread()).is_ok());
    let error = Model::load_with(place.path(), one_thread()).unwrap_err();
    let expected =
        matches!(&error, Error::PackedInFolder { file, .. } if file == "model.safetensors");
    assert!(expected, "{error}");
}

/// What a module of this name brings would be taken for the tokenizer's.
#[test]
fn a_folder_with_a_name_of_the_file_s_own_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let dir = fixture("sentence-max");
    let modules = std::fs::read_to_string(dir.join("modules.json")).unwrap();
    assert!(modules.contains("2_Dense"));
    for own in ["vocabulary", "padding"] {
        let root = place.path().join(own);
        copy(&dir, &root);
        std::fs::rename(root.join("2_Dense"), root.join(own)).unwrap();
        let renamed = modules.replace("2_Dense", own);
        std::fs::write(root.join("modules.json"), renamed).unwrap();
        assert!(Model::load_with(&root, one_thread()).is_ok());
        let error = Model::pack(&root, WeightFormat::F32).unwrap_err();
        assert!(
            matches!(&error, Error::Config { key, reason, .. } if key == "path" && reason.contains(own)),
            "{error}"
        );
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target)
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Sums of weights have no digest that is checked whenever a file is opened. A wrong one would give wrong answers in silence.
#[test]
#[cfg(debug_assertions)]
fn a_wrong_sum_of_weights_is_an_error_in_a_debug_build() {
    let mut file = packed(&fixture("bert-classify"), WeightFormat::Int8).to_vec();
    let whole = safetensors::SafeTensors::deserialize(&file).unwrap();
    let (name, sums) = whole
        .iter()
        .find(|(name, _)| name.ends_with(".sum"))
        .unwrap();
    let (name, at) = (
        name.to_owned(),
        sums.data().as_ptr().addr() - file.as_ptr().addr(),
    );
    file[at] ^= 1;
    match open(file) {
        Err(Error::WeightUnexpected { name: found, .. }) => assert_eq!(found, name),
        other => panic!("{other:?}"),
    }
}
