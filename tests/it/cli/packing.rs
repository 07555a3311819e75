//! `bertless pack`, and its packed files as models of other commands.

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
        assert!(lines.iter().any(|line| line.starts_with("header")));
        let told = lines[0].starts_with("matrix");
        assert_eq!(told, dtype == "int8", "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("matrices")));
        let last = lines.last().unwrap();
        assert!(last.contains(text(&file)) && last.contains(dtype), "{last}");

        let summary = bertless(&["inspect", text(&file), "--verify", "--json"]).object();
        assert_eq!(summary["dtype"], dtype);
        assert_eq!(summary["packed"]["version"], 2);
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
        &[
            "file", "dtype", "version", "digest", "bytes", "kinds", "matrices",
        ],
    );
    assert_eq!(answer(text(&file)), answer(text(&dir)));
    let shown = bertless(&["inspect", "-m", text(&file)]);
    let digest = exact.object()["digest"].as_str().unwrap().to_owned();
    assert!(shown.lines().last().unwrap().contains(&digest));
}

#[test]
fn matrices_are_kept_by_name_and_for_their_error() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("m.safetensors");
    let dir = fixture("bert-classify");
    let pack = |more: &[&str]| {
        let start = ["pack", text(&dir), "-o", text(&file), "--force"];
        bertless(&[&start[..], &["--dtype", "int8"], more].concat())
    };
    let asked = ["--keep-f32", "0.*query", "--keep-f32", "layer.1.inter"];
    let ran = pack(&asked);
    let ending = |end: &str| {
        let lines = ran.lines();
        lines.iter().filter(|line| line.ends_with(end)).count()
    };
    assert_eq!(ending(" f32, as asked"), 2, "{ran:?}");
    assert_eq!(ending(" int8"), 6, "{ran:?}");

    let all = pack(&["--json"]).object();
    let matrices = all["matrices"].as_array().unwrap();
    assert_eq!(matrices.len(), 8);
    let error = |matrix: &serde_json::Value| matrix["error"].as_f64().unwrap();
    let mut errors: Vec<f64> = matrices.iter().map(error).collect();
    errors.sort_by(f64::total_cmp);
    let bound = format!("{}", errors[5]);
    let some = pack(&["--json", "--max-error", &bound]).object();
    for (before, after) in matrices.iter().zip(some["matrices"].as_array().unwrap()) {
        assert_eq!(before["stored"], "int8");
        assert_eq!(before["error"], after["error"]);
        let above = error(after) > errors[5];
        assert_eq!(
            after["stored"],
            if above { "f32_for_error" } else { "int8" }
        );
    }
    assert!(some["bytes"].as_u64() > all["bytes"].as_u64());
    let answer = bertless(&["predict", "-m", text(&file), "A great film."]);
    assert_eq!(answer.code, Some(0), "{answer:?}");

    let ran = pack(&["--keep-f32", "layer.7"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains(r#"option keep_f32: "layer.7" matches no matrix that is quantised; there are 8: encoder.layer.0.attention.self.query+self.key+self.value.weight, "#),
        "{ran:?}"
    );
    for wrong in ["--max-error=-1", "--max-error=NaN"] {
        let ran = pack(&[wrong]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("expected a number, 0 or more"), "{ran:?}");
    }
    let ran = pack(&["--keep-f32", ""]);
    assert!(
        ran.err.contains("option keep_f32: a pattern is empty"),
        "{ran:?}"
    );
    let floats = [
        "pack",
        text(&dir),
        "-o",
        text(&file),
        "--force",
        "--keep-f32",
        "dense",
    ];
    let ran = bertless(&floats);
    assert!(ran.err.contains("in f32 none is quantised"), "{ran:?}");
    let halves = ["pack", text(&dir), "-o", text(&file), "--force"];
    let ran = bertless(&[&halves[..], &["--dtype", "f16", "--max-error", "0.03"]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err
            .contains("option max_error: in f16 no matrix is quantised"),
        "{ran:?}"
    );
}

#[test]
fn texts_to_calibrate_by_are_lines_of_a_file() {
    let place = tempfile::tempdir().unwrap();
    let (file, lines) = (place.path().join("m"), place.path().join("texts.txt"));
    let dir = fixture("bert-classify");
    let by = |texts: &std::path::Path, more: &[&str]| {
        let start = ["pack", text(&dir), "-o", text(&file), "--force"];
        let calibrate = ["--calibrate", text(texts)];
        bertless(&[&start[..], &calibrate, more].concat())
    };
    let pack = |more: &[&str]| by(&lines, more);
    let int8 = ["--dtype", "int8", "--json"];
    assert!(pack(&int8).err.contains("texts.txt: "), "no file");
    std::fs::write(&lines, "\n \n").unwrap();
    assert!(pack(&int8).err.contains("texts.txt has no line of text"));
    std::fs::write(&lines, "A fine film.\n\nThe quick brown fox eats lunch.\n").unwrap();
    let made = pack(&int8).object();
    for matrix in made["matrices"].as_array().unwrap() {
        assert!(matrix["output_error"].as_f64().unwrap() < 0.1, "{matrix}");
    }
    // Objects of JSON lines are the same texts.
    let objects = place.path().join("texts.jsonl");
    let both = "{\"text\": \"A fine film.\"}\n\n{\"text\": \"The quick brown fox eats lunch.\"}\n";
    std::fs::write(&objects, both).unwrap();
    assert_eq!(by(&objects, &int8).object(), made);
    std::fs::write(&objects, "{\"text\": \"a\", \"text_pair\": \"b\"}\n").unwrap();
    let ran = by(&objects, &int8);
    assert!(
        ran.err.contains("line 1: there are two texts: --pairs"),
        "{ran:?}"
    );
    // Of pairs each column is read by itself.
    let pairs = [&int8[..], &["--pairs"]].concat();
    let ran = pack(&pairs);
    assert!(
        ran.err
            .contains("texts.txt, line 1: 1 columns with tabs between them, where there must be 2"),
        "{ran:?}"
    );
    std::fs::write(
        &lines,
        "A fine film.\tIt was a good year.\nThe fox.\tLunch.\n",
    )
    .unwrap();
    let of_pairs = pack(&pairs).object();
    assert_ne!(of_pairs["matrices"], made["matrices"]);
    let without = bertless(&["pack", text(&dir), "-o", text(&file), "--pairs"]);
    assert_eq!(without.code, Some(2), "{without:?}");
    let shown = pack(&int8[..2]);
    assert!(
        shown.lines()[0].ends_with(" error  outputs stored"),
        "{shown:?}"
    );
    let answer = bertless(&["predict", "-m", text(&file), "A great film."]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let ran = pack(&[]);
    assert!(
        ran.err.contains("option calibrate: in f32 no matrix"),
        "{ran:?}"
    );
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
