//! Checks, before the first step, that the examples differ in their targets. The loss of a single class is 0, and a model
//! trained on it predicts that class for every text.

use crate::error::{Error, Result, excerpt};
use crate::train::data::{Dataset, Example, Labels, Target};
use crate::train::recipe::Recipe;
use crate::train::task::{LabelSet, TargetType, TaskSpec};

/// Counts the examples with each label; of tags, the words. Returns `None` if no example has a label.
pub(crate) fn counts(examples: &[Example], labels: &Labels) -> Option<Vec<usize>> {
    let mut counts = vec![0; labels.len()];
    let mut known = false;
    for example in examples {
        match &example.target {
            Target::Class(class) => counts[*class] += 1,
            Target::Classes(classes) => {
                let holding = counts.iter_mut().zip(classes);
                holding.for_each(|(count, &holds)| *count += usize::from(holds > 0.5));
            }
            Target::Tags(tags) => tags.iter().flatten().for_each(|&tag| counts[tag] += 1),
            Target::None | Target::Score(_) | Target::Span(_) => continue,
        }
        known = true;
    }
    known.then_some(counts)
}

/// Refuses tables and labels that nothing can be learned from. `examples` are those of `tables`.
///
/// # Errors
/// `Table` for tables whose targets are all the same or are all truncated; `Option` for fewer than two labels.
pub(crate) fn check(
    recipe: &Recipe,
    max_length: usize,
    labels: &Labels,
    tables: &[Dataset],
    examples: &[Example],
) -> Result<()> {
    let task = recipe.task.spec();
    let has_labels = task.labels == LabelSet::Named;
    let wrong = |reason: String| Error::Table {
        file: match tables {
            [] => String::new(),
            [one] => one.file.clone(),
            [first, others @ ..] => format!("{} and {} more", first.file, others.len()),
        },
        reason,
    };
    let known = examples
        .iter()
        .any(|example| example.target != Target::None);
    // With a teacher, examples with equal targets still differ in the teacher's outputs.
    let taught = recipe.distillation.is_some();
    if known && !(taught && labels.len() > 1) {
        if has_labels && let Some(reason) = uniform_labels(task, labels, examples) {
            return Err(wrong(reason));
        }
        let cut = |example: &Example| example.target == Target::Span(None);
        if !taught && examples.iter().all(cut) {
            return Err(wrong(format!(
                "all answers are cut off: training.max-length, {max_length} tokens, must be larger"
            )));
        }
    }
    if has_labels && labels.len() < 2 {
        return Err(Error::Option {
            name: "labels",
            reason: match labels.names() {
                [one] => format!(
                    "there is one, {:?}, and a model tells two or more apart",
                    excerpt(one)
                ),
                _ => "there are none".to_owned(),
            },
        });
    }
    Ok(())
}

