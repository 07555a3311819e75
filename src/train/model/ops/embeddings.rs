//! Embeddings: the sum of word, position and token-type embeddings, `row = word + type + position`.

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::kernels::ExecContext;
use crate::kernels::output::{OutputChunks, for_each_chunk};

/// The embedding tables, each (rows, width), or their gradients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmbeddingTables<T> {
    pub(crate) words: T,
    pub(crate) positions: T,
    /// Token-type embeddings; `None` for families without them.
    pub(crate) types: Option<T>,
}

/// Checks that the tables have a row for every token, token type and position of a batch.
///
/// # Errors
/// `EmbeddingOutOfRange`.
pub(crate) fn check(batch: &Batch, rows: EmbeddingTables<usize>) -> Result<()> {
    let longest = batch.starts.windows(2).map(|text| text[1] - text[0]).max();
    let largest = |ids: &[u32]| ids.iter().max().map(|&id| id as usize);
    for (table, id, rows) in [
        ("the table of words", largest(&batch.ids), rows.words),
        (
            "the table of positions",
            longest.and_then(|len| len.checked_sub(1)),
            rows.positions,
        ),
        (
            "the table of token types",
            largest(&batch.type_ids),
            rows.types.unwrap_or(usize::MAX),
        ),
    ] {
        match id {
            Some(id) if id >= rows => return Err(Error::EmbeddingOutOfRange { table, id, rows }),
            _ => {}
        }
    }
    Ok(())
}

/// Computes the rows of a batch, (tokens, width).
pub(crate) fn forward(
    exec: &ExecContext,
    batch: &Batch,
    tables: EmbeddingTables<&[f32]>,
    width: usize,
    out: &mut [f32],
) {
    let outs = [OutputChunks::by_sequence(&batch.starts, out)];
    for_each_chunk(exec, batch.starts.len() - 1, outs, |_, text, [out]| {
        let first = batch.starts[text];
        for (position, out) in out.chunks_exact_mut(width).enumerate() {
            let token = first + position;
            out.copy_from_slice(row(tables.words, batch.ids[token] as usize, width));
            if let Some(types) = tables.types {
                add(out, row(types, batch.type_ids[token] as usize, width));
            }
            add(out, row(tables.positions, position, width));
        }
    });
}

/// Adds the gradient of each row, `d` of (tokens, width), to the gradient of the table row that it was summed from. `ids` has
/// the index of that row for each token.
pub(crate) fn backward(d: &[f32], width: usize, ids: &[u32], gradient: &mut [f32]) {
    for (d, &id) in d.chunks_exact(width).zip(ids) {
        add(&mut gradient[id as usize * width..][..width], d);
    }
}

/// Returns the position of each token in its text.
pub(crate) fn position_ids(batch: &Batch) -> Vec<u32> {
    let texts = batch.starts.windows(2);
    texts
        .flat_map(|text| 0..(text[1] - text[0]) as u32)
        .collect()
}

fn row(table: &[f32], id: usize, width: usize) -> &[f32] {
    &table[id * width..][..width]
}

fn add(out: &mut [f32], other: &[f32]) {
    out.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{GradientCheck, random};
    use super::*;

    fn batch() -> Batch {
        Batch {
            ids: vec![3, 0, 3, 4, 1],
            type_ids: vec![0, 1, 1, 0, 0],
            starts: vec![0, 3, 5],
        }
    }

    #[test]
    fn both_passes_agree_with_differences() {
        let (batch, width) = (batch(), 6);
        let tables = [
            random(1, 5 * width),
            random(2, 4 * width),
            random(3, 2 * width),
        ];
        let d_out = random(4, 5 * width);
        for with_types in [false, true] {
            let [words, positions, types] = &tables;
            let mut out = vec![0.0; 5 * width];
            let forward_tables = EmbeddingTables {
                words: &words[..],
                positions,
                types: with_types.then_some(&types[..]),
            };
            forward(
                &ExecContext::serial(),
                &batch,
                forward_tables,
                width,
                &mut out,
            );
            let check = GradientCheck::of(&d_out, |[words, positions, types]| {
                let number = |at: usize| {
                    let (token, column) = (at / width, at % width);
                    let position = if token < 3 { token } else { token - 3 };
                    let kind = batch.type_ids[token] as usize * width + column;
                    words[batch.ids[token] as usize * width + column]
                        + positions[position * width + column]
                        + if with_types { types[kind] } else { 0.0 }
                };
                (0..5 * width).map(number).collect()
            });
            let parts = [&words[..], positions, types];
            check.forward(parts, &out);
            let mut d = tables.each_ref().map(|table| vec![0.0; table.len()]);
            let [d_words, d_positions, d_types] = &mut d;
            backward(&d_out, width, &batch.ids, d_words);
            backward(&d_out, width, &position_ids(&batch), d_positions);
            if with_types {
                backward(&d_out, width, &batch.type_ids, d_types);
            }
            check.backward(parts, [&d[0], &d[1], &d[2]]);
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_named() {
        let enough = EmbeddingTables {
            words: 5,
            positions: 3,
            types: Some(2),
        };
        assert!(check(&batch(), enough).is_ok());
        assert!(check(&Batch::default(), enough).is_ok());
        assert!(
            check(
                &batch(),
                EmbeddingTables {
                    types: None,
                    ..enough
                }
            )
            .is_ok()
        );
        for (rows, expected) in [
            (
                EmbeddingTables { words: 4, ..enough },
                ("the table of words", 4, 4),
            ),
            (
                EmbeddingTables {
                    positions: 2,
                    ..enough
                },
                ("the table of positions", 2, 2),
            ),
            (
                EmbeddingTables {
                    types: Some(1),
                    ..enough
                },
                ("the table of token types", 1, 1),
            ),
        ] {
            match check(&batch(), rows) {
                Err(Error::EmbeddingOutOfRange { table, id, rows }) => {
                    assert_eq!((table, id, rows), expected);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
