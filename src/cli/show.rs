//! Answers as text for people: one line each, and indented lines below it where an answer has several parts.

use std::fmt::Write;

use bertless::{Answer, Classification, Entities, Fill, Prediction};

use super::input::Item;
use super::output::printable;

/// Number of characters of a text that are printed beside its answer.
const CHARACTERS: usize = 80;

/// Formats an answer, without a final line feed.
pub(crate) fn prediction(item: &Item, prediction: &Prediction) -> String {
    match prediction {
        Prediction::Classification(answer) => classification(item, answer),
        Prediction::Entities(answer) => entities(item, answer),
        Prediction::Answer(answer) => answer_of(answer),
        Prediction::Fill(answer) => fill(item, answer),
        Prediction::Embedding(answer) => numbers(&answer.embedding),
        // Whatever comes to be predicted has a JSON form.
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// Formats a classification as `positive  0.9987  the text`; a multi-label one with all labels that apply.
pub(crate) fn classification(item: &Item, answer: &Classification) -> String {
    let label = match &answer.labels {
        None => format!("{}  {:.4}", printable(&answer.label), answer.score),
        Some(labels) => {
            let score = |label: &String| {
                let found = answer.scores.iter().find(|score| score.label == *label);
                let score = found.map_or_else(String::new, |found| format!(" {:.4}", found.score));
                format!("{}{score}", printable(label))
            };
            let labels: Vec<String> = labels.iter().map(score).collect();
            if labels.is_empty() {
                "(none)".to_owned()
            } else {
                labels.join(", ")
            }
        }
    };
    format!("{label}  {}{}", short(item), cut(answer.truncated))
}

/// Formats the text, and a line for each entity: label, score, character range, entity.
fn entities(item: &Item, answer: &Entities) -> String {
    let mut lines = format!("{}{}", short(item), cut(answer.truncated));
    for entity in &answer.entities {
        let (start, end) = (entity.start, entity.end);
        let label = printable(&entity.label);
        let text = printable(&entity.text);
        let _ = write!(
            lines,
            "\n  {label}  {:.4}  {start}..{end}  {text}",
            entity.score
        );
    }
    lines
}

/// Formats a line for each answer: score, character range in the context, answer.
fn answer_of(answer: &Answer) -> String {
    let line = |span: &bertless::AnswerSpan| {
        let text = match span.answer.as_str() {
            "" => "(no answer)".to_owned(),
            text => printable(text),
        };
        format!("{:.4}  {}..{}  {text}", span.score, span.start, span.end)
    };
    let lines: Vec<String> = answer.answers.iter().map(line).collect();
    lines.join("\n")
}

/// Formats the text, and for each mask a line for each candidate: score, token, the text filled with it.
fn fill(item: &Item, answer: &Fill) -> String {
    let mut lines = format!("{}{}", short(item), cut(answer.truncated));
    for (index, words) in answer.masks.iter().enumerate() {
        if answer.masks.len() > 1 {
            let _ = write!(lines, "\n  mask {}", index + 1);
        }
        for word in words {
            let token = printable(&word.token);
            let text = shortened(&word.text, CHARACTERS);
            let _ = write!(lines, "\n  {:.4}  {token}  {text}", word.score);
        }
    }
    lines
}

/// Formats floats separated by spaces, with as many digits as reading them back needs.
pub(crate) fn numbers(numbers: &[f32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(f32::to_string).collect();
    numbers.join(" ")
}

/// Shortens a text, or both texts of a pair.
pub(crate) fn short(item: &Item) -> String {
    match &item.second {
        None => shortened(&item.first, CHARACTERS),
        Some(second) => {
            let [first, second] = [&item.first, second].map(|text| shortened(text, CHARACTERS));
            format!("{first} | {second}")
        }
    }
}

/// Cuts a text to its first `characters` characters, on one line.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => printable(text),
        Some((end, _)) => printable(&text[..end]) + "…",
    }
}

fn cut(truncated: bool) -> &'static str {
    if truncated {
        "  (cut off: longer than the model reads)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::Location;
    use super::*;

    fn item(text: &str) -> Item {
        Item {
            first: text.to_owned(),
            second: None,
            location: Location::Only,
        }
    }

    #[test]
    fn one_line_whatever_the_text() {
        let json = r#"{"label":"a","score":0.75,"scores":[],"n_tokens":3,"truncated":true}"#;
        let mut answer: Classification = serde_json::from_str(json).unwrap();
        let line = classification(&item("x\ny"), &answer);
        assert_eq!(
            line,
            "a  0.7500  x\\ny  (cut off: longer than the model reads)"
        );
        answer.labels = Some(Vec::new());
        assert!(classification(&item("x"), &answer).starts_with("(none)  x"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(short(&item(&"é".repeat(80))), "é".repeat(80));
        assert_eq!(short(&item(&"é".repeat(81))), "é".repeat(80) + "…");
    }
}
