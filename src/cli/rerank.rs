//! `bertless predict --query`: texts ranked by relevance to a query.

use anyhow::Result;
use bertless::Model;
use serde::Serialize;

use super::input::Inputs;
use super::output::Output;
use super::show::short;
use super::stream::answer_all;

/// A line of JSON: {"text", "index", "score"}, best first.
#[derive(Serialize)]
struct RankedRecord<'a> {
    text: &'a str,
    index: usize,
    score: f32,
}

/// Scores all texts, then prints the best `top_k`, or all.
pub(crate) fn run(
    model: &Model,
    query: &str,
    passages: Inputs,
    top_k: Option<usize>,
    output: &mut Output,
) -> Result<()> {
    // The best of all chunks are chosen below.
    let options = model.predict_options().clone().top_k(usize::MAX);
    let mut scored = Vec::new();
    answer_all(
        passages,
        output,
        |inputs| {
            let passages: Vec<&str> = inputs.iter().map(|input| input.first()).collect();
            let mut ranked = model.rerank_with(query, &passages, &options)?;
            ranked.sort_by_key(|ranked| ranked.index);
            Ok(ranked.into_iter().map(|ranked| ranked.score).collect())
        },
        |_, item, score| {
            scored.push((scored.len(), score, item));
            Ok(())
        },
    )?;
    // Sorting keeps the order of equal ones.
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    scored.truncate(top_k.unwrap_or(usize::MAX));
    for (index, score, item) in &scored {
        output.answer(
            &RankedRecord {
                text: &item.first,
                index: *index,
                score: *score,
            },
            || format!("{score:.4}  {}", short(item)),
        )?;
    }
    Ok(())
}
