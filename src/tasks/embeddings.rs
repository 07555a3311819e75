//! Embeddings of many texts, and products of them.

use std::ops::{Deref, Index};

use ndarray::{Array2, ArrayView2};
use serde::{Serialize, Serializer};

use super::prediction::Embedding;

/// Embeddings of texts: vectors of equal length in one block of memory, in the order of the texts.
///
/// ```
/// # fn main() -> bertless::Result<()> {
/// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/sentence-mean");
/// let model = bertless::Model::load(dir)?;
/// let embeddings = model.embed_batch(["A man eats.", "It rains."])?;
/// let first: &[f32] = &embeddings[0];
/// assert_eq!(first.len(), embeddings.dim());
/// assert_eq!(embeddings.iter().count(), 2);
/// # Ok(())
/// # }
/// ```
///
/// Serialises as a list of lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// Components of all vectors, one vector after the other.
    data: Vec<f32>,
    dim: usize,
    n_tokens: Vec<usize>,
    truncated: Vec<bool>,
}

impl Embeddings {
    /// Creates an empty set of vectors of `dim` components.
    pub(crate) fn new(dim: usize) -> Self {
        Self {
            data: Vec::new(),
            dim,
            n_tokens: Vec::new(),
            truncated: Vec::new(),
        }
    }

    /// Appends vectors, one after the other, and for each the number of tokens and whether the text was cut.
    pub(crate) fn extend(
        &mut self,
        vectors: Vec<f32>,
        counts: impl IntoIterator<Item = (usize, bool)>,
    ) {
        if self.data.is_empty() {
            self.data = vectors;
        } else {
            self.data.extend(vectors);
        }
        for (n_tokens, truncated) in counts {
            self.n_tokens.push(n_tokens);
            self.truncated.push(truncated);
        }
    }

    /// The only vector.
    pub(crate) fn into_single(self) -> Embedding {
        Embedding {
            n_tokens: self.n_tokens.iter().sum(),
            truncated: self.truncated.contains(&true),
            embedding: self.data,
        }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.n_tokens.len()
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.n_tokens.is_empty()
    }

    /// Dimension: the number of components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The vector of a text; `None` if there are fewer texts.
    pub fn get(&self, index: usize) -> Option<&[f32]> {
        (index < self.len()).then(|| &self[index])
    }

    /// The vectors, in the order of the texts.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> + Clone {
        self.data.chunks_exact(self.dim.max(1))
    }

    /// Number of tokens that the model read of a text, special tokens included.
    ///
    /// # Panics
    /// If there are fewer texts.
    pub fn n_tokens(&self, index: usize) -> usize {
        self.n_tokens[index]
    }

    /// Number of tokens that the model read of all texts.
    pub fn total_tokens(&self) -> usize {
        self.n_tokens.iter().sum()
    }

    /// Whether the end of a text was cut off.
    ///
    /// # Panics
    /// If there are fewer texts.
    pub fn truncated(&self, index: usize) -> bool {
        self.truncated[index]
    }

    /// Components of all vectors, one vector after the other: (texts, dim).
    pub fn as_flat(&self) -> &[f32] {
        &self.data
    }

    /// Components of all vectors, one vector after the other, without a copy.
    pub fn into_flat(self) -> Vec<f32> {
        self.data
    }

    /// Copies the vectors.
    pub fn to_vecs(&self) -> Vec<Vec<f32>> {
        self.iter().map(<[f32]>::to_vec).collect()
    }

    /// The vectors as an array of ndarray: (texts, dim).
    pub fn view(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.len(), self.dim), &self.data).expect("vectors of equal length")
    }

    /// Turns the vectors into an array of ndarray, (texts, dim), without a copy.
    pub fn into_array(self) -> Array2<f32> {
        let shape = (self.len(), self.dim);
        Array2::from_shape_vec(shape, self.data).expect("vectors of equal length")
    }

    /// Quantises the vectors to bytes, a quarter of the memory: each vector is divided by its largest absolute value and
    /// multiplied by 127. Lengths are lost, so only the cosine makes sense of the result ([`cosine_int8`]).
    pub fn to_int8(&self) -> Vec<Vec<i8>> {
        let quantize = |vector: &[f32]| {
            let largest = vector.iter().fold(0f32, |max, x| max.max(x.abs()));
            let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            vector.iter().map(|x| (x * scale).round() as i8).collect()
        };
        self.iter().map(quantize).collect()
    }

    /// Reduces each component to its sign, eight to a byte, a thirty-second of the memory: bit `7 - i % 8` of byte
    /// `i / 8` is set if component `i` is positive. This is the layout of numpy's `packbits`, which
    /// sentence-transformers uses. [`hamming_similarity`] compares two of them.
    pub fn to_binary(&self) -> Vec<Vec<u8>> {
        let pack = |bits: &[f32]| {
            let set = |(at, x): (usize, &f32)| u8::from(*x > 0.0) << (7 - at);
            bits.iter().enumerate().map(set).sum()
        };
        let binary = |vector: &[f32]| vector.chunks(8).map(pack).collect();
        self.iter().map(binary).collect()
    }
}

