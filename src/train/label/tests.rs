use super::*;

fn model(name: &str) -> Model {
    Model::load(crate::train::fixture(name)).unwrap()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(content: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.path("in.tsv"), content).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn labelling(&self, output: &str) -> Labelling {
        Labelling {
            from: vec![Source::from(self.path("in.tsv").as_path())],
            output: self.path(output),
            ..Labelling::default()
        }
    }

    fn run(&self, model: &Model, labelling: &Labelling) -> Result<Vec<String>, String> {
        let done = label(model, labelling, &mut |_, _| ());
        let done = done.map_err(|error| error.to_string())?;
        let text = std::fs::read_to_string(&labelling.output).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(done.written <= done.asked);
        Ok(lines)
    }
}

#[test]
fn a_table_of_labels_scores_and_logits_is_what_the_model_says() {
    let place = Place::new("label\ttext\nyes\tA great film\nno\ta bad, \"bad\" film\n");
    let model = model("bert-classify");
    let mut labelling = place.labelling("out.tsv");
    labelling.keep = true;
    let lines = place.run(&model, &labelling).unwrap();
    let logits: Vec<String> = model
        .labels()
        .iter()
        .map(|l| format!("\tlogit:{l}"))
        .collect();
    assert_eq!(
        lines[0],
        format!("text\tgold_label\tlabel\tscore{}", logits.concat())
    );
    for (line, (text, gold)) in lines[1..]
        .iter()
        .zip([("A great film", "yes"), ("a bad, \"bad\" film", "no")])
    {
        let cells: Vec<&str> = line.split('\t').collect();
        let said = model.predict(text).unwrap();
        let score = said.score().unwrap().to_string();
        assert_eq!(cells[..4], [text, gold, said.label().unwrap(), &score]);
        let logits = model.logits(text).unwrap();
        let found: Vec<f32> = cells[4..]
            .iter()
            .map(|cell| cell.parse().unwrap())
            .collect();
        assert_eq!(found, logits.row(0).to_vec());
    }
    // The other formats give the same rows when they are read back.
    for name in ["out.csv", "out.jsonl"] {
        let mut labelling = place.labelling(name);
        labelling.keep = true;
        place.run(&model, &labelling).unwrap();
        let columns: [Column<'_>; 4] = [&["text"], &["gold_label"], &["label"], &["score"]];
        let table = Table::read(&place.path(name), &columns).unwrap();
        let cells = table.rows.iter().flat_map(|row| &row.cells);
        let cells: Vec<&str> = cells.map(|cell| cell.text()).collect();
        let expected = lines[1..].iter().flat_map(|line| line.split('\t').take(4));
        assert_eq!(cells, expected.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn unsure_answers_are_left_out() {
    let place = Place::new("text\na great film\nbad\nthe plot\n");
    let model = model("bert-classify");
    let mut labelling = place.labelling("out.tsv");
    let all = place.run(&model, &labelling).unwrap();
    let score = |line: &String| line.split('\t').nth(2).unwrap().parse::<f32>().unwrap();
    let least = all[1..].iter().map(score).fold(0.0, f32::max);
    labelling.least_score = Some(least);
    let sure = place.run(&model, &labelling).unwrap();
    assert_eq!(sure.len(), 2);
    assert_eq!(score(&sure[1]), least);
}

#[test]
fn pairs_are_mined_and_compared() {
    let place =
        Place::new("sentence1\tsentence2\nA cat sat\tDogs bark\nthe cat\ta dog\nA cat sat\tdog\n");
    let model = model("sentence-mean");
    let lines = place.run(&model, &place.labelling("out.tsv")).unwrap();
    assert_eq!(lines.len(), 4);
    let mut labelling = place.labelling("mined.tsv");
    labelling.mine = Some(1);
    let lines = place.run(&model, &labelling).unwrap();
    assert_eq!(lines[0], "sentence1\tsentence2\tscore");
    let found: Vec<Vec<&str>> = lines[1..]
        .iter()
        .map(|line| line.split('\t').collect())
        .collect();
    let pairs: Vec<(&str, &str)> = found.iter().map(|cells| (cells[0], cells[1])).collect();
    // "a dog" shares a word with "A cat sat" too, but "dog" is shorter.
    assert_eq!(pairs, [("A cat sat", "the cat"), ("a dog", "dog")]);
    let score: f32 = found[0][2].parse().unwrap();
    assert_eq!(score, model.similarity("A cat sat", "the cat").unwrap());
}

#[test]
fn what_is_wrong_is_named_and_the_old_table_stays() {
    let place = Place::new("text\na\n");
    std::fs::write(place.path("in.csv"), "text\na\n\"b\tc\"\n").unwrap();
    let labelling = place.labelling("out.tsv");
    std::fs::write(&labelling.output, "old").unwrap();
    let says = |name: &str, change: &dyn Fn(&mut Labelling)| {
        let mut labelling = labelling.clone();
        change(&mut labelling);
        let error = place.run(&model(name), &labelling).unwrap_err();
        assert_eq!(std::fs::read(place.path("out.tsv")).unwrap(), b"old");
        error
    };
    let from = |name: &str| vec![Source::from(place.path(name).as_path())];
    let nothing = |_: &mut Labelling| ();
    assert!(says("sentence-mean", &nothing).contains("two texts"));
    assert!(says("bert-tokens", &nothing).contains("not for labels of texts"));
    let error = says("bert-classify", &|labelling| {
        labelling.from = from("in.csv")
    });
    assert!(error.contains("in.csv, line 3: a tab"), "{error}");
    let error = says("sentence-mean", &|labelling| {
        (labelling.mine, labelling.keep) = (Some(1), true);
    });
    assert!(error.contains("option keep"), "{error}");
    assert!(
        says("bert-classify", &|labelling| labelling.from =
            from("no.tsv"))
        .contains("no.tsv")
    );
}

#[test]
fn sets_of_labels_are_lists_where_there_are_lists() {
    let place = Place::new("labels\ttext\nx\tA great film\n");
    let model = model("bert-multilabel");
    let held = |name: &str| {
        let lines = place.run(&model, &place.labelling(name)).unwrap();
        let columns: [Column<'_>; 1] = [&["labels"]];
        let table = Table::read(&place.path(name), &columns).unwrap();
        (lines, table.rows[0].cells[0].clone())
    };
    let (lines, list) = held("out.jsonl");
    assert!(lines[0].contains("\"labels\":["), "{lines:?}");
    let (_, commas) = held("out.csv");
    assert!(list.items().is_some() && commas.items().is_none());
    assert_eq!(list.labels(), commas.labels());
    assert!(!list.labels().is_empty());
}

#[test]
fn lists_that_are_kept_stay_lists_or_are_refused() {
    let place = Place::new("text\na\n");
    let line = "{\"text\": \"A great film\", \"tags\": [\"x, y\", 2]}\n";
    std::fs::write(place.path("in.jsonl"), line).unwrap();
    let keeping = |name: &str| {
        let mut labelling = place.labelling(name);
        labelling.from = vec![Source::from(place.path("in.jsonl").as_path())];
        labelling.keep = true;
        place.run(&model("bert-classify"), &labelling)
    };
    let lines = keeping("out.jsonl").unwrap();
    assert!(lines[0].contains("\"tags\":[\"x, y\",\"2\"]"), "{lines:?}");
    let error = keeping("out.tsv").unwrap_err();
    assert!(
        error.contains("in.jsonl, line 1: a list has no place"),
        "{error}"
    );
}
