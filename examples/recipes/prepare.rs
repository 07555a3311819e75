//! Writes the tables that the recipes need, beside those of `../shared/data`, to `target/recipes`. `BERTLESS_SHARED` names another
//! folder instead of `../shared`.
//!
//! ```sh
//! cargo run --release --features train --example prepare-recipes
//! ```
//!
//! Rows are split by their order, so each run writes the same tables.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

const OUT: &str = "target/recipes";

/// Groups of emotions in GoEmotions (Demszky et al. 2020), without the ambiguous ones: confusion, curiosity, realization,
/// surprise.
const POSITIVE: &str = "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief";
const NEGATIVE: &str = "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse \
                        sadness";
/// Percentage of rows that each class has.
const SHARES: [(&str, usize); 3] = [("neutral", 82), ("positive", 10), ("negative", 8)];
/// Number of rows whose labels are used. The other rows are unlabelled texts.
const GOLD: usize = 5000;

fn main() -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(OUT)?;
    sentiment3()?;
    split_halves(
        "pros_cons/all.tsv",
        "pros-cons",
        [0, 1],
        |polarity| match polarity {
            "pro" => "positive",
            _ => "negative",
        },
    )?;
    split_halves(
        "movie_reviews_docs/all.tsv",
        "reviews",
        [2, 1],
        |label| match label {
            "1" => "positive",
            _ => "negative",
        },
    )?;
    intents()?;
    long_dev()?;
    wikigold()
}

/// Writes tables of three classes that are as imbalanced as the paper's: 5,000 labelled rows, unlabelled texts, dev and test.
fn sentiment3() -> Result<(), Box<dyn Error>> {
    for split in ["train", "dev", "test"] {
        let rows = rows(&format!("goemotions/{split}.tsv"))?;
        let rows = rows.iter().filter_map(|cells| {
            let class = match cells[1].as_str() {
                "neutral" => "neutral",
                emotion if POSITIVE.split(' ').any(|own| own == emotion) => "positive",
                emotion if NEGATIVE.split(' ').any(|own| own == emotion) => "negative",
                // The row has several emotions, or an ambiguous one.
                _ => return None,
            };
            Some((cells[0].as_str(), class))
        });
        let rows: Vec<(&str, &str)> = rows.collect();
        let count = |class: &str| rows.iter().filter(|(_, own)| *own == class).count();
        let hundreds = SHARES
            .iter()
            .map(|(class, share)| count(class) / share)
            .min();
        let mut left: BTreeMap<&str, usize> = SHARES
            .iter()
            .map(|&(class, share)| (class, hundreds.unwrap_or(0) * share))
            .collect();
        let taken = rows.iter().filter(|(_, class)| {
            let left = left.entry(class).or_default();
            let takes = *left > 0;
            *left -= usize::from(takes);
            takes
        });
        let taken: Vec<(&str, &str)> = taken.copied().collect();
        let line = |(text, class): &(&str, &str)| format!("{text}\t{class}\n");
        match split {
            "train" => {
                let spread = spread(&taken, GOLD);
                let (gold, silver): (Vec<_>, Vec<_>) =
                    taken.iter().zip(spread).partition(|(_, gold)| *gold);
                let gold = gold.into_iter().map(|(row, _)| line(row));
                write("sentiment3-gold.tsv", "text\tlabel", gold)?;
                let silver = silver.into_iter().map(|(row, _)| format!("{}\n", row.0));
                write("sentiment3-silver.tsv", "text", silver)?;
            }
            split => {
                let lines = taken.iter().map(line);
                write(&format!("sentiment3-{split}.tsv"), "text\tlabel", lines)?;
            }
        }
    }
    Ok(())
}

/// Returns for each row whether it is selected. Selects about `wanted` rows, evenly spread, the same fraction of each class.
fn spread(rows: &[(&str, &str)], wanted: usize) -> Vec<bool> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let quota = |number: usize| number * wanted / rows.len();
    let chosen = rows.iter().map(|(_, class)| {
        let seen = seen.entry(class).or_default();
        *seen += 1;
        quota(*seen) > quota(*seen - 1)
    });
    chosen.collect()
}

