//! A function with its model inside: one file to deploy, nothing to read at start.
//!
//! `bertless pack MODEL_DIR -o model.safetensors`, then
//! `cargo run --release --example serverless -- "A great film, with wonderful acting!"`. The model here is a tiny one with
//! random weights; its answer means nothing: `negative`.

use bertless::{Model, include_model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = std::env::args()
        .nth(1)
        .ok_or("the first argument is a text")?;
    let model = Model::from_static(include_model!(
        "../fixtures/packed/bert-classify.safetensors"
    ))?;
    println!("{}", serde_json::to_string(&model.predict(&*text)?)?);
    Ok(())
}
