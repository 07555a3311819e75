//! Initialization of a student from layers and rows of a larger model.

use super::parameters::{Parameter, Parameters};
use crate::train::recipe::Rule;

/// Returns the layers of a model with `layers` layers that a student of `count` layers is copied from, lowest first. Empty for
/// `Fresh` and for models without layers.
pub(crate) fn layers(rule: Rule, count: usize, layers: usize) -> Vec<usize> {
    match rule {
        Rule::Fresh => Vec::new(),
        Rule::Lower => (0..count.min(layers)).collect(),
        // The last layer of each of `count` even parts.
        Rule::Alternate if layers >= count => {
            (1..=count).map(|part| part * layers / count - 1).collect()
        }
        Rule::Alternate => (0..layers).collect(),
    }
}

/// Names of the feed-forward network's dense layers in BERT and in DistilBERT: expansion, and projection back.
const FEED_FORWARD: [(&str, &str); 2] = [
    ("intermediate.dense", "output.dense"),
    ("ffn.lin1", "ffn.lin2"),
];

/// Copies weights of a larger model into a student, and returns the names of the student's parameters that were not copied.
///
/// Parameters of equal name and shape are copied; the student's layer i takes those of the model's layer `layers[i]`. If `kept`
/// is given, these rows of the word embeddings are copied. Of a wider feed-forward network, the neurons are copied that can have
/// the greatest effect.
pub(crate) fn copy(
    student: &mut Parameters,
    model: &Parameters,
    layers: &[usize],
    kept: Option<&[u32]>,
) -> Vec<String> {
    let mut fresh = Vec::new();
    for parameter in student.iter_mut() {
        let source = source(&parameter.name, layers);
        let found = source.and_then(|name| model.iter().find(|other| other.name == name));
        let rows = kept.filter(|_| parameter.name.ends_with("word_embeddings.weight"));
        match (found, rows) {
            (Some(found), Some(rows)) if found.shape[1..] == parameter.shape[1..] => {
                let width = found.shape[1];
                for (row, &id) in parameter.values.chunks_exact_mut(width).zip(rows) {
                    row.copy_from_slice(&found.values[id as usize * width..][..width]);
                }
            }
            (Some(found), None) if found.shape == parameter.shape => {
                parameter.values.copy_from_slice(&found.values);
            }
            (Some(found), None) => match narrowed(&parameter.shape, found, model) {
                Some(values) => parameter.values = values,
                None => fresh.push(parameter.name.clone()),
            },
            _ => fresh.push(parameter.name.clone()),
        }
    }
    fresh
}

/// Narrows a feed-forward parameter to the student's number of neurons. `None` for other parameters.
fn narrowed(shape: &[usize], found: &Parameter, model: &Parameters) -> Option<Vec<f32>> {
    let (before, inside) = found.name.split_once(".layer.")?;
    let (layer, inside) = inside.split_once('.')?;
    let name = |product: &str, part: &str| format!("{before}.layer.{layer}.{product}.{part}");
    let (first, second) = FEED_FORWARD
        .into_iter()
        .find(|(first, second)| inside.starts_with(first) || inside.starts_with(second))?;
    let named = |name: String| model.iter().find(|parameter| parameter.name == name);
    let (into, back) = (
        named(name(first, "weight"))?,
        named(name(second, "weight"))?,
    );
    let [neurons, width] = into.shape[..] else {
        return None;
    };
    // Upper bound of a neuron's effect: the norm of its input weights times the norm of its output weights.
    let square = |x: f32| f64::from(x) * f64::from(x);
    let effect = |neuron: usize| {
        let into = into.values[neuron * width..][..width].iter();
        let back = back.values.iter().skip(neuron).step_by(neurons);
        let lengths: [f64; 2] = [
            into.map(|&x| square(x)).sum(),
            back.map(|&x| square(x)).sum(),
        ];
        lengths[0] * lengths[1]
    };
    let columns = inside.starts_with(second);
    let count = *shape.get(usize::from(columns))?;
    if count >= neurons {
        return None;
    }
    let effects: Vec<f64> = (0..neurons).map(effect).collect();
    let mut best: Vec<usize> = (0..neurons).collect();
    best.sort_by(|&a, &b| effects[b].total_cmp(&effects[a]));
    best.truncate(count);
    best.sort_unstable();
    let values: Vec<f32> = if columns {
        let rows = found.values.chunks_exact(neurons);
        rows.flat_map(|row| best.iter().map(|&neuron| row[neuron]))
            .collect()
    } else {
        let width = found.values.len() / neurons;
        let row = |&neuron: &usize| found.values[neuron * width..][..width].iter().copied();
        best.iter().flat_map(row).collect()
    };
    (values.len() == shape.iter().product::<usize>()).then_some(values)
}

