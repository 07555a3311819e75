//! Classifies texts: `cargo run --release --example classify -- MODEL_DIR "An absolute delight."`

use bertless::Classifier;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("the first argument is the folder of a classifier")?;
    let texts: Vec<String> = args.collect();

    let classifier = Classifier::load(dir)?;
    for (text, answer) in texts.iter().zip(classifier.classify_batch(&texts)?) {
        println!("{:8} {:.4}  {text}", answer.label, answer.score);
    }
    Ok(())
}
