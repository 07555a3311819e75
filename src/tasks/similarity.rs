//! Similarity of two embeddings.

use crate::error::{Error, Result};

/// Measure by which two embeddings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
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

#[cfg(test)]
mod tests {
    use super::*;

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