/// Returns the reason why labels cannot be learned, if all rows (or all words) have the same ones.
fn uniform_labels(task: &TaskSpec, labels: &Labels, examples: &[Example]) -> Option<String> {
    let name = |label: usize| excerpt(&labels.names()[label]);
    let nothing = "there is nothing to tell apart";
    match task.target {
        TargetType::Classes => {
            let sets = examples.iter().filter_map(|example| match &example.target {
                Target::Classes(classes) => Some(classes),
                _ => None,
            });
            let mut sets = sets.peekable();
            let first = *sets.peek()?;
            if sets.any(|set| set != first) {
                let one = (labels.len() == 1).then(|| name(0))?;
                return Some(format!(
                    "{one:?} is the only label, and multi-label needs two or more: learn rows with it and rows without it \
                     by task = \"classification\""
                ));
            }
            let holding = (0..labels.len()).filter(|&label| first[label] > 0.5);
            let holding: Vec<_> = holding.map(name).collect();
            Some(if holding.is_empty() {
                format!("no row has a label: {nothing}")
            } else {
                let list = holding.join(", ");
                format!("all rows have the labels {:?}: {nothing}", excerpt(&list))
            })
        }
        _ => {
            let mut found = examples.iter().flat_map(|example| match &example.target {
                Target::Class(class) => vec![*class],
                Target::Tags(tags) => tags.iter().flatten().copied().collect(),
                _ => Vec::new(),
            });
            let rows = if task.is_per_token() { "words" } else { "rows" };
            let Some(first) = found.next() else {
                return Some(format!("no {rows} have a label: {nothing}"));
            };
            if found.any(|class| class != first) {
                return None;
            }
            let label = name(first);
            let hidden = match &*label {
                "-1" => ", and -1 stands for labels that are hidden, as in tables to test with",
                _ => "",
            };
            Some(format!(
                "all {rows} have the label {label:?}{hidden}: {nothing}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Encoding;
    use std::path::Path;

    fn examples(targets: &[Target]) -> Vec<Example> {
        let example = |target: &Target| Example {
            first: Encoding::from_ids(vec![1]),
            second: None,
            target: target.clone(),
        };
        targets.iter().map(example).collect()
    }

    fn says(task: &str, names: &[&str], targets: &[Target], more: &[(&str, &str)]) -> String {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings = [
            ("model", "m"),
            ("output", "o"),
            ("task", task),
            ("data.train", "t.tsv"),
        ];
        let settings: Vec<_> = settings.iter().chain(more).map(owned).collect();
        let recipe = Recipe::read(None::<&Path>, &settings).unwrap();
        let labels = Labels::new(names.iter().map(|&name| name.to_owned()).collect());
        let table = Dataset {
            file: "t.tsv".to_owned(),
            rows: Vec::new(),
        };
        match check(&recipe, 128, &labels, &[table], &examples(targets)) {
            Ok(()) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn set(holds: &[u8]) -> Target {
        Target::Classes(holds.iter().map(|&holds| f32::from(holds)).collect())
    }

    #[test]
    fn one_class_is_nothing_to_learn() {
        let class = Target::Class;
        let one = |names: &[&str]| says("classification", names, &[class(0), class(0)], &[]);
        let reason = "t.tsv: all rows have the label \"1\": there is nothing to tell apart";
        assert_eq!(one(&["1"]), reason);
        // A second label that no row has changes nothing.
        assert_eq!(one(&["1", "2"]), reason);
        assert!(one(&["-1"]).contains("labels that are hidden"));
        let two = says("classification", &["a", "b"], &[class(0), class(1)], &[]);
        assert_eq!(two, "fine");
        let tags = |tags: &[Option<usize>]| Target::Tags(tags.to_vec());
        let outside = [tags(&[None, Some(0)]), tags(&[Some(0)])];
        let said = says("token-classification", &["O"], &outside, &[]);
        assert_eq!(
            said,
            "t.tsv: all words have the label \"O\": there is nothing to tell apart"
        );
        let said = says("token-classification", &["O"], &[tags(&[None])], &[]);
        assert!(said.contains("no words have a label"), "{said}");
    }

    #[test]
    fn sets_that_are_all_the_same_are_nothing_to_learn() {
        let said = |names: &[&str], sets: &[Target]| says("multi-label", names, sets, &[]);
        assert!(said(&[], &[set(&[]), set(&[])]).contains("no row has a label"));
        let both = [set(&[1, 1]), set(&[1, 1])];
        assert!(said(&["a", "b"], &both).contains("the labels \"a, b\""));
        assert!(said(&["a"], &[set(&[1]), set(&[0])]).contains("\"a\" is the only label"));
        assert_eq!(said(&["a", "b"], &[set(&[1, 0]), set(&[0, 0])]), "fine");
    }

    #[test]
    fn what_a_teacher_tells_apart_can_be_learned() {
        let teacher = [("distillation.teacher", "t"), ("distillation.hard", "1.0")];
        let class = [Target::Class(0), Target::Class(0)];
        assert_eq!(
            says("classification", &["a", "b"], &class, &teacher),
            "fine"
        );
        let said = says("classification", &["a"], &[Target::None], &teacher);
        assert_eq!(
            said,
            "option labels: there is one, \"a\", and a model tells two or more apart"
        );
    }

    #[test]
    fn answers_that_are_all_cut_off_are_nothing_to_learn() {
        let spans = [Target::Span(None), Target::Span(None)];
        let said = says("question-answering", &[], &spans, &[]);
        assert!(said.contains("training.max-length, 128 tokens"), "{said}");
        let spans = [Target::Span(None), Target::Span(Some((1, 2)))];
        assert_eq!(says("question-answering", &[], &spans, &[]), "fine");
    }

    #[test]
    fn labels_are_counted() {
        let labels = Labels::new(["a", "b"].map(str::to_owned).to_vec());
        let counts = |targets: &[Target]| super::counts(&examples(targets), &labels);
        let class = Target::Class;
        assert_eq!(
            counts(&[class(1), class(1), Target::None]),
            Some(vec![0, 2])
        );
        assert_eq!(counts(&[set(&[1, 1]), set(&[0, 1])]), Some(vec![1, 2]));
        let tags = Target::Tags(vec![None, Some(0), Some(0)]);
        assert_eq!(counts(&[tags]), Some(vec![2, 0]));
        assert_eq!(counts(&[Target::None]), None);
    }
}