/// Cosine of two vectors of bytes of equal length, such as [`Embeddings::to_int8`] makes. The sums are exact.
pub fn cosine_int8(a: &[i8], b: &[i8]) -> f32 {
    let dot = |a: &[i8], b: &[i8]| -> i64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
    };
    let lengths = (dot(a, a) as f64).sqrt() * (dot(b, b) as f64).sqrt();
    if lengths == 0.0 {
        return 0.0;
    }
    (dot(a, b) as f64 / lengths) as f32
}

/// Fraction of equal bits of two binary vectors of equal length, such as [`Embeddings::to_binary`] makes.
pub fn hamming_similarity(a: &[u8], b: &[u8]) -> f32 {
    let bits = 8 * a.len().min(b.len());
    if bits == 0 {
        return 0.0;
    }
    let different: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
    1.0 - different as f32 / bits as f32
}

impl Index<usize> for Embeddings {
    type Output = [f32];

    fn index(&self, index: usize) -> &[f32] {
        &self.data[index * self.dim..][..self.dim]
    }
}

impl Serialize for Embeddings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl From<Embedding> for Embeddings {
    fn from(single: Embedding) -> Self {
        Self {
            dim: single.embedding.len(),
            n_tokens: vec![single.n_tokens],
            truncated: vec![single.truncated],
            data: single.embedding,
        }
    }
}

impl From<Embedding> for Vec<f32> {
    fn from(embedding: Embedding) -> Self {
        embedding.embedding
    }
}

impl Deref for Embedding {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.embedding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Embeddings {
        let mut embeddings = Embeddings::new(3);
        embeddings.extend(vec![1.0, -2.0, 0.0], [(4, false)]);
        embeddings.extend(vec![0.5, 0.5, -0.5], [(9, true)]);
        embeddings
    }

    #[test]
    fn vectors_are_found_by_index_and_in_order() {
        let embeddings = two();
        assert_eq!((embeddings.len(), embeddings.dim()), (2, 3));
        assert_eq!(&embeddings[1], [0.5, 0.5, -0.5]);
        assert_eq!(embeddings.get(2), None);
        assert_eq!(embeddings.to_vecs()[0], [1.0, -2.0, 0.0]);
        assert_eq!(embeddings.view()[[0, 1]], -2.0);
        assert_eq!((embeddings.n_tokens(1), embeddings.truncated(1)), (9, true));
        assert_eq!(embeddings.total_tokens(), 13);
        assert_eq!(
            serde_json::to_string(&embeddings).unwrap(),
            "[[1.0,-2.0,0.0],[0.5,0.5,-0.5]]"
        );
        let second = Embedding {
            embedding: embeddings[1].to_vec(),
            n_tokens: 9,
            truncated: true,
        };
        let single = Embeddings::from(second);
        assert_eq!((single.len(), &single[0]), (1, &embeddings[1]));
        assert_eq!(embeddings.into_array().dim(), (2, 3));
    }

    #[test]
    fn bytes_and_bits_keep_directions() {
        let embeddings = two();
        assert_eq!(embeddings.to_int8(), [[64, -127, 0], [127, 127, -127]]);
        assert_eq!(embeddings.to_binary(), [[0b1000_0000], [0b1100_0000]]);
        assert_eq!(cosine_int8(&[3, 4], &[4, 3]), 0.96);
        assert_eq!(cosine_int8(&[0, 0], &[4, 3]), 0.0);
        assert_eq!(hamming_similarity(&[0b1000_0000], &[0b1100_0000]), 0.875);
    }
}
