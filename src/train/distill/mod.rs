//! Distillation: a student learns a teacher's outputs, hidden states, attention and relations.

pub(crate) mod intermediate;
pub(crate) mod outputs;
pub(crate) mod teacher;