/// Splits a table in two: writes every other row as an unlabelled text, and the rest with labels, for evaluation.
fn split_halves(
    file: &str,
    name: &str,
    [label, text]: [usize; 2],
    class: impl Fn(&str) -> &'static str,
) -> Result<(), Box<dyn Error>> {
    let rows = rows(file)?;
    let silver = rows
        .iter()
        .step_by(2)
        .map(|cells| format!("{}\n", cells[text]));
    write(&format!("{name}-silver.tsv"), "text", silver)?;
    let test = rows.iter().skip(1).step_by(2);
    let test = test.map(|cells| format!("{}\t{}\n", cells[text], class(&cells[label])));
    write(&format!("{name}-test.tsv"), "text\tlabel", test)
}

/// Writes two hundred whole reviews with labels, to select the best step of training. The student also sees them, as unlabelled
/// texts.
fn long_dev() -> Result<(), Box<dyn Error>> {
    let rows = rows("movie_reviews_docs/all.tsv")?;
    let label = |cells: &[String]| match cells[2].as_str() {
        "1" => "positive",
        _ => "negative",
    };
    let own = rows.iter().step_by(10);
    let lines = own.map(|cells| format!("{}\t{}\n", cells[1], label(cells)));
    write("reviews-dev.tsv", "text\tlabel", lines)
}

/// Writes CLINC150's questions as a similarity task with few labels: pairs of questions with the same intent (1) or different
/// intents (0), and a third of the questions as unlabelled texts.
fn intents() -> Result<(), Box<dyn Error>> {
    for (split, name, wanted) in [
        ("train", "gold", 300),
        ("val", "dev", 1000),
        ("test", "test", 2000),
    ] {
        let rows = rows(&format!("clinc150/{split}.tsv"))?;
        if split == "train" {
            let texts = rows.iter().step_by(3);
            let texts = texts.map(|cells| format!("{}\n", cells[0]));
            write("intents-texts.tsv", "text", texts)?;
        }
        let header = "sentence1\tsentence2\tscore";
        write(&format!("intents-{name}.tsv"), header, pairs(&rows, wanted))?;
    }
    Ok(())
}

/// Returns `wanted` pairs whose first questions are spread evenly over all rows. The second question alternately has the same intent,
/// or is the one of another intent that shares most words.
fn pairs(rows: &[Vec<String>], wanted: usize) -> impl Iterator<Item = String> {
    let words = |text: &str| -> BTreeSet<String> { text.split(' ').map(str::to_owned).collect() };
    let words: Vec<BTreeSet<String>> = rows.iter().map(|cells| words(&cells[0])).collect();
    let pair = move |number: usize| {
        let at = number * rows.len() / wanted;
        let alike = number.is_multiple_of(2);
        let others = (0..rows.len()).filter(|&other| {
            other != at && (rows[other][1] == rows[at][1]) == alike && rows[other][0] != rows[at][0]
        });
        // Within an intent the choice depends on `number` alone. Of other intents only every seventh question is considered.
        let other = if alike {
            let own: Vec<usize> = others.collect();
            own.get(number % own.len().max(1)).copied()
        } else {
            others.step_by(7).max_by_key(|&other| {
                let shared = words[at].intersection(&words[other]).count();
                // Divided by the number of words, since long questions share words with every question.
                1000 * shared / words[other].len().max(1)
            })
        };
        let other = other.unwrap_or(at);
        format!("{}\t{}\t{}\n", rows[at][0], rows[other][0], u8::from(alike))
    };
    (0..wanted).map(pair)
}

/// Splits sentences: four fifths for training, a tenth each for dev and test.
fn wikigold() -> Result<(), Box<dyn Error>> {
    let rows = rows("wikigold/all.tsv")?;
    for (split, parts) in [("train", 0..8), ("dev", 8..9), ("test", 9..10)] {
        let own = rows
            .iter()
            .enumerate()
            .filter(|(at, _)| parts.contains(&(at % 10)));
        let lines = own.map(|(_, cells)| format!("{}\t{}\n", cells[0], cells[1]));
        write(&format!("wikigold-{split}.tsv"), "tokens\ttags", lines)?;
    }
    Ok(())
}

fn rows(file: &str) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let shared = std::env::var_os("BERTLESS_SHARED");
    let shared = shared.unwrap_or_else(|| "../shared".into());
    let path = Path::new(&shared).join("data").join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
    Ok(text.lines().skip(1).map(cells).collect())
}

fn write(
    name: &str,
    header: &str,
    lines: impl Iterator<Item = String>,
) -> Result<(), Box<dyn Error>> {
    let path = Path::new(OUT).join(name);
    let lines: Vec<String> = lines.collect();
    fs::write(&path, format!("{header}\n{}", lines.concat()))?;
    println!("{}: {} rows", path.display(), lines.len());
    Ok(())
}
