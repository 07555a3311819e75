//! Similarity of two embeddings.

use ndarray::Array2;

use super::Embeddings;
use crate::error::{Error, Result};
use crate::names::named;

/// Measure by which two embeddings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Similarity {
    /// Cosine of the angle between the vectors, from -1 to 1.
    #[default]
    Cosine,
    /// Dot product.
    Dot,
    /// Negative Euclidean distance.
    Euclidean,
    /// Negative sum of absolute differences.
    Manhattan,
}

named!(
    Similarity,
    "similarity",
    Cosine => "cosine",
    Dot => "dot",
    Euclidean => "euclidean",
    Manhattan => "manhattan",
);

impl Similarity {
    /// Returns the measure of a name in sentence-transformers' `similarity_fn_name`.
    ///
    /// # Errors
    /// `Config` for any other name.
    pub(crate) fn by_name(name: &str) -> Result<Self> {
        match name {
            "cosine" => Ok(Self::Cosine),
            "dot" | "dot_product" => Ok(Self::Dot),
            "euclidean" => Ok(Self::Euclidean),
            "manhattan" => Ok(Self::Manhattan),
            other => Err(Error::Config {
                file: "config_sentence_transformers.json".to_owned(),
                key: "similarity_fn_name".to_owned(),
                reason: format!("{other:?} is not cosine, dot, euclidean or manhattan"),
            }),
        }
    }

    /// Computes the similarity of two vectors of equal length; higher is more similar. Sums are accumulated in f64.
    pub fn of(self, a: &[f32], b: &[f32]) -> f32 {
        let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum()
        };
        let alike = match self {
            Self::Dot => dot(a, b),
            Self::Cosine => {
                let lengths = dot(a, a).sqrt().max(1e-12) * dot(b, b).sqrt().max(1e-12);
                dot(a, b) / lengths
            }
            Self::Euclidean => -pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
            Self::Manhattan => -pairs().map(|(a, b)| (a - b).abs()).sum::<f64>(),
        };
        alike as f32
    }
}

/// Index and similarity of a vector.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Neighbor {
    /// Index of the vector in the corpus, counted from 0.
    pub index: usize,
    /// Similarity to the query; higher is more similar.
    pub score: f32,
}

impl Similarity {
    /// Computes the similarity of each vector of `a` with each of `b`: (vectors of a, vectors of b).
    ///
    /// Cosines and dot products come from one matrix product, whose sums are accumulated in f32: they can differ from
    /// those of [`of`](Self::of) in the last digits. The similarity of two vectors does not depend on the other
    /// vectors, bit for bit.
    ///
    /// # Panics
    /// If the vectors of `a` and `b` have different dimensions.
    pub fn matrix(self, a: &Embeddings, b: &Embeddings) -> Array2<f32> {
        assert_eq!(a.dim(), b.dim(), "dimensions of the vectors");
        match self {
            Self::Dot => a.view().dot(&b.view().t()),
            Self::Cosine => normalized(a).dot(&normalized(b).t()),
            Self::Euclidean | Self::Manhattan => {
                Array2::from_shape_fn((a.len(), b.len()), |(i, j)| self.of(&a[i], &b[j]))
            }
        }
    }

    /// Finds, for each query, the `k` most similar vectors of the corpus, most similar first; vectors of equal
    /// similarity in the order of the corpus. Fewer if the corpus has fewer.
    ///
    /// # Panics
    /// If queries and corpus have different dimensions.
    pub fn top_k(self, queries: &Embeddings, corpus: &Embeddings, k: usize) -> Vec<Vec<Neighbor>> {
        let matrix = self.matrix(queries, corpus);
        let nearest = |row: ndarray::ArrayView1<'_, f32>| {
            let neighbor = |(index, &score): (usize, &f32)| Neighbor { index, score };
            let mut all: Vec<Neighbor> = row.iter().enumerate().map(neighbor).collect();
            let order = |a: &Neighbor, b: &Neighbor| {
                b.score.total_cmp(&a.score).then(a.index.cmp(&b.index))
            };
            if k < all.len() {
                all.select_nth_unstable_by(k, order);
                all.truncate(k);
            }
            all.sort_unstable_by(order);
            all
        };
        matrix.outer_iter().map(nearest).collect()
    }
}

/// Copies vectors and divides each by its length.
fn normalized(vectors: &Embeddings) -> Array2<f32> {
    let mut all = vectors.view().to_owned();
    for mut vector in all.outer_iter_mut() {
        let squares: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let length = squares.sqrt().max(1e-12);
        vector.mapv_inplace(|x| (f64::from(x) / length) as f32);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(dim: usize, count: usize) -> Embeddings {
        let component = |at: usize| ((at * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let mut all = Embeddings::new(dim);
        all.extend(
            (0..dim * count).map(component).collect(),
            vec![(1, false); count],
        );
        all
    }

    /// Tests every measure on sizes around the tiles of a matrix product.
    #[test]
    fn a_matrix_has_the_similarity_of_each_pair() {
        use Similarity::{Cosine, Dot, Euclidean, Manhattan};
        for measure in [Cosine, Dot, Euclidean, Manhattan] {
            for (dim, count) in [(1, 1), (7, 3), (33, 17), (384, 9)] {
                let (a, b) = (vectors(dim, count), vectors(dim, count + 4));
                for ((i, j), &found) in measure.matrix(&a, &b).indexed_iter() {
                    let expected = measure.of(&a[i], &b[j]);
                    // A sum of `dim` products in f32, each of at most 1.
                    let bound = dim as f32 * f32::EPSILON * 2.0;
                    assert!(
                        (found - expected).abs() <= bound,
                        "{measure:?} {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn neighbours_do_not_depend_on_other_queries() {
        let (queries, corpus) = (vectors(96, 29), vectors(96, 333));
        let all = Similarity::Cosine.top_k(&queries, &corpus, 5);
        for (index, found) in all.iter().enumerate() {
            let mut one = Embeddings::new(96);
            one.extend(queries[index].to_vec(), [(1, false)]);
            assert_eq!(Similarity::Cosine.top_k(&one, &corpus, 5)[0], *found);
            assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        }
        assert_eq!(Similarity::Dot.top_k(&queries, &corpus, 1000)[0].len(), 333);
        assert!(Similarity::Dot.top_k(&queries, &corpus, 0)[0].is_empty());
    }

    #[test]
    fn four_ways_to_compare() {
        let (a, b) = ([3.0, 4.0], [4.0, 3.0]);
        assert_eq!(Similarity::Cosine.of(&a, &b), 0.96);
        assert_eq!(Similarity::Dot.of(&a, &b), 24.0);
        assert_eq!(Similarity::Euclidean.of(&a, &b), -(2f32.sqrt()));
        assert_eq!(Similarity::Manhattan.of(&a, &b), -2.0);
        assert_eq!(Similarity::Cosine.of(&[0.0, 0.0], &b), 0.0);
    }

    #[test]
    fn names() {
        assert_eq!(Similarity::by_name("dot").unwrap(), Similarity::Dot);
        assert!(matches!(
            Similarity::by_name("best"),
            Err(Error::Config { .. })
        ));
    }
}
