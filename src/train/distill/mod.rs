//! What a student learns from a teacher: its outputs, hidden states, attention and relations.

pub(crate) mod intermediate;
pub(crate) mod outputs;
pub(crate) mod teacher;
