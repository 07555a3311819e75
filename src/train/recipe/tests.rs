use super::*;

const SMALL: &str = "model = 'm'\noutput = 'o'\ntask = 'classification'\n[data]\ntrain = 't.tsv'\n";

fn read(text: &str, settings: &[(&str, &str)]) -> Result<Recipe, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.toml");
    std::fs::write(&path, text).unwrap();
    let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    let settings: Vec<_> = settings.iter().map(owned).collect();
    Recipe::read(Some(&path), &settings).map_err(|error| {
        let message = error.to_string();
        message.rsplit('/').next().unwrap_or_default().to_owned()
    })
}

#[test]
fn a_small_recipe_has_the_usual_defaults() {
    let recipe = read(SMALL, &[]).unwrap();
    assert_eq!(recipe.training, Training::default());
    assert_eq!(recipe.data.train, [Source::from(Path::new("t.tsv"))]);
    assert_eq!((recipe.distillation, recipe.student), (None, None));
}

#[test]
fn a_precision_is_written_where_it_is_not_the_usual_one() {
    // So a run of before there was one is still the same run.
    let written = |settings: &[_]| toml::to_string(&read(SMALL, settings).unwrap()).unwrap();
    assert!(!written(&[("training.precision", "f32")]).contains("precision"));
    let text = written(&[("training.precision", "bf16")]);
    assert!(text.contains("precision = \"bf16\"\n"), "{text}");
    assert_eq!(read(&text, &[]).unwrap().training.precision, Rounding::Bf16);
}

#[test]
fn settings_stand_over_the_file() {
    let settings = [
        ("training.learning-rate", "3e-5"),
        ("training.precision", "bf16"),
        ("data.dev", "['a.tsv', 'b.tsv']"),
        ("output", "other/place"),
        ("task", "multi-label"),
        ("distillation.teacher", "t"),
        ("student.start", "[0, 2, 5]"),
    ];
    let recipe = read(SMALL, &settings).unwrap();
    assert_eq!(recipe.training.learning_rate, 3e-5);
    assert_eq!(recipe.training.precision, Rounding::Bf16);
    assert_eq!(recipe.data.dev.len(), 2);
    assert_eq!(recipe.output, PathBuf::from("other/place"));
    assert_eq!(recipe.task, TaskKind::MultiLabel);
    let it = recipe.distillation.unwrap();
    assert_eq!((it.temperature, it.soft, it.hard), (2.0, 1.0, 0.0));
    assert_eq!(recipe.student.unwrap().start, Start::Layers(vec![0, 2, 5]));
}

#[test]
fn rules_for_students() {
    let text = format!("{SMALL}[student]\nlayers = 3\nstart = 'alternate'\n");
    let student = read(&text, &[]).unwrap().student.unwrap();
    assert_eq!(
        (student.layers, student.start),
        (Some(3), Start::Rule(Rule::Alternate))
    );
}

