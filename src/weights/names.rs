//! What each family calls its weights.
//!
//! Layers ask by BERT's names. A family that differs has a table of the pieces that it calls otherwise; a checkpoint's
//! own spelling (its prefix, TensorFlow's `gamma` and `beta`) is taken off when it is opened.

use crate::config::Family;

/// Pairs of BERT's part of a name and the family's.
type Renames = &'static [(&'static str, &'static str)];

const DISTILBERT: Renames = &[
    ("encoder.layer.", "transformer.layer."),
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"),
    ("output.LayerNorm", "output_layer_norm"),
];

const MPNET: Renames = &[
    ("attention.self.query", "attention.attn.q"),
    ("attention.self.key", "attention.attn.k"),
    ("attention.self.value", "attention.attn.v"),
    ("attention.output.dense", "attention.attn.o"),
    ("attention.output.LayerNorm", "attention.LayerNorm"),
];

/// Where the layers are whose products are worth quantising; heads and projections of embeddings take little time.
const ENCODER_LAYERS: &str = "encoder.layer.";

/// Whether a tensor belongs to one of the encoder's layers, by BERT's name; a folder and a slash may precede it.
pub(super) fn in_encoder_layer(name: &str) -> bool {
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.starts_with(ENCODER_LAYERS)
}

/// The family's name for what BERT calls `name`, inside the encoder's layers; other names are the same everywhere.
pub(crate) fn checkpoint_name(family: Family, name: &str) -> String {
    let table = match family {
        Family::DistilBert => DISTILBERT,
        Family::MpNet => MPNET,
        Family::Bert | Family::Electra | Family::MobileBert => return name.to_owned(),
    };
    let Some(inside) = name.strip_prefix(ENCODER_LAYERS) else {
        return name.to_owned();
    };
    let (layer, piece) = inside.split_once('.').unwrap_or((inside, ""));
    let renamed = |name: &str| {
        let mut names = table.iter();
        names.find_map(|(bert, own)| Some(format!("{own}{}", name.strip_prefix(bert)?)))
    };
    let layers = renamed(ENCODER_LAYERS).unwrap_or_else(|| ENCODER_LAYERS.to_owned());
    let stem = renamed(piece).unwrap_or_else(|| piece.to_owned());
    format!("{layers}{layer}.{stem}")
}

/// A checkpoint's name without the family's prefix and with today's words for a layer norm's parameters.
pub(super) fn canonical(family: Family, name: &str) -> String {
    let bare = name.strip_prefix(family.prefix()).unwrap_or(name);
    match bare.rsplit_once('.') {
        Some((module, "gamma")) => format!("{module}.weight"),
        Some((module, "beta")) => format!("{module}.bias"),
        _ => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_their_own_words() {
        let name = |family, end: &str| checkpoint_name(family, &format!("encoder.layer.3.{end}"));
        assert_eq!(
            name(Family::DistilBert, "attention.self.key.bias"),
            "transformer.layer.3.attention.k_lin.bias"
        );
        assert_eq!(
            name(Family::DistilBert, "attention.output.LayerNorm.weight"),
            "transformer.layer.3.sa_layer_norm.weight"
        );
        assert_eq!(
            name(Family::DistilBert, "output.LayerNorm.weight"),
            "transformer.layer.3.output_layer_norm.weight"
        );
        assert_eq!(
            name(Family::MpNet, "attention.output.LayerNorm.bias"),
            "encoder.layer.3.attention.LayerNorm.bias"
        );
        assert_eq!(
            name(Family::MpNet, "output.dense.bias"),
            "encoder.layer.3.output.dense.bias"
        );
        assert_eq!(
            name(Family::Bert, "attention.self.query.weight"),
            "encoder.layer.3.attention.self.query.weight"
        );
    }

    #[test]
    fn spelling_is_taken_off() {
        let bare = |name| canonical(Family::Bert, name);
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
