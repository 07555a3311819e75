//! Finds the sentences of a file that are nearest in meaning to a query: `cargo run --release --example search -- MODEL_DIR sentences.txt
//! "Someone has lunch."`

use bertless::Embedder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("the first argument is the folder of an embedding model")?;
    let file = args
        .next()
        .ok_or("the second argument is a file with a sentence in each line")?;
    let query = args.next().ok_or("the third argument is the query")?;
    let sentences = std::fs::read_to_string(file)?;
    let sentences: Vec<&str> = sentences.lines().collect();

    let embedder = Embedder::load(dir)?;
    let corpus = embedder.embed_documents(&sentences)?;
    let query = embedder.embed_query(query)?;
    let found = embedder
        .similarity_measure()
        .top_k(&query.into(), &corpus, 5);
    for found in &found[0] {
        println!("{:.4}  {}", found.score, sentences[found.index]);
    }
    Ok(())
}