#[test]
fn tables_by_their_paths_alone_and_with_more() {
    let settings = [
        (
            "data.train",
            "['a.tsv', { file = 'b.csv', where = 'seen != dev', text = 'words' }]",
        ),
        ("distillation.teacher", "teacher"),
        ("data.unlabelled", "{ file = 'c.txt', sentences = true }"),
    ];
    let small = SMALL.replace("model = 'm'\n", "");
    let recipe = read(&small, &settings).unwrap();
    let [first, second] = &recipe.data.train[..] else {
        panic!("{:?}", recipe.data.train);
    };
    assert_eq!(*first, Source::from(Path::new("a.tsv")));
    assert_eq!(second.only, Some("seen != dev".parse().unwrap()));
    assert_eq!(second.text.as_deref(), Some("words"));
    assert!(recipe.data.unlabelled[0].sentences);
    // A student of which nothing else is said is made of its teacher.
    assert_eq!(recipe.model, PathBuf::from("teacher"));
    assert_eq!(recipe.with_seed(7).output, PathBuf::from("o/seed-7"));
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    // Lines of the file, a setting over them, and the message.
    for case in [
        "| training.learning-rate=0 | r.toml: training.learning-rate: is not above 0",
        "| training.rates=1 | unknown field `rates`",
        "| training.epochs=-1 | training.epochs",
        "| training.batch-size=many | training.batch-size",
        "| training.precision=int8 | unknown variant `int8`, expected `f32` or `bf16` in `training.precision`",
        "| model.x=1 | the command line: model.x: model has no keys",
        "| distillation.hidden=1.0 | distillation.teacher: is missing",
        "[distillation] | task=embedding | distillation.teacher: is missing",
        "| task=embedding | distillation: is missing",
        "[distillation] | task=token-classification | tables have no logits of words",
        "[distillation]; teacher = 't'; soft = 0; hard = 1 | task=embedding | distillation: learns nothing",
        "| data.unlabelled=u.tsv | data.unlabelled: is only for",
        "| data.dev={ file = 'a', where = 'b' } | neither COLUMN = VALUE nor",
        "| data.train=[] | data.train: names no table",
        "| output= | output: is empty",
        "| data.labels=['a', 'b', ' a'] | names a label twice",
        "| data.labels=['a', ' '] | data.labels: names a label without a name",
        "| training.class-weights=[0, 0] | training.class-weights: has none",
        "| training.class-weights=[1, -2] | training.class-weights: has none",
        "| training.early-stopping-patience=0 | training.early-stopping-patience: is not 1 or more",
        "[training]; batch-size = 1 | task=multiple-negatives | training.batch-size: is too few",
        "| student.layers=0 | student.layers: is not 1 or more",
        "[student]; layers = 1 | student.start=[1, 2] | student.start: names more",
        "| student.tokens=0 | student.tokens: is not 1 or more",
        "[training | output=o | r.toml: line 6: ",
        "speed = 1 | output=o | unknown field `speed`",
        "[training]; rate = 1; learning-rate = 1 | output=o | r.toml: training.learning-rate: is given twice, also by its \
         former name training.rate: remove one",
    ] {
        let [add, setting, says] = case.splitn(3, "| ").collect::<Vec<_>>()[..] else {
            panic!("{case}");
        };
        let setting = setting.trim_end().split_once('=').unwrap();
        let file = format!("{SMALL}{}", add.trim_end().replace("; ", "\n"));
        let error = read(&file, &[setting]).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let text = SMALL.replace("task = 'classification'\n", "");
    let error = read(&text, &[]).unwrap_err();
    assert!(error.contains("missing field `task`"), "{error}");
}

#[test]
fn former_names_are_accepted_with_a_note() {
    let former = SMALL.replace("classification", "tokens") + "[training]\nbatch = 8\nrate = 1e-3\n";
    let recipe = read(&former, &[]).unwrap();
    let notes = [
        "`training.batch` is now `training.batch-size`",
        "`training.rate` is now `training.learning-rate`",
        "task `tokens` is now `token-classification`",
    ];
    assert_eq!(recipe.notes(), notes);
    let text = toml::to_string(&recipe).unwrap();
    assert!(text.contains("task = \"token-classification\""), "{text}");
    let current = read(&text, &[]).unwrap();
    assert_eq!(current.notes(), [""; 0]);
    assert!(recipe.alike(&current));
    // Settings override the file, whichever name either uses, and note a name once.
    for (file, settings, noted) in [
        (&former, &[("training.learning-rate", "0.5")][..], 3),
        (&text, &[("training.rate", "0.5")], 1),
        (&text, &[("training", "{ rate = 0.5 }")], 1),
        (
            &former,
            &[("training.rate", "0.1"), ("training.rate", "0.5")],
            3,
        ),
    ] {
        let recipe = read(file, settings).unwrap();
        assert_eq!(recipe.training.learning_rate, 0.5);
        assert_eq!(recipe.notes().len(), noted, "{:?}", recipe.notes());
    }
    let both = ["training.patience", "training.early-stopping-patience"].map(|key| (key, "1"));
    let error = read(SMALL, &both).unwrap_err();
    let says = "the command line: training.early-stopping-patience: is given twice, also by its former name";
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn the_recipes_among_the_examples_can_be_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recipes");
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let is_recipe = |path: &PathBuf| path.extension().is_some_and(|it| it == "toml");
    let recipes: Vec<PathBuf> = paths.filter(is_recipe).collect();
    assert!(recipes.len() >= 8, "{recipes:?}");
    for path in recipes {
        let recipe = Recipe::read(Some(&path), &[]).unwrap();
        assert_eq!(recipe.notes(), [""; 0], "{path:?}");
        // What is written into a card reads as the same.
        let text = toml::to_string(&recipe).unwrap();
        assert_eq!(read(&text, &[]).unwrap(), recipe, "{text}");
    }
}

#[test]
fn second_texts_are_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let found = |header: &str, settings: &[(&str, &str)]| {
        let table = dir.path().join("t.tsv");
        std::fs::write(&table, header).unwrap();
        let table = table.display().to_string();
        let settings = [&[("data.train", table.as_str())], settings].concat();
        let data = read(SMALL, &settings).unwrap().data;
        (data.text, data.pair)
    };
    let owned = |name: &str| Some(name.to_owned());
    let both = (owned("sentence1"), owned("sentence2"));
    let header = "sentence1\tlabel\tsentence2\n";
    assert_eq!(found(header, &[]), both);
    assert_eq!(found(header, &[("task", "regression")]), both);
    let text_pair = found("text\ttext_pair\tlabel\n", &[("task", "multi-label")]);
    assert_eq!(text_pair, (owned("text"), owned("text_pair")));
    // A recipe that names only the first column has single texts; embedding tasks have their own rule; a table may have no pair.
    let alone = found(header, &[("data.text", "sentence1")]);
    assert_eq!(alone, (owned("sentence1"), None));
    assert_eq!(found(header, &[("task", "similarity")]), (None, None));
    assert_eq!(found("sentence1\tlabel\n", &[]), (None, None));
    assert_eq!(read(SMALL, &[]).unwrap().data.pair, None);
}

#[test]
fn texts_are_as_long_as_the_model_allows_unless_the_recipe_says_otherwise() {
    let tokens = |settings: &[_], positions| {
        let training = read(SMALL, settings).unwrap().training;
        training
            .tokens(positions)
            .map_err(|error| error.to_string())
    };
    assert_eq!(tokens(&[], 512), Ok(128));
    assert_eq!(tokens(&[], 40), Ok(40));
    let long = [("training.max-length", "41")];
    assert_eq!(tokens(&long, 41), Ok(41));
    let error = tokens(&long, 40).unwrap_err();
    assert!(
        error.starts_with("option training.max-length: 41 tokens"),
        "{error}"
    );
}
