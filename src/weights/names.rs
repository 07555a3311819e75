//! Tensor names of each family's checkpoints.
//!
//! Layers ask for tensors by BERT's names. A family that deviates has a table of the parts of a name that differ. A
//! checkpoint's own spelling (the family's prefix, TensorFlow's `gamma` and `beta`) is removed when it is opened.

/// Names of the tensors in a family's checkpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TensorNames {
    /// Prefix of the encoder's tensors in a checkpoint that has a head.
    pub(crate) prefix: &'static str,
    /// Pairs of a part of BERT's name and what the family calls it.
    renames: &'static [(&'static str, &'static str)],
}

/// Prefix of the tensors of the encoder's layers. Only their matrices are worth quantising; heads and projections of
/// embeddings take little time.
const ENCODER_LAYERS: &str = "encoder.layer.";

/// Whether a tensor belongs to one of the encoder's layers, by BERT's name; a folder and a slash may precede it.
pub(super) fn in_encoder_layer(name: &str) -> bool {
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.starts_with(ENCODER_LAYERS)
}

impl TensorNames {
    pub(crate) const BERT: Self = Self::like_bert("bert.");
    pub(crate) const ELECTRA: Self = Self::like_bert("electra.");
    pub(crate) const MOBILEBERT: Self = Self::like_bert("mobilebert.");

    pub(crate) const DISTILBERT: Self = Self {
        prefix: "distilbert.",
        renames: &[
            ("encoder.layer.", "transformer.layer."),
            ("attention.self.query", "attention.q_lin"),
            ("attention.self.key", "attention.k_lin"),
            ("attention.self.value", "attention.v_lin"),
            ("attention.output.dense", "attention.out_lin"),
            ("attention.output.LayerNorm", "sa_layer_norm"),
            ("intermediate.dense", "ffn.lin1"),
            ("output.dense", "ffn.lin2"),
            ("output.LayerNorm", "output_layer_norm"),
        ],
    };

    pub(crate) const MPNET: Self = Self {
        prefix: "mpnet.",
        renames: &[
            ("attention.self.query", "attention.attn.q"),
            ("attention.self.key", "attention.attn.k"),
            ("attention.self.value", "attention.attn.v"),
            ("attention.output.dense", "attention.attn.o"),
            ("attention.output.LayerNorm", "attention.LayerNorm"),
        ],
    };

    const fn like_bert(prefix: &'static str) -> Self {
        let renames = &[];
        Self { prefix, renames }
    }

    /// Name in the family's checkpoints of the tensor that BERT calls `name`. Only names inside the encoder's layers differ.
    pub(crate) fn checkpoint_name(self, name: &str) -> String {
        let inside = name.strip_prefix(ENCODER_LAYERS);
        let Some(inside) = inside.filter(|_| !self.renames.is_empty()) else {
            return name.to_owned();
        };
        let (layer, part) = inside.split_once('.').unwrap_or((inside, ""));
        let renamed = |name: &str| {
            let mut renames = self.renames.iter();
            let found = renames
                .find_map(|(bert, family)| Some(format!("{family}{}", name.strip_prefix(bert)?)));
            found.unwrap_or_else(|| name.to_owned())
        };
        format!("{}{layer}.{}", renamed(ENCODER_LAYERS), renamed(part))
    }

    /// A checkpoint's name without the family's prefix, and with `weight` and `bias` for TensorFlow's `gamma` and `beta`.
    pub(super) fn canonical(self, name: &str) -> String {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        match bare.rsplit_once('.') {
            Some((module, "gamma")) => format!("{module}.weight"),
            Some((module, "beta")) => format!("{module}.bias"),
            _ => bare.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_their_own_names() {
        let name = |names: TensorNames, end: &str| {
            names.checkpoint_name(&format!("encoder.layer.3.{end}"))
        };
        assert_eq!(
            name(TensorNames::DISTILBERT, "attention.self.key.bias"),
            "transformer.layer.3.attention.k_lin.bias"
        );
        assert_eq!(
            name(TensorNames::DISTILBERT, "attention.output.LayerNorm.weight"),
            "transformer.layer.3.sa_layer_norm.weight"
        );
        assert_eq!(
            name(TensorNames::DISTILBERT, "output.LayerNorm.weight"),
            "transformer.layer.3.output_layer_norm.weight"
        );
        assert_eq!(
            name(TensorNames::MPNET, "attention.output.LayerNorm.bias"),
            "encoder.layer.3.attention.LayerNorm.bias"
        );
        assert_eq!(
            name(TensorNames::MPNET, "output.dense.bias"),
            "encoder.layer.3.output.dense.bias"
        );
        assert_eq!(
            name(TensorNames::BERT, "attention.self.query.weight"),
            "encoder.layer.3.attention.self.query.weight"
        );
    }

    #[test]
    fn own_spelling_is_removed() {
        let bare = |name| TensorNames::BERT.canonical(name);
        assert_eq!(
            bare("bert.embeddings.LayerNorm.gamma"),
            "embeddings.LayerNorm.weight"
        );
        assert_eq!(
            bare("embeddings.LayerNorm.beta"),
            "embeddings.LayerNorm.bias"
        );
        assert_eq!(bare("classifier.weight"), "classifier.weight");
    }
}
