//! What training changes: the tensors of a model, and their gradients.

/// A tensor that training changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    /// As the checkpoint names it.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Row-major.
    pub(crate) values: Vec<f32>,
    /// Whether weight decay draws it to zero: not biases, nor the factors and terms of layer norms.
    pub(crate) decays: bool,
}

/// Where a parameter stands among its model's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Id(usize);

/// The parameters of a model, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Vec<Parameter>);

impl Parameters {
    pub(crate) fn add(&mut self, parameter: Parameter) -> Id {
        self.0.push(parameter);
        Id(self.0.len() - 1)
    }

    pub(crate) fn values(&self, id: Id) -> &[f32] {
        &self.0[id.0].values
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.0.iter_mut()
    }

    /// Gradients of them all, zero.
    pub(crate) fn gradients(&self) -> Gradients {
        Gradients(self.0.iter().map(|p| vec![0.0; p.values.len()]).collect())
    }
}

/// The gradient of each parameter, in the same order; backward passes add to it.
#[derive(Clone, Debug)]
pub(crate) struct Gradients(Vec<Vec<f32>>);

impl Gradients {
    pub(crate) fn of(&self, id: Id) -> &[f32] {
        &self.0[id.0]
    }

    pub(crate) fn of_mut(&mut self, id: Id) -> &mut [f32] {
        &mut self.0[id.0]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.0.iter().map(Vec::as_slice)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.0.iter_mut().map(Vec::as_mut_slice)
    }

    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(|gradient| gradient.fill(0.0));
    }
}
