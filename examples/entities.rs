//! Finds named entities in a text: `cargo run --release --example entities -- MODEL_DIR "Ada Lovelace lived in London."`

use bertless::{Aggregation, PredictOptions, TokenClassifier};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("the first argument is the folder of a token classifier")?;
    let text = args.next().ok_or("the second argument is a text")?;

    let tagger = TokenClassifier::load(dir)?;
    let options = PredictOptions::new().aggregation(Aggregation::First);
    for entity in tagger.entities_with(&text, &options)?.entities {
        println!("{:8} {:.4}  {}", entity.label, entity.score, entity.text);
    }
    Ok(())
}
