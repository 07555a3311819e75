//! Embeds a packed model in the program: one file to deploy, nothing to read when it starts.
//!
//! Pack a model with `bertless pack MODEL_DIR -o model.safetensors`, include that file in place of the fixture below, then run
//! `cargo run --release --example serverless -- "A great film, with wonderful acting!"`. The fixture is a tiny model with random
//! weights. Its answer, `negative`, has no meaning.

use bertless::{Model, include_model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = std::env::args()
        .nth(1)
        .ok_or("the first argument is a text")?;
    let model = Model::from_bytes(include_model!(
        "../fixtures/packed/bert-classify.safetensors"
    ))?;
    println!("{}", serde_json::to_string(&model.predict(&*text)?)?);
    Ok(())
}