/// Returns the name of the model's parameter that a student's parameter is copied from; `None` if its layer is not copied.
fn source(name: &str, layers: &[usize]) -> Option<String> {
    let Some((before, inside)) = name.split_once(".layer.") else {
        return Some(name.to_owned());
    };
    let (layer, rest) = inside.split_once('.')?;
    let layer = layers.get(layer.parse::<usize>().ok()?)?;
    Some(format!("{before}.layer.{layer}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(all: &[(&str, &[usize], f32)]) -> Parameters {
        let mut parameters = Parameters::default();
        for &(name, shape, first) in all {
            let len: usize = shape.iter().product();
            parameters.add(Parameter {
                name: name.to_owned(),
                shape: shape.to_vec(),
                values: (0..len).map(|at| first + at as f32).collect(),
                decays: true,
            });
        }
        parameters
    }

    #[test]
    fn rules() {
        assert_eq!(layers(Rule::Lower, 3, 6), [0, 1, 2]);
        assert_eq!(layers(Rule::Alternate, 3, 6), [1, 3, 5]);
        assert_eq!(layers(Rule::Alternate, 4, 6), [0, 2, 3, 5]);
        assert_eq!(layers(Rule::Alternate, 6, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(layers(Rule::Fresh, 3, 6), [0; 0]);
        // A student with more layers than the model has fresh ones on top.
        assert_eq!(layers(Rule::Alternate, 4, 2), [0, 1]);
        assert_eq!(layers(Rule::Lower, 4, 2), [0, 1]);
    }

    #[test]
    fn a_student_starts_from_layers_and_rows() {
        let model = parameters(&[
            ("bert.embeddings.word_embeddings.weight", &[4, 2], 10.0),
            ("bert.embeddings.LayerNorm.bias", &[2], 20.0),
            ("bert.encoder.layer.0.output.dense.bias", &[2], 30.0),
            ("bert.encoder.layer.1.output.dense.bias", &[2], 40.0),
            ("classifier.bias", &[3], 50.0),
        ]);
        let mut student = parameters(&[
            ("bert.embeddings.word_embeddings.weight", &[2, 2], 0.0),
            ("bert.embeddings.LayerNorm.bias", &[2], 0.0),
            ("bert.encoder.layer.0.output.dense.bias", &[2], 0.0),
            ("bert.encoder.layer.1.output.dense.bias", &[2], 0.0),
            ("classifier.bias", &[2], 0.0),
        ]);
        let fresh = copy(&mut student, &model, &[1], Some(&[3, 1]));
        assert_eq!(
            fresh,
            ["bert.encoder.layer.1.output.dense.bias", "classifier.bias"]
        );
        let values: Vec<&[f32]> = student.iter().map(|p| &p.values[..]).collect();
        let expected: [&[f32]; 5] = [
            &[16.0, 17.0, 12.0, 13.0],
            &[20.0, 21.0],
            &[40.0, 41.0],
            &[0.0, 1.0],
            &[0.0, 1.0],
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn of_a_wider_feed_forward_network_the_strongest_neurons() {
        let name = |part: &str| format!("bert.encoder.layer.0.{part}");
        let values = |part: &str, shape: &[usize], values: &[f32]| Parameter {
            name: name(part),
            shape: shape.to_vec(),
            values: values.to_vec(),
            decays: true,
        };
        let mut model = Parameters::default();
        let mut student = Parameters::default();
        // Three neurons between rows of two numbers; the second one's effect is the least.
        for (part, shape, own) in [
            (
                "intermediate.dense.weight",
                &[3, 2][..],
                &[1.0, 2.0, 1.0, 0.0, 0.0, 3.0][..],
            ),
            ("intermediate.dense.bias", &[3], &[7.0, 8.0, 9.0]),
            (
                "output.dense.weight",
                &[2, 3],
                &[1.0, 2.0, 3.0, 4.0, 0.0, 6.0],
            ),
            ("output.dense.bias", &[2], &[5.0, 6.0]),
        ] {
            model.add(values(part, shape, own));
            let narrow: Vec<usize> = shape.iter().map(|&size| size.min(2)).collect();
            student.add(values(part, &narrow, &vec![0.0; narrow.iter().product()]));
        }
        assert_eq!(copy(&mut student, &model, &[0], None), [""; 0]);
        let found: Vec<&[f32]> = student.iter().map(|p| &p.values[..]).collect();
        let expected: [&[f32]; 4] = [
            &[1.0, 2.0, 0.0, 3.0],
            &[7.0, 9.0],
            &[1.0, 3.0, 4.0, 6.0],
            &[5.0, 6.0],
        ];
        assert_eq!(found, expected);
    }
}
