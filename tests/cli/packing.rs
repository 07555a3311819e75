//! `bertless pack`, and what it makes in place of a folder.

use super::{begins, bertless, fixture};

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_packed_file_stands_for_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("m.safetensors");
    let dir = fixture("bert-classify");
    for dtype in ["f32", "f16", "bf16", "int8"] {
        let arguments = [
            "pack",
            text(&dir),
            "-o",
            text(&file),
            "--dtype",
            dtype,
            "--force",
        ];
        let ran = bertless(&arguments);
        let lines = ran.lines();
        assert!(lines[0].starts_with("header"), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("matrices")));
        let last = lines.last().unwrap();
        assert!(last.contains(text(&file)) && last.contains(dtype), "{last}");

        let summary = bertless(&["inspect", text(&file), "--verify", "--json"]).object();
        assert_eq!(summary["dtype"], dtype);
        assert_eq!(summary["packed"]["version"], 1);
        let bytes = std::fs::metadata(&file).unwrap().len();
        assert_eq!(summary["bytes"], bytes);
    }
    let answer = |model: &str| {
        let ran = bertless(&["predict", "--model", model, "--json", "A great film."]);
        ran.object()
    };
    let exact = bertless(&["pack", text(&dir), "-o", text(&file), "--force", "--json"]);
    begins(
        &exact.out,
        &["file", "dtype", "version", "digest", "bytes", "kinds"],
    );
    assert_eq!(answer(text(&file)), answer(text(&dir)));
    let shown = bertless(&["inspect", "-m", text(&file)]);
    let digest = exact.object()["digest"].as_str().unwrap().to_owned();
    assert!(shown.lines().last().unwrap().contains(&digest));
}

#[test]
fn what_is_there_is_kept_unless_forced() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("m.safetensors");
    std::fs::write(&file, "mine").unwrap();
    let ran = bertless(&["pack", text(&fixture("bert-classify")), "-o", text(&file)]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err
            .contains("m.safetensors: there is such a file already"),
        "{ran:?}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[test]
fn damage_is_said() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("m.safetensors");
    let packed = bertless(&["pack", text(&fixture("bert-classify")), "-o", text(&file)]);
    assert_eq!(packed.code, Some(0));
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(bertless(&["inspect", text(&file)]).code, Some(0));
    let ran = bertless(&["inspect", text(&file), "--verify"]);
    assert!(ran.err.contains("is damaged in its weights"), "{ran:?}");
    bytes[300] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let ran = bertless(&["predict", "-m", text(&file), "x"]);
    assert!(
        ran.err
            .contains("is damaged in its header, settings or vocabulary"),
        "{ran:?}"
    );

    let ran = bertless(&["pack", text(&file), "-o", text(&place.path().join("again"))]);
    assert!(
        ran.err.contains("this is a file, not a model's folder"),
        "{ran:?}"
    );
}
